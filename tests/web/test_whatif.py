"""Simulations in the server."""

from __future__ import annotations

import asyncio
import html
import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from binderprogress.core.phases import Phase
from binderprogress.core.timing.spans import Span
from binderprogress.deploy.simulator import Simulator
from binderprogress.errors import BadRequestError
from binderprogress.history.database import Database
from binderprogress.launches import LaunchManager
from binderprogress.web.config import Web
from binderprogress.web.openapi import document
from binderprogress.whatif.classes import read_class
from binderprogress.whatif.policy import Policy
from binderprogress.whatif.question import Question

from ..history.launches import past
from ..launches.parts import gen_test
from .clients import Api, sentence

CLASS = "class=9+students,+Fridays+at+10"


@pytest.fixture
def web(web: Web) -> Web:
    web.simulate = Simulator(logging.getLogger())
    return web


@pytest.fixture
def history(launches: LaunchManager, tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path}/history.sqlite", log=logging.getLogger())
    took = [Span(Phase.LAUNCHING, 0.0, 12.0, step="starting")]
    began = time.time() - 86400.0
    made.write(past(began=began + 300.0 * n, cold=False, spans=took) for n in range(30))
    launches.history = made
    yield made
    made.close()


@gen_test
async def test_two_policies(api: Api) -> None:
    response = await api.fetch(f"/api/whatif?{CLASS}&instead.standby.servers=9")
    report = json.loads(response.body)
    schemas = document()["components"]
    jsonschema.validate(
        report, {"$ref": "#/components/schemas/SimulationReport", "components": schemas}
    )
    now, instead = report["outcomes"]
    assert (now["launches"]["middle"], instead["launches"]["middle"]) == (9, 9)
    assert now["handed_over"]["high"] == 0 < instead["handed_over"]["low"]


@gen_test
async def test_the_history_is_replayed(api: Api, history: Database) -> None:
    response = await api.fetch("/api/whatif?launches=history")
    accuracy = json.loads(response.body)["accuracy"]
    assert (accuracy["recorded"]["launches"], accuracy["p50"], accuracy["p95"]) == (30, 0.0, 0.0)
    page = (await api.fetch("/whatif?launches=history&simulate=1")).body.decode()
    assert "Recorded: half of the launches within 12 sec" in page
    assert "That is too much" not in page
    full = "launches=history&simulate=1&now.nodes.memory_gb=2&now.nodes.most=1"
    assert "That is too much" in (await api.fetch(f"/whatif?{full}")).body.decode()


@gen_test
async def test_the_page(api: Api) -> None:
    page = (await api.fetch("/whatif")).body.decode()
    assert "Results" not in page
    assert 'value="120 students, Mondays at 10"' in page
    response = await api.fetch(f"/whatif?{CLASS}&simulate=1&now.nodes.most=3&lang=de")
    page = response.body.decode()
    assert '<h2 id="results-title">Ergebnisse</h2>' in page
    assert re.search(r'name="now.nodes.most" value="3"', page)
    # What is not said for the second policy is as in the first.
    assert re.search(r'name="instead.nodes.most" value="3"', page)
    assert 'src="data:image/svg+xml;base64,' in page
    assert "img-src 'self' data:" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("class=many", "The class 'many' is not understood."),
        (f"{CLASS}&now.nodes.most=x", "`now`: nodes.most is invalid"),
        (f"{CLASS}&instead.nodes.most=0", "`instead`: nodes.most is invalid"),
        ("class=3000+students,+Fridays+at+10", "The page simulates at most 2,000 students."),
        ("launches=history", "The history has no launches in this period."),
    ],
)
@gen_test
async def test_a_wrong_question(api: Api, query: str, message: str) -> None:
    response = await api.fetch(f"/api/whatif?{query}")
    assert (response.code, message in sentence(response)) == (400, True)
    page = await api.fetch(f"/whatif?{query}&simulate=1")
    assert page.code == 400
    assert message in html.unescape(page.body.decode())
    assert 'name="simulate"' in page.body.decode()


@gen_test
async def test_one_at_a_time(api: Api) -> None:
    path = f"/api/whatif?{CLASS}"
    responses = await asyncio.gather(*(api.fetch(path) for _ in range(2)))
    assert sorted(response.code for response in responses) == [200, 429]
    assert (await api.fetch(path)).code == 200


@gen_test
async def test_a_simulation_may_not_take_for_ever() -> None:
    policy = Policy(classes=[read_class("2000 students, daily at 10")] * 5)
    simulate = Simulator(logging.getLogger(), seconds=1)
    with pytest.raises(BadRequestError, match="took too long"):
        await simulate(Question(policies=[("now", policy)], runs=50))


@gen_test
async def test_simulations_are_off_by_default(api: Api, web: Web) -> None:
    assert not web.whatif
    web.simulate = None
    for path in ("/api/whatif", "/whatif"):
        response = await api.fetch(path)
        assert response.code == 404
        assert "c.Web.whatif" in response.body.decode()
    assert "whatif" not in (await api.fetch("/")).body.decode()
    on = Web(launches=web.launches, simulate=Simulator(logging.getLogger()), whatif=True)
    assert (on.simulate is not None, "whatif" in on.nav) == (True, True)
