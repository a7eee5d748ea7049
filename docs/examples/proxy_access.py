"""An access rule: an authenticating proxy in front says who the user is."""

from tornado.web import RequestHandler

from binderprogress import RefusedError


class ProxyAccess:
    """Trusts the header ``X-Remote-User``. The proxy must remove it from requests of clients."""

    # With users, `/launches` lists one's own launches.
    lists = True
    # Parts of the Content-Security-Policy of the pages.
    form_action = "'self'"
    frame_ancestors = "'none'"

    async def identify(self, handler: RequestHandler) -> str:
        """Return the user's name. A launch belongs to the user who started it."""
        user = handler.request.headers.get("X-Remote-User", "")
        if not user:
            raise RefusedError("Log in first.")
        return user
