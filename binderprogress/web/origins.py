"""Web origins: scheme, host and port (RFC 6454)."""

from __future__ import annotations

from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest

__all__ = ["origin_of", "scheme_of"]

_PORTS = {"http": 80, "https": 443}


def origin_of(url: str) -> str:
    """Return the origin of a URL, as browsers write it: in lower case, without a default port.

    The result is empty if the URL is invalid, is not http or https, or is the origin ``null``.
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
    """Return the scheme that the browser used: ``http`` or ``https``.

    Parameters
    ----------
    request : HTTPServerRequest
    trust_proxy : bool
        Whether to read it from the headers that a proxy sets.
    """
    if trust_proxy:
        # Each proxy appends its own value. The browser talks to the first one.
        schemes = request.headers.get("X-Scheme") or request.headers.get("X-Forwarded-Proto", "")
        first = schemes.partition(",")[0].strip().lower()
        if first in _PORTS:
            return first
    return request.protocol
