"""Who may, where a JupyterHub knows who asks."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuth, UserNotAllowed

from ..errors import RefusedError
from ..web.base import ApiHandler

__all__ = ["SERVICE", "JupyterHubAccess"]

SERVICE = "service/"
"""What stands in front of a service's name: no user has a slash in theirs, so none is meant."""


class JupyterHubAccess:
    """Those whom the Hub knows, and who have the scope to use this service.

    Parameters
    ----------
    auth : HubOAuth
    named : bool
        Whether launches become servers of those who ask: a service then cannot.
    """

    lists = True
    # Attack: a page of another user's server has the same origin. In a frame it could read ours.
    frame_ancestors = "'none'"

    def __init__(self, auth: HubOAuth, *, named: bool) -> None:
        self._named = named
        login = urlsplit(auth.login_url)
        # A form that comes when the login is over leads there.
        there = f" {login.scheme}://{login.netloc}" if login.netloc else ""
        self.form_action = f"'self'{there}"

    async def identify(self, handler: Any) -> str:
        """Ask the Hub who it is; send a person to its login."""
        model = await handler.hub_auth.get_user(handler, sync=False)
        handler.current_user = model
        if model is None:
            if isinstance(handler, ApiHandler) or handler.request.method != "GET":
                raise RefusedError(
                    "Log in with JupyterHub, or send `token …` in the header Authorization. Pages "
                    "send their _xsrf cookie as X-XSRFToken, too."
                )
            handler.redirect(handler.get_login_url())
            return ""
        try:
            handler.check_hub_user(model)
        except UserNotAllowed as error:
            raise RefusedError(
                "You may not use this service. Whoever runs the Hub can allow it, with the scope "
                f"{' or '.join(sorted(handler.hub_auth.access_scopes))}."
            ) from error
        by_token = getattr(handler, "_token_authenticated", False)
        if handler.get_acts and not by_token:
            # Attack: a page of another user's server leads the browser there, with our cookie. For
            # the browser it is the same site.
            raise RefusedError(
                "This address takes tokens only: `token …` in the header Authorization."
            )
        if not isinstance(handler, ApiHandler):
            # Read for what it does: the page gets the cookie that its requests have to prove.
            handler.xsrf_token  # noqa: B018
        if model["kind"] == "user":
            return str(model["name"])
        if self._named:
            raise RefusedError("Launches here become a user's servers, and a service has none.")
        return f"{SERVICE}{model['name']}"
