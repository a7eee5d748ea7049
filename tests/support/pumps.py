"""Lines that make a regular expression go back often, made of the expression itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from re import _constants as c  # type: ignore[attr-defined] - there is no public parser
from re import _parser as parser  # type: ignore[attr-defined] - there is no public parser
from typing import Any, NamedTuple

__all__ = ["HostileLine", "hostile_lines"]

# What some pattern goes round in, whatever else it asks for.
_GENERIC = ["a", " ", "0", "'", '"', "/", "-", ".", "\\", "\x1b", "\x1b[", "\r", "é", "a ", "aA0 "]


class HostileLine(NamedTuple):
    """A line of any length: `piece` is repeated between `head` and `tail`."""

    head: str
    piece: str
    tail: str

    def of(self, length: int) -> str:
        """Return the line with `length` characters."""
        room = max(length - len(self.head) - len(self.tail), 0)
        return self.head + (self.piece * (room // len(self.piece) + 1))[:room] + self.tail


def hostile_lines(pattern: re.Pattern[Any]) -> Iterator[HostileLine]:
    """Iterate over lines that may keep a pattern busy.

    A pattern takes more than linear time where it can start, or go on, at many places and fails at
    each of them only after it has read much. So each run of its parts is repeated, behind the parts
    that come before it, with an end that fits and one that does not.
    """
    lines = {HostileLine("", piece, "") for piece in _GENERIC}
    for parts in _sequences(parser.parse(pattern.pattern, pattern.flags)):
        texts = [_sample(part) for part in parts]
        for begin in range(len(texts)):
            for end in range(begin + 1, min(len(texts), begin + 12) + 1):
                piece = "".join(texts[begin:end])
                if not piece:
                    continue
                for head in {"", "".join(texts[:begin])}:
                    for tail in ("", "\0", "".join(texts[end:])):
                        lines.add(HostileLine(head, piece, tail))
    yield from lines


_REPEATS = {c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT}


def _sequences(parsed: Any) -> Iterator[list[Any]]:
    """Iterate over the sequences in a parsed pattern, with texts as one part each."""
    parts: list[Any] = []
    for op, argument in parsed:
        if op is c.LITERAL and parts and parts[-1][0] == "text":
            parts[-1] = ("text", parts[-1][1] + chr(argument))
        elif op is c.LITERAL:
            parts.append(("text", chr(argument)))
        else:
            parts.append((op, argument))
            for inner in _inner(op, argument):
                yield from _sequences(inner)
    yield parts


def _inner(op: Any, argument: Any) -> list[Any]:
    if op is c.BRANCH:
        return list(argument[1])
    if op in _REPEATS:
        return [argument[2]]
    if op is c.SUBPATTERN:
        return [argument[3]]
    if op is c.ATOMIC_GROUP:
        return [argument]
    return []


def _sample(part: tuple[Any, Any]) -> str:
    """Return a text that one part of a pattern matches."""
    op, argument = part
    if op == "text":
        return str(argument)
    if op is c.LITERAL:
        return chr(argument)
    if op is c.ANY:
        return "a"
    if op is c.NOT_LITERAL:
        return "a" if argument != ord("a") else "b"
    if op is c.IN:
        return _of_set(argument)
    if op is c.BRANCH:
        return "".join(_sample(each) for each in argument[1][0])
    if op is c.SUBPATTERN:
        return "".join(_sample(each) for each in argument[3])
    if op in _REPEATS:
        least, _, repeated = argument
        return "".join(_sample(each) for each in repeated) * max(least, 1)
    if op is c.ATOMIC_GROUP:
        return "".join(_sample(each) for each in argument)
    if op in {c.AT, c.ASSERT, c.ASSERT_NOT}:
        return ""
    raise NotImplementedError(f"{op} in a pattern")


_CATEGORIES = {
    c.CATEGORY_DIGIT: "0",
    c.CATEGORY_WORD: "a",
    c.CATEGORY_SPACE: " ",
    c.CATEGORY_NOT_SPACE: "a",
}


def _of_set(items: list[tuple[Any, Any]]) -> str:
    if items[0][0] is c.NEGATE:
        taken = re.compile("[" + "".join(map(_written, items[1:])) + "]")
        return next(sign for sign in "a-0 ~é\0" if not taken.match(sign))
    op, argument = items[0]
    if op is c.CATEGORY:
        return _CATEGORIES[argument]
    return chr(argument[0] if op is c.RANGE else argument)


def _written(item: tuple[Any, Any]) -> str:
    op, argument = item
    if op is c.CATEGORY:
        return {"0": r"\d", "a": r"\w", " ": r"\s"}[_CATEGORIES[argument]]
    if op is c.RANGE:
        return "-".join(re.escape(chr(each)) for each in argument)
    return re.escape(chr(argument))
