"""What a BinderHub says again to whoever connects again."""

from __future__ import annotations

__all__ = ["Repeats"]

_KEPT = 5000
"""Messages that are kept to compare with."""
_PLACES = 50
"""Places in them that are followed at once, should they all look alike."""


class Repeats:
    """Knows messages that were had before.

    A BinderHub that is asked again sends the log of the running build again: all of it, or only its
    last hundred lines. So what comes is looked for among what was had, and skipped as long as it
    goes on like there.
    """

    def __init__(self) -> None:
        # What the hub said itself: it stands anywhere between the lines of the log.
        self._statuses: set[str] = set()
        self._had: list[str] = []
        # Where in `_had` the next message may be; none when nothing is repeated.
        self._places: list[int] = []
        self._is_first = False

    def begin(self) -> None:
        """Expect that everything is said again from here on."""
        self._is_first = True
        self._places = []

    def has(self, text: str, *, status: bool = False) -> bool:
        """Whether a message was had before; else it is remembered.

        Parameters
        ----------
        text : str
            As it came.
        status : bool
            Whether it is the hub's own and not the log's.
        """
        if not text:
            return False
        if status:
            return self._has_status(text)
        if self._is_first:
            places = self._find(text)
        else:
            had = self._had
            places = [at for at in self._places if at < len(had) and had[at] == text]
        self._is_first = False
        self._places = [at + 1 for at in places]
        if places:
            return True
        self._had.append(text)
        # Not with every message: what is left has to be moved.
        if len(self._had) > 2 * _KEPT:
            del self._had[:-_KEPT]
        return False

    def _has_status(self, text: str) -> bool:
        if (self._is_first or self._places) and text in self._statuses:
            return True
        if len(self._statuses) < _KEPT:
            self._statuses.add(text)
        return False

    def _find(self, text: str) -> list[int]:
        found = []
        for at, had in enumerate(self._had):
            if had == text:
                found.append(at)
                if len(found) == _PLACES:
                    break
        return found
