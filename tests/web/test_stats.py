"""Statistics of past launches."""

from __future__ import annotations

import html
import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from traitlets.config import Config

from binderprogress.core.specs import Spec
from binderprogress.history.database import Database
from binderprogress.history.store import NoHistory
from binderprogress.launches import LaunchManager
from binderprogress.web.openapi import document

from ..history.launches import past
from ..launches.parts import SilentHost, gen_test
from .clients import Api, sentence

REPOSITORY = "https://github.com/ada/penguins"


@pytest.fixture(autouse=True)
def history(launches: LaunchManager, tmp_path: Path) -> Iterator[Database]:
    """A history of three launches, with three kinds of URLs."""
    made = Database(f"sqlite:///{tmp_path}/history.sqlite", log=logging.getLogger())
    addresses = [REPOSITORY, "file:///home/ada/secret-penguins", "git@example.org:ada/secret"]
    made.write([past(began=time.time(), repository=one) for one in addresses for _ in range(3)])
    launches.history = made
    yield made
    made.close()


def fits(body: bytes, schema: str) -> Any:
    """Return the response, and check it against the OpenAPI document."""
    answer = json.loads(body)
    jsonschema.validate(
        answer,
        {"$ref": f"#/components/schemas/{schema}", "components": document()["components"]},
    )
    return answer


@gen_test
async def test_where_the_time_went(api: Api) -> None:
    answer = fits((await api.fetch("/api/stats")).body, "StatsAnswer")
    assert answer["days"][-1]["ready"] == 9
    assert answer["last_days"] == 30
    (total,) = [d for d in answer["phases"] if d["phase"] == "total" and not d["day"]]
    assert total["launches"] == 9
    assert total["p50"] == pytest.approx(65, rel=0.01)
    assert answer["lost"] == 0


@gen_test
async def test_only_public_repositories_are_named(api: Api) -> None:
    stats, popular = await api.fetch("/api/stats"), await api.fetch("/api/popular")
    assert [r["repository"] for r in json.loads(stats.body)["repositories"]] == [REPOSITORY]
    (image,) = fits(popular.body, "PopularAnswer")["images"]
    assert (image["repository"], image["launches"], image["seconds"]) == (REPOSITORY, 3, 10.0)
    assert image["score"] == pytest.approx(30, rel=0.01)
    assert b"secret" not in stats.body + popular.body


@gen_test
async def test_statistics_of_one_provider_or_host(api: Api, history: Database) -> None:
    history.write([past(began=time.time(), provider="gl", host="b.example.org")])
    for query, ready in (
        ("provider=gh", 9),
        ("provider=gl", 1),
        # A known provider without launches.
        ("provider=zenodo", 0),
        ("host=b.example.org", 1),
        ("host=here", 9),
        ("host=here&provider=gl", 0),
        ("host=&provider=", 10),
    ):
        answer = fits((await api.fetch(f"/api/stats?{query}")).body, "StatsAnswer")
        assert sum(day["ready"] for day in answer["days"]) == ready
        assert (answer["providers"], answer["hosts"]) == (["gh", "gl"], ["here", "b.example.org"])
    answer = fits((await api.fetch("/api/stats?provider=gl&host=here")).body, "StatsAnswer")
    assert (answer["provider"], answer["host"]) == ("gl", "here")


@pytest.mark.parametrize("path", ["/api/stats", "/stats"])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("provider=svn", "provider 'svn'. Use one of gh, or omit it."),
        ("provider=*", "provider '*'."),
        ("host=a.example.com", "host 'a.example.com'. Use one of here, or omit it."),
        (f"host={'x' * 5000}", "host 'xxx"),
    ],
)
def test_unknown_providers_and_hosts_are_refused(
    api: Api, path: str, query: str, expected: str, io_loop: Any
) -> None:
    response = io_loop.run_sync(lambda: api.fetch(f"{path}?{query}"))
    assert response.code == 404
    # A page has the first sentence as its heading.
    text = html.unescape(re.sub("<[^>]*>", " ", response.body.decode()))
    assert expected in " ".join(text.split())
    assert len(response.body) < 5000


def test_without_a_history_nothing_can_be_selected(
    api: Api, launches: LaunchManager, io_loop: Any
) -> None:
    launches.history = NoHistory()
    response = io_loop.run_sync(lambda: api.fetch("/api/stats?host=a.example.org"))
    assert response.code == 404
    assert "no launches with the host 'a.example.org'. Omit it." in sentence(response)
    assert io_loop.run_sync(lambda: api.fetch("/api/stats?host=here&provider=gh")).code == 200


@gen_test
async def test_launches_in_progress(api: Api, launches: LaunchManager) -> None:
    async with SilentHost() as host:
        from binderprogress.launches import Caller

        await launches.start(host.spec, Caller())
        live = json.loads((await api.fetch("/api/stats")).body)["live"]
        assert live == {"running": 1, "building": 0, "capacity": 200, "phases": {"waiting": 1}}


@pytest.mark.parametrize(
    "path",
    [
        "/api/stats?days=0",
        "/api/stats?days=367",
        "/api/stats?days=-1",
        "/api/stats?days=",
        "/api/stats?days=%D9%A3",
        "/api/stats?days=1e3",
        "/api/popular?limit=6%08",
        "/api/popular?limit=%206",
        "/api/popular?limit=100000000000000000000",
    ],
)
def test_an_invalid_number_is_refused(api: Api, path: str, io_loop: Any) -> None:
    response = io_loop.run_sync(lambda: api.fetch(path))
    assert response.code == 400
    assert "` must be a number from 1 to " in sentence(response)


class TestPrivate:
    @pytest.fixture
    def settings(self) -> Config:
        return Config({"Web": {"name_repositories": False}})

    @gen_test
    async def test_statistics_without_names_of_repositories(self, api: Api) -> None:
        stats, popular = await api.fetch("/api/stats"), await api.fetch("/api/popular")
        answer = fits(stats.body, "StatsAnswer")
        assert answer["days"][-1]["ready"] == 9
        assert answer["repositories"] == []
        assert popular.code == 403
        assert "c.Web.name_repositories" in sentence(popular)
        assert b"penguins" not in stats.body + popular.body


@gen_test
async def test_finished_launches_are_counted(
    api: Api, launches: LaunchManager, history: Database, failing: Spec
) -> None:
    started = await api.start(failing)
    await api.whole(started["events_url"])
    history.flush()
    answer = json.loads((await api.fetch("/api/stats")).body)
    assert {"outcome": "failed", "reason": "bad-ref", "launches": 1} in answer["reasons"]
