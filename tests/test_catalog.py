"""The browser's English texts and the server's say the same."""

from __future__ import annotations

import json
from pathlib import Path

from binderprogress.core.build_queue import place_step
from binderprogress.core.log.reasons import REASONS
from binderprogress.core.log.steps import LAYER_LABELS

from .docs.test_pages import steps

CATALOG = json.loads(
    (
        Path(__file__).parents[1] / "js" / "src" / "i18n" / "catalogs" / "more" / "en.json"
    ).read_text()
)


def texts(*groups: str) -> dict[str, str]:
    """Return the texts whose names begin with one of these groups."""
    return {key: text for key, text in CATALOG.items() if key.split(".")[0] in groups}


def test_reasons_are_the_servers() -> None:
    said = {}
    for key, reason in REASONS.items():
        said[f"reason.{key}"] = reason.sentence
        said[f"advice.{key}"] = reason.advice
        if reason.named:
            said[f"reason.{key}.named"] = reason.named
    assert texts("reason", "advice") == said


def test_steps_are_the_servers() -> None:
    said = {
        "step.step.numbered": "Step {index} of {total}",
        "step.queued.numbered": place_step(7).label.replace("7", "{index}"),
        **{
            f"step.{key}.numbered": label.format("{index}", "{total}")
            for key, label in LAYER_LABELS.items()
        },
        **{f"step.{key}": label.replace("…", "{name}") for key, label in steps() if key != "step"},
        # Its size and time follow, if they are known.
        "step.pulling": "Pulling the image{name}",
    }
    assert texts("step") == said
