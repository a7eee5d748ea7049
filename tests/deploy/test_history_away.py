"""The history's database hangs or ends: launches go on, and the statistics say so."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from ..support.postgresql import PostgreSQL, running_postgresql
from ..support.processes import Program, environment, program

SPEC = {"spec": "gh/ada/penguins/HEAD"}


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    with running_postgresql() as server:
        yield server


class Server:
    """A server in front of a BinderHub that does not exist: each launch fails at once."""

    def __init__(self, running: Program, url: str) -> None:
        self.program = running
        self.url = url

    def launch(self) -> str:
        """Launch to the end. Return the last event's phase."""
        answer = requests.post(f"{self.url}api/launches", json=SPEC, timeout=30)
        assert answer.status_code == 201, answer.text
        state = {"phase": ""}
        until = time.monotonic() + 30
        while state["phase"] != "failed":
            assert time.monotonic() < until
            time.sleep(0.02)
            state = requests.get(answer.json()["state_url"], timeout=30).json()
        return str(state["phase"])

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=60)


@contextmanager
def server(postgresql: PostgreSQL, folder: Path, **settings: Any) -> Iterator[Server]:
    options = {
        "Upstreams.urls": "['http://127.0.0.1:1/']",
        "Upstreams.pauses": "[]",
        "History.url": postgresql.url,
        "History.timeout": "2",
        "Storage.url": "memory",
        "Web.history_timeout": "0.5",
        **settings,
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    env = environment(folder / "cache")
    log = folder / "log"
    with program("binderprogress", "serve", "--port=0", *arguments, env=env, log=log) as running:
        line = running.line()
        assert line.startswith("binderprogress listens on "), log.read_text()
        yield Server(running, line.split()[-1])


def is_away(answer: requests.Response) -> bool:
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "30"
    assert "The database of past launches does not respond." in answer.text
    return True


@pytest.mark.long
@pytest.mark.fault(
    part="The history's database",
    fault="hangs (PostgreSQL, SIGSTOP)",
    promise="launches go on, statistics answer 503, and it recovers by itself",
)
def test_a_database_that_hangs(postgresql: PostgreSQL, tmp_path: Path) -> None:
    with server(postgresql, tmp_path) as running:
        assert running.launch() == "failed"
        while not running.get("api/stats").json()["days"]:
            pass  # it is written in batches
        postgresql.pause()
        try:
            assert is_away(running.get("stats"))
            assert is_away(running.get("api/stats"))
            assert is_away(running.get("api/popular"))
            # As many as there are threads, and more.
            for _ in range(10):
                assert is_away(running.get("api/stats"))
            assert running.launch() == "failed"
        finally:
            postgresql.resume()
        # It recovers.
        until = time.monotonic() + 60
        while running.get("api/stats").status_code != 200:
            assert time.monotonic() < until
        while running.get("api/stats").json()["days"][-1]["failed"] < 2:
            assert time.monotonic() < until
        assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.fault(
    part="The history's database",
    fault="hangs when the server stops",
    promise="the server does not wait for it",
)
def test_a_server_stops_while_its_database_hangs(postgresql: PostgreSQL, tmp_path: Path) -> None:
    with server(postgresql, tmp_path, **{"History.timeout": "600"}) as running:
        postgresql.pause()
        try:
            for _ in range(3):
                assert is_away(running.get("api/stats"))
            assert running.launch() == "failed"
            running.program.signal(signal.SIGTERM)
            # It does not wait for the database. On an idle machine it takes 3 s.
            assert running.program.wait(60) == 0
        finally:
            postgresql.resume()


@pytest.mark.fault(
    part="The history's database",
    fault="is killed",
    promise="launches go on, and statistics answer 503",
)
def test_a_database_that_ends(tmp_path: Path) -> None:
    with running_postgresql() as postgresql, server(postgresql, tmp_path) as running:
        assert running.launch() == "failed"
        postgresql.kill()
        assert is_away(running.get("stats"))
        assert is_away(running.get("api/stats"))
        assert running.launch() == "failed"
        assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.fault(
    part="The history's database",
    fault="hangs when the server starts",
    promise="the server does not start, and says why",
)
def test_a_server_does_not_start_with_a_database_that_hangs(
    postgresql: PostgreSQL, tmp_path: Path
) -> None:
    postgresql.pause()
    try:
        arguments = [
            f"--History.url={postgresql.url}",
            "--History.timeout=1",
            "--Storage.url=memory",
        ]
        upstream = "--Upstreams.urls=['http://127.0.0.1:1/']"
        env = environment(tmp_path / "cache")
        log = tmp_path / "log"
        command = ("binderprogress", "serve", "--port=0", upstream, *arguments)
        with program(*command, env=env, log=log) as running:
            assert running.line(120) == ""
            assert running.wait(30) == 1
        assert "The history cannot be opened" in log.read_text()
    finally:
        postgresql.resume()
