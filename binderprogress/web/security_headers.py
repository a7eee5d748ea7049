"""Security headers of all responses."""

from __future__ import annotations

import ipaddress

from tornado.web import RequestHandler

__all__ = ["IMAGE_POLICY", "LOCAL_HOSTS", "set_security_headers"]

LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}

IMAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
"""Content-Security-Policy of images. An SVG that is opened directly could run scripts."""

_UNUSED = [
    *("accelerometer", "camera", "display-capture", "encrypted-media", "geolocation"),
    *("gyroscope", "hid", "magnetometer", "microphone", "midi", "payment"),
    *("publickey-credentials-get", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking"),
]
_PERMISSIONS = ", ".join(f"{feature}=()" for feature in _UNUSED)


def set_security_headers(handler: RequestHandler, *, scheme: str, hsts_max_age: int) -> None:
    """Set the headers that all responses have, including files and errors.

    Parameters
    ----------
    handler : RequestHandler
    scheme : str
        The scheme that the browser used.
    hsts_max_age : int
        The ``max-age`` of Strict-Transport-Security, in seconds; 0 omits the header.
    """
    handler.clear_header("Server")
    handler.set_header("X-Content-Type-Options", "nosniff")
    handler.set_header("Referrer-Policy", "same-origin")
    handler.set_header("Permissions-Policy", _PERMISSIONS)
    host = handler.request.host_name.strip("[]")
    if scheme == "https" or host in LOCAL_HOSTS:
        # On other origins, browsers ignore the header and log a warning.
        handler.set_header("Cross-Origin-Opener-Policy", "same-origin")
    if scheme == "https" and hsts_max_age and host not in LOCAL_HOSTS and not _is_address(host):
        handler.set_header("Strict-Transport-Security", f"max-age={hsts_max_age}")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
