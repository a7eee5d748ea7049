"""What the browser needs to read a plain BinderHub as the server reads its own sources.

The browser's copy is ``js/src/binderhub/tables.json``. It contains no sentences: those are in the
browser's catalog of English texts, which a test compares with the code.
"""

from __future__ import annotations

import re
from typing import Any

from . import printable
from .log import layers, reasons, steps
from .log import reader as normalize
from .phases import Phase
from .timing import estimator as estimate
from .timing import lognormal
from .timing import observations as facts
from .timing import priors as knowledge

__all__ = ["javascript", "tables"]

_TOKEN = re.compile(r"\\.|[\[\]]", re.DOTALL)
_SPACE = r" \t\n\r\f\v"


def javascript(pattern: str) -> str:
    r"""Return a pattern as JavaScript has to write it to mean the same.

    ``\s`` is the one thing that differs from Python's ASCII patterns: JavaScript's has more than
    ASCII. All else has to be what both languages have.

    Raises
    ------
    ValueError
        If the pattern has ``\S`` among the characters of a set: there is no way to write it there.
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
                raise ValueError(rf"\S in a set: {pattern}")
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
            for reason in reasons.REASONS.values()
            if reason.pattern
        ],
        "escapes": printable.ESCAPES,
        "drawn": reasons.DRAWN,
        "limits": {
            "line": reasons.LONGEST_LINE,
            "lines": reasons.MOST_LINES,
            "log": reasons.LONGEST_LOG,
            "subject": reasons.LONGEST_SUBJECT,
            "evidence": reasons.EVIDENCE,
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
            "messages": {text: step.key for text, step in normalize.HUB_STEPS.items()},
            "stamp": javascript(normalize.KUBERNETES_STAMP),
            "prefixes": [[prefix, step.key] for prefix, step in normalize.MESSAGE_STEPS.items()],
        },
        "phases": list(Phase),
        "binderhub": list(normalize.BINDERHUB_PHASES),
        "estimate": {
            "typical": dict(estimate.TYPICAL),
            "sigma": estimate.SIGMA,
            "steady": estimate.STEADY,
            "ceiling": estimate.CEILING,
            "ahead": estimate.AHEAD,
            "caution": estimate.CAUTION,
            "cold": estimate.CHANCE_OF_BUILD,
            "fresh": estimate.FRESH,
            "moment": estimate.MOMENT,
            "pace": estimate.PACE,
            "pull": estimate.PULL,
            "pulling": knowledge.TYPICAL_PULL,
            "quartile": lognormal.QUARTILE,
            "ninth": lognormal.NINTH,
            "still": estimate.STILL,
            "last": estimate.LAST,
            "ending": estimate.ENDING,
            "reused": estimate.REUSED,
            "build": list(facts.BUILD_PHASES),
            "pullTold": sorted(estimate.PULL_TOLD),
        },
    }
