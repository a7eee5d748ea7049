"""The file that marks a complete environment."""

from __future__ import annotations

__all__ = ["MARKER"]

MARKER = "binderprogress.json"
"""Its name in the folder of the environment."""
