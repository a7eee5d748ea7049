"""Lines that are too long."""

from __future__ import annotations

import pytest

from binderprogress.core.log.lines import shortened

CASES = {
    "short": ("abc\n", "abc\n"),
    "as long as allowed": ("a" * 10 + "\n", "a" * 10 + "\n"),
    "one line": ("a" * 12 + "\n", "a" * 10 + "… [2 more characters]\n"),
    "without an end": ("a" * 12, "a" * 10 + "… [2 more characters]"),
    "a record with many short lines": ("abc\n" * 9, "abc\n" * 9),
    "lines that are overwritten": ("abc\r" * 9, "abc\r" * 9),
    "one long line among others": (
        "abc\n" + "b" * 13 + "\r\nabc\n",
        "abc\n" + "b" * 10 + "… [3 more characters]\r\nabc\n",
    ),
    # 16 of the longest lines.
    "too many lines": (
        "abc\n" * 50,
        "abc\n" * 39 + "abc… [40 more characters]\n",
    ),
    "a line that goes on behind": (
        "abcdefg\n" * 19 + "c" * 20,
        "abcdefg\n" * 19 + "cccccccc… [12 more characters]\n",
    ),
    "a long line that goes on behind": (
        "c" * 2000 + "\r",
        "c" * 10 + "… [1,990 more characters]\r",
    ),
    "a long line that goes on behind, without an end": (
        "c" * 2000,
        "c" * 10 + "… [1,990 more characters]\n",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_lines_have_a_limit_and_records_a_larger_one(name: str) -> None:
    message, shown = CASES[name]
    assert shortened(message, 10) == shown


def test_the_notes_say_where_the_rest_is() -> None:
    assert shortened("abcd\n", 3, " in the log") == "abc… [1 more characters in the log]\n"
