"""Pages whose device sleeps or is offline, and pages of a server that is away, in Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from playwright.sync_api import Error as PlaywrightError

from binderprogress.deploy.embedded_jupyterhub import free_ports

from ..support.faultyproxy import FaultyProxy, proxy_in_thread
from ..support.long import usually
from ..support.replay import Stage, stage
from ..support.widget import SPEC, percent

pytestmark = pytest.mark.browser

LOST = "Connection lost. Reconnecting…"
KEPT = re.compile(rf"{LOST} The launch is kept until (\d\d:\d\d)\.")


@pytest.fixture
def play() -> Iterator[Stage]:
    with stage() as made:
        yield made


@pytest.fixture
def proxy(play: Stage) -> Iterator[FaultyProxy]:
    with proxy_in_thread(urlsplit(play.url).port or 0) as made:
        yield made


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    # A language in which times have 24 hours.
    context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page of which the browser may complain: requests fail."""
    return context.new_page()


def open_launch(page: Page, play: Stage, url: str) -> None:
    """Open the launch page, with a clock that a test can stop, and come to the build."""
    page.clock.install()
    go_to(page, url)
    play.say("Step 1/9 : FROM ubuntu\n")
    expect(percent(page)).not_to_be_empty()
    expect(page.locator("[part=step]")).to_have_text("Step 1 of 9 · FROM ubuntu")


def go_to(page: Page, url: str) -> None:
    """Open the launch page, and wait until it has the state of the launch, too."""
    with page.expect_response(lambda r: re.search(r"/api/launches/[^/]+$", r.url) is not None):
        page.goto(f"{url}v2/{SPEC}")


def go_offline(context: BrowserContext, proxy: FaultyProxy) -> None:
    """Take the browser out of the network. Chromium's own setting leaves open connections."""
    context.set_offline(True)
    proxy.cut_soon()


def stop_time(page: Page) -> None:
    """From now on, no timer ends a pause."""
    for ahead in (0.1, 0.5, 2.0):
        try:
            page.clock.pause_at(datetime.fromtimestamp(page.evaluate("Date.now()") / 1000 + ahead))
        except PlaywrightError as error:
            # On a busy machine, it may be later by then.
            if "to the past" not in str(error):
                raise
        else:
            return
    raise AssertionError("the page's clock could not be stopped")


def notice(page: Page) -> Locator:
    return page.locator("[part=notice]")


def retry(page: Page) -> Locator:
    return page.get_by_role("button", name="Retry now")


def goes_on(page: Page, play: Stage) -> None:
    """The same page goes on, and has missed nothing."""
    expect(notice(page)).to_be_hidden()
    expect(retry(page)).to_be_hidden()
    # Frames are drawn again.
    page.clock.resume()
    play.say("Step 2/9 : RUN true\n")
    expect(page.locator("[part=step]")).to_have_text("Step 2 of 9 · true")


def numbers(page: Page) -> list[str]:
    return [page.locator(f"[part={part}]").inner_text() for part in ("percent", "elapsed", "left")]


@pytest.mark.fault(
    part="The connection to viewers",
    fault="of a page is lost because the device is offline",
    promise="the page reconnects at once when it is online",
)
def test_a_page_that_was_offline_reconnects_at_once(
    page: Page, context: BrowserContext, proxy: FaultyProxy, play: Stage
) -> None:
    open_launch(page, play, f"http://127.0.0.1:{proxy.port}/")
    go_offline(context, proxy)
    expect(notice(page)).to_have_text(KEPT)
    expect(retry(page)).to_be_visible()
    stop_time(page)
    context.set_offline(False)
    goes_on(page, play)


def test_it_says_until_when_the_launch_is_kept(
    page: Page, context: BrowserContext, proxy: FaultyProxy, play: Stage
) -> None:
    open_launch(page, play, f"http://127.0.0.1:{proxy.port}/")
    before = datetime.now()
    go_offline(context, proxy)
    expect(notice(page)).to_have_text(KEPT)
    said = KEPT.fullmatch(notice(page).inner_text())
    assert said is not None
    likely = [before + timedelta(seconds=600 + s) for s in range(-60, 120, 5)]
    assert said[1] in {time.strftime("%H:%M") for time in likely}
    # Afterwards, it is not known.
    page.clock.fast_forward(600_000)
    expect(notice(page)).to_have_text(LOST)
    context.set_offline(False)


