"""Launches go on when their server is killed or stopped, with a real JupyterHub."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import psutil
import pytest
import requests

from ..support.gone import gone, within
from ..support.long import usually
from ..support.processes import Program, program
from ..support.standalone import post
from ..support.waiting import until

pytestmark = pytest.mark.hub

WITHIN = 120.0

WAITS = """\
#!/bin/bash
echo the build waits
while [ ! -e {mark} ]; do sleep 0.1; done
echo the build goes on
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """`binderprogress serve`, again and again at the same port with the same folders."""

    def __init__(self, env: dict[str, str], folder: Path) -> None:
        self.port = free_port()
        self.log = folder / "log"
        self.hub = folder / "hub"
        self._env = env
        self.arguments = [
            *("binderprogress", "serve", f"--port={self.port}"),
            f"--LocalBuilder.local_folders={folder}",
            f"--Standalone.hub_folder={self.hub}",
            f"--Storage.url=sqlite:///{folder}/launches.sqlite",
            f"--Storage.log_folder={folder}/logs",
        ]
        self.url = f"http://127.0.0.1:{self.port}/"

    def run(self) -> Any:
        return program(*self.arguments, env=self._env, log=self.log)

    def __call__(self, running: Program) -> str:
        assert running.line().startswith("binderprogress listens on"), self.log.read_text()
        return self.url


