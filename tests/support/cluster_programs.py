"""Where the programs of a Kubernetes are, which `tests/kubernetes/build-cluster` builds."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .packages import kept_folder

__all__ = ["BUILD", "programs"]

BUILD = Path(__file__).parents[1] / "kubernetes" / "build-cluster"


def programs() -> Path | None:
    """Return their folder, with ``bin`` and ``cni``; None if they are not built."""
    key = hashlib.sha256(BUILD.read_bytes()).hexdigest()[:12]
    folder = kept_folder() / f"kubernetes-{key}"
    return folder if folder.is_dir() else None
