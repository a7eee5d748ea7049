"""Messages that are repeated after a reconnect."""

from __future__ import annotations

import time

import pytest

from binderprogress.core.binderhub.replay import Repeats


def news(*connections: list[str]) -> list[str]:
    repeats = Repeats()
    found = []
    for number, said in enumerate(connections):
        if number:
            repeats.begin()
        found += [text for text in said if not repeats.has(text, status=text.startswith("status"))]
    return found


@pytest.mark.parametrize(
    ("what", "connections", "expected"),
    [
        ("all of it again", ["abc", "abcd"], "abcd"),
        ("its end again", ["abcdef", "defg"], "abcdefg"),
        ("nothing again", ["abc", "xyz"], "abcxyz"),
        ("lines that look alike", ["aabaab", "aabaabc"], "aabaabc"),
        ("its end, that looks like its middle", ["abcabd", "abdx"], "abcabdx"),
        ("the same line again, as news", ["abc", "abcc"], "abcc"),
        ("the same line in one connection", ["aaa"], "aaa"),
        ("three times", ["ab", "abc", "bcd"], "abcd"),
        ("cut again while it is repeated", ["abcd", "ab", "abcde"], "abcde"),
    ],
)
def test_the_log(what: str, connections: list[str], expected: str) -> None:
    assert "".join(news(*[list(said) for said in connections])) == expected, what


def test_what_the_hub_says_itself_stands_anywhere_between() -> None:
    assert news(["status 1", "a", "b"], ["status 1", "status 2", "b", "status 1", "c"]) == [
        *("status 1", "a", "b", "status 2", "c")
    ]


def test_lines_before_the_first_phase_are_repeated_before_the_log() -> None:
    repeats = Repeats()
    assert not repeats.has("a warning", status=True)
    assert not repeats.has("a")
    repeats.begin()
    # It was a status because nothing had begun. Now the log has.
    assert [text for text in ("a warning", "a", "b") if not repeats.has(text)] == ["b"]
    # After that, it is a line like any other.
    assert not repeats.has("a warning")


def test_what_says_nothing_is_nothing_said_again() -> None:
    assert news(["", ""], [""]) == ["", "", ""]


def test_attack_a_log_of_one_line_without_end_takes_neither_memory_nor_time() -> None:
    log = ["y"] * 30_000
    began = time.thread_time()
    assert len(news(log, log)) < 60_001
    assert time.thread_time() - began < 5


def test_attack_states_without_end_are_not_kept() -> None:
    repeats = Repeats()
    for number in range(20_000):
        assert not repeats.has(f"status {number}", status=True)
    assert len(repeats._statuses) == 5000
