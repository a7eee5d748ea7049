"""Reasons and rules: why launches fail, and what a log says when they do.

The data is in ``rules.toml``, which the browser shares (see `core.browser_tables`). Operators add
files of their own in the same format.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cached_property
from importlib.resources import files
from typing import Any, Literal

import msgspec

from ...errors import ConfigError, LaunchFailedError
from .matching import Matcher

__all__ = [
    "BUILD_KINDS",
    "DETAILS",
    "FLAGS",
    "KINDS",
    "REASONS",
    "RULES",
    "USUAL_KINDS",
    "Example",
    "Fault",
    "Reason",
    "Rule",
    "RuleSet",
    "failure",
    "fill",
    "is_full",
    "read_rules",
]

Fault = Literal["repository", "request", "server", "network", "unknown"]
"""Who can mend it: the author of the repository, the person who launched it, the operator of the
server or the Hub, or nobody but time."""

_PLACE = re.compile(r"\{(\w+)\}")

FLAGS = re.IGNORECASE | re.ASCII
"""How patterns are meant. ASCII: as JavaScript takes ``\\w``, ``\\d`` and the case of letters."""

BUILD_KINDS = (
    "detect",
    "from",
    "copy",
    "apt",
    "conda",
    "pip",
    "r",
    "julia",
    "nix",
    "npm",
    "postbuild",
    "run",
)
KINDS = ("fetch", "submodule", *BUILD_KINDS, "push", "spawn")
"""The kinds of steps that a log has."""

USUAL_KINDS = {"fetch", *BUILD_KINDS}
"""The kinds whose rules are tried where the kind of a step is not known."""

DETAILS = ("above", "below", "nearby", "title", "cause", "overcome")
"""The fields of a rule that are one more pattern each."""


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people are told about one way to fail.

    Attributes
    ----------
    sentence, named : str
        What happened, without and with the subject: ``{subject}``, and ``{name}`` for any other
        group of the pattern that matched.
    advice : str
        What to do. ``{file}`` is the file to change.
    fault : str
        Who can mend it; see `Fault`.
    retry : bool
        Whether trying again can help.
    file : str
        The file to change, if it is always the same one.
    detailed : str
        What happened, with the subject and other values; used where all of them are known.
    default_file : str
        The file to change, if neither the log nor the step that failed says which.
    """

    sentence: str
    advice: str
    fault: Fault
    retry: bool
    named: str = ""
    file: str = ""
    default_file: str = ""
    detailed: str = ""
    key: str = ""


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A log that a rule recognises, and what it makes of it; the tests try it.

    `kind` is the kind of step that the log is of, if it does not say so itself.
    """

    log: str
    kind: str = ""
    subject: str = ""
    file: str = ""
    line: int = 0


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """How a reason is recognised in the lines of the step that failed.

    Attributes
    ----------
    id : str
    reason : str
        The key of a reason.
    patterns : list of str
        Regular expressions; a line that one of them is found in makes the rule match. Groups that
        are called ``subject``, ``file`` and ``line`` say what it is about, and where.
    where : list of str
        The kinds of steps that it applies to (`KINDS`); ``build`` is short for all those of a
        build. Empty: all.
    above, below, nearby : str
        Patterns for more groups. `above` is looked for in the line that matched and then in those
        before it, `below` in that line and those after it, joined, `nearby` in the whole step.
    requires_above, requires_nearby : bool
        Whether the rule matches only if that pattern is found, too.
    furthest : bool
        Whether `above` is the first line of the step that it is found in, not the nearest.
    title : str
        A pattern for more groups, looked for in the instruction that failed.
    cause : str
        A pattern: up to three of the lines of the step that it is found in are evidence, too.
    overcome : str
        A pattern: where it is found in a later line, the failure was overcome and does not count.
    warnings : bool
        Whether lines that are only warnings count.
    printed : bool
        Whether the last lines that the step printed are the evidence, and not the line that
        matched.
    evidence_above, evidence_below : int
        Number of lines before and after the one that matched which are evidence, too.
    stuck : str
        For servers that are starting. ``now``: the server cannot start once this is
        printed. ``later``: unless it is overcome within ``c.LaunchManager.stuck_after``. Viewers
        are told then, while the Hub still tries. Empty: not before the Hub gives up.
    sentence, advice, file, fault, retry
        In place of the reason's.
    examples : list of Example
    """

    id: str
    reason: str
    patterns: list[str]
    where: list[str] = []
    above: str = ""
    requires_above: bool = False
    furthest: bool = False
    below: str = ""
    nearby: str = ""
    requires_nearby: bool = False
    title: str = ""
    cause: str = ""
    overcome: str = ""
    warnings: bool = False
    printed: bool = False
    evidence_above: int = 0
    evidence_below: int = 0
    stuck: Literal["", "now", "later"] = ""
    sentence: str = ""
    advice: str = ""
    file: str = ""
    fault: Fault | None = None
    retry: bool | None = None
    examples: list[Example] = []

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The kinds of steps that it applies to; empty: all."""
        kinds = set(self.where)
        if "build" in kinds:
            kinds.update(BUILD_KINDS)
        return frozenset(kinds)

    def applies_to(self, kind: str) -> bool:
        """Whether it is for steps of this kind; an empty kind is one that is not known."""
        if not self.kinds:
            return True
        return kind in self.kinds if kind else not self.kinds.isdisjoint(USUAL_KINDS)

    @cached_property
    def matcher(self) -> Matcher:
        """Finds the lines that match."""
        return Matcher(self.patterns, FLAGS)

    @cached_property
    def detail(self) -> Mapping[str, re.Pattern[str]]:
        """The compiled patterns for more groups, and `overcome`, by the name of their field."""
        texts = {name: getattr(self, name) for name in DETAILS}
        return {name: re.compile(text, FLAGS) for name, text in texts.items() if text}


