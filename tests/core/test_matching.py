"""`Matcher` finds the same matches as `re.search`."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.log.matching import Matcher, Text
from binderprogress.core.log.reasons import FLAGS, RULES

PATTERNS = [pattern for rule in RULES.rules for pattern in rule.patterns]
ALTERNATIVES = [alternative for rule in RULES.rules for alternative in rule.matcher.alternatives]
TEXT = st.text(st.sampled_from("aK\u212a\u0130ſ '\"`0-─:") | st.characters())


def spans(pattern: str, lines: list[str]) -> list[tuple[int, tuple[int, int], tuple[object, ...]]]:
    found = Matcher([pattern], FLAGS).find(Text(lines))
    return [(at, match.span(), match.groups()) for at, match in found]


@given(st.sampled_from(ALTERNATIVES), st.data())
def test_every_match_has_the_text_that_is_looked_for(alternative, data) -> None:  # type: ignore[no-untyped-def] - of a private class
    line = data.draw(st.from_regex(alternative.pattern))
    match = alternative.pattern.search(line)
    at = match.start() if alternative.is_prefix else 0
    assert line.lower().startswith(alternative.literal, at) or not alternative.is_prefix
    assert alternative.literal in line.lower()


@given(st.sampled_from(PATTERNS), st.data(), st.lists(TEXT, min_size=1, max_size=3))
def test_it_finds_what_re_finds(pattern: str, data: st.DataObject, texts: list[str]) -> None:
    part = data.draw(st.from_regex(re.compile(pattern, FLAGS)))
    lines = [*texts, texts[0] + part.replace("\n", " ") + texts[-1], part.swapcase()]
    expected = []
    for at, line in enumerate(lines):
        if match := re.search(pattern, line, FLAGS):
            expected.append((at, match.span()))
    found = Matcher([pattern], FLAGS).find(Text(lines))
    assert [(at, match.start()) for at, match in found] == [(at, s[0]) for at, s in expected]


def test_a_letter_that_is_two_in_lower_case_moves_nothing() -> None:
    assert spans("no space (left)", ["\u0130\u0130 NO SPACE LEFT"]) == [(0, (3, 16), ("LEFT",))]
    longer = [sign for sign in map(chr, range(sys.maxunicode)) if len(sign.lower()) != 1]
    assert longer == ["\u0130"]


def test_the_leftmost_match_of_a_line_counts() -> None:
    assert spans("second (b)|first (a)", ["first a second b"]) == [(0, (0, 7), ("a",))]
    assert spans("second (b)|first (a)", ["first x second b"]) == [(0, (8, 16), ("b",))]
    assert spans("first (a)", ["first x first a", "none", ""]) == [(0, (8, 15), ("a",))]


@pytest.mark.parametrize(
    ("pattern", "literal", "is_prefix"),
    [
        ("^Sorry, no", "sorry, no", True),
        (r"\bSorry\b", "sorry", True),
        (r"a\.b\(c\) d", "a.b(c) d", True),
        (r"0/\d+ nodes", " nodes", False),
        ("(?:a|b)?not inside(c|d)", "not inside", False),
        ("abcdef?", "abcde", True),
        ("[|(]pipes|or", "pipes", False),
    ],
)
def test_the_text_that_is_looked_for(pattern: str, literal: str, is_prefix: bool) -> None:
    if "|or" in pattern:
        with pytest.raises(ValueError, match="no literal of 5 characters"):
            Matcher([pattern], FLAGS)
        pattern = pattern.removesuffix("|or")
    (alternative,) = Matcher([pattern], FLAGS).alternatives
    assert (alternative.literal, alternative.is_prefix) == (literal, is_prefix)
