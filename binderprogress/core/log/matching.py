"""Searching a log for many patterns, fast even if the log is hostile.

Python's `re` tries each alternative of a pattern at each character. Here each alternative is
compiled separately, and tried only where a literal that it contains occurs. ``str.find`` finds
literals a hundred times as fast.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

__all__ = ["Matcher", "Text"]

_TOKEN = re.compile(
    r"""
      (?P<group> \( (?: \?[:=!] | \?P<\w+> )? )
    | (?P<end> \) )
    | (?P<or> \| )
    | (?P<repeat> [*+?]\?? | \{\d+(?:,\d*)?\}\?? )
    | (?P<edge> \^ | \\b )
    | (?P<escape> \\[^\w\s] )
    | (?P<other> \\. | \[ (?: \\. | [^\]\\] )+ \] | [.$] )
    | (?P<text> [^\\] )
    """,
    re.VERBOSE | re.DOTALL,
)
# Minimum length of a literal.
_LONG_ENOUGH = 5


class Text:
    """Lines of a log, prepared for `Matcher.find`.

    Parameters
    ----------
    lines : list of str
        Without line ends.
    """

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.lowered = [_lower(line) for line in lines]
        self._text = "\n".join(self.lowered)
        self._starts = list(accumulate((len(line) + 1 for line in self.lowered), initial=0))

    def lines_with(self, literal: str) -> Iterator[int]:
        """Iterate over the indexes of the lines that contain a text in lower case."""
        at = self._text.find(literal)
        while at >= 0:
            # Most literals are in no line, so looking for them in all lines at once is fast.
            index = bisect_right(self._starts, at) - 1
            yield index
            at = self._text.find(literal, self._starts[index + 1])


class Matcher:
    """Case-insensitive patterns that find the same matches as ``re.search``.

    Parameters
    ----------
    patterns : iterable of str
        They may contain plain, named and non-capturing groups and lookaheads. Each alternative
        needs a literal of 5 characters outside of groups.
    flags : re.RegexFlag
        Must include `re.IGNORECASE`.

    Raises
    ------
    ValueError
        If an alternative has no such literal.
    """

    def __init__(self, patterns: Iterable[str], flags: re.RegexFlag) -> None:
        self.alternatives = [
            _Alternative(*_literal(text), re.compile(text, flags))
            for pattern in patterns
            for text in _split(pattern)
        ]

    def find(self, text: Text) -> list[tuple[int, re.Match[str]]]:
        """Return the matching lines: each line's index in the text, and its leftmost match."""
        hits: dict[int, re.Match[str]] = {}
        for each in self.alternatives:
            for index in text.lines_with(each.literal):
                match = each.search(text.lines[index], text.lowered[index])
                if match and (index not in hits or match.start() < hits[index].start()):
                    hits[index] = match
        return sorted(hits.items())


class _Alternative(NamedTuple):
    """One alternative of a pattern.

    Attributes
    ----------
    literal : str
        A text in lower case that every match contains.
    is_prefix : bool
        Whether every match begins with it.
    pattern : re.Pattern
    """

    literal: str
    is_prefix: bool
    pattern: re.Pattern[str]

    def search(self, line: str, lowered: str) -> re.Match[str] | None:
        start = lowered.find(self.literal)
        if not self.is_prefix:
            return None if start < 0 else self.pattern.search(line)
        while start >= 0:
            if match := self.pattern.match(line, start):
                return match
            start = lowered.find(self.literal, start + 1)
        return None


def _lower(line: str) -> str:
    """Return `line` in lower case, without changing its length."""
    lowered = line.lower()
    # Capital I with a dot is the only letter that becomes two.
    return lowered if len(lowered) == len(line) else line.replace("\u0130", "i").lower()


def _split(pattern: str) -> Iterator[str]:
    """Yield the alternatives at the top level of a pattern."""
    depth = begin = 0
    for token in _TOKEN.finditer(pattern):
        if token.lastgroup == "or" and not depth:
            yield pattern[begin : token.start()]
            begin = token.end()
        depth += (token.lastgroup == "group") - (token.lastgroup == "end")
    yield pattern[begin:]


def _literal(alternative: str) -> tuple[str, bool]:
    """Return a literal of an alternative, and whether every match begins with it."""
    literals = _literals(alternative)
    first = literals[0]
    # Preferred: the pattern is tried only where the literal occurs.
    if len(first) >= _LONG_ENOUGH:
        return first, True
    longest = max(literals, key=len)
    if len(longest) < _LONG_ENOUGH:
        raise ValueError(f"This pattern contains no literal of 5 characters: {alternative}")
    return longest, False


def _literals(alternative: str) -> Sequence[str]:
    """Return the literals outside of groups. The first is empty if no match begins with one."""
    literals, depth = [""], 0
    for token in _TOKEN.finditer(alternative):
        kind, text = token.lastgroup, token[0]
        if kind == "end":
            depth -= 1
        elif kind == "group":
            literals.append("")
            depth += 1
        elif depth or kind == "edge":
            continue
        elif kind in {"text", "escape"}:
            literals[-1] += text[-1].lower()
        elif kind == "repeat":
            # The character before it may be absent, or repeated.
            literals[-1:] = [literals[-1][:-1], ""]
        else:
            literals.append("")
    return literals
