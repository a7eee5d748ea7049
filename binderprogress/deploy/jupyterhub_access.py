"""Access control with the login of JupyterHub."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuth, UserNotAllowed

from ..errors import RefusedError
from ..web.base import ApiHandler

__all__ = ["SERVICE", "JupyterHubAccess"]

SERVICE = "service/"
"""Prefix of a service's name. Names of users cannot contain a slash."""


class JupyterHubAccess:
    """Allows users and services that have the scope to access this service.

    Parameters
    ----------
    auth : HubOAuth
    named : bool
        Whether launches start servers of the caller. Services cannot have servers.
    """

    lists = True
    # Attack: a page of another user's server has the same origin. It could read ours in a frame.
    frame_ancestors = "'none'"

    def __init__(self, auth: HubOAuth, *, named: bool) -> None:
        self._named = named
        login = urlsplit(auth.login_url)
        # If the login has expired, submitting a form redirects to JupyterHub.
        hub_origin = f" {login.scheme}://{login.netloc}" if login.netloc else ""
        self.form_action = f"'self'{hub_origin}"

    async def identify(self, handler: Any) -> str:
        """Identify the user. Redirect pages to the login of JupyterHub."""
        model = await handler.hub_auth.get_user(handler, sync=False)
        handler.current_user = model
        if model is None:
            if isinstance(handler, ApiHandler) or handler.request.method != "GET":
                raise RefusedError(
                    "Log in to JupyterHub, or send `Authorization: token …`. Pages must also send "
                    "their _xsrf cookie as X-XSRFToken."
                )
            handler.redirect(handler.get_login_url())
            return ""
        try:
            handler.check_hub_user(model)
        except UserNotAllowed as error:
            raise RefusedError(
                "You are not allowed to use this service. Ask the administrator of JupyterHub for "
                f"the scope {' or '.join(sorted(handler.hub_auth.access_scopes))}."
            ) from error
        by_token = getattr(handler, "_token_authenticated", False)
        if handler.get_acts and not by_token:
            # Attack: a page of another user's server sends the browser here, with our cookie. It
            # has the same origin.
            raise RefusedError("This endpoint requires a token: send `Authorization: token …`.")
        if not isinstance(handler, ApiHandler):
            # Reading it sets the XSRF cookie, which the page's requests need.
            handler.xsrf_token  # noqa: B018
        if model["kind"] == "user":
            return str(model["name"])
        if self._named:
            raise RefusedError("Launches start servers of users. A service cannot have servers.")
        return f"{SERVICE}{model['name']}"
