"""The keys that tokens are encrypted with."""

from __future__ import annotations

__all__ = ["KEY_VARIABLE"]

KEY_VARIABLE = "BINDERPROGRESS_CRYPT_KEY"
"""The environment variable with the keys, which PostgreSQL needs."""
