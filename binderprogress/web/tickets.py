"""One-time tickets with which our own pages start a launch without asking again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from tornado.web import create_signed_value, decode_signed_value

__all__ = ["TICKET_SECONDS", "Tickets"]

TICKET_SECONDS = 3600.0
"""How long a ticket is valid. A page that was open for longer asks."""

_SECONDS_PER_DAY = 86_400.0

_MAX_USED = 10_000
"""So many used tickets are remembered; when there are more, none is accepted for a while."""


class Tickets:
    """Makes tickets, and accepts each of them once.

    A ticket is signed, and says nothing: it is valid for one user and one spec. Making one stores
    nothing, so nobody fills the memory by loading pages.

    Parameters
    ----------
    clock : callable
        Seconds since 1970.
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
            Who may use it; empty where there are no users.
        spec : str
            What it starts.
        """
        nonce = secrets.token_urlsafe(16)
        return create_signed_value(self._key, _name(user, spec), nonce, clock=self._clock).decode()

    def use(self, ticket: str, user: str, spec: str) -> bool:
        """Whether a ticket is valid for this user and spec. It is not valid a second time."""
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
        self._used = {used: until for used, until in self._used.items() if until > now}
        if nonce.decode() in self._used or len(self._used) >= _MAX_USED:
            return False
        self._used[nonce.decode()] = now + TICKET_SECONDS
        return True


def _name(user: str, spec: str) -> str:
    # With the length in front, "a" + "b/c" is not "ab" + "/c".
    return f"{len(user)}:{user}{spec}"
