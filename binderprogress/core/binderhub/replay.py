"""Recognises what a BinderHub repeats after a reconnect."""

from __future__ import annotations

from itertools import islice

__all__ = ["Repeats"]

_KEPT = 5000
"""Number of messages that are kept for comparison."""
_PLACES = 50
"""Maximum number of matching positions that are followed at once."""


class Repeats:
    """Recognises messages that were received before.

    After a reconnect, a BinderHub sends the log of the running build again: all of it, or only its
    last hundred lines. So the first message is searched for among those received before. Messages
    are skipped for as long as they continue from there.
    """

    def __init__(self) -> None:
        # BinderHub's own messages, which may be anywhere between the lines of the log.
        self._statuses: set[str] = set()
        self._received: list[str] = []
        # Where in `_received` the next message may be; empty if nothing is repeated.
        self._places: list[int] = []
        self._is_first = False

    def begin(self) -> None:
        """Expect repetition from now on, after a reconnect."""
        self._is_first = True
        self._places = []

    def has(self, text: str, *, status: bool = False) -> bool:
        """Whether a message was received before. If not, it is remembered.

        Parameters
        ----------
        text : str
            The message as received.
        status : bool
            Whether it is a message of BinderHub itself, and not a line of the log.
        """
        if not text:
            return False
        if status:
            return self._has_status(text)
        if self._is_first and text in self._statuses:
            # Such as a warning that repo2docker printed before its first phase.
            return True
        if self._is_first:
            places = self._find(text)
        else:
            received = self._received
            places = [at for at in self._places if at < len(received) and received[at] == text]
        self._is_first = False
        self._places = [at + 1 for at in places]
        if places:
            return True
        self._received.append(text)
        # Not with every message, because the rest of the list has to be moved.
        if len(self._received) > 2 * _KEPT:
            del self._received[:-_KEPT]
        return False

    def _has_status(self, text: str) -> bool:
        if (self._is_first or self._places) and text in self._statuses:
            return True
        if len(self._statuses) < _KEPT:
            self._statuses.add(text)
        return False

    def _find(self, text: str) -> list[int]:
        matches = (at for at, received in enumerate(self._received) if received == text)
        return list(islice(matches, _PLACES))
