"""Finds rows of a log in a page."""

from __future__ import annotations

import re

from playwright.sync_api import Locator


def line(log: Locator, text: str | re.Pattern[str]) -> Locator:
    """The row that has a text."""
    return log.locator(".log-row", has_text=text)


def numbered(count: int) -> list[str]:
    return [f"line {number}\n" for number in range(1, count + 1)]


def at_end(log: Locator) -> bool:
    found: bool = log.evaluate("box => box.scrollHeight - box.scrollTop - box.clientHeight < 2")
    return found
