"""Text in logs and terminals has no control characters."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.printable import escape, escape_json, indented, message_lines, printable

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain, ünïcode and\ttabs", "plain, ünïcode and\ttabs"),
        ("a\nb\r\nc", r"a\nb\r\nc"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J\x7f", r"\x9b2J\x7f"),
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("\u202egnp.exe\u2066", r"\u202egnp.exe\u2066"),
        ("\ud800", r"\ud800"),
    ],
)
def test_escape(text: str, escaped: str) -> None:
    assert escape(text) == escaped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\nand\ttabs", "plain\nand\ttabs"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]52;c;cm0gLXJm\x07copied", "copied"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[2J\x1b[Htop\x9b1A", "top"),
        ("a\rb\x08c", "abc"),
        ("a\u2028b", "a\nb"),
        ("\u202egnp.exe\u2069", "gnp.exe"),
        ("\udcff", "\ufffd"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(ANY_TEXT)
def test_escaped_text_is_one_line_that_can_be_written(text: str) -> None:
    escaped = escape(text)
    assert len(escaped.splitlines()) <= 1
    escaped.encode()
    assert escape(escaped) == escaped


def test_lines_below_a_record_are_indented() -> None:
    text = "Failed:\nx" + indented("Traceback\n[Forged] \x1b[2J\r\n")
    assert message_lines(text) == "Failed:\\nx\n    Traceback\n    [Forged] \\x1b[2J\\r"


@given(ANY_TEXT)
def test_no_line_of_a_message_looks_like_a_record(text: str) -> None:
    first, *more = message_lines(text).split("\n")
    assert len(first.splitlines()) <= 1
    assert all(line.startswith("    ") for line in more)


@given(st.text())
def test_escaped_json_says_the_same(text: str) -> None:
    written = escape_json(json.dumps({text: [text]}, ensure_ascii=False))
    assert json.loads(written) == {text: [text]}
    assert escape(written) == written


@given(ANY_TEXT)
def test_printable_text_has_no_control_characters(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert not [c for c in shown if unicodedata.category(c) == "Cc" and c not in "\n\t"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[38;5;208morange\x1b[m", "\x1b[38;5;208morange\x1b[m"),
        # Not colors, or none that a terminal surely ends.
        ("\x1b[2J\x1b[Htop", "top"),
        ("\x1b[>4;2mkeys", "keys"),
        ("\x1b[" + "1;" * 50 + "mlong", "long"),
        ("\x9b31mC1", "C1"),
        ("\x1b]0;\x1b[31mtitle\x07", "\x1b[31mtitle"),
        ("\u202e\x1b[31mred", "\x1b[31mred"),
    ],
)
def test_colors_can_be_kept(text: str, shown: str) -> None:
    assert printable(text, colors=True) == shown
