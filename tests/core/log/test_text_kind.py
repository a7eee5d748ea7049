"""What lines of a log have beside their text."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from binderprogress.core.log.text_kind import COLOURS, TextKind, kind_of, text_in_lower_case


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (b"plain\n\ttext\n", TextKind.PLAIN),
        ("é\n".encode(), TextKind.PLAIN),
        (b"\x1b[1;38:5:1mred\x1b[m\n", TextKind.COLOURED),
        (b"\x1b[1;31\n", TextKind.OTHER),
        (b"\x1b[2K\n", TextKind.OTHER),
        (b"\x1b]8;;x\x1b\\y\n", TextKind.OTHER),
        (b"a\x08\n", TextKind.OTHER),
        (b"a\r\n", TextKind.OTHER),
        (b"\xc2\x9b1m\n", TextKind.OTHER),
    ],
)
def test_what_is_beside_the_text(lines: bytes, kind: TextKind) -> None:
    assert kind_of(lines) is kind


@pytest.mark.parametrize("count", [1, 15, 16, 17, 100])
def test_colours_are_removed(count: int) -> None:
    lines = b"\n".join(b"\x1b[%d;1mRed 1;1m\x1b[m" % number for number in range(count))
    assert text_in_lower_case(lines) == b"\n".join([b"red 1;1m"] * count)


def test_a_few_colours_are_removed_faster_than_with_a_pattern() -> None:
    """Or a search in a million lines takes longer than a second."""
    lines = b"\x1b[32mCollecting\x1b[0m numpy \x1b[2m(from requirements.txt)\x1b[0m\n" * 20_000

    def took(work: Callable[[bytes], bytes]) -> float:
        times = []
        for _ in range(3):
            began = time.process_time()
            work(lines)
            times.append(time.process_time() - began)
        return min(times)

    assert took(text_in_lower_case) * 2 < took(lambda lines: COLOURS.sub(b"", lines.lower()))
