"""Authentication and authorization of requests. `Handler.prepare` calls it for each request."""

from __future__ import annotations

from typing import Protocol

from tornado.web import RequestHandler

__all__ = ["Access", "Everyone"]


class Access(Protocol):
    """An access rule: identifies the user of a request, or refuses the request.

    A launch belongs to the user who started it.
    """

    lists: bool
    """Whether users can list their own launches. Only if `identify` returns names."""

    form_action: str
    """The ``form-action`` sources of the pages' Content-Security-Policy."""

    frame_ancestors: str
    """The ``frame-ancestors`` sources of the pages' Content-Security-Policy."""

    async def identify(self, handler: RequestHandler) -> str:
        """Return the user's name, or an empty string if there are no users.

        It may finish the response instead, for example with a redirect to a login page. The
        handler's method is not called then.

        Parameters
        ----------
        handler : RequestHandler
            The handler of the request. Its headers and cookies are available.

        Raises
        ------
        RefusedError
            If the request is not allowed.
        """
        ...


class Everyone:
    """Open access without users: anyone who has the id of a launch may watch and cancel it."""

    lists = False
    form_action = "'self'"
    frame_ancestors = "'self'"

    async def identify(self, handler: RequestHandler) -> str:
        """Return an empty name."""
        return ""