class RuleSet(msgspec.Struct, frozen=True):
    """Reasons by their key, and rules in the order in which they are tried."""

    reasons: dict[str, Reason]
    rules: list[Rule]

    def extended(self, more: RuleSet) -> RuleSet:
        """Return a set in which the rules of `more` come first."""
        return RuleSet({**self.reasons, **more.reasons}, [*more.rules, *self.rules])


def read_rules(text: str, *, name: str, known: Mapping[str, Reason] | None = None) -> RuleSet:
    """Read a file of rules.

    Parameters
    ----------
    text : str
        TOML with tables ``[reasons.KEY]`` and ``[[rules]]``; see `Reason` and `Rule`.
    name : str
        What it is called in errors.
    known : mapping, optional
        Reasons that rules may name beside those in the file.

    Raises
    ------
    ConfigError
        If it is not valid; the message says where and why.
    """
    found = _parsed(text, name)
    keys = {*found.reasons, *(known or {})}
    for rule in found.rules:
        _check(rule, keys, name)
    return found


def _parsed(text: str, name: str) -> RuleSet:
    """Return what is in a file of rules, without looking at the patterns and keys of the rules."""
    try:
        data = tomllib.loads(text)
        reasons = {
            key: msgspec.structs.replace(msgspec.convert(value, Reason), key=key)
            for key, value in _table(data.pop("reasons", {})).items()
        }
        rules = msgspec.convert(data.pop("rules", []), list[Rule])
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{name} is not a valid file of rules: {error}.") from error
    if data:
        raise ConfigError(f"{name}: {min(data)!r} is unknown; use [reasons.KEY] and [[rules]].")
    return RuleSet(reasons, rules)


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise msgspec.ValidationError("`reasons` has to be a table")
    return value


def _check(rule: Rule, keys: set[str], name: str) -> None:
    problem = ""
    if rule.reason not in keys:
        problem = f"there is no reason {rule.reason!r}"
    elif unknown := rule.kinds - {*KINDS, "build"}:
        problem = f"there is no kind of step {min(unknown)!r}; there are {', '.join(KINDS)}"
    elif not rule.patterns:
        problem = "it needs at least one pattern"
    else:
        try:
            _ = rule.matcher, rule.detail
        except (re.error, ValueError) as error:
            problem = str(error)
    if problem:
        raise ConfigError(f"{name}, rule {rule.id!r}: {problem}.")


# Not checked, as the tests do that: compiling the patterns takes a tenth of the time in which a
# server starts. They are compiled when they are first needed.
RULES = _parsed(files(__package__).joinpath("rules.toml").read_text(encoding="utf-8"), "rules.toml")
"""The rules that come with the package."""

REASONS = RULES.reasons
"""All reasons by their key."""


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return a sentence with values in place of ``{name}``; what is not known is "the file"."""
    # Not `format`: a value from a log may have braces, too.
    return _PLACE.sub(lambda match: values.get(match[1]) or "the file", template)


def is_full(template: str, values: Mapping[str, str]) -> bool:
    """Whether there is a sentence, and a value for each of its places."""
    return bool(template) and all(values.get(name) for name in _PLACE.findall(template))


def failure(key: str, message: str = "") -> LaunchFailedError:
    """Return the error for a reason that is known, with its own sentence or another."""
    reason = REASONS[key]
    advice = fill(reason.advice, {"file": reason.file or reason.default_file})
    return LaunchFailedError(message or reason.sentence, reason=key, advice=advice)
