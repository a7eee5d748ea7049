"""Who asks, and may they. Handlers ask this once, before anything else (`Handler.prepare`)."""

from __future__ import annotations

from typing import Protocol

from tornado.web import RequestHandler

__all__ = ["Access", "Everyone"]


class Access(Protocol):
    """What decides it. A launch belongs to whom `identify` named when it was started."""

    lists: bool
    """Whether there is a list of one's own launches: only where it is known who asks."""

    form_action: str
    """Where forms of the pages may lead, for the Content-Security-Policy."""

    frame_ancestors: str
    """Which pages may show ours in a frame, for the Content-Security-Policy."""

    async def identify(self, handler: RequestHandler) -> str:
        """Return the name of who asks.

        It may finish the answer instead, by a redirect to a login; then nothing more is done.

        Raises
        ------
        RefusedError
            If they may not.
        """
        ...


class Everyone:
    """No users: who has a launch's id may watch and cancel it."""

    lists = False
    form_action = "'self'"
    frame_ancestors = "'self'"

    async def identify(self, handler: RequestHandler) -> str:
        """Name nobody."""
        return ""
