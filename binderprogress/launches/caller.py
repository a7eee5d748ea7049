"""Who requests a launch, and how."""

from __future__ import annotations

import secrets

import msgspec

from ..core.client_address import client_network
from ..core.traceparent import TraceParent

__all__ = ["Caller"]


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who requests a launch, and how.

    Attributes
    ----------
    base_url : str
        The server's address as the caller sees it, with a trailing slash.
    ip : str
        The caller's address.
    user : str
        The caller's name, who owns the launch. Empty where users do not log in.
    parent : TraceParent or None
        The trace that the caller's request belongs to.
    build_only : bool
        Whether the caller wants only the environment, and no server.
    """

    base_url: str = ""
    ip: str = ""
    user: str = ""
    parent: TraceParent | None = None
    build_only: bool = False

    @property
    def account(self) -> str:
        """The key by which the launches of the caller are counted."""
        return self.user or self.ip

    @property
    def owner(self) -> str:
        """Whose turns the builds of the caller take in the queue. A network counts as one."""
        return self.user or client_network(self.ip)

    def span(self) -> TraceParent:
        """Return a new span of the request's trace, or the first of a new trace."""
        span_id = secrets.token_hex(8)
        if self.parent is None:
            return TraceParent(secrets.token_hex(16), span_id)
        return msgspec.structs.replace(self.parent, span_id=span_id)
