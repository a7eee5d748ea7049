"""Notices early that a server cannot start, while its Hub still tries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ..core.log.diagnosis import Diagnosis, diagnose
from ..core.log.reader import Note
from ..core.log.reasons import RuleSet

__all__ = ["StuckSpawn"]


class StuckSpawn:
    """Watches the messages of one attempt to start a server.

    Rules say by their field `stuck` which failures a server does not recover from by itself.

    Parameters
    ----------
    rules : RuleSet
    patience : float
        Seconds for which a failure may last that can still be overcome.
    report : callable
        Called with the diagnosis when the server is stuck, and with None when it no longer is.
    """

    def __init__(
        self, rules: RuleSet, *, patience: float, report: Callable[[Diagnosis | None], None]
    ) -> None:
        self._rules = RuleSet(rules.reasons, [rule for rule in rules.rules if rule.stuck])
        self._by_id = {rule.id: rule for rule in self._rules.rules}
        self._patience = patience
        self._report = report
        self._diagnosis: Diagnosis | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reported = False
        self._pod = ""

    def read(self, note: Note) -> None:
        """Read the next message."""
        if note.pod and self._pod and note.pod != self._pod:
            # The messages so far were about an earlier pod.
            self.restart()
        self._pod = note.pod or self._pod
        if self._diagnosis is not None and self._is_overcome(note.message):
            self.restart()
        diagnosis = diagnose([note.message], kind="spawn", rules=self._rules)
        if not diagnosis.rule or self._reported:
            return
        if self._diagnosis is None or diagnosis.subject:
            self._diagnosis = diagnosis
        if self._by_id[diagnosis.rule].stuck == "now":
            self._tell()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._patience, self._tell)

    def restart(self) -> None:
        """Forget what the messages so far said."""
        if self._timer is not None:
            self._timer.cancel()
        was_reported, self._reported = self._reported, False
        self._diagnosis = self._timer = None
        if was_reported:
            self._report(None)

    def _is_overcome(self, message: str) -> bool:
        rule = self._by_id[self._diagnosis.rule] if self._diagnosis is not None else None
        overcome = rule.detail.get("overcome") if rule is not None else None
        return overcome is not None and overcome.search(message) is not None

    def _tell(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._reported = True
        self._report(self._diagnosis)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.restart()
