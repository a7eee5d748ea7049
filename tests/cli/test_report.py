"""What `binderprogress check` writes down."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from binderprogress.cli.report import Case, Report, Status, junit, line

EVIL = "\x1b]0;evil\x07a\x1b[2Jb\x00\ud800\ufffe\x0b<&\"'>]]>\u2028"


def report(*cases: Case) -> Report:
    return Report(spec="gh/a/b/HEAD", time=1795600000.5, seconds=1.5, cases=list(cases))


def test_what_a_case_says_in_one_line() -> None:
    assert line(Case(name="build", status=Status.PASSED, seconds=61)) == "build: ok (1 min 1 s)"
    passed = Case(name="a.ipynb", status=Status.PASSED, seconds=2, cells=3)
    assert line(passed) == "a.ipynb: ok (3 cells, 2 s)"
    failed = Case(name="a.ipynb", status=Status.FAILED, message="No.", cells=3)
    assert line(failed) == "a.ipynb: failed. No."


def test_junit_has_what_its_schema_wants() -> None:
    """Attributes and order of what CI services' schemas require (windyroad's JUnit.xsd)."""
    root = ET.fromstring(  # noqa: S314 - we wrote it
        junit(
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
        "time": "1.500",
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


def test_junit_of_hostile_text_is_well_formed() -> None:
    """Attack: what a cell raises is shown in a CI service; XML cannot even say some of it."""
    case = Case(
        name=f"{EVIL}.ipynb",
        status=Status.FAILED,
        kind="cell-failed",
        message=EVIL,
        evidence=[EVIL],
        traceback=f"{EVIL}\n  {EVIL}",
    )
    written = junit(report(case))
    failure = ET.fromstring(written).find(".//failure")  # noqa: S314 - we wrote it
    assert failure is not None
    assert failure.get("message") == "ab\ufffd\ufffd<&\"'>]]>\u2028"
    assert (failure.text or "").endswith("\n  ab\ufffd\ufffd<&\"'>]]>\u2028")
    assert b"\x1b" not in written
    assert b"evil" not in written
