"""Why a launch failed: recognised in the log of the step that failed, with what to do about it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Reversible, Sequence

import msgspec

from ...errors import LaunchFailedError
from ..printable import plain
from .matching import Text
from .reasons import REASONS, RULES, Reason, Rule, RuleSet, failure, fill, is_full
from .segments import Line, Log, is_noise, read_log, without_stamp

__all__ = [
    "DRAWN",
    "EVIDENCE",
    "LONGEST_EVIDENCE",
    "LONGEST_LINE",
    "LONGEST_LOG",
    "LONGEST_SUBJECT",
    "MOST_LINES",
    "NEAR",
    "REASONS",
    "Diagnosis",
    "diagnose",
    "diagnosis_of",
    "failure",
]

LONGEST_LINE = 2000
"""Characters of a line that are read for reasons; nobody could read its sentence either."""

LONGEST_LOG = 16_000
MOST_LINES = 400
"""Characters and lines of a log that are read for reasons, from its end."""

LONGEST_SUBJECT = 100
EVIDENCE = 6
"""Maximum number of lines that are shown as evidence."""

LONGEST_EVIDENCE = 400
"""Characters of one line that are shown as evidence."""

NEAR = 60
"""Lines from the end of a step within which its cause is looked for first."""

DRAWN = "│├╰─▶× "
"""What programs draw in front of wrapped sentences."""

CAUSES = 3
LONGEST_SENTENCE = 500
BEFORE = 40
_LINE_END = re.compile(r"[\r\n]+")
WARNING = r"(?:\[?warning\]?|w|warn|npm warn)[:!] "
"""Lines that warn of something that did not fail, or not yet."""

_WARNING = re.compile(WARNING, re.IGNORECASE | re.ASCII)
_BLANK = " \t"
_QUOTES = str.maketrans("", "", "‘’")


class Diagnosis(msgspec.Struct, frozen=True):
    """What is known about a failure.

    Attributes
    ----------
    reason : str
        A key of `REASONS`.
    subject : str
        What it is about, such as the requirement that cannot be satisfied.
    message, advice : str
        What happened and what to do, one or two sentences each.
    evidence : list of str
        The lines that say so, in their order.
    fault : str
        Who can mend it; see `reasons.Fault`.
    retry : bool
        Whether trying again can help.
    file : str
        The file of the repository to change, if it is known.
    line : int
        The line in it, from 1; 0 if it is not known.
    rule : str
        The id of the rule that matched; empty if none did.
    numbers : list of int
        The places of the evidence among the lines that were given, from 0.
    failed : bool
        Whether the log says that something failed: by a rule, or by the builder's own words.
    """

    reason: str
    subject: str
    message: str
    advice: str
    evidence: list[str]
    fault: str = "unknown"
    retry: bool = False
    file: str = ""
    line: int = 0
    rule: str = ""
    numbers: list[int] = []
    failed: bool = True

    def error(self, message: str = "") -> LaunchFailedError:
        """Return the error to raise, with its own message or another."""
        return LaunchFailedError(
            message or self.message,
            reason=self.reason,
            subject=self.subject,
            advice=self.advice,
            fault=self.fault,
            retry=self.retry,
            file=self.file,
            line=self.line,
        )


def diagnosis_of(error: LaunchFailedError) -> Diagnosis:
    """Return what an error says about a failure, and its reason's fault and retry."""
    reason = REASONS.get(error.reason, REASONS["unknown"])
    return Diagnosis(
        error.reason,
        error.subject,
        str(error),
        error.advice,
        [],
        fault=error.fault or reason.fault,
        retry=reason.retry if error.retry is None else error.retry,
        file=error.file or reason.file,
        line=error.line,
    )


class _Match(msgspec.Struct):
    """A rule that matched.

    Attributes
    ----------
    rule : Rule
    starts : dict
        The places of the lines that match, and where in them the match begins.
    groups : dict
        What the groups of the rule's patterns have found, by their names.
    more : list of int
        The places of other lines that are evidence.
    """

    rule: Rule
    starts: dict[int, int]
    groups: dict[str, str]
    more: list[int]


def diagnose(
    lines: Reversible[str], *, otherwise: str = "unknown", kind: str = "", rules: RuleSet = RULES
) -> Diagnosis:
    """Find out from the last lines of a log why it failed.

    Parameters
    ----------
    lines : sequence of str
        In their order; read from the end, as far as `LONGEST_LOG` and `MOST_LINES` allow.
    otherwise : str
        The reason if no rule matches; the last lines of the step are the evidence then.
    kind : str
        The kind of step that the lines begin in, if it is known; see `reasons.KINDS`.
    rules : RuleSet
    """
    log = read_log(_last_lines(lines), kind=kind)
    match = _best(log, rules)
    if match is not None:
        return _explained(match, log, rules)
    return _unexplained(log, rules, otherwise)


