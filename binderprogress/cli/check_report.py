"""The report of `binderprogress check`: one case for each thing that it checks."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from .times import duration

__all__ = ["Case", "Report", "Status", "summary"]


class Status(StrEnum):
    """How a case ended."""

    PASSED = "passed"
    FAILED = "failed"
    """The repository does not work."""
    ERROR = "error"
    """It could not be checked."""
    SKIPPED = "skipped"
    """An earlier case ended the check."""


class Case(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One thing that was checked.

    Attributes
    ----------
    name : str
        ``build``, ``launch``, ``kernel``, or the path of a notebook.
    status : Status
    seconds : float
        How long it took.
    kind : str
        What went wrong, as a key for programs; empty if nothing did.
    message, advice : str
        One sentence each: what went wrong, and what to do about it.
    reason : str
        Why a build or launch failed, as a key for programs; the same as in an event.
    evidence : list of str
        The lines of the log that show it.
    cells : int
        Number of code cells.
    cell : int
        Number of the cell that failed, from 1; 0 if none did.
    exception, value, traceback : str
        The exception that a cell raised.
    """

    name: str
    status: Status = Status.SKIPPED
    seconds: float = 0.0
    kind: str = ""
    message: str = ""
    advice: str = ""
    reason: str = ""
    evidence: list[str] = []
    cells: int = 0
    cell: int = 0
    exception: str = ""
    value: str = ""
    traceback: str = ""


class Report(msgspec.Struct, kw_only=True):
    """The result of a check.

    Attributes
    ----------
    spec : str
        What was checked.
    server : str
        Address of the server that launched it.
    ok : bool
        Whether all cases passed.
    case, kind, message : str
        Name, kind and message of the first case that did not pass; empty if all did.
    seconds : float
        How long the check took.
    time : float
        When it started, in seconds since 1970 (UTC).
    cases : list of Case
    """

    spec: str
    server: str = ""
    ok: bool = False
    case: str = ""
    kind: str = ""
    message: str = ""
    seconds: float = 0.0
    time: float
    cases: list[Case] = []


def summary(case: Case) -> str:
    """Return one line about a case, for a terminal."""
    if case.status is not Status.PASSED:
        return f"{case.name}: {case.status}. {case.message}"
    cells = f"{case.cells} {'cell' if case.cells == 1 else 'cells'}, " if case.cells else ""
    return f"{case.name}: ok ({cells}{duration(case.seconds)})"
