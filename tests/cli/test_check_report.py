"""The report of `binderprogress check`, as lines and as JUnit XML."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from binderprogress.cli.check_report import Case, Report, Status, summary
from binderprogress.cli.junit import junit_xml

EVIL = "\x1b]0;evil\x07a\x1b[2Jb\x00\ud800\ufffe\x0b<&\"'>]]>\u2028"


def report(*cases: Case) -> Report:
    return Report(spec="gh/a/b/HEAD", time=1795600000.5, seconds=1.5, cases=list(cases))


def test_the_summary_of_a_case() -> None:
    assert summary(Case(name="build", status=Status.PASSED, seconds=61)) == "build: ok (1 min 1 s)"
    passed = Case(name="a.ipynb", status=Status.PASSED, seconds=2, cells=3)
    assert summary(passed) == "a.ipynb: ok (3 cells, 2 s)"
    single = Case(name="a.ipynb", status=Status.PASSED, seconds=2, cells=1)
    assert summary(single) == "a.ipynb: ok (1 cell, 2 s)"
    failed = Case(name="a.ipynb", status=Status.FAILED, message="No.", cells=3)
    assert summary(failed) == "a.ipynb: failed. No."


def test_junit_xml_follows_its_schema() -> None:
    """The attributes and the order of elements that windyroad's JUnit.xsd requires."""
    root = ET.fromstring(  # noqa: S314 - our own document
        junit_xml(
            report(
                Case(name="build", status=Status.PASSED, seconds=1),
                Case(name="launch", status=Status.FAILED, kind="launch-failed", message="No."),
                Case(name="a.ipynb", status=Status.ERROR, kind="timeout", message="Late."),
                Case(name="b.ipynb"),
            )
        )
    )
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.attrib.pop("hostname")
    assert suite.attrib == {
        "id": "0",
        "package": "binderprogress",
        "name": "binderprogress check",
        "timestamp": "2026-11-25T09:46:40",
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
        "time": "1.5",
    }
    assert [child.tag for child in suite] == [
        "properties",
        *["testcase"] * 4,
        "system-out",
        "system-err",
    ]
    outcomes = []
    for case in suite.iter("testcase"):
        assert case.attrib.keys() == {"name", "classname", "time"}
        outcomes.append([(child.tag, child.get("type")) for child in case])
    assert outcomes == [
        [],
        [("failure", "launch-failed")],
        [("error", "timeout")],
        [("skipped", None)],
    ]


def test_junit_xml_of_hostile_text_is_well_formed() -> None:
    """Attack: a CI service shows what a cell raises, and not all of it can occur in XML."""
    case = Case(
        name=f"{EVIL}.ipynb",
        status=Status.FAILED,
        kind="cell-failed",
        message=EVIL,
        evidence=[EVIL],
        traceback=f"{EVIL}\n  {EVIL}",
    )
    written = junit_xml(report(case))
    failure = ET.fromstring(written).find(".//failure")  # noqa: S314 - our own document
    assert failure is not None
    assert failure.get("message") == "ab\ufffd\ufffd<&\"'>]]>\u2028"
    assert (failure.text or "").endswith("\n  ab\ufffd\ufffd<&\"'>]]>\u2028")
    assert b"\x1b" not in written
    assert b"evil" not in written


def test_junit_xml_keeps_line_breaks() -> None:
    """In attributes, too, where XML parsers turn those that are not escaped into spaces."""
    message = "ValueError: one\ntwo\tthree"
    case = Case(name="a.ipynb", status=Status.FAILED, kind="cell-failed", message=message)
    failure = ET.fromstring(junit_xml(report(case))).find(".//failure")  # noqa: S314 - our own
    assert failure is not None
    assert (failure.get("message"), failure.text) == (message, message)
