"""Layers of a pull and of a push, from a builder's lines to those who watch."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, expect

from binderprogress.cli.display import PlainDisplay
from binderprogress.core.events import Event, decode
from binderprogress.core.phases import Phase

from ..support.replay import Stage, stage

SPEC = "gh/a/b/HEAD"
CASES = json.loads((Path(__file__).parents[1] / "data" / "steps.json").read_text())["builds"]


def lines(name: str) -> list[str]:
    """What a real builder printed."""
    (found,) = (case["lines"] for case in CASES if case["name"] == f"layers: {name}")
    return list(found)


BUILD = lines("docker builds on a base image that it pulls")
PUSH = lines("docker pushes")


@pytest.fixture
def played() -> Iterator[Stage]:
    with stage() as played:
        yield played


def watched(played: Stage) -> list[Event]:
    """Read a launch that is played to its end."""
    started = requests.post(f"{played.url}api/launches", json={"spec": SPEC}, timeout=10).json()
    with requests.get(started["events_url"], stream=True, timeout=30) as response:
        data = (line.removeprefix(b"data: ") for line in response.iter_lines())
        return [decode(line) for line in data if line.startswith(b"{")]


def test_layers_are_told_and_the_bar_does_not_go_back(played: Stage) -> None:
    for line in BUILD + PUSH:
        played.say(line)
    played.built()
    played.serve()
    told = watched(played)
    pushing = [event for event in told if event.phase is Phase.PUSHING]
    assert [event.step for event in pushing][:5] == [
        "Pushing the image",
        "Layer 1 of 1",
        "Layer 1 of 2",
        "Layer 1 of 3",
        # Of one that waits: nothing new.
        "Layer 1 of 3",
    ]
    assert (pushing[-1].step, pushing[-1].step_key) == ("Layer 3 of 3", "pushing")
    assert "Base image: layer 2 of 3" in {event.step for event in told}
    progress = [event.progress for event in told]
    assert progress == sorted(progress)


def test_in_plain_text_layers_do_not_become_known_one_by_one(played: Stage) -> None:
    for line in BUILD + PUSH:
        played.say(line)
    played.built()
    played.serve()
    out = io.StringIO()
    display = PlainDisplay(out)
    for event in watched(played):
        display.show(event)
    said = [line for line in out.getvalue().splitlines() if "ayer" in line and "-- " in line]
    assert said == [
        "-- Base image: layer 2 of 3",
        "-- Base image: layer 3 of 3",
        "-- Layer 2 of 3",
        "-- Layer 3 of 3",
    ]


@pytest.mark.browser
def test_a_page_shows_layers_in_its_language(played: Stage, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{played.url}v2/{SPEC}?lang=de")
    step = page.locator("binder-progress [part=step]")
    # The first half of each: then nothing comes until it is seen.
    for line in BUILD[: BUILD.index("38cb88ecaa63: Pull complete\n") + 1]:
        played.say(line)
    expect(step).to_have_text("Basis-Image: Schicht 2 von 3")
    for line in PUSH[: PUSH.index("dd86cbdb20ff: Pushed\n") + 1]:
        played.say(line)
    expect(page.locator("binder-progress [part=phase]")).to_have_text("Hochladen")
    expect(step).to_have_text("Schicht 2 von 3")
    played.built()
    played.serve()
    expect(page.locator("binder-progress [part=trace]")).to_contain_text("Trace herunterladen")
    page.close()
