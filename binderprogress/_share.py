"""Finds the files of ``share/binderprogress``."""

from __future__ import annotations

import site
import sys
from pathlib import Path

from .errors import ConfigError

__all__ = ["share_path"]


def share_path(*parts: str) -> Path:
    """Return the path of a file or folder below ``share/binderprogress``.

    Raises
    ------
    ConfigError
        If it does not exist, because the installation is incomplete.
    """
    roots = [
        Path(__file__).parents[1],  # a checkout, installed with `pip install -e`
        Path(sys.prefix),
        Path(site.getuserbase()),
        *Path(__file__).parents[2:],  # `pip install --target` or `--prefix`
    ]
    for root in roots:
        path = root.joinpath("share", "binderprogress", *parts)
        if path.exists():
            return path
    raise ConfigError(
        f"share/binderprogress/{'/'.join(parts)} is not installed. In a checkout, run `make "
        "install`. Otherwise, reinstall binderprogress."
    )
