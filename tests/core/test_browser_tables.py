from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.browser_tables import javascript, tables
from binderprogress.core.log.reasons import DETAILS, FLAGS, REASONS, RULES
from binderprogress.core.log.segments import COMMANDS, FILES
from binderprogress.core.log.segments import PATTERNS as SEGMENTS
from binderprogress.core.log.steps import PATTERNS

ALL = [
    text
    for rule in RULES.rules
    for text in (*rule.patterns, *(getattr(rule, name) for name in DETAILS))
    if text
]
OTHERS = [*SEGMENTS.values(), *FILES, *(text for _, text in COMMANDS)]
SPACE = r" \t\n\r\f\v"


@pytest.mark.parametrize(
    ("python", "written"),
    [
        (r"(?P<name>a)(?:b)", r"(?<name>a)(?:b)"),
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


@pytest.mark.parametrize(
    "pattern",
    [*ALL, *PATTERNS.values(), *SEGMENTS.values(), *FILES, *(text for _, text in COMMANDS)],
)
def test_patterns_keep_to_what_both_languages_have(pattern: str) -> None:
    # Flags and comments inside, possessive and atomic, \A and \Z. Named groups are translated.
    assert not re.search(r"(?<!\\)\(\?(?![:!=]|<!|P<\w+>)|[*+?}]\+|\\[AZaefgpPxuN]", pattern)


@given(st.sampled_from(ALL), st.text(st.sampled_from("aéKſ \t\u00a0'0٣─-:") | st.characters()))
def test_the_patterns_are_the_same_in_python(pattern: str, line: str) -> None:
    assert bool(re.search(pattern, line, FLAGS)) == bool(
        re.search(javascript(pattern).replace("(?<", "(?P<"), line, FLAGS)
    )


def test_tables_are_json() -> None:
    made = tables()
    assert json.loads(json.dumps(made)) == made
    assert list(made["reasons"]) == list(REASONS)
    assert [rule["id"] for rule in made["rules"]] == [rule.id for rule in RULES.rules]
