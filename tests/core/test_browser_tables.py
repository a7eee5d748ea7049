from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.browser_tables import javascript, tables
from binderprogress.core.log.diagnosis import FLAGS
from binderprogress.core.log.reasons import REASONS
from binderprogress.core.log.steps import PATTERNS

ALL = [text for reason in REASONS.values() for text in (reason.pattern, reason.below) if text]
SPACE = r" \t\n\r\f\v"


@pytest.mark.parametrize(
    ("python", "written"),
    [
        (r"a\d\w\b", r"a\d\w\b"),
        (r"a\s*b", rf"a[{SPACE}]*b"),
        (r"a\S+b", rf"a[^{SPACE}]+b"),
        (r"[^\s;,]+\s", rf"[^{SPACE};,]+[{SPACE}]"),
        (r"\[\s\]", rf"\[[{SPACE}]\]"),
        (r"[\[\]\s]\s", rf"[\[\]{SPACE}][{SPACE}]"),
        (r"\\s\\S", r"\\s\\S"),
        ("", ""),
    ],
)
def test_a_pattern_for_javascript(python: str, written: str) -> None:
    assert javascript(python) == written


def test_what_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="in a set"):
        javascript(r"[\S]")


@pytest.mark.parametrize("pattern", [*ALL, *PATTERNS.values()])
def test_patterns_keep_to_what_both_languages_have(pattern: str) -> None:
    # Lookbehind, named groups, flags and comments inside, possessive and atomic, \A and \Z.
    assert not re.search(r"(?<!\\)\(\?(?![:!=])|[*+?}]\+|\\[AZaefgpPxuN]", pattern)


@given(st.sampled_from(ALL), st.text(st.sampled_from("aéKſ \t\u00a0'0٣─-:") | st.characters()))
def test_the_patterns_are_the_same_in_python(pattern: str, line: str) -> None:
    assert bool(re.search(pattern, line, FLAGS)) == bool(
        re.search(javascript(pattern), line, FLAGS)
    )


def test_tables_are_json() -> None:
    made = tables()
    assert json.loads(json.dumps(made)) == made
    assert [reason["key"] for reason in made["reasons"]] == [
        reason.key for reason in REASONS.values() if reason.pattern
    ]
