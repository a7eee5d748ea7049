"""Origins: scheme, host and port, as browsers compare them (RFC 6454)."""

from __future__ import annotations

from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest

__all__ = ["origin_of", "scheme_of"]

_PORTS = {"http": 80, "https": 443}


def origin_of(url: str) -> str:
    """Return the origin of an address in its one form; empty if it has none.

    The form is a browser's: in lower case, and without the scheme's own port. `null`, what is not
    http or https, and what is no address have none.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    host = parts.hostname or ""
    if parts.scheme not in _PORTS or not host:
        return ""
    host = f"[{host}]" if ":" in host else host
    shown = "" if port in {None, _PORTS[parts.scheme]} else f":{port}"
    return f"{parts.scheme}://{host}{shown}"


def scheme_of(request: HTTPServerRequest, *, trust_proxy: bool) -> str:
    """Return the scheme by which the browser asks: ``http`` or ``https``.

    Parameters
    ----------
    request : HTTPServerRequest
    trust_proxy : bool
        Whether a proxy in front says so.
    """
    if trust_proxy:
        # Each proxy adds what it sees at the end; the first one talks to the browser.
        told = request.headers.get("X-Scheme") or request.headers.get("X-Forwarded-Proto", "")
        first = told.partition(",")[0].strip().lower()
        if first in _PORTS:
            return first
    return request.protocol
