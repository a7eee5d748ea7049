"""The tables with which the browser reads the stream of a plain BinderHub.

They are stored in ``js/src/binderhub/tables.json``. Sentences are not part of them: those are in
the browser's catalogs, and a test compares the English one with the code.
"""

from __future__ import annotations

import re
from typing import Any

from . import printable
from .log import diagnosis, layers, reader, reasons, steps
from .phases import Phase
from .timing import estimator, lognormal, observations, priors

__all__ = ["javascript", "tables"]

_TOKEN = re.compile(r"\\.|[\[\]]", re.DOTALL)
_SPACE = r" \t\n\r\f\v"


def javascript(pattern: str) -> str:
    r"""Return a JavaScript pattern that matches the same as a pattern of Python's with `re.ASCII`.

    Only ``\s`` and ``\S`` are translated, because they include more than ASCII in JavaScript. The
    rest of the pattern must use only syntax that both languages share.

    Raises
    ------
    ValueError
        If ``\S`` is within a set, where it cannot be translated.
    """
    in_set = False

    def translate(match: re.Match[str]) -> str:
        nonlocal in_set
        part = match[0]
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
        "reasons": [
            {
                "key": reason.key,
                "pattern": javascript(reason.pattern),
                "below": javascript(reason.below),
                "named": bool(reason.named),
            }
            for reason in reasons.PATTERN_REASONS
        ],
        "escapes": printable.ESCAPES,
        "drawn": diagnosis.LINE_DRAWING,
        "limits": {
            "line": diagnosis.LONGEST_LINE,
            "lines": diagnosis.MOST_LINES,
            "log": diagnosis.LONGEST_LOG,
            "subject": diagnosis.LONGEST_SUBJECT,
            "evidence": diagnosis.EVIDENCE,
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
        "typical": dict(estimator.TYPICAL),
        "sigma": estimator.SIGMA,
        "steady": estimator.STEADY,
        "ceiling": estimator.CEILING,
        "ahead": estimator.AHEAD,
        "caution": estimator.CAUTION,
        "cold": estimator.CHANCE_OF_BUILD,
        "fresh": estimator.FRESH,
        "moment": estimator.MOMENT,
        "pace": estimator.PACE,
        "pull": estimator.PULL,
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
