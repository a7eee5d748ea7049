"""The hot operations take no more instructions than was accepted, beside a reference."""

from __future__ import annotations

import pytest

from benchmarks.instructions import ACCEPT, count, exceeded, missing, noted, ratios


@pytest.mark.long
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_hot_operations_take_no_more_than_was_accepted() -> None:
    problems = exceeded(ratios(count()), noted())
    assert not problems, "\n".join(problems)


def test_what_takes_more_is_named_with_how_to_accept_it() -> None:
    limits = {"encode": 1.0, "append": 2.0}
    assert exceeded({"encode": 1.14, "append": 1.5}, limits) == []
    slower, new = exceeded({"encode": 1.0, "append": 2.6, "fanout": 1.0}, limits)
    assert slower.startswith("append takes 30% more instructions than noted")
    assert "2.600 times the reference, not 2.000" in slower
    assert slower.endswith(ACCEPT)
    assert new == f"fanout is not noted yet: {ACCEPT}"
