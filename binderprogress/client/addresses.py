"""What addresses say."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["is_near"]


def is_near(address: str) -> bool:
    """Whether an address is on this machine: $HTTPS_PROXY is for the world outside."""
    try:
        host = urlsplit(address).hostname
    except ValueError:
        return False  # no address; said where it is used
    return host in {"localhost", "127.0.0.1", "::1"}
