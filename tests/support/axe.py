"""What axe-core finds wrong with a page, for those who cannot see, point or hear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

_AXE = Path(__file__).parents[2] / "js" / "node_modules" / "axe-core" / "axe.min.js"


def check(page: Page, within: str = "html") -> None:
    """Fail with a list of all that is wrong with a page as it is now, shadow trees too.

    Parameters
    ----------
    page : Page
    within : str
        A selector of the part to check.
    """
    # Not a script of the page: its policy does not refuse it.
    if not page.evaluate("'axe' in globalThis"):
        page.evaluate(_AXE.read_text())
    _run(page, within, {})


def check_both_schemes(page: Page, within: str = "html") -> None:
    """Check a page in light colours, and the contrast of the dark ones, too.

    The scheme only changes colours, so no other rule of axe-core can find anything new.
    """
    page.emulate_media(color_scheme="light")
    check(page, within)
    page.emulate_media(color_scheme="dark")
    _run(page, within, {"runOnly": ["color-contrast"]})
    page.emulate_media(color_scheme="light")


def check_all_colors(page: Page, within: str = "html") -> None:
    """Check both schemes, and the contrast of the colours that an operating system forces."""
    check_both_schemes(page, within)
    page.emulate_media(forced_colors="active")
    _run(page, within, {"runOnly": ["color-contrast"]})
    page.emulate_media(forced_colors="none")


def _run(page: Page, within: str, options: dict[str, Any]) -> None:
    # With all results, it would take twice as long.
    found = page.evaluate(
        "([within, options]) => axe.run(within, options)",
        [within, {"resultTypes": ["violations"], **options}],
    )
    assert not found["violations"], report(found["violations"])


def report(violations: list[dict[str, Any]]) -> str:
    """Say what is wrong, where, and what axe-core proposes."""
    lines = []
    for violation in violations:
        lines.append(f"{violation['id']} ({violation['impact']}): {violation['help']}")
        for node in violation["nodes"]:
            lines.append(f"  {' '.join(map(str, node['target']))}: {node['html'][:200]}")
            lines += [f"    {line}" for line in node["failureSummary"].splitlines()]
        lines.append(f"  {violation['helpUrl']}")
    return "\n" + "\n".join(lines)
