"""What `binderprogress check` found out, for people, as JSON and as JUnit's XML."""

from __future__ import annotations

import re
import socket
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from ..core.reasons import plain
from .display import duration

__all__ = ["Case", "Report", "Status", "junit", "line"]


class Status(StrEnum):
    """How a case came out."""

    PASSED = "passed"
    FAILED = "failed"
    """The repository does not do what it should."""
    ERROR = "error"
    """It could not be found out."""
    SKIPPED = "skipped"


class Case(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One thing that was checked.

    Attributes
    ----------
    name : str
        ``build``, ``launch``, ``kernel``, or the path of a notebook.
    status : Status
    seconds : float
    kind : str
        What went wrong, for programs; empty when nothing did.
    message, advice : str
        One sentence each: what happened, and what to do.
    reason : str
        Why a build or a launch failed, for programs; as an event has it.
    evidence : list of str
        The lines of the log that say so.
    cells : int
        How many cells of code were run.
    cell : int
        Which of them failed, counted from 1.
    exception, value, traceback : str
        What it raised.
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
    """All of it.

    Attributes
    ----------
    spec : str
        What was checked.
    server : str
        Where it was launched.
    ok : bool
        Whether all is well.
    case, kind, message : str
        Of the first case that is not: its name, and what it says. Empty when all are.
    seconds : float
    time : float
        When it began: seconds since 1970, UTC.
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


def line(case: Case) -> str:
    """Say in one line how a case came out."""
    cells = f"{case.cells} cells, " if case.cells else ""
    if case.status is Status.PASSED:
        return f"{case.name}: ok ({cells}{duration(case.seconds)})"
    return f"{case.name}: {case.status}. {case.message}"


# XML 1.0, 2.2: what is no Char cannot be written at all, not even as a reference.
_NO_CHAR = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> bytes:
    """Return the report as JUnit's XML, as CI services read it."""
    counts = {status: sum(case.status is status for case in report.cases) for status in Status}
    suites = ET.Element("testsuites")
    suite = ET.SubElement(
        suites,
        "testsuite",
        {
            "id": "0",
            "package": "binderprogress",
            "name": "binderprogress check",
            "hostname": socket.gethostname() or "localhost",
            "timestamp": f"{datetime.fromtimestamp(report.time, UTC):%Y-%m-%dT%H:%M:%S}",
            "tests": str(len(report.cases)),
            "failures": str(counts[Status.FAILED]),
            "errors": str(counts[Status.ERROR]),
            "skipped": str(counts[Status.SKIPPED]),
            "time": f"{report.seconds:.3f}",
        },
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in (("spec", report.spec), ("server", report.server)):
        ET.SubElement(properties, "property", {"name": name, "value": _text(value)})
    for case in report.cases:
        _add(suite, case, report.spec)
    # The schema wants both.
    ET.SubElement(suite, "system-out")
    ET.SubElement(suite, "system-err")
    ET.indent(suites)
    written: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _add(suite: ET.Element, case: Case, spec: str) -> None:
    element = ET.SubElement(
        suite,
        "testcase",
        {"name": _text(case.name), "classname": _text(spec), "time": f"{case.seconds:.3f}"},
    )
    if case.status is Status.SKIPPED:
        ET.SubElement(element, "skipped")
    elif case.status is not Status.PASSED:
        tag = "failure" if case.status is Status.FAILED else "error"
        found = ET.SubElement(element, tag, {"type": case.kind, "message": _text(case.message)})
        details = [case.message, case.advice, *case.evidence, case.traceback]
        found.text = _text("\n".join(part for part in details if part))


def _text(text: str) -> str:
    return _NO_CHAR.sub("\ufffd", plain(text))
