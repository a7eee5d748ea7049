"""The element in real Chromium, for everybody: keyboard, screen readers, languages, styles."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Browser, Page, expect

from ..support import axe
from ..support.long import usually
from ..support.replay import Stage
from ..support.widget import SPEC, embed, log_region, open_launch, percent, phase, play_ready

pytestmark = pytest.mark.browser


def test_the_keyboard_is_enough(page: Page, play: Stage) -> None:
    embed(page, play)
    focused = (
        "() => { let at = document.activeElement;"
        " while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;"
        " return at.id || at.tagName; }"
    )
    expect(page.get_by_role("button", name=f"Launch {SPEC}")).to_be_visible()
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "launch"
    page.keyboard.press("Enter")
    expect(percent(page)).not_to_be_empty()
    # The button is gone; the focus is where the launch is shown.
    assert page.evaluate(focused) == "panel"
    seen: list[str] = []
    while "SUMMARY" not in seen and len(seen) < 3:
        page.keyboard.press("Tab")
        seen.append(page.evaluate(focused))
    assert {"cancel", "SUMMARY"} <= set(seen)
    page.keyboard.press("Enter")
    expect(log_region(page)).to_be_visible()
    play.built(found=True)
    play.serve()
    # Who reads the log keeps the focus there.
    expect(page.get_by_role("link", name="Open the server")).to_be_visible()
    assert page.evaluate(focused) != "open"


def test_phases_are_announced_and_lines_are_not(page: Page, play: Stage) -> None:
    open_launch(page, play)
    page.evaluate(
        "() => { window.said = []; const live ="
        " document.querySelector('binder-progress').shadowRoot.getElementById('live');"
        " new MutationObserver(() => said.push(live.textContent))"
        ".observe(live, { childList: true, characterData: true, subtree: true }); }"
    )
    assert page.locator("#live").get_attribute("role") == "status"
    for number in range(30):
        play.say(f"a line {number}\n")
    play_ready(page, play)
    said = page.evaluate("said")
    assert said[0] == "Building"
    assert said[-1] == "Ready"
    assert len(said) <= 6


def test_axe_finds_nothing(page: Page, play: Stage) -> None:
    embed(page, play)
    expect(page.get_by_role("button", name=f"Launch {SPEC}")).to_be_visible()
    axe.check_both_schemes(page)
    play.builder.prepares = True
    page.get_by_role("button", name=f"Launch {SPEC}").click()
    play.play("repo2docker-ok.jsonl")
    expect(phase(page)).to_have_text("Building")
    page.locator("summary").click()
    expect(log_region(page)).to_be_visible()
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        axe.check_all_colors(page)
    play.prepared("node", "Node added")
    play_ready(page, play)
    # What was done during the build, with what that saved.
    ahead = page.get_by_role("table", name="Where the time went").locator("[part=ahead]")
    heading, row = ahead.get_by_role("row").all()
    expect(heading.get_by_role("rowheader")).to_have_text("Meanwhile (time saved)")
    expect(row.get_by_role("rowheader")).to_have_text("Node added")
    expect(row.get_by_role("cell").last).to_have_text(re.compile(r"sec|min"))
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        axe.check_all_colors(page)


def test_at_200_percent_nothing_is_cut_off(page: Page, play: Stage) -> None:
    # 320 CSS pixels: a window of 640 at 200 %, or of 1280 at 400 %.
    page.set_viewport_size({"width": 320, "height": 512})
    open_launch(page, play)
    play_ready(page, play)
    page.locator("summary").click()
    expect(log_region(page)).to_be_visible()
    wide = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert wide <= 0


LANGUAGES = ["en", "fr-FR", "de-DE", "es-ES", "pt-BR", "zh-CN", "ja-JP", "ar-EG"]

SHOWN = """
() => {
  const texts = [];
  const walk = (node) => {
    for (const child of node.childNodes) {
      const inside = child.parentElement;
      // What a server or a builder printed is theirs.
      if (inside?.closest?.("bdi, #log-view, .evidence, .original, style")) continue;
      if (child.nodeType === Node.TEXT_NODE) texts.push(child.data.trim());
      else {
        for (const name of ["aria-label", "aria-valuetext", "title"]) {
          const value = child.getAttribute?.(name);
          if (value) texts.push(value);
        }
        walk(child);
      }
    }
  };
  walk(document.querySelector("binder-progress").shadowRoot);
  return texts.filter(Boolean).join(" | ");
}
"""


@pytest.mark.parametrize("locale", usually(LANGUAGES, "en", "de-DE", "ar-EG"))
def test_it_speaks_the_persons_language(browser: Browser, play: Stage, locale: str) -> None:
    context = browser.new_context(locale=locale)
    page = context.new_page()
    page.goto(f"{play.url}v2/{SPEC}")
    expect(percent(page)).not_to_be_empty()
    play.say("Step 3/12 : RUN pip install\n")
    expect(page.locator("[part=step]")).to_have_text(re.compile("12|١٢"))
    running = page.evaluate(SHOWN)
    play.fail("out-of-memory")
    expect(page.locator("[part=outcome]")).to_be_visible()
    page.wait_for_timeout(100)
    shown = f"{running} | {page.evaluate(SHOWN)}"
    rtl = page.locator("[part=root]").get_attribute("dir")
    assert rtl == ("rtl" if locale.startswith("ar") else "ltr")
    english = {"Building", "Checking", "Log", "Cancel", "Try again", "memory", "left", "Launching"}
    found = {word for word in english if re.search(rf"\b{word}\b", shown)}
    assert found == (english if locale == "en" else found & {"Log"})
    context.close()


def test_the_language_of_the_page_around_comes_first(page: Page, play: Stage) -> None:
    embed(page, play, 'lang="fr"')
    button = page.locator("#launch")
    expect(button).to_be_visible()
    assert button.text_content() != "Launch"
    page.evaluate("document.querySelector('binder-progress').lang = 'ar'")
    expect(page.locator("[part=root]")).to_have_attribute("dir", "rtl")
    page.evaluate("document.querySelector('binder-progress').lang = 'not a language'")
    expect(button).to_have_text("Launch")


def test_right_to_left_the_bar_grows_from_the_right(page: Page, play: Stage) -> None:
    embed(page, play, 'lang="ar" autostart')
    expect(percent(page)).not_to_be_empty()
    play.say("Step 6/12 : RUN pip install\n")
    expect(page.locator("[data-step=building]")).to_have_attribute("data-state", "current")
    assert (
        page.locator("#bar").evaluate("bar => new DOMMatrix(getComputedStyle(bar).transform).a")
        == -1
    )
    first, last = page.locator("[data-step=waiting]"), page.locator("[data-step=ready]")
    assert first.bounding_box()["x"] > last.bounding_box()["x"]  # type: ignore[index]


def test_a_page_styles_it_by_properties_and_parts(page: Page, play: Stage) -> None:
    embed(
        page,
        play,
        "autostart",
        "binder-progress { --binder-progress-accent: rgb(102, 51, 153); }"
        "binder-progress::part(steps) { display: none; }",
    )
    expect(percent(page)).not_to_be_empty()
    expect(page.locator("[part=steps]")).to_be_hidden()
    image = page.locator("#fill").evaluate("fill => getComputedStyle(fill).backgroundImage")
    assert "rgb(102, 51, 153)" in image


# -- what is hostile


def test_attack_messages_are_text(page: Page, play: Stage) -> None:
    open_launch(page, play)
    attack = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    play.say(f"{attack}\n")
    play.log(f"{attack}\n", "\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07\n", "{broken json\n")
    play.fail("build-failed", attack)
    outcome = page.locator("[part=outcome]")
    expect(outcome).to_contain_text("<img src=x")
    for tag in ("img", "script"):
        assert page.locator(f"binder-progress {tag}").count() == 0
    assert "owned" not in page.title()


def test_a_log_without_end_leaves_the_page_usable(page: Page, play: Stage) -> None:
    """Ten thousand lines at once, a long one among them."""
    open_launch(page, play)
    page.locator("summary").click()
    lines = [json.dumps({"message": f"line {n}\n", "phase": "building"}) for n in range(10_000)]
    lines.insert(5000, json.dumps({"message": "x" * 1_000_000 + "\n", "phase": "building"}))
    play.log(*lines)
    expect(phase(page)).to_have_text("Building")
    # A click is answered in the middle of it.
    page.get_by_role("button", name="Cancel").click()
    # It may be cancelled before the page has said that it will be.
    said = page.locator("[part=phase], [part~=outcome-title]")
    expect(said).to_have_text(re.compile("Cancelling|cancelled"), timeout=10_000)
