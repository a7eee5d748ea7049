"""What is said of the replay of a record, in the terminal and in the page."""

from __future__ import annotations

import msgspec
import pytest

from binderprogress.cli.whatif_report import report_lines
from binderprogress.web.texts import texts_in
from binderprogress.web.whatif import _result
from binderprogress.whatif.classes import read_class
from binderprogress.whatif.policy import Policy
from binderprogress.whatif.report import Accuracy, Recorded
from binderprogress.whatif.study import study

RECORDED = Recorded(
    launches=99, failed=0, left_out=0, hubs=[""], p50=8.0, p95=27.0, p95_range=(23.0, 32.0)
)
CHANCE = "anything from 23 s to 32 s (95% confidence)"
FAR = "do not trust what follows"


@pytest.mark.parametrize(
    ("p50", "p95", "said"),
    [
        (0.05, -0.10, ""),
        (0.05, -0.11, CHANCE),
        (0.0, 0.18, CHANCE),
        # Outside of the range, or p50 is off.
        (0.0, -0.16, FAR),
        (0.0, 0.19, FAR),
        (-0.11, -0.11, FAR),
    ],
)
def test_a_replay_that_is_off(p50: float, p95: float, said: str) -> None:
    policy = Policy(classes=[read_class("3 students, Mondays at 10")])
    report = msgspec.structs.replace(
        study([("now", policy)], runs=1, seed=1),
        accuracy=Accuracy(recorded=RECORDED, p50=p50, p95=p95),
    )
    text = "\n".join(report_lines(report))
    assert [each for each in (CHANCE, FAR) if each in text] == [said] * bool(said)
    result = _result(report, texts_in("en"))
    assert ("anything from 23 sec to 32 sec" in result.chance) is (said == CHANCE)
    assert result.is_far is (said == FAR)
