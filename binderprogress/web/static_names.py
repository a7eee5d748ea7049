"""Names of the static files whose names contain a hash of their content."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from .._share import share_path

__all__ = ["hashed_name"]


def hashed_name(name: str) -> str:
    """Return the path of a static file with the hash in its name: ``assets/base-1a2b3c4d.css``.

    Parameters
    ----------
    name : str
        The name without the hash, such as ``base.css``.

    Raises
    ------
    ConfigError
        If the files have not been built.
    KeyError
        If there is no such file.
    """
    manifest = share_path("static", "manifest.json")
    return _read(manifest, manifest.stat().st_mtime_ns)[name]


@lru_cache(maxsize=1)
def _read(manifest: Path, _changed: int) -> dict[str, str]:
    names: dict[str, str] = json.loads(manifest.read_bytes())
    return names
