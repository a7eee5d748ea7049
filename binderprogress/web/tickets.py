"""One-time tickets that let this server's own pages start a launch without confirmation."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from tornado.web import create_signed_value, decode_signed_value

__all__ = ["TICKET_SECONDS", "Tickets"]

TICKET_SECONDS = 3600.0
"""How long a ticket is valid. A page that was open for longer asks for confirmation."""

_SECONDS_PER_DAY = 86_400.0

_MAX_USED = 10_000
"""Maximum number of used tickets to remember. At the limit, no more tickets are accepted."""


class Tickets:
    """Makes tickets, and accepts each of them once.

    A ticket is a signed random value, valid for one user and one spec. Unused tickets are not
    stored, so loading pages takes no memory.

    Parameters
    ----------
    clock : callable
        Returns seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._key = secrets.token_bytes(32)
        self._clock = clock
        self._used: dict[str, float] = {}

    def make(self, user: str, spec: str) -> str:
        """Return a new ticket.

        Parameters
        ----------
        user : str
            The user who may use it; empty if there are no users.
        spec : str
            The spec that it may start.
        """
        nonce = secrets.token_urlsafe(16)
        return create_signed_value(self._key, _name(user, spec), nonce, clock=self._clock).decode()

    def use(self, ticket: str, user: str, spec: str) -> bool:
        """Use up a ticket. Return whether it was valid for this user and spec."""
        nonce = decode_signed_value(
            self._key,
            _name(user, spec),
            ticket if ticket.isascii() else "",
            max_age_days=TICKET_SECONDS / _SECONDS_PER_DAY,
            clock=self._clock,
        )
        if nonce is None:
            return False
        now = self._clock()
        self._used = {used: expires for used, expires in self._used.items() if expires > now}
        if nonce.decode() in self._used or len(self._used) >= _MAX_USED:
            return False
        self._used[nonce.decode()] = now + TICKET_SECONDS
        return True


def _name(user: str, spec: str) -> str:
    # The length keeps "a" + "b/c" apart from "ab" + "/c".
    return f"{len(user)}:{user}{spec}"
