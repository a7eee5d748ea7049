"""What axe-core finds wrong with a page, for those who cannot see, point or hear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

_AXE = Path(__file__).parents[2] / "js" / "node_modules" / "axe-core" / "axe.min.js"


def check(page: Page) -> None:
    """Fail with a list of all that is wrong with a page as it is now, shadow trees too."""
    # Not a script of the page: its policy does not refuse it.
    page.evaluate(_AXE.read_text())
    found = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
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
