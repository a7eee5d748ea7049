"""Lengths of time in words."""

from __future__ import annotations

import pytest

from binderprogress.core.periods import period_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "1 second"),
        (0.5, "0.5 seconds"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (90, "90 seconds"),
        (3600.0, "1 hour"),
        (5400, "90 minutes"),
        (86400, "1 day"),
        (604800.0, "7 days"),
        (1234567, "1234567 seconds"),
    ],
)
def test_the_longest_unit_that_divides_it(seconds: float, text: str) -> None:
    assert period_text(seconds) == text
