"""The lines of a log as a terminal shows them. The browser has the same cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from binderprogress.core.log.line_index import LineIndex
from binderprogress.core.log.terminal import MAX_LINE, Terminal, final_state
from binderprogress.core.log.text_kind import TextKind
from binderprogress.core.printable import plain

CASES = json.loads((Path(__file__).parents[2] / "data" / "terminal.json").read_text())


def lines_of(*pieces: bytes) -> list[str]:
    terminal = Terminal()
    lines = [line for piece in pieces for line in terminal.feed(piece)] + terminal.finish()
    assert terminal.end == len(lines)
    return [plain(line.decode()) for line in lines]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_lines_are_those_of_the_browser_wherever_the_log_is_cut(case: dict[str, Any]) -> None:
    log = "".join(case["messages"]).encode()
    assert lines_of(log) == case["lines"]
    for at in range(len(log)):
        assert lines_of(log[:at], log[at:]) == case["lines"]
    assert lines_of(*[log[at : at + 1] for at in range(len(log))]) == case["lines"]
    counting = Terminal(keeps=False)
    assert counting.feed(log) + counting.finish() == []
    assert counting.end == len(case["lines"])


def test_an_unfinished_line_and_sequence_are_shown() -> None:
    assert lines_of(b"one\ntw", b"o\x1b[") == ["one", "two"]
    assert lines_of(b"10%\r20%\r") == ["20%"]


def test_the_cursor_moves_up_a_limited_number_of_lines() -> None:
    lines = lines_of("".join(f"line {number}\n" for number in range(2000)).encode(), b"\x1b[1999Ax")
    assert [lines[0], lines[1499], lines[1500], lines[1501]] == [
        "line 0",
        "line 1499",
        "x",
        "line 1501",
    ]
    assert lines_of(b"one\x1b[999999999999Btwo\n") == ["one", "two"]


def test_colours_are_kept_where_the_cursor_moves() -> None:
    assert final_state("\x1b[31ma\x1b[0m|\b\x1b[32mb\x1b[0m") == "\x1b[31ma\x1b[0m\x1b[32mb\x1b[0m"
    assert final_state("\x1b[31ma\x1b[0m\x1b[2D") == "\x1b[31ma\x1b[0m"
    assert final_state("abc\x1b[1G\x1b[Kx") == "x"
    assert final_state("abc\x1b[1D\x1b[1K") == "c"
    assert final_state("abc\x1b[2Kx") == "x"
    assert final_state("abc") == "abc"
    assert final_state("abc\x1b[9999999999Gd\x1b[9999999999Ce\x1b[31m") == "abcde"
    assert final_state("ab\x1b[2D\tc") == "ab\tc"
    assert final_state("a\x07\x1b[?25h\bb") == "b"
    # Attack: a colour sequence in front of each character, each longer than the last.
    attack = final_state("x\b" + "\x1b[38;5;1m" * 1000 + "y")
    assert len(attack) < 300


def test_attack_a_line_without_end_takes_little_memory() -> None:
    terminal = Terminal()
    for _ in range(100):
        assert terminal.feed(b"x" * 100_000) == []
    (line,) = terminal.finish()
    assert len(line) == MAX_LINE
    lines = lines_of(b"y" * 3_000_000 + b"\nnext\n")
    assert [len(line) for line in lines] == [MAX_LINE, 4]


def test_attack_long_lines_on_the_screen_take_little_memory() -> None:
    terminal = Terminal()
    settled = sum(len(terminal.feed(b"x" * 200_000 + b"\n")) for _ in range(200))
    assert settled > 150


def test_the_index_finds_each_block_on_its_own() -> None:
    log = "".join(
        f"\x1b[32mline {number}\x1b[0m\n" + f"{number}%\r" * (number % 7 == 0)
        for number in range(20_000)
    ).encode()
    # Over the end of a block: it begins anew.
    log += b"\x1b[3A" + b"over\n" * 5 + b"z" * 100
    index = LineIndex()
    for at in range(0, len(log), 1000):
        index.feed(log[at : at + 1000])
    blocks = index.blocks
    whole = lines_of(log)
    # The last one is not complete yet.
    assert index.end == len(whole) - 1
    assert len(blocks.lines) > 3
    parts = [lines_of(log[slice(*bounds(blocks, number))]) for number in range(len(blocks.lines))]
    assert [line for part in parts for line in part] == whole
    assert [sum(map(len, parts[:number])) for number in range(len(parts))] == blocks.lines
    assert set(blocks.kinds[:-1]) == {TextKind.OTHER}
    # Of a launch that left the build earlier.
    early = blocks.until(blocks.starts[2] + 10)
    assert (early.lines, early.starts) == (blocks.lines[:3], blocks.starts[:3])
    assert bounds(early, 2) == (blocks.starts[2], blocks.starts[2] + 10)


def bounds(blocks: Any, number: int) -> tuple[int, int]:
    positions = blocks.bytes_of(number)
    return positions.start, positions.stop


def test_a_block_that_is_overwritten_is_none() -> None:
    index = LineIndex()
    index.feed(b"x" * 99 + b"\n" * 1)
    for _ in range(1000):
        index.feed(b"y" * 99 + b"\n")
    before = index.blocks.lines
    index.feed(b"\x1b[400A" + b"over\n")
    assert len(before) == 2
    assert index.blocks.lines == [0]
    assert index.blocks.kinds == [TextKind.OTHER]


# Other tests cover the lines, and coverage would take three times as long.
@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"plain", TextKind.PLAIN),
        (b"\x1b[1;31mred\x1b[m", TextKind.COLOURED),
        # Two bytes, wherever the log is cut.
        ("\x9b2K".encode(), TextKind.OTHER),
    ],
)
def test_the_index_knows_what_blocks_have_beside_their_text(line: bytes, kind: TextKind) -> None:
    index = LineIndex()
    index.feed(b"first\n" * 20_000)
    log = (line + b"\n") * 30_000
    for at in range(0, len(log), len(line) + 1):
        index.feed(log[at : at + 1])
        index.feed(log[at + 1 : at + len(line) + 1])
    kinds = index.blocks.kinds
    assert kinds[0] is TextKind.PLAIN
    # An escape without the rest of its colour may be anything.
    cut = TextKind.OTHER if kind else TextKind.PLAIN
    assert set(kinds[1:-1]) == {cut}
    index = LineIndex()
    index.feed(log)
    index.feed(log)
    assert index.blocks.kinds[0] is kind
    assert index.end == 60_000
