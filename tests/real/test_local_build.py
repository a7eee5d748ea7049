"""A real BinderHub with its local build class on podman, with us in it and in front of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from ..podman.podman_support import Repository
from ..support.githttp import git_over_http
from ..support.gone import gone
from ..support.processes import program
from .local_binder import HUB_EVENT, LocalBinder, LocalHub, binderhub, spec_of
from .servers import events

pytestmark = [pytest.mark.hub, pytest.mark.podman]


@pytest.fixture(scope="module")
def inside(local_hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBinder]:
    """The extension: BinderHub's application with ours in front."""
    folder = tmp_path_factory.mktemp("inside")
    with binderhub(folder, local_hub, module="binderprogress.deploy.binderhub") as made:
        yield made


@pytest.fixture(scope="module")
def plain(local_hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBinder]:
    """BinderHub as it is."""
    with binderhub(tmp_path_factory.mktemp("plain"), local_hub) as made:
        yield made


@pytest.fixture(scope="module")
def front(plain: LocalBinder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Our server in front of it; its address."""
    log = tmp_path_factory.mktemp("front") / "log"
    arguments = ["serve", "--port", "0", "--upstream", plain.url]
    with program("binderprogress", *arguments, env=dict(os.environ), log=log) as running:
        url = running.line().rpartition(" ")[2].strip()
        assert url.startswith("http://127.0.0.1:"), log.read_text()
        yield url


@pytest.fixture(autouse=True)
def _no_servers_left(local_hub: LocalHub) -> Iterator[None]:
    yield
    local_hub.clear()


def start(url: str, spec: str) -> dict[str, Any]:
    answer = requests.post(f"{url}api/launches", json={"spec": spec}, timeout=30)
    assert answer.status_code == 201, answer.text
    started: dict[str, Any] = answer.json()
    return started


def watch(started: dict[str, Any]) -> list[dict[str, Any]]:
    return list(events(started["events_url"]))


def answers_with_its_token(ready: dict[str, Any]) -> None:
    assert ready["phase"] == "ready", ready
    status = f"{ready['url']}api/status"
    headers = {"Authorization": f"token {ready['token']}"}
    assert requests.get(status, headers=headers, timeout=30).status_code == 200
    assert requests.get(status, timeout=30).status_code == 403


def steps(told: list[dict[str, Any]]) -> list[int]:
    return [event["step_index"] for event in told if event.get("step_total")]


def test_inside_a_repository_goes_to_a_running_server(inside: LocalBinder, tmp_path: Path) -> None:
    spec = spec_of(Repository(tmp_path / "inside").url)
    told = watch(start(inside.url, spec))
    answers_with_its_token(told[-1])
    assert steps(told)
    assert steps(told) == sorted(steps(told))
    hub = [event["source"] for event in told if "progress" in event.get("source", {})]
    assert {k: v for k, v in HUB_EVENT.items() if k != "message"} in hub
    assert any(HUB_EVENT["message"] in event.get("message", "") for event in told)
    assert hub[-1]["progress"] == 100
    assert "<a href=" in hub[-1]["html_message"]

    # BinderHub's own endpoint, and now the image is there.
    before = inside.builds()
    again = inside.build(spec)
    answers_with_its_token(again[-1])
    assert not steps(again)
    assert inside.builds() == before


def test_a_dockerfile_that_fails_is_told(inside: LocalBinder, tmp_path: Path) -> None:
    last = 'python3 -c "import no_such_module"'
    failed = watch(start(inside.url, spec_of(Repository(tmp_path / "failing", last=last).url)))[-1]
    assert (failed["phase"], failed["reason"]) == ("failed", "build-step-failed"), failed
    assert any("no_such_module" in line for line in failed["evidence"])


def test_a_build_that_is_cancelled_ends_repo2docker(inside: LocalBinder, tmp_path: Path) -> None:
    # Its last step ends by itself: BinderHub kills repo2docker, and nothing tells podman.
    slow = Repository(tmp_path / "slow", last="echo now asleep && sleep 8")
    started = start(inside.url, spec_of(slow.url))
    for event in events(started["events_url"]):
        if event.get("message") == "now asleep\n":
            break
    # Processes of podman come and go below it.
    (repo2docker,) = psutil.Process(inside.pid).children()
    assert any("jupyter-repo2docker" in word for word in repo2docker.cmdline())
    family = [repo2docker, *repo2docker.children(recursive=True)]
    requests.delete(started["state_url"], timeout=30)
    assert gone([repo2docker])
    assert watch(started)[-1]["phase"] == "cancelled"
    assert gone(family, timeout=20)


def test_inside_fifty_viewers_cost_one_build(inside: LocalBinder, tmp_path: Path) -> None:
    before = len(inside.builds()), len(inside.servers())
    last = "for i in 1 2 3 4 5 6; do echo line $i; sleep 0.5; done"
    started = start(inside.url, spec_of(Repository(tmp_path / "watched", last=last).url))
    with ThreadPoolExecutor(50) as threads:
        streams = list(threads.map(watch, [started] * 50))
    answers_with_its_token(streams[0][-1])
    assert all(told == streams[0] for told in streams)
    assert (len(inside.builds()), len(inside.servers())) == (before[0] + 1, before[1] + 1)


def test_in_front_fifty_viewers_cost_one_watch(
    plain: LocalBinder, front: str, tmp_path: Path
) -> None:
    last = "for i in 1 2 3 4 5 6; do echo seen $i; sleep 0.5; done"
    Repository(tmp_path / "front", last=last)
    with git_over_http(tmp_path) as address:
        # Folders of this machine are refused for BinderHubs elsewhere.
        spec = spec_of(f"{address}front")
        started = start(front, spec)
        with ThreadPoolExecutor(50) as threads:
            streams = list(threads.map(watch, [started] * 50))
        answers_with_its_token(streams[0][-1])
        assert steps(streams[0])
        assert all(told == streams[0] for told in streams)
        # Whoever asks a BinderHub while it builds, starts a build; whoever asks later, a server.
        assert (len(plain.builds()), len(plain.servers())) == (1, 1)

        again = watch(start(front, spec))
        answers_with_its_token(again[-1])
        assert not steps(again)
        assert (len(plain.builds()), len(plain.servers())) == (1, 2)
