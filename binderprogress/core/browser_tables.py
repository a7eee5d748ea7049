"""The tables with which the browser reads the stream of a plain BinderHub.

They are stored in ``js/src/binderhub/tables.json``. Sentences are not part of them: those are in
the browser's catalogs, and a test compares the English one with the code.
"""

from __future__ import annotations

import re
from typing import Any

from . import printable
from .log import diagnosis, layers, reader, reasons, segments, steps
from .phases import Phase
from .timing import bar, estimator, lognormal, observations, outlook, priors

__all__ = ["javascript", "tables"]

_TOKEN = re.compile(r"\\.|\(\?P<|[\[\]]", re.DOTALL)
_SPACE = r" \t\n\r\f\v"


def javascript(pattern: str) -> str:
    r"""Return a JavaScript pattern that matches the same as a pattern of Python's with `re.ASCII`.

    Named groups are written differently, and ``\s`` and ``\S`` include more than ASCII in
    JavaScript. The rest of the pattern must use only syntax that both languages share.

    Raises
    ------
    ValueError
        If ``\S`` is within a set, where it cannot be translated.
    """
    in_set = False

    def translate(match: re.Match[str]) -> str:
        nonlocal in_set
        part = match[0]
        if part == "(?P<":
            return "(?<"
        if part in "[]":
            in_set = part == "["
        elif part == r"\s":
            return _SPACE if in_set else f"[{_SPACE}]"
        elif part == r"\S":
            if in_set:
                raise ValueError(rf"\S cannot be translated in a set: {pattern}")
            return f"[^{_SPACE}]"
        return part

    return _TOKEN.sub(translate, pattern)


def tables() -> dict[str, Any]:
    """Return all tables as one object, for JSON."""
    return {
        "reasons": {reason.key: _reason(reason) for reason in reasons.REASONS.values()},
        "rules": [_rule(rule) for rule in reasons.RULES.rules],
        "segments": {
            "patterns": {name: javascript(text) for name, text in segments.PATTERNS.items()},
            "starts": [list(start) for start in segments.STARTS],
            "commands": [[kind, javascript(text)] for kind, text in segments.COMMANDS],
            "files": [javascript(text) for text in segments.FILES],
            "build": list(reasons.BUILD_KINDS),
        },
        "warning": javascript(diagnosis.WARNING),
        "escapes": printable.ESCAPES,
        "drawn": diagnosis.DRAWN,
        "limits": {
            "line": diagnosis.LONGEST_LINE,
            "lines": diagnosis.MOST_LINES,
            "log": diagnosis.LONGEST_LOG,
            "subject": diagnosis.LONGEST_SUBJECT,
            "evidence": diagnosis.EVIDENCE,
            "evidenceLine": diagnosis.LONGEST_EVIDENCE,
            "before": diagnosis.BEFORE,
            "causes": diagnosis.CAUSES,
            "near": diagnosis.NEAR,
            "sentence": diagnosis.LONGEST_SENTENCE,
        },
        "steps": {
            "patterns": {name: javascript(text) for name, text in steps.PATTERNS.items()},
            "prefixes": [[prefix, step.key, step.phase or ""] for prefix, step in steps.PREFIXES],
            "buildpacks": steps.BUILDPACK_NAMES,
        },
        "layers": {
            "most": layers.MOST,
            "patterns": {name: javascript(text) for name, text in layers.PATTERNS.items()},
            "lines": [list(line) for line in layers.LINES],
        },
        "launch": {
            "messages": {text: step.key for text, step in reader.JUPYTERHUB_STEPS.items()},
            "stamp": javascript(reader.KUBERNETES_STAMP),
            "prefixes": [[prefix, step.key] for prefix, step in reader.MESSAGE_STEPS.items()],
        },
        "phases": list(Phase),
        "binderhub": list(reader.BINDERHUB_PHASES),
        "estimate": _estimates(),
    }


def _estimates() -> dict[str, Any]:
    """Return the constants of the estimator."""
    return {
        "typical": dict(outlook.TYPICAL),
        "sigma": lognormal.SIGMA,
        "steady": outlook.STEADY,
        "ceiling": bar.CEILING,
        "ahead": bar.AHEAD,
        "caution": bar.CAUTION,
        "cold": outlook.CHANCE_OF_BUILD,
        "fresh": estimator.FRESH,
        "moment": outlook.MOMENT,
        "pace": estimator.PACE,
        "pull": outlook.PULL,
        "pulling": priors.TYPICAL_PULL,
        "quartile": lognormal.QUARTILE,
        "ninth": lognormal.NINTH,
        "still": estimator.STILL,
        "last": estimator.LAST,
        "ending": estimator.ENDING,
        "reused": estimator.REUSED,
        "build": list(observations.BUILD_PHASES),
        "pullTold": sorted(estimator.PULL_STEPS),
    }


def _reason(reason: reasons.Reason) -> dict[str, Any]:
    return {
        "fault": reason.fault,
        "retry": reason.retry,
        "file": reason.file,
        "defaultFile": reason.default_file,
        "named": bool(reason.named),
        "detailed": reason.detailed,
    }


def _rule(rule: reasons.Rule) -> dict[str, Any]:
    """Return what the browser needs of a rule, without what is empty."""
    table = {
        "id": rule.id,
        "reason": rule.reason,
        "patterns": [javascript(pattern) for pattern in rule.patterns],
        "where": rule.where,
        **{name: javascript(getattr(rule, name)) for name in reasons.DETAILS},
        "requiresAbove": rule.requires_above,
        "requiresNearby": rule.requires_nearby,
        "furthest": rule.furthest,
        "warnings": rule.warnings,
        "printed": rule.printed,
        "evidenceAbove": rule.evidence_above,
        "evidenceBelow": rule.evidence_below,
        "sentence": rule.sentence,
        "advice": rule.advice,
        "file": rule.file,
        "fault": rule.fault,
        "retry": rule.retry,
    }
    return {
        name: value for name, value in table.items() if value not in (None, "", [], 0, False)
    } | ({} if rule.retry is None else {"retry": rule.retry})
