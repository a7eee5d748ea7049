"""Finding a text in lines of a log."""

from __future__ import annotations

import pytest

from binderprogress.core.log.search import MAX_MATCHES, LogSearch


@pytest.mark.parametrize(
    ("text", "lines", "hits"),
    [
        ("error", b"Error and ERROR\nfine\nerror\n", [(0, 2), (2, 1)]),
        ("error", b"Er\x1b[31mror\x1b[0m\n", [(0, 1)]),
        ("error", b"er\x1b]0;title\x07ror\n\x1b[2Kfine\n", [(0, 1)]),
        ("error", "er\x9b1mror\n".encode(), [(0, 1)]),
        ("\x1b[31m", b"\x1b[31mred\n", []),
        ("aa", b"aaaaa\n", [(0, 2)]),
        (".*", b"fine\n.*\n", [(1, 1)]),
        ("É", "é\ne\nÉÉ\n".encode(), [(0, 1), (2, 2)]),
        ("x", b"x" * 1000, [(0, MAX_MATCHES)]),
        ("É", "é".encode() * 1000, [(0, MAX_MATCHES)]),
        # What is not shown is not found.
        ("end", b"x" * 10_000 + b"end\nend\n", [(1, 1)]),
        ("end", b"x" * 9_997 + b"end" + b"x" * 9, [(0, 1)]),
    ],
)
def test_finds_what_is_shown(text: str, lines: bytes, hits: list[tuple[int, int]]) -> None:
    assert LogSearch(text).find(lines) == hits
