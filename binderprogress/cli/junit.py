"""The report of `binderprogress check` as JUnit XML, which CI services read.

Source: the schema of windyroad, https://github.com/windyroad/JUnit-Schema.
"""

from __future__ import annotations

import io
import re
import socket
from datetime import UTC, datetime

from junitparser import (
    Attr,
    Error,
    Failure,
    JUnitXml,
    Skipped,
    SystemErr,
    SystemOut,
    TestCase,
    TestSuite,
)

from ..core.printable import plain
from .check_report import Case, Report, Status

__all__ = ["junit_xml"]


class _Suite(TestSuite):
    # The schema requires both; junitparser does not know them.
    id = Attr()
    package = Attr()


def junit_xml(report: Report) -> bytes:
    """Return a report as a document with one test suite and a test case for each case."""
    suite = _Suite("binderprogress check")
    suite.id, suite.package = "0", "binderprogress"
    suite.hostname = socket.gethostname() or "localhost"
    suite.timestamp = f"{datetime.fromtimestamp(report.time, UTC):%Y-%m-%dT%H:%M:%S}"
    suite.add_property("spec", _text(report.spec))
    suite.add_property("server", _text(report.server))
    suite.add_testcases([_test_case(case, report.spec) for case in report.cases])
    suite.time = round(report.seconds, 3)  # not the sum of the cases
    # The schema requires both elements.
    for element in (SystemOut(), SystemErr()):
        suite.append(element)  # type: ignore[no-untyped-call] # junitparser annotates only some
    document = JUnitXml()
    document.add_testsuite(suite)
    written = io.BytesIO()
    # Not `pretty`: before Python 3.13 it loses the line breaks in messages.
    document.write(written)
    return written.getvalue()


def _test_case(case: Case, spec: str) -> TestCase:
    test_case = TestCase(_text(case.name), _text(spec), round(case.seconds, 3))
    if case.status is Status.SKIPPED:
        test_case.result = Skipped()
    elif case.status is not Status.PASSED:
        kind = Failure if case.status is Status.FAILED else Error
        result = kind(type_=case.kind)
        result.message = _text(case.message)
        details = [case.message, case.advice, *case.evidence, case.traceback]
        result.text = _text("\n".join(part for part in details if part))
        test_case.result = result
    return test_case


# XML 1.0, section 2.2: other characters cannot occur in a document, not even as references.
_NO_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _text(text: str) -> str:
    return _NO_CHARACTER.sub("\ufffd", plain(text))
