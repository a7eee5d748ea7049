"""In the page, an earlier version is started while the newest one is built."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Page, expect

from binderprogress.backends.base import BuildResult, Environment, ResolvedSpec, WaitForTurn
from binderprogress.core.specs import Spec

from ..support import axe, replay
from ..support.replay import PlayedBuilder, Stage, stage
from ..support.widget import SPEC, percent, phase

pytestmark = pytest.mark.browser

OLD, NEW = "a" * 40, "b" * 40
DAY = 24 * 3600


class Versions(PlayedBuilder):
    """A repository whose branch moves from one commit to the next."""

    profile = msgspec.structs.replace(PlayedBuilder.profile, finds=True)
    head = OLD
    found = Environment("image", "podman", built=0.0)

    async def resolve(self, spec: Spec) -> ResolvedSpec:
        return ResolvedSpec(spec, spec.ref if len(spec.ref) == 40 else self.head)

    async def find(self, resolved: ResolvedSpec) -> Environment | None:
        return self.found if resolved.commit == OLD else None

    async def build(self, resolved: ResolvedSpec) -> AsyncGenerator[Any, None]:
        if resolved.commit == OLD:
            yield BuildResult("image", found=True)
            return
        yield WaitForTurn()
        async for item in self._play(BuildResult):
            yield item


@pytest.fixture
def play(page: Page, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A server on which the old version was launched, and the branch has moved since."""
    monkeypatch.setattr(replay, "PlayedBuilder", Versions)
    then = time.time() - 3 * DAY
    monkeypatch.setattr(
        Versions, "found", Environment("image", "podman", built=then, committed=then)
    )
    with stage(LaunchManager={"offer_earlier": True}) as play:
        play.serve()
        started = page.request.post(f"{play.url}api/launches", data={"spec": SPEC}).json()
        events = page.request.get(f"{play.url}api/launches/{started['id']}/events").text()
        assert '"phase":"ready"' in events
        monkeypatch.setattr(Versions, "head", NEW)
        yield play


def open_building(page: Page, play: Stage) -> None:
    page.goto(f"{play.url}v2/{SPEC}")
    play.play("repo2docker-ok.jsonl")
    expect(phase(page)).to_have_text("Building")


def test_it_is_started_beside_the_build_whose_end_offers_the_newest(
    page: Page, play: Stage
) -> None:
    open_building(page, play)
    day = time.strftime("%A, %B %-d", time.localtime(time.time() - 3 * DAY))
    start = page.get_by_role("button", name=f"Start the version of {day} now: ")
    expect(start).to_be_visible()
    expect(page.locator("[part=earlier-text]")).to_contain_text("(commit aaaaaaaa)")
    axe.check_both_schemes(page)
    address = page.url

    with page.expect_request(lambda request: request.method == "POST") as posted:
        start.press("Enter")
    assert posted.value.post_data_json == {"spec": f"gh/binder-examples/requirements/{OLD}"}
    expect(page.locator("[part=earlier-text]")).to_contain_text("Earlier version: Launching")
    assert page.url == address
    play.serve(f"{play.url}?old")
    opens = page.get_by_role("link", name="Open the earlier version in a new tab")
    expect(opens).to_have_attribute("href", re.compile(r"\?old"))
    expect(phase(page)).to_have_text("Building")
    axe.check_both_schemes(page)

    # A reload goes on with both.
    page.reload()
    expect(opens).to_be_visible()
    expect(phase(page)).to_have_text("Building")
    play.built()
    expect(phase(page)).to_have_text("Launching")
    play.serve(f"{play.url}?new")
    newest = page.get_by_role("link", name="Open the server in a new tab")
    expect(newest).to_have_attribute("href", re.compile(r"\?new"))
    # It is offered, and takes nobody away.
    expect(page.locator("[part=earlier-text]")).to_contain_text("The newest version is ready, too.")
    expect(opens).to_be_visible()
    assert page.url == address
    assert len(play.launcher.requests) == 3


def test_there_is_room_for_it_in_every_variant(page: Page, play: Stage) -> None:
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        open_building(page, play)
        start = page.locator("#earlier-start")
        expect(start).to_be_visible()
        for variant in ("page", "block", "compact"):
            page.evaluate(
                "(variant) => { document.querySelector('binder-progress').variant = variant; }",
                variant,
            )
            expect(page.locator(f"[data-variant={variant}]")).to_be_visible()
            # In one line, it is shown with the log.
            expect(start).to_be_visible(visible=variant != "compact")
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width
        page.locator("summary").click()
        expect(start).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        expect(percent(page)).not_to_be_empty()