# -- matching


def _best(log: Log, rules: RuleSet) -> _Match | None:
    """Return the first rule that matches near the end of the step, else the first that matches."""
    lines = log.segment.lines
    text = Text([line.text for line in lines])
    far = None
    for rule in rules.rules:
        if not rule.applies_to(log.segment.kind):
            continue
        match = _matched(rule, text, log)
        if match is None:
            continue
        if max(match.starts) >= len(lines) - NEAR:
            return match
        far = far or match
    return far


def _matched(rule: Rule, text: Text, log: Log) -> _Match | None:
    lines = text.lines
    found = [
        (place, match)
        for place, match in rule.matcher.find(text)
        if rule.warnings or not _WARNING.match(lines[place].lstrip(_BLANK))
    ]
    if found and "overcome" in rule.detail:
        pattern, last = rule.detail["overcome"], found[-1][0]
        after = next((at for at in range(len(lines) - 1, -1, -1) if pattern.search(lines[at])), -1)
        found = [one for one in found if one[0] > after] if after <= last else []
    if not found:
        return None
    groups: dict[str, str] = {}
    for _, match in found:
        _add(groups, match)
    place, more = found[0][0], list[int]()
    for name, find in (("above", _above), ("below", _below), ("nearby", _nearby)):
        if name not in rule.detail:
            continue
        where = find(rule, lines, place, groups)
        if not where and getattr(rule, f"requires_{name}", False):
            return None
        more.extend(where if name != "above" else [])
    if "title" in rule.detail and (title := rule.detail["title"].search(log.segment.title)):
        _add(groups, title)
    if "cause" in rule.detail:
        causes = [at for at, line in enumerate(lines) if rule.detail["cause"].search(line)]
        more.extend(causes[-CAUSES:])
    more.extend(range(max(place - rule.evidence_above, 0), place))
    more.extend(range(found[-1][0] + 1, found[-1][0] + 1 + rule.evidence_below))
    return _Match(rule, {at: match.start() for at, match in found}, groups, more)


def _add(groups: dict[str, str], match: re.Match[str]) -> None:
    """Add the groups of a match that are not known yet; ``subject2`` is another ``subject``."""
    for name, value in match.groupdict().items():
        if value:
            groups.setdefault(name.rstrip("0123456789"), value)


def _above(rule: Rule, lines: Sequence[str], place: int, groups: dict[str, str]) -> list[int]:
    order = range(place + 1) if rule.furthest else range(place, -1, -1)
    for at in order:
        if (match := rule.detail["above"].search(lines[at][:LONGEST_LINE])) is not None:
            _add(groups, match)
            return [at]
    return []


def _below(rule: Rule, lines: Sequence[str], place: int, groups: dict[str, str]) -> list[int]:
    following = [line.lstrip(DRAWN) for line in lines[place : place + EVIDENCE]]
    for count in range(1, len(following) + 1):
        joined = " ".join(following[:count])[:LONGEST_LINE]
        drawn = " ".join(lines[place : place + count])[:LONGEST_LINE]
        match = rule.detail["below"].search(joined) or rule.detail["below"].search(drawn)
        if match is not None:
            _add(groups, match)
            return list(range(place, place + count))
    return []


def _nearby(rule: Rule, lines: Sequence[str], place: int, groups: dict[str, str]) -> list[int]:
    for at in [*range(place, len(lines)), *range(place - 1, -1, -1)]:
        if (match := rule.detail["nearby"].search(lines[at])) is not None:
            _add(groups, match)
            return [at]
    return []


# -- what is said


def _explained(match: _Match, log: Log, rules: RuleSet) -> Diagnosis:
    rule, reason = match.rule, rules.reasons[match.rule.reason]
    groups = {name: _subject(value) for name, value in match.groups.items()}
    lines = log.segment.lines
    chosen = [*match.starts, *(at for at in match.more if at < len(lines))][:EVIDENCE]
    evidence = [_excerpt(lines[at], match.starts.get(at, 0)) for at in sorted(set(chosen))]
    return _said(reason, groups, (rule.printed and _printed(log)) or evidence, log, rule)


def _excerpt(line: Line, start: int) -> Line:
    """Return what is around a match: some programs print everything in one line."""
    if len(line.text) <= LONGEST_EVIDENCE:
        return line
    begin = max(start - BEFORE, 0)
    text = line.text[begin : begin + LONGEST_EVIDENCE]
    end = "…" if begin + LONGEST_EVIDENCE < len(line.text) else ""
    return line._replace(text=f"{'…' if begin else ''}{text}{end}")