class Viewer(threading.Thread):
    """Follows a launch to its end as a browser does: it reconnects with the last number."""

    def __init__(self, links: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.events: list[dict[str, Any]] = []
        self.cuts = 0
        self._url = links["events_url"]
        self._seen: Queue[dict[str, Any]] = Queue()
        self.start()

    def run(self) -> None:
        while not (self.events and self.events[-1]["phase"] in {"ready", "failed", "cancelled"}):
            last = self.events[-1]["id"] if self.events else 0
            try:
                self._follow(last)
            except requests.RequestException:
                self.cuts += 1
                time.sleep(0.05)

    def _follow(self, last: int) -> None:
        with requests.get(
            self._url, headers={"Last-Event-ID": str(last)}, stream=True, timeout=WITHIN
        ) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                if line.startswith(b"data: "):
                    event = json.loads(line[6:])
                    self.events.append(event)
                    self._seen.put(event)

    def until(self, text: str) -> None:
        """Wait for an event with a text."""
        while text not in self._seen.get(timeout=WITHIN).get("message", ""):
            pass

    def end(self) -> list[dict[str, Any]]:
        """Wait for the end, and check the stream."""
        self.join(WITHIN)
        assert not self.is_alive()
        assert [event["id"] for event in self.events] == list(range(1, len(self.events) + 1))
        for field in ("progress", "time"):
            # But for the first event of a launch that joined a build, which is later.
            values = [event[field] for event in self.events[1:]]
            assert values == sorted(values)
        return self.events


@pytest.fixture
def server(env: dict[str, str], tmp_path: Path) -> Iterator[Server]:
    server = Server(env, tmp_path)
    yield server
    family = within(server.hub)
    for process in family:
        process.kill()
    assert gone(family)


def processes(text: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if text in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.fault(
    part="The server",
    fault="is killed, or gets SIGTERM, during a build",
    promise=(
        "the build starts again once; every viewer gets every event once, up to a server for each "
        "launch"
    ),
)
@pytest.mark.parametrize("number", usually([signal.SIGKILL, signal.SIGTERM], signal.SIGKILL))
def test_a_build_and_its_viewers_go_on(
    number: signal.Signals,
    server: Server,
    make_repository: Callable[..., Path],
    tmp_path: Path,
) -> None:
    mark = tmp_path / "mark"
    files = {"requirements.txt": "", "postBuild": WAITS.format(mark=mark)}
    repository = make_repository(files=files)
    with server.run() as first:
        url = server(first)
        links = [post(f"{url}api/launches", {"spec": repository.as_uri()}) for _ in range(3)]
        viewers = [Viewer(each) for each in links for _ in range(2)]
        for viewer in viewers:
            viewer.until("the build waits")
        waiting = processes(str(mark))
        first.signal(number)
        first.wait(20)
        # Of the build, nothing is left.
        assert gone(waiting)
        with server.run() as second:
            server(second)
            for viewer in viewers:
                viewer.until("the build waits")
            mark.touch()
            ends = [viewer.end() for viewer in viewers]
            state = requests.get(links[0]["state_url"], timeout=WITHIN).json()
            log = requests.get(links[0]["log_url"], timeout=WITHIN).text
            # All launches have a server, and each only one.
            urls = {end[-1]["url"] for end in ends}
            assert len(urls) == 3
            for end in ends:
                assert end[-1]["phase"] == "ready", end[-1]
                address = f"{end[-1]['url']}api/status?token={end[-1]['token']}"
                assert requests.get(address, timeout=WITHIN).status_code == 200
                assert sum("The server was restarted" in e.get("message", "") for e in end) == 1
            second.signal(signal.SIGINT)
            assert second.wait(30) == 0
    assert all(viewer.cuts for viewer in viewers)
    assert ends[0] == ends[1]
    assert state["phase"] == "ready"
    assert log.count("the build waits") == 2
    assert within(server.hub) == []
    assert "Traceback" not in server.log.read_text()


@pytest.mark.fault(
    part="The server",
    fault="gets SIGTERM after a launch",
    promise="the events, log and trace are the same afterwards, and the Jupyter server goes on",
)
def test_ready_servers_and_finished_launches_are_there_afterwards(
    server: Server, make_repository: Callable[..., Path]
) -> None:
    repository = make_repository(files={"requirements.txt": ""})
    with server.run() as first:
        url = server(first)
        links = post(f"{url}api/launches", {"spec": repository.as_uri()})
        events = Viewer(links).end()
        log = requests.get(links["log_url"], timeout=WITHIN).text
        trace = requests.get(links["trace_url"], timeout=WITHIN).json()
        first.signal(signal.SIGTERM)
        assert first.wait(20) == 0
        with server.run() as second:
            server(second)
            assert Viewer(links).end() == events
            assert requests.get(links["log_url"], timeout=WITHIN).text == log
            assert requests.get(links["trace_url"], timeout=WITHIN).json() == trace
            address = f"{events[-1]['url']}api/status?token={events[-1]['token']}"
            assert requests.get(address, timeout=WITHIN).status_code == 200
            second.signal(signal.SIGINT)
            assert second.wait(30) == 0
    assert within(server.hub) == []
    assert "Traceback" not in server.log.read_text()


@pytest.mark.fault(
    part="The server",
    fault="is killed after a build",
    promise="its log can be read at its permanent link, also when the launch is forgotten",
)
def test_a_log_outlives_its_launch_and_its_server(
    server: Server, make_repository: Callable[..., Path]
) -> None:
    files = {"requirements.txt": "", "postBuild": "#!/bin/bash\necho no luck\nexit 1\n"}
    repository = make_repository(files=files)
    server.arguments.append("--LaunchManager.forget_after=0.1")
    with server.run() as first:
        url = server(first)
        links = post(f"{url}api/launches", {"spec": repository.as_uri()})
        events = Viewer(links).end()
        (build_id,) = {event["build_id"] for event in events if "build_id" in event}
        assert requests.get(f"{url}builds/{build_id}/log", timeout=WITHIN).ok
        # Then its end is stored, and the second server only has to forget it.
        until(lambda: "failed> ended" in server.log.read_text())
        first.signal(signal.SIGKILL)
        first.wait(20)
        with server.run() as second:
            server(second)
            until(lambda: requests.get(links["state_url"], timeout=WITHIN).status_code == 404)
            for path in ("builds", "api/builds"):
                log = requests.get(f"{url}{path}/{build_id}/log", timeout=WITHIN).text
                assert "no luck\n" in log
                assert log.endswith(events[-1]["message"])
            second.signal(signal.SIGINT)
            assert second.wait(30) == 0
    assert "Traceback" not in server.log.read_text()
