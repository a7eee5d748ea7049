"""Finding many patterns in a log in little time, whoever wrote the log.

Python's `re` tries each alternative of a pattern at each character. So each alternative is compiled
by itself and tried only where a fixed text that it needs occurs; ``str.find`` looks for that a
hundred times as fast.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

__all__ = ["Log", "Matcher"]

_TOKEN = re.compile(
    r"""
      (?P<group> \( (?: \?[:=!] )? )
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
# A text at the beginning is the better one: the pattern is then tried nowhere else.
_LONG_ENOUGH = 5


class Log:
    """Lines that patterns are looked for in.

    Parameters
    ----------
    lines : list of str
        Without line ends.
    """

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.lowered = [_lower(line) for line in lines]
        self.text = "\n".join(self.lowered)


class Matcher:
    """A pattern without regard to case; matches are those of ``re.search``.

    Parameters
    ----------
    pattern : str
        Of groups, it may have plain and non-capturing ones and lookaheads. Each of its
        alternatives needs some fixed text outside of groups.
    flags : re.RegexFlag
        With `re.IGNORECASE`.

    Raises
    ------
    ValueError
        If an alternative has no fixed text.
    """

    def __init__(self, pattern: str, flags: re.RegexFlag) -> None:
        self.alternatives = [
            _Alternative(*_needle(text), re.compile(text, flags)) for text in _split(pattern)
        ]

    def find(self, log: Log) -> list[tuple[int, re.Match[str]]]:
        """Return the lines that match: their places in the log, and the leftmost match of each."""
        possible = [each for each in self.alternatives if each.needle in log.text]
        if not possible:
            return []
        found = []
        for at, (line, lowered) in enumerate(zip(log.lines, log.lowered, strict=True)):
            matches = [match for each in possible if (match := each.search(line, lowered))]
            if matches:
                found.append((at, min(matches, key=re.Match.start)))
        return found


class _Alternative(NamedTuple):
    """One alternative of a pattern.

    Attributes
    ----------
    needle : str
        A text in lower case that every match has.
    leads : bool
        Whether every match begins with it.
    pattern : re.Pattern
    """

    needle: str
    leads: bool
    pattern: re.Pattern[str]

    def search(self, line: str, lowered: str) -> re.Match[str] | None:
        at = lowered.find(self.needle)
        if not self.leads:
            return None if at < 0 else self.pattern.search(line)
        while at >= 0:
            if match := self.pattern.match(line, at):
                return match
            at = lowered.find(self.needle, at + 1)
        return None


def _lower(line: str) -> str:
    """Return `line` in lower case, as long as it was."""
    lowered = line.lower()
    # This is the only letter that becomes two.
    return lowered if len(lowered) == len(line) else line.replace("\u0130", "i").lower()


def _split(pattern: str) -> Iterator[str]:
    """Iterate over the alternatives that are not inside of a group."""
    depth = begin = 0
    for token in _TOKEN.finditer(pattern):
        if token.lastgroup == "or" and not depth:
            yield pattern[begin : token.start()]
            begin = token.end()
        depth += (token.lastgroup == "group") - (token.lastgroup == "end")
    yield pattern[begin:]


def _needle(alternative: str) -> tuple[str, bool]:
    """Return the fixed text to look for, and whether every match begins with it."""
    texts = _texts(alternative)
    first = texts[0]
    if len(first) >= _LONG_ENOUGH:
        return first, True
    longest = max(texts, key=len)
    if len(longest) < _LONG_ENOUGH:
        raise ValueError(f"This pattern has no fixed text to look for: {alternative}")
    return longest, False


def _texts(alternative: str) -> Sequence[str]:
    """Return the fixed texts outside of groups; the first is empty if something stands before."""
    texts, depth = [""], 0
    for token in _TOKEN.finditer(alternative):
        kind, text = token.lastgroup, token[0]
        if kind == "end":
            depth -= 1
        elif kind == "group":
            texts.append("")
            depth += 1
        elif depth or kind == "edge":
            continue
        elif kind in {"text", "escape"}:
            texts[-1] += text[-1].lower()
        elif kind == "repeat":
            # The character before need not be there, or not once.
            texts[-1:] = [texts[-1][:-1], ""]
        else:
            texts.append("")
    return texts