@pytest.mark.fault(
    part="The connection to viewers",
    fault="of a page is lost",
    promise="the bar and the estimate stand still meanwhile",
)
def test_the_bar_and_the_estimate_stand_still_while_it_is_lost(
    page: Page, proxy: FaultyProxy, play: Stage
) -> None:
    open_launch(page, play, f"http://127.0.0.1:{proxy.port}/")
    (nobody,) = free_ports(1)
    there, proxy.target = proxy.target, nobody
    proxy.cut_soon()
    expect(notice(page)).to_have_text(KEPT)
    before = numbers(page)
    # Where it should have been by then, it is a second later.
    page.wait_for_function(
        "() => !document.querySelector('binder-progress').shadowRoot.getAnimations()"
        ".some(({ effect }) => effect.target.id === 'clip')"
    )
    width = page.locator("#clip").bounding_box()
    page.clock.run_for(60_000)
    assert numbers(page) == before
    assert page.locator("#clip").bounding_box() == width
    proxy.target = there
    # By itself, after the next pause.
    page.clock.run_for(20_000)
    goes_on(page, play)
    assert numbers(page) != before


def test_retry_now(page: Page, proxy: FaultyProxy, play: Stage) -> None:
    open_launch(page, play, f"http://127.0.0.1:{proxy.port}/")
    (nobody,) = free_ports(1)
    there, proxy.target = proxy.target, nobody
    proxy.cut_soon()
    expect(retry(page)).to_be_visible()
    stop_time(page)
    proxy.target = there
    retry(page).click()
    goes_on(page, play)


@pytest.mark.long
def test_a_device_that_slept_replaces_its_connection(page: Page, play: Stage) -> None:
    """As a phone that was locked for some minutes: nothing says that its connection is dead."""
    open_launch(page, play, play.url)
    stop_time(page)
    # The clock went on, timers did not.
    page.evaluate("() => { const now = Date.now; Date.now = () => now() + 300_000; }")
    with page.expect_request(lambda request: "/events?after=" in request.url):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    goes_on(page, play)


SHOWN = [
    "document.dispatchEvent(new Event('visibilitychange'))",
    "document.dispatchEvent(new Event('resume'))",
    "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))",
]


@pytest.mark.parametrize("event", usually(SHOWN, SHOWN[-1]))
def test_a_page_that_is_shown_again(
    page: Page, proxy: FaultyProxy, play: Stage, event: str
) -> None:
    """Chromium without windows does not hide or freeze pages, and keeps none that it left."""
    open_launch(page, play, f"http://127.0.0.1:{proxy.port}/")
    (nobody,) = free_ports(1)
    there, proxy.target = proxy.target, nobody
    proxy.cut_soon()
    expect(notice(page)).to_have_text(KEPT)
    stop_time(page)
    proxy.target = there
    page.evaluate(event)
    goes_on(page, play)


RETRY = {
    "ar": "أعد الاتصال",
    "de": "Verbinden",
    "en": "Retry now",
    "es": "Reconectar",
    "fr": "Reconnecter",
    "ja": "今すぐ再試行",
    "pt": "Tentar agora",
    "zh": "立即重试",
}


@pytest.mark.parametrize("lang", usually(RETRY, "ar"))
def test_in_each_language(browser: Browser, proxy: FaultyProxy, play: Stage, lang: str) -> None:
    context = browser.new_context(locale=lang)
    page = context.new_page()
    page.route("**/v2/**", lambda route: _in_language(route, lang))
    go_to(page, f"http://127.0.0.1:{proxy.port}/")
    expect(percent(page)).not_to_be_empty()
    (nobody,) = free_ports(1)
    proxy.target = nobody
    proxy.cut_soon()
    expect(page.get_by_role("button", name=RETRY[lang])).to_be_visible()
    expect(notice(page)).to_have_text(re.compile(r"[0-9٠-٩]{1,2}:[0-9٠-٩]{2}"))
    context.close()


def _in_language(route: object, lang: str) -> None:
    response = route.fetch()  # type: ignore[attr-defined] # Playwright's route
    route.fulfill(  # type: ignore[attr-defined] # see above
        response=response, body=response.text().replace('lang="en"', f'lang="{lang}"')
    )
