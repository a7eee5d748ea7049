"""URLs of servers."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["is_loopback"]


def is_loopback(address: str) -> bool:
    """Whether a URL is on this machine, where $HTTPS_PROXY must not be used."""
    try:
        host = urlsplit(address).hostname
    except ValueError:
        return False  # not a URL; reported when it is used
    return host in {"localhost", "127.0.0.1", "::1"}
