"""Keeps the launches of a browser on the same host, if the backend has several."""

from __future__ import annotations

from typing import Protocol

from tornado.web import RequestHandler

from ..backends.base import PREFERRED_HOST

__all__ = ["Hosts", "prefer_host"]

COOKIE = "binderprogress-host"


class Hosts(Protocol):
    """The hosts of a backend, of which each launch needs one."""

    host_cookie_age: int
    """Seconds for which a browser keeps its host."""

    def choose(self, earlier: str) -> str:
        """Return the host for a launch, which is the earlier one as long as that can be used.

        Parameters
        ----------
        earlier : str
            The host of the client's last launch, as it says; empty if there is none.
        """
        ...


def prefer_host(handler: RequestHandler, hosts: Hosts, *, path: str, secure: bool) -> None:
    """Choose the host of the launch that a request starts, and remember it in a cookie.

    Parameters
    ----------
    handler : RequestHandler
    hosts : Hosts
    path : str
        The base path of this server.
    secure : bool
        Whether the request came over https.
    """
    host = hosts.choose(handler.get_cookie(COOKIE) or "")
    PREFERRED_HOST.set(host)
    handler.set_cookie(
        COOKIE,
        host,
        path=path,
        max_age=hosts.host_cookie_age,
        httponly=True,
        samesite="lax",
        secure=secure,
    )
