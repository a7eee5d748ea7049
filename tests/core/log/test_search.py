"""Finding a text in lines of a log."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.log.search import MAX_MATCHES, LogSearch
from binderprogress.core.log.text_kind import TextKind, kind_of


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
        ("xÉ", b"xE\nfine\n", []),
        ("σ", "ς\nΣ\n".encode(), [(0, 1), (1, 1)]),
        # A character that is cut, as by the end of a process.
        ("É", "é".encode()[:1] + b"\n", []),
        ("x", b"x" * 1000, [(0, MAX_MATCHES)]),
        ("É", "é".encode() * 1000, [(0, MAX_MATCHES)]),
        # What is not shown is not found.
        ("end", b"x" * 10_000 + b"end\nend\n", [(1, 1)]),
        ("end", b"x" * 9_997 + b"end" + b"x" * 9, [(0, 1)]),
        ("end", b"x" * 9_997 + b"e\x1b[mnd" + b"x" * 9, [(0, 1)]),
        # A match in several colours, and the digits of a colour, which are not shown.
        ("31", b"\x1b[31m3\x1b[0m\x1b[1m1\x1b[0m\n\x1b[31mx\n31\n", [(0, 1), (2, 1)]),
        ("ab", b"a\x1b[1m\nb\x1b[0mab\x1b[0mA\x1b[0mb\n", [(1, 2)]),
        ("ab", b"a\x1b[1mb\n" * 99 + b"a\nab\n", [*((n, 1) for n in range(99)), (100, 1)]),
        ("m]^-", b"M\x1b[1;38:5m]\x1b[m^-\n", [(0, 1)]),
        # More of each line than the browser reads.
        ("end", b"\x1b[m" * 20_000 + b"end\nend\n", [(1, 1)]),
        # Each in another colour.
        ("ab", b"".join(b"a\x1b[%dmb\n" % n for n in range(99)), [(n, 1) for n in range(99)]),
    ],
)
def test_finds_what_is_shown(text: str, lines: bytes, hits: list[tuple[int, int]]) -> None:
    search = LogSearch(text)
    assert search.find(lines) == hits
    assert search.find(lines, kind_of(lines)) == hits


PARTS = st.sampled_from(["a", "B", "b", "1", "m", "[", "\n", "\x1b[m", "\x1b[1m", "\x1b[31;1m"])


@given(st.lists(PARTS).map("".join), st.lists(PARTS, min_size=1, max_size=4).map("".join))
def test_colours_make_no_difference(lines: str, text: str) -> None:
    search, data = LogSearch(text.replace("\n", "") or "x"), lines.encode()
    counts = [search.count(line) for line in data.split(b"\n")]
    assert search.find(data, kind_of(data)) == [hit for hit in enumerate(counts) if hit[1]]


@pytest.mark.parametrize(
    "line", [b"\x1b[m" * 200_000, b"a\x1b[1;1;1" * 100_000, b"a\x1b[m" * 100_000]
)
def test_attack_colours_without_text_take_no_time(line: bytes) -> None:
    search = LogSearch("am1")
    began = time.process_time()
    search.find(line, TextKind.COLOURED)
    assert time.process_time() - began < 1.0
