"""The login of JupyterHub for several replicas: one that has not begun it can complete it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from jupyterhub.services.auth import HubOAuth

__all__ = ["StatelessOAuth"]

# A cookie has at most 4 KiB, with its signature.
_LONGEST = 2000


class StatelessOAuth(HubOAuth):
    """Keeps what a login has to know until its end in the login's own state, encrypted.

    JupyterHub's class keeps it in memory, so only the process that has begun a login can complete
    it. The state goes through the browser, as a cookie and in addresses; they have to be the same.
    """

    def generate_state(self, next_url: str | None = None, **extra_state: Any) -> str:
        """Return the state of a login that leads to a page."""
        state = {"next_url": next_url, **extra_state}
        if len(json.dumps(state)) > _LONGEST:
            # The login leads to the front page.
            state["next_url"] = None
        return self._cipher.encrypt(json.dumps(state).encode()).decode()

    def clear_oauth_state(self, state_id: str) -> None:
        """Do nothing: the cookie is all there is, and JupyterHub takes a code once only."""

    def get_next_url(self, state_id: str = "", /) -> str:
        """Return the page that a login leads to."""
        return self._read(state_id).get("next_url") or str(self.base_url)

    def get_code_verifier(self, state_id: str = "", /) -> str | None:
        """Return what proves to JupyterHub that this service has begun the login."""
        return self._read(state_id).get("code_verifier")

    def get_state_cookie_name(self, state_id: str = "", /) -> str:
        """Return the name of the cookie of a login."""
        return self._read(state_id).get("cookie_name") or str(self.state_cookie_name)

    @property
    def _cipher(self) -> Fernet:
        # All replicas have the same token.
        token = self.api_token.encode()
        key = hmac.digest(token, b"binderprogress: states of logins", hashlib.sha256)
        return Fernet(base64.urlsafe_b64encode(key))

    def _read(self, state: str) -> dict[str, Any]:
        """Return what a state contains; nothing if it is not ours, or too old."""
        try:
            text = self._cipher.decrypt(state.encode(), ttl=self.oauth_state_max_age)
        except InvalidToken:
            return {}
        found: dict[str, Any] = json.loads(text)
        return found
