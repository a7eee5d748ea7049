"""Why a log ends in a failure: the first reason whose pattern matches one of its last lines."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Reversible

import msgspec

from ..printable import plain
from .matching import Log, Matcher
from .reasons import PATTERN_REASONS, REASONS

__all__ = [
    "EVIDENCE",
    "FLAGS",
    "LINE_DRAWING",
    "LONGEST_LINE",
    "LONGEST_LOG",
    "LONGEST_SUBJECT",
    "MOST_LINES",
    "Diagnosis",
    "diagnose",
]

FLAGS = re.IGNORECASE | re.ASCII
"""Flags of the patterns. ASCII: ``\\w``, ``\\d`` and case then mean the same in JavaScript."""

_COMPILED = [
    (
        reason,
        Matcher(reason.pattern, FLAGS),
        re.compile(reason.below, FLAGS) if reason.below else None,
    )
    for reason in PATTERN_REASONS
]

_LINE_END = re.compile(r"[\r\n]+")
LINE_DRAWING = "│├╰─▶× "
"""Characters that programs draw in front of wrapped sentences."""

LONGEST_LINE = 2000
"""Maximum number of characters of a line that are searched."""

LONGEST_LOG = 16_000
"""Maximum number of characters that are searched, counted from the end of the log."""

MOST_LINES = 400
"""Maximum number of lines that are searched, counted from the end of the log."""

LONGEST_SUBJECT = 100
"""Maximum number of characters of a subject."""

EVIDENCE = 6
"""Maximum number of lines of evidence."""


class Diagnosis(msgspec.Struct, frozen=True):
    """The explanation of a failure.

    Attributes
    ----------
    reason : str
        A key of `REASONS`.
    subject : str
        What the message is about, such as the requirement that cannot be satisfied. The message
        already contains it.
    message : str
        One sentence: what happened.
    advice : str
        One sentence: what to do.
    evidence : list of str
        The lines of the log that show it, in their order.
    """

    reason: str
    subject: str
    message: str
    advice: str
    evidence: list[str]


def diagnose(lines: Reversible[str], *, otherwise: str = "unknown") -> Diagnosis:
    """Explain a failure by the last lines of its log.

    Parameters
    ----------
    lines : sequence of str
        The log, oldest line first. It is read from the end, up to `LONGEST_LOG` characters and
        `MOST_LINES` lines.
    otherwise : str
        The reason if no pattern matches. The last lines are the evidence then.
    """
    log = Log(_last_lines(lines))
    for reason, matcher, below in _COMPILED:
        matches = matcher.find(log)
        if matches:
            name = next((group for _, match in matches for group in match.groups() if group), "")
            evidence = [log.lines[number] for number, _ in matches]
            if not name and below is not None:
                name, wrapped = _search_below(below, log.lines[matches[0][0] :][:EVIDENCE])
                evidence = wrapped or evidence
            subject = _subject(name) if reason.named else ""
            message = reason.named.format(subject) if subject else reason.sentence
            return Diagnosis(reason.key, subject, message, reason.advice, evidence[:EVIDENCE])
    reason = REASONS[otherwise]
    return Diagnosis(reason.key, "", reason.sentence, reason.advice, log.lines[-EVIDENCE:])


def _last_lines(messages: Reversible[str]) -> list[str]:
    """Return the last lines that are not blank, without escape sequences, oldest first."""
    lines: deque[str] = deque()
    characters = count = 0
    for message in reversed(messages):
        # A message may have several lines.
        for line in reversed(_LINE_END.split(message[-LONGEST_LOG:])):
            text = line[:LONGEST_LINE]
            characters += len(text)
            count += 1
            if characters > LONGEST_LOG or count > MOST_LINES:
                return list(lines)
            if text := plain(text).strip():
                lines.appendleft(text)
    return list(lines)


def _search_below(pattern: re.Pattern[str], lines: list[str]) -> tuple[str, list[str]]:
    """Return the name that `pattern` finds in the joined first lines, and these lines."""
    for count in range(1, len(lines) + 1):
        joined = " ".join(line.lstrip(LINE_DRAWING) for line in lines[:count])[:LONGEST_LINE]
        if (match := pattern.search(joined)) is not None:
            return match[1], lines[:count]
    return "", []


def _subject(name: str) -> str:
    # A leading dot is kept: it belongs to names such as ".binder/Dockerfile".
    name = name.strip(" ,:;'\"`").rstrip(".,:;'\"` ")
    return name[:LONGEST_SUBJECT] + "…" if len(name) > LONGEST_SUBJECT else name
