"""The files that mark an environment."""

from __future__ import annotations

__all__ = ["IN_USE", "MARKER", "SIZE"]

MARKER = "binderprogress.json"
"""The file of a complete environment."""

IN_USE = "in-use"
"""The file that is locked while the environment is used; see `environments`."""

SIZE = "size"
"""The file with the size of an environment, in bytes."""
