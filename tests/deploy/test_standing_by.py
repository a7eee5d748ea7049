"""Servers that stand ready, as a configuration says; and where that cannot be."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from binderprogress.core.phases import Phase
from binderprogress.core.timing.spans import PastLaunch
from binderprogress.deploy import standing_by
from binderprogress.deploy.jupyterhub_service import JupyterHubService
from binderprogress.deploy.standalone import Standalone
from binderprogress.errors import ConfigError, HistoryUnavailableError

from ..support.asynchronous import asynchronous
from ..support.repositories import repository
from ..support.standalone import running
from ..support.standing_checks import answers, launched, numbers, standing, took
from ..support.waiting import until

REPOSITORIES = {"repositories": {"gh/ada/penguins/HEAD": 1}}


def test_processes_of_this_server_stand_ready(tmp_path: Path) -> None:
    penguins = repository(tmp_path / "penguins", {"requirements.txt": ""})
    settings: dict[str, Any] = {
        "Standalone": {"start_jupyterhub": False},
        "Standby": {"repositories": {penguins.as_uri(): 1}},
    }
    with running(tmp_path, **settings) as server:
        until(lambda: standing(server.url) == 1, lambda: "nothing stands ready")
        events = launched(server.url, penguins.as_uri())
        assert took(events)
        assert answers(events[-1])
        until(lambda: standing(server.url) == 1, lambda: "nothing stands ready")
        assert numbers(server.url) == {
            "starting": 0,
            "ready": 1,
            "stopping": 0,
            "taken": 1,
            "missed": 0,
            "started": 2,
            "failed": 0,
            "dead": 0,
            "replaced": 0,
        }
        trace = server.call(_trace(server, events))
        assert [(span.phase, span.step) for span in trace.spans] == [
            (Phase.WAITING, "resolving"),
            (Phase.BUILT, "standby"),
        ]
        assert not trace.cold


async def _trace(server: Any, events: list[dict[str, Any]]) -> Any:
    (launch,) = [
        one for one in server.standalone.launches._directory if one.last.url == events[-1]["url"]
    ]
    return launch.trace()


def refused(match: str, cls: type[Any] = Standalone, **sections: Any) -> None:
    config = Config({"Standby": REPOSITORIES, **sections})
    with pytest.raises(ConfigError, match=match):
        cls(config=config)


def test_where_servers_cannot_stand_ready(tmp_path: Path) -> None:
    storage = {"Storage": {"url": "memory"}}
    binderhubs = {"Upstreams": {"urls": ["https://binder.invalid/"]}}
    refused(r"Servers cannot stand ready here: A BinderHub starts", **storage, **binderhubs)
    hub = {"HubLauncher": {"url": "http://hub.invalid/", "api_token": "x", "named": True}}
    refused(r"With logins, each server belongs to its user\. Remove", **storage, **hub)
    culled = {"Standalone": {"cull_after": 900, "hub_folder": str(tmp_path)}}
    refused(r"max_age is 1200 s, but .* after 900 s\. Set it to less, such as 600", **culled)


def test_they_cannot_with_the_login_of_a_jupyterhub(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "API_TOKEN": "x",
        "API_URL": "http://127.0.0.1:1/hub/api",
        "SERVICE_NAME": "binder",
        "SERVICE_PREFIX": "/services/binder/",
    }.items():
        monkeypatch.setenv(f"JUPYTERHUB_{name}", value)
    storage = {"Storage": {"url": "memory"}}
    refused(r"With logins, each server belongs to its user", JupyterHubService, **storage)
    temporary = {"JupyterHubService": {"named_servers": False}, **storage}
    refused(r"Set c\.HubLauncher\.url to its address", JupyterHubService, **temporary)


def test_nothing_stands_ready_by_default(tmp_path: Path) -> None:
    config = Config({"Storage": {"url": "memory"}})
    assert Standalone(config=config).standby is None


class Past:
    """A history."""

    def __init__(self) -> None:
        self.is_away = False

    def recent(self, limit: int) -> list[PastLaunch]:
        if self.is_away:
            raise HistoryUnavailableError("It is away.")
        addresses = ["https://github.com/ada/penguins"] * 2 + ["https://github.com/ada/others"]
        return [
            PastLaunch(
                began=time.time(),
                provider="gh",
                repository=address,
                ref="HEAD",
                outcome=Phase.READY,
            )
            for address in [*addresses, "not an address"]
        ]


@asynchronous(30)
async def test_the_ranking_is_that_of_the_history() -> None:
    past = Past()
    config = Config({"Storage": {"url": "memory"}})
    rank = standing_by._ranking(Standalone(config=config), lambda: past)  # type: ignore[arg-type, return-value] # it has what is asked for
    assert await rank(5) == ["gh/ada/penguins/HEAD", "gh/ada/others/HEAD"]
    assert await rank(1) == ["gh/ada/penguins/HEAD"]
    past.is_away = True
    assert await rank(5) == ["gh/ada/penguins/HEAD"]
