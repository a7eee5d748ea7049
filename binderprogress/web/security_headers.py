"""Headers that say what a browser may do with our answers."""

from __future__ import annotations

import ipaddress

from tornado.web import RequestHandler

__all__ = ["IMAGE_POLICY", "LOCAL_HOSTS", "set_security_headers"]

LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}

IMAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
"""Of a file that is opened by itself: an SVG is a document, and could have scripts."""

_UNUSED = [
    *("accelerometer", "camera", "display-capture", "encrypted-media", "geolocation"),
    *("gyroscope", "hid", "magnetometer", "microphone", "midi", "payment"),
    *("publickey-credentials-get", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking"),
]
_PERMISSIONS = ", ".join(f"{feature}=()" for feature in _UNUSED)


def set_security_headers(handler: RequestHandler, *, scheme: str, hsts_max_age: int) -> None:
    """Set the headers that all our answers have, files and errors too.

    Parameters
    ----------
    handler : RequestHandler
    scheme : str
        By which the browser asks.
    hsts_max_age : int
        Seconds for which it is to come by https only; 0: nothing is said.
    """
    handler.clear_header("Server")
    handler.set_header("X-Content-Type-Options", "nosniff")
    handler.set_header("Referrer-Policy", "same-origin")
    handler.set_header("Permissions-Policy", _PERMISSIONS)
    host = handler.request.host_name.strip("[]")
    if scheme == "https" or host in LOCAL_HOSTS:
        # Elsewhere browsers ignore it, and complain.
        handler.set_header("Cross-Origin-Opener-Policy", "same-origin")
    if scheme == "https" and hsts_max_age and host not in LOCAL_HOSTS and not _is_address(host):
        handler.set_header("Strict-Transport-Security", f"max-age={hsts_max_age}")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
