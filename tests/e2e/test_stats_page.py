"""The page with the numbers, in a real browser: they are the endpoint's, and drawn for all."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from binderprogress.core.log.reasons import REASONS
from binderprogress.core.phases import Phase
from binderprogress.history.database import Database
from binderprogress.history.store import NoHistory

from ..history.launches import past, spans
from ..support import axe
from ..support.long import usually
from ..support.replay import Stage, stage

pytestmark = pytest.mark.browser

DAY = 86_400.0
SPEC = "gh/ada/penguins/HEAD"
HOSTILE = "https://example.org/<img src=x onerror=alert(1)>"


def launches(now: float) -> Iterator[Any]:
    """Of the last forty days: some repositories, cold and warm, most of them ready."""
    chance = random.Random(7)  # noqa: S311 - nothing secret
    for number in range(600):
        cold = chance.random() < 0.4
        fields: dict[str, Any] = {
            "began": now - number % 40 * DAY,
            "repository": f"https://github.com/ada/penguins-{number % 5}",
            "cold": cold,
            "spans": spans(
                chance.lognormvariate(5 if cold else 0, 0.6) + number % 5, chance.uniform(1, 20)
            ),
        }
        if number % 10 == 0:
            fields |= {"outcome": Phase.FAILED, "reason": "build-failed"}
        elif number % 17 == 0:
            fields |= {"outcome": Phase.CANCELLED, "reason": "abandoned"}
        yield past(**fields)
    for _ in range(3):
        yield past(began=now, repository=HOSTILE, spans=spans(3000))


@pytest.fixture(scope="module")
def server() -> Iterator[Stage]:
    """The real server; what it keeps is for each test to say."""
    with stage() as server:
        yield server


@pytest.fixture
def history(server: Stage, tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path}/history.sqlite", log=logging.getLogger())
    server.launches.history = made
    yield made
    server.launches.history = NoHistory()
    made.close()


@pytest.fixture
def filled(history: Database) -> Database:
    history.write(list(launches(time.time())))
    return history


def open_page(page: Page, server: Stage, query: str = "") -> None:
    page.goto(f"{server.url}stats{query}")
    expect(part(page, "updated")).to_contain_text("As of")


def part(page: Page, name: str) -> Locator:
    return page.locator(f'[data-part="{name}"]')


def cells(table: Locator) -> list[list[str]]:
    rows: list[list[str]] = table.locator("tbody").evaluate(
        "body => [...body.rows].map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    return rows


def in_seconds(text: str) -> float:
    """What a duration of the page says."""
    units = {"sec": 1.0, "min": 60.0, "hr": 3600.0}
    return sum(float(much) * units[unit] for much, unit in re.findall(r"([\d.]+) (\w+)", text))


def in_words(day: str) -> str:
    """A day such as 2026-11-01, as the page writes it."""
    return f"{date.fromisoformat(day):%b %-d, %Y}"


@pytest.mark.parametrize("days", usually([7, 30, 90], 30))
def test_the_numbers_are_those_of_the_endpoint(
    server: Stage, filled: Database, page: Page, days: int
) -> None:
    open_page(page, server, f"?days={days}")
    stats = page.request.get(f"{server.url}api/stats?days={days}").json()
    ended = {name: sum(day[name] for day in stats["days"]) for name in ("ready", "failed")}
    cancelled = sum(day["cancelled"] for day in stats["days"])
    assert sum(ended.values()) > 100
    expect(part(page, "launches")).to_have_text(str(sum(ended.values()) + cancelled))
    rate = float((part(page, "success").text_content() or "").rstrip("%"))
    assert rate == pytest.approx(100 * ended["ready"] / sum(ended.values()), abs=0.1)
    for name in ("cold", "warm"):
        (total,) = [
            one
            for one in stats["phases"]
            if (one["phase"], one["cold"], one["day"]) == ("total", name == "cold", "")
        ]
        assert in_seconds(part(page, name).text_content() or "") == pytest.approx(
            total["p50"], rel=0.02
        )
        assert in_seconds(part(page, f"{name}-more").text_content() or "") == pytest.approx(
            total["p90"], rel=0.02
        )

    by_day = [one for one in stats["phases"] if one["phase"] == "total" and one["day"]]
    rows = cells(part(page, "durations-table"))
    assert [row[:3] for row in rows] == [
        [in_words(one["day"]), "Cold" if one["cold"] else "Warm", str(one["launches"])]
        for one in by_day
    ]
    names = ("ready", "cold", "failed", "cancelled")
    assert cells(part(page, "outcomes-table")) == [
        [in_words(day["day"]), *(str(day[name]) for name in names)] for day in stats["days"]
    ]
    phases = [row for row in cells(part(page, "phases-table")) if row[0] == "Building"]
    assert len(phases) == 2
    sentences = {key: reason.sentence for key, reason in REASONS.items()}
    assert cells(part(page, "reasons")) == [
        [sentences[one["reason"]], one["outcome"].capitalize(), str(one["launches"])]
        for one in stats["reasons"]
    ]
    repositories = cells(part(page, "repositories"))
    assert [row[0] for row in repositories] == [
        one["repository"].removeprefix("https://") for one in stats["repositories"]
    ]
    # A repository's name is text.
    assert HOSTILE.removeprefix("https://") in [row[0] for row in repositories]
    assert page.locator("main img").count() == 0


def test_three_charts_are_drawn_and_say_what_is_pointed_at(
    server: Stage, filled: Database, page: Page
) -> None:
    open_page(page, server)
    for name in ("durations", "phases", "outcomes"):
        plot = part(page, name)
        plot.scroll_into_view_if_needed()
        colours = plot.locator("canvas").evaluate(
            "c => new Set(new Uint32Array(c.getContext('2d')"
            ".getImageData(0, 0, c.width, c.height).data.buffer)).size"
        )
        assert colours > 10
        reading = part(page, f"{name}-reading")
        expect(reading).to_contain_text("Point at")
        plot.hover()
        expect(reading).to_contain_text(" · ")
    expect(part(page, "outcomes-reading")).to_contain_text("Ready: ")


@pytest.mark.long
def test_arrow_keys_read_a_chart_and_screen_readers_hear_it(
    server: Stage, filled: Database, page: Page
) -> None:
    open_page(page, server)
    chart = page.get_by_role("slider", name="Chart: How launches end")
    reading = part(page, "outcomes-reading")
    today = date.fromisoformat(page.evaluate("new Date().toISOString().slice(0, 10)"))
    yesterday, first = today - timedelta(days=1), today - timedelta(days=29)
    # As somebody without a mouse comes to it.
    page.get_by_role("heading", name="How launches end").click()
    while not chart.evaluate("chart => chart === document.activeElement"):
        page.keyboard.press("Tab")
    for key, day, place in [
        ("", today, 30),
        ("ArrowLeft", yesterday, 29),
        ("Home", first, 1),
        ("ArrowLeft", first, 1),
        ("PageUp", first + timedelta(days=7), 8),
        ("End", today, 30),
    ]:
        if key:
            page.keyboard.press(key)
        expect(reading).to_have_text(re.compile(rf"{in_words(str(day))} · Ready: \d+ · Failed"))
        expect(chart).to_have_attribute("aria-valuetext", reading.text_content() or "")
        expect(chart).to_have_attribute("aria-valuenow", str(place))
    page.keyboard.press("Tab")
    expect(reading).to_contain_text("arrow keys")


@pytest.mark.long
def test_the_page_is_in_the_readers_language(
    server: Stage, filled: Database, browser: Browser
) -> None:
    filled.write([past(began=time.time(), spans=spans(1.4)) for _ in range(1000)])
    context = browser.new_context(locale="de-DE")
    page = context.new_page()
    page.goto(f"{server.url}stats?days=90")
    expect(part(page, "launches")).to_have_text("1.603")
    expect(part(page, "updated")).to_contain_text("Stand: ")
    expect(part(page, "launches-more")).to_have_text(re.compile(r"Bereit: 1\.\d{3} · Gescheitert"))
    # Numbers are aligned, with the heads of their columns.
    page.get_by_text("Als Tabelle anzeigen").last.click()
    aligned = "cell => getComputedStyle(cell).textAlign"
    table = part(page, "outcomes-table")
    styles = [
        table.locator(f"{row} > :nth-child({n})").first.evaluate(aligned)
        for row in ("thead tr", "tbody tr")
        for n in (1, 2)
    ]
    assert styles == ["start", "end", "start", "end"]
    expect(part(page, "reasons")).to_contain_text("Der Build ist fehlgeschlagen")
    page.get_by_role("link", name="7 Tage").click()
    expect(page.get_by_text("Starts (7 Tage)")).to_be_visible()
    context.close()


@pytest.mark.long
def test_each_phase_can_be_seen_day_by_day(server: Stage, filled: Database, page: Page) -> None:
    open_page(page, server)
    stats = page.request.get(f"{server.url}api/stats?days=30").json()
    choice = page.get_by_label("Duration of")
    expect(choice).to_have_value("total")
    picture = part(page, "durations").locator("canvas")
    before = picture.evaluate("c => c.toDataURL()")
    choice.select_option("building")
    assert picture.evaluate("c => c.toDataURL()") != before
    shown = [one for one in stats["phases"] if one["phase"] == "building" and one["day"]]
    rows = cells(part(page, "durations-table"))
    assert [row[:3] for row in rows] == [
        [in_words(one["day"]), "Cold" if one["cold"] else "Warm", str(one["launches"])]
        for one in shown
    ]
    assert [in_seconds(row[3]) for row in rows] == pytest.approx(
        [one["p50"] for one in shown], rel=0.02, abs=0.06
    )


def test_what_runs_now_comes_by_itself(server: Stage, filled: Database, page: Page) -> None:
    page.clock.install()
    open_page(page, server)
    expect(part(page, "running")).to_have_text("0")
    started = page.request.post(f"{server.url}api/launches", data={"spec": SPEC})
    page.clock.run_for(10_000)
    expect(part(page, "running")).to_have_text("1")
    expect(part(page, "running-more")).to_contain_text("Checking: 1")
    page.request.delete(started.json()["state_url"])
    page.clock.run_for(10_000)
    expect(part(page, "running")).to_have_text("0")


def test_a_tab_that_nobody_sees_asks_for_nothing(
    server: Stage, filled: Database, page: Page
) -> None:
    page.clock.install()
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if "/api/stats" in r.url else None)
    open_page(page, server)
    see = """(state) => {
      Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(see, "hidden")
    page.clock.run_for(60_000)
    assert len(asked) == 1
    with page.expect_response("**/api/stats*"):
        page.evaluate(see, "visible")
    assert len(asked) == 2


def test_a_server_that_cannot_be_reached_is_said(
    server: Stage, filled: Database, browser: Browser
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.clock.install()
    open_page(page, server)
    before = part(page, "launches").text_content() or ""
    page.route("**/api/stats*", lambda route: route.abort())
    page.clock.run_for(10_000)
    problem = page.get_by_role("status")
    expect(problem).to_contain_text("The server cannot be reached. These numbers are from")
    expect(part(page, "launches")).to_have_text(before)
    page.unroute("**/api/stats*")
    page.clock.run_for(10_000)
    expect(problem).to_have_text("")
    context.close()


def test_an_empty_history_says_what_to_do(server: Stage, history: Database, page: Page) -> None:
    open_page(page, server)
    heading = page.get_by_role("heading", name="No launches in the last 30 days")
    expect(heading).to_be_visible()
    expect(part(page, "past")).to_be_hidden()
    expect(part(page, "launches")).to_have_text("0")


def test_the_longest_label_of_an_axis_is_not_cut(
    server: Stage, history: Database, page: Page
) -> None:
    history.write([past(began=time.time(), spans=spans(100, 4))])
    open_page(page, server)
    room, label = part(page, "phases").evaluate("""(chart) => {
        const context = document.createElement("canvas").getContext("2d");
        context.font = "12px system-ui, sans-serif";
        const plot = chart.querySelector(".u-over").offsetLeft;
        return [plot, context.measureText("1 min 30 sec").width];
    }""")
    assert room > label


def test_where_all_failed_there_is_no_time_to_show(
    server: Stage, history: Database, page: Page
) -> None:
    history.write([past(began=time.time(), outcome=Phase.FAILED, reason="build-failed")])
    open_page(page, server)
    expect(part(page, "success")).to_have_text("0%")
    expect(part(page, "cold-more")).to_have_text("none yet")
    expect(part(page, "outcomes").locator("canvas")).to_be_visible()
    assert cells(part(page, "reasons")) == [["The build failed.", "Failed", "1"]]
    assert cells(part(page, "durations-table")) == []


def test_without_a_history_it_says_how_to_have_one(server: Stage, page: Page) -> None:
    open_page(page, server)
    expect(page.get_by_role("heading", name="This server keeps no history")).to_be_visible()
    expect(page.get_by_text("c.History.url")).to_be_visible()
    expect(part(page, "empty")).to_be_hidden()
    expect(part(page, "running-more")).to_contain_text("Capacity: ")


def test_the_period_is_chosen_by_links(server: Stage, filled: Database, page: Page) -> None:
    page.goto(server.url)
    page.get_by_role("link", name="Statistics").click()
    expect(page.get_by_role("link", name="30 days")).to_have_attribute("aria-current", "page")
    before = part(page, "launches")
    expect(before).to_have_text("453")
    page.get_by_role("link", name="7 days").click()
    page.wait_for_url("**/stats?days=7")
    expect(part(page, "launches")).to_have_text("108")


@pytest.mark.long
def test_provider_and_host_are_chosen_in_place(
    server: Stage, history: Database, page: Page
) -> None:
    now = time.time()
    history.write([past(began=now) for _ in range(5)])
    history.write([past(began=now, provider="gl", host="b.example.org") for _ in range(3)])
    history.write([past(began=now, provider="gl", spans=spans(400))])
    open_page(page, server)
    provider, host = page.get_by_label("Provider"), page.get_by_label("Host")
    count = part(page, "launches")
    expect(count).to_have_text("9")
    provider.select_option(label="GitLab")
    expect(count).to_have_text("4")
    host.select_option("here")
    expect(count).to_have_text("1")
    expect(part(page, "cold")).to_have_text("7 min 5 sec")
    assert page.url.endswith("/stats?days=30&provider=gl&host=here")
    # Links and a reload keep it.
    page.get_by_role("link", name="7 days").click()
    page.wait_for_url("**/stats?days=7&provider=gl&host=here")
    expect(count).to_have_text("1")
    expect(provider).to_have_value("gl")
    expect(host).to_have_value("here")
    provider.select_option("gh")
    expect(count).to_have_text("5")
    host.select_option("b.example.org")
    heading = page.get_by_role("heading", name="No launches in the last 7 days")
    expect(heading).to_be_visible()
    provider.select_option("")
    expect(count).to_have_text("3")
    host.select_option("")
    expect(count).to_have_text("9")
    page.wait_for_url("**/stats?days=7")


def test_an_answer_that_comes_after_another_choice_is_not_shown(
    server: Stage, history: Database, page: Page
) -> None:
    now = time.time()
    history.write([past(began=now) for _ in range(5)])
    history.write([past(began=now, provider="gl") for _ in range(3)])
    open_page(page, server)
    held: list[Route] = []
    page.route("**/api/stats?*provider=gl", lambda route: held.append(route))
    with page.expect_request("**/api/stats?*provider=gl"):
        page.get_by_label("Provider").select_option("gl")
    page.get_by_label("Provider").select_option("gh")
    expect(part(page, "launches")).to_have_text("5")
    with page.expect_response("**/api/stats?*provider=gl"):
        held[0].continue_()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(part(page, "launches")).to_have_text("5")


def test_where_all_is_of_one_kind_nothing_is_to_be_chosen(
    server: Stage, filled: Database, page: Page
) -> None:
    open_page(page, server)
    expect(page.get_by_label("Provider")).to_have_count(0)
    expect(page.get_by_label("Host")).to_have_count(0)


def test_another_period_is_refused(server: Stage, page: Page) -> None:
    answer = page.request.get(f"{server.url}stats?days=8")
    assert answer.status == 400
    assert "7, 30 or 90" in answer.text()


@pytest.mark.parametrize("columns", usually([360, 1280], 360))
def test_the_page_is_for_all(
    server: Stage, filled: Database, browser: Browser, columns: int
) -> None:
    host = "a-hub-with-a-very-long-name.binder.example.org:8443"
    filled.write([past(began=time.time(), provider="gl", host=host) for _ in range(9)])
    context = browser.new_context(
        reduced_motion="reduce",
        viewport={"width": columns, "height": 800},
    )
    page = context.new_page()
    shifts = """new PerformanceObserver((list) => {
      for (const { value } of list.getEntries()) shifted += value;
    }).observe({ type: "layout-shift", buffered: true })"""
    page.add_init_script(f"globalThis.shifted = 0; {shifts}")
    open_page(page, server)
    expect(part(page, "outcomes").locator("canvas")).to_be_visible()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("shifted") < 0.01
    for summary in page.locator("summary").all():
        summary.click()
    axe.check_both_schemes(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= columns
    context.close()