def _unexplained(log: Log, rules: RuleSet, otherwise: str) -> Diagnosis:
    """Say what is known without a rule: which command failed, or repo2docker's own sentence."""
    shown = _printed(log) or [line for line in log.segment.lines if not is_noise(line.text)]
    lines = shown[-EVIDENCE:]
    if log.command:
        groups = {"subject": _subject(log.command), "code": log.code}
        return _said(rules.reasons["build-step-failed"], groups, lines, log, None)
    diagnosis = _said(rules.reasons[otherwise], {}, lines, log, None)
    if not log.said:
        return diagnosis
    sentence = log.said if log.said.endswith((".", "!", "?")) else f"{log.said}."
    return msgspec.structs.replace(diagnosis, message=_cut(sentence, LONGEST_SENTENCE))


def _said(
    reason: Reason, groups: dict[str, str], lines: Sequence[Line], log: Log, rule: Rule | None
) -> Diagnosis:
    file, place = _file(reason, groups, log, rule)
    texts = {**groups, "file": place}
    sentences = (rule.sentence if rule else "", reason.detailed, reason.named, reason.sentence)
    sentence = _filled(sentences, texts)
    advice = _filled((rule.advice if rule else "", reason.advice), texts)
    evidence: dict[str, tuple[str, int]] = {}
    for line in lines:
        text = line.text.strip(_BLANK)
        if not is_noise(text):
            # Kubernetes repeats its events.
            evidence.setdefault(without_stamp(text), (text, line.number))
    shown = list(evidence.values())[:EVIDENCE]
    line_number = groups.get("line", "")
    in_dockerfile = log.dockerfile_line if file.endswith("Dockerfile") else 0
    retry = rule.retry if rule is not None and rule.retry is not None else reason.retry
    return Diagnosis(
        reason.key,
        groups.get("subject", "") if reason.named or (rule and rule.sentence) else "",
        sentence,
        advice,
        [text for text, _ in shown],
        fault=(rule.fault if rule is not None else None) or reason.fault,
        retry=retry,
        file=file,
        line=int(line_number) if line_number.isdecimal() else in_dockerfile,
        rule=rule.id if rule is not None else "",
        numbers=[number for _, number in shown],
        failed=rule is not None or log.failed,
    )


def _file(reason: Reason, groups: dict[str, str], log: Log, rule: Rule | None) -> tuple[str, str]:
    """Return the file to change, and how the advice calls it."""
    fixed = groups.get("file") or (rule.file if rule is not None else "") or reason.file
    if fixed:
        return fixed, fixed
    if rule is None and log.command and log.dockerfile:
        # A step of the repository's own Dockerfile.
        return "Dockerfile", "the Dockerfile"
    if not reason.default_file or log.segment.kind in {"push", "spawn"}:
        return "", ""
    if log.dockerfile:
        return "Dockerfile", "the Dockerfile"
    file = log.segment.file
    if log.segment.kind == "conda" and reason.default_file == "requirements.txt":
        file = file or "environment.yml"
        return file, f"the pip section of {file}"
    file = file or reason.default_file
    return file, file


def _filled(templates: Sequence[str], values: dict[str, str]) -> str:
    """Return the first template all of whose values are known, else the last one, with them."""
    template = next((text for text in templates if is_full(text, values)), templates[-1])
    return fill(template, values)


def _printed(log: Log) -> list[Line]:
    """Return the last lines that the step printed itself."""
    own = [line for line in log.segment.lines if line.printed and not is_noise(line.text)]
    return own[-EVIDENCE:]


def _last_lines(messages: Reversible[str]) -> list[tuple[int, str]]:
    """Return the last lines, plain and with their places, as far as a diagnosis reads."""
    lines: deque[tuple[int, str]] = deque()
    characters = count = 0
    places = range(len(messages) - 1, -1, -1) if isinstance(messages, Sequence) else None
    for index, message in enumerate(reversed(messages)):
        place = places[index] if places is not None else 0
        # A message may be more than one line.
        for line in reversed(_LINE_END.split(message[-LONGEST_LOG:])):
            text = line[:LONGEST_LINE]
            characters += len(text)
            count += 1
            if characters > LONGEST_LOG or count > MOST_LINES:
                return list(lines)
            if (text := plain(text)).strip(_BLANK):
                lines.appendleft((place, text.rstrip(_BLANK)))
    return list(lines)


def _subject(name: str) -> str:
    # Not from the front: ".binder/Dockerfile" has its dot there.
    name = name.translate(_QUOTES).strip(" ,:;'\"`").rstrip(".,:;'\"` ")
    return _cut(name, LONGEST_SUBJECT)


def _cut(name: str, longest: int) -> str:
    if len(name) <= longest:
        return name
    return name[:longest] + "…"
