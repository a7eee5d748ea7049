"""Our extension in a real Jupyter server: access control, and launches."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, expect

from binderprogress.deploy.embedded_jupyterhub import HUB_PROGRAM, free_ports

from ..launches.parts import NOTHING, local
from ..support.binderhub import binderhub_in_thread, healthy
from ..support.gone import gone
from ..support.hubservice import SERVER
from ..support.processes import Program, program
from ..support.repositories import repository

pytestmark = pytest.mark.hub

ROOT = Path(__file__).parents[2]
TOKEN = "the-token-of-this-server"
AUTHORIZED = {"Authorization": f"token {TOKEN}"}


class Server:
    """A running Jupyter server."""

    def __init__(self, port: int, log: Path) -> None:
        self.base_url = f"http://127.0.0.1:{port}/base-url/"
        self.url = f"{self.base_url}binderprogress/"
        self.log = log
        self.program: Program | None = None

    def start(self, folder: Path) -> dict[str, Any]:
        """Start a launch with the server's token, and return its links."""
        body = {"spec": str(local(folder / "small"))}
        answer = self.ask("api/launches", "POST", json=body)
        assert answer.status_code == 201, answer.text
        links: dict[str, Any] = answer.json()
        return links

    def ask(self, path: str = "", method: str = "GET", **options: Any) -> requests.Response:
        options = {"headers": AUTHORIZED, "allow_redirects": False, **options}
        url = path if path.startswith("http") else self.url + path
        return requests.request(method, url, timeout=60, **options)


@contextmanager
def jupyter_server(
    folder: Path,
    env: dict[str, str],
    *more: str,
    path: str = "binderprogress/health",
    upstreams: Sequence[str] = (),
    lacking: Sequence[str] = (),
) -> Iterator[Server]:
    """Run a Jupyter server with its files in a folder, and wait until it answers at a path.

    With `upstreams`, it runs in front of these BinderHubs. It cannot import the modules `lacking`.
    """
    # Without the grammar, it starts two seconds earlier; see `deploy.jupyterhub_program`.
    env = without(folder, env, "rfc3987_syntax", *lacking)
    (port,) = free_ports(1)
    log = folder / "log"
    config = folder / "config"
    # As installed by the wheel, but for this server only.
    shutil.copytree(ROOT / "jupyter-config", config)
    server = Server(port, log)
    fake = folder / "server.py"
    fake.write_text(SERVER)
    # A fast spawner for its JupyterHub.
    hub_config = {
        "JupyterHub": {"spawner_class": "simple"},
        "SimpleLocalProcessSpawner": {
            "home_dir_template": str(folder / "homes" / "{username}"),
            "cmd": [sys.executable, str(fake)],
        },
    }
    settings = {
        "Standalone": {"hub_config": hub_config},
        "LocalBuilder": {
            "environments": str(folder / "environments"),
            "local_folders": [str(folder)],
            "base_packages": [],
            "link_mode": "hardlink",
        },
        "Upstreams": {"urls": list(upstreams), "health_interval": 0.1},
    }
    (config / "jupyter_server_config.json").write_text(json.dumps(settings))
    own = {
        **env,
        "JUPYTER_TOKEN": TOKEN,
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "HOME": str(folder),
    }
    arguments = [
        "jupyter-server",
        f"--port={port}",
        "--port-retries=0",
        "--no-browser",
        "--allow-root",
        f"--ServerApp.root_dir={folder}",
        "--ServerApp.base_url=/base-url/",
        *more,
    ]
    with program(*arguments, env=own, log=log) as running:
        eventually(lambda: answers(f"{server.base_url}{path}", running), log)
        server.program = running
        yield server


def eventually(true: Callable[[], bool], log: Path) -> None:
    """Poll until a condition is true: other processes send no events."""
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.1)


def answers(url: str, running: Program) -> bool:
    assert running.process.poll() is None, f"It ended, before it answered at {url}."
    try:
        return requests.get(url, timeout=30).status_code == 200
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("server")
    repository(folder / "small", NOTHING)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path, env: dict[str, str]) -> Iterator[Server]:
    with jupyter_server(folder, env) as server:
        yield server


@pytest.mark.long
def test_attack_without_a_login_nothing_is_seen(server: Server, folder: Path) -> None:
    """Another user of this machine, or a page of another site, knows the URL."""
    links = server.start(folder)
    for nobody in ({}, {"Authorization": "token wrong"}, {"Cookie": "username-x=y"}):
        for method, url in (
            ("GET", links["state_url"]),
            ("GET", links["events_url"]),
            ("GET", links["log_url"]),
            ("GET", links["trace_url"]),
            ("DELETE", links["state_url"]),
        ):
            answer = server.ask(url, method, headers=nobody)
            wrong = server.ask(url.replace(links["id"], "A" * 32), method, headers=nobody)
            assert answer.status_code == wrong.status_code == 403
            assert answer.text == wrong.text
        for path, method in (
            ("api/launches", "GET"),
            ("api/launches", "POST"),
            ("launches", "POST"),
            ("api/stats", "GET"),
            ("api/popular", "GET"),
        ):
            assert server.ask(path, method, headers=nobody, json={}).status_code == 403
        assert server.ask(f"build/{links['spec']}", headers=nobody).status_code == 403
        for page in ("", "launches", "link", "stats", f"v2/{links['spec']}"):
            answer = server.ask(page, headers=nobody)
            assert answer.status_code == 302
            assert answer.headers["Location"].startswith("/base-url/login?next=")
            assert not answer.text
    # It is still running.
    assert '"phase":"ready"' in server.ask(links["events_url"]).text


def test_attack_a_cookie_alone_starts_nothing(server: Server, folder: Path) -> None:
    """A page of another site can make the browser send the cookie, but cannot read _xsrf."""
    browser = requests.Session()
    page = browser.get(server.url, params={"token": TOKEN}, timeout=20)
    assert page.status_code == 200
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    spec = str(local(folder / "small"))
    url, body = f"{server.url}api/launches", {"spec": spec}
    assert browser.post(url, json=body, timeout=20).status_code == 403
    assert browser.post(f"{server.url}launches", {"cancel": "x"}, timeout=20).status_code == 403
    assert browser.get(f"{server.url}build/{spec}", timeout=20).status_code == 403
    asked = browser.get(
        f"{server.url}v2/{spec}",
        # Another page of this origin can have any path and Referer.
        headers={"Sec-Fetch-Site": "same-origin", "Referer": server.url},
        timeout=20,
    )
    assert " ask " in asked.text
    # As the element does.
    xsrf = {"X-XSRFToken": browser.cookies["_xsrf"]}
    started = browser.post(url, json=body, headers=xsrf, timeout=20)
    assert started.status_code == 201
    assert browser.get(started.json()["state_url"], timeout=20).status_code == 200
    state = started.json()["state_url"]
    assert browser.delete(state, timeout=20).status_code == 403
    assert browser.delete(state, headers=xsrf, timeout=20).status_code == 202


def test_attack_the_jupyter_servers_log_has_no_key(server: Server, folder: Path) -> None:
    """It logs URLs and Referers with its own function. They must not contain ids of launches."""
    links = server.start(folder)
    odd = server.url.rstrip("/") + f"//api//launches/{links['id']}"
    referrer = {**AUTHORIZED, "Referer": f"{server.url}?launch={links['id']}"}
    assert server.ask(links["state_url"], headers={}).status_code == 403
    assert server.ask(odd).status_code == 404
    assert server.ask("nothing", headers=referrer).status_code == 404
    eventually(
        lambda: "404 GET /base-url/binderprogress/nothing" in server.log.read_text(), server.log
    )
    assert links["id"][:6] in server.log.read_text()
    assert links["id"] not in server.log.read_text()


def test_a_launch_to_the_server_and_the_end_of_all(folder: Path, env: dict[str, str]) -> None:
    repository(folder / "complete" / "small", NOTHING)
    with jupyter_server(folder / "complete", env) as server:
        assert server.program is not None
        # JupyterHub starts with the first launch, not with the Jupyter server.
        assert len(server.program.family()) == 1
        links = server.start(folder / "complete")
        assert links["page_url"].startswith(f"{server.url}v2/git/file")
        events = server.ask(links["events_url"]).text
        ready = json.loads(events.rstrip().rpartition("data: ")[2].partition("\n")[0])
        assert ready["phase"] == "ready", server.log.read_text()
        assert requests.get(ready["url"], timeout=20).status_code == 200
        listed = server.ask("api/launches").json()["launches"]
        assert [one["id"] for one in listed] == [links["id"]]
        assert "small" in server.ask("launches").text
        # The history is written after the end of the launch.
        until = time.monotonic() + 10
        while not any(day["ready"] for day in server.ask("api/stats").json()["days"]):
            assert time.monotonic() < until, server.log.read_text()
            time.sleep(0.1)
        # If JupyterHub dies, the next launch starts it again.
        (hub,) = [one for one in server.program.family() if HUB_PROGRAM in one.cmdline()]
        # Its home is the test's folder, so binderprogress does not find it there.
        orphans = [
            one for one in hub.children() if str(folder / "complete") in " ".join(one.cmdline())
        ]
        hub.kill()
        for orphan in orphans:
            orphan.kill()
        again = server.ask(server.start(folder / "complete")["events_url"]).text
        assert '"phase":"ready"' in again, server.log.read_text()
        # As BinderHub's clients, with the server's token.
        stream = {**AUTHORIZED, "Accept": "text/event-stream"}
        with requests.get(
            f"{server.url}build/{links['spec']}", headers=stream, timeout=20, stream=True
        ) as answer:
            assert answer.status_code == 200
        family = server.program.family()
        assert len(family) >= 3, "JupyterHub and its proxy"
        server.program.signal(signal.SIGTERM)
        assert server.program.wait(20) == 0
    assert gone(family, timeout=30)
    with pytest.raises(requests.ConnectionError):
        requests.get(ready["url"], timeout=5)


@pytest.mark.browser
def test_the_element_in_a_jupyter_server(browser: Browser, server: Server, folder: Path) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.goto(f"{server.url}?token={TOKEN}")
    page.goto(f"{server.url}v2/{local(folder / 'small')}")
    page.get_by_role("button", name="Launch").click()
    expect(page.get_by_role("link", name="Open the server")).to_be_visible(timeout=30_000)
    page.get_by_role("link", name="Your launches").click()
    expect(page.get_by_role("link", name="small").first).to_be_visible()
    assert problems == []
    context.close()


@pytest.mark.long
def test_a_server_that_wants_a_login_for_everything(folder: Path, env: dict[str, str]) -> None:
    """It refuses to start if handlers have no login and are not marked."""
    strict = "--ServerApp.allow_unauthenticated_access=False"
    with jupyter_server(folder / "strict", env, strict) as server:
        assert server.ask("", headers={}).status_code == 302
        assert server.ask("api/launches", headers={}).status_code in {302, 403}
        assert server.ask("api/launches").json() == {"launches": []}
        assert server.ask("static/binder-progress.js", headers={}).status_code == 200


def without(folder: Path, env: dict[str, str], *modules: str) -> dict[str, str]:
    """Return environment variables with which modules cannot be imported."""
    (folder / "modules").mkdir(parents=True)
    text = f"import sys; sys.modules.update(dict.fromkeys({modules!r}))\n"
    (folder / "modules" / "sitecustomize.py").write_text(text)
    return {**env, "PYTHONPATH": str(folder / "modules")}


def test_without_what_it_needs_the_jupyter_server_runs(folder: Path, env: dict[str, str]) -> None:
    """The extension is installed with the package, even if its requirements are not."""
    with jupyter_server(folder / "lacking", env, path="api", lacking=["uv"]) as server:
        assert server.ask("health").status_code == 404
    assert "pip install 'binderprogress[local]'" in server.log.read_text()


@pytest.mark.long
def test_launches_at_a_binderhub(folder: Path, env: dict[str, str]) -> None:
    """In front of a BinderHub, it needs no JupyterHub, no engine and no extra."""
    own = folder / "upstreams"
    lacking = ["jupyterhub", "psutil", "repo2docker", "uv", "filelock"]
    spec = "gh/ada/penguins/HEAD"
    with (
        binderhub_in_thread() as hub,
        jupyter_server(own, env, upstreams=[hub.url], lacking=lacking) as server,
    ):
        assert server.program is not None
        url = f"{server.url}api/launches"
        assert server.ask(url, "POST", headers={}, json={"spec": spec}).status_code == 403
        assert hub.requests == []
        # Launched code has no rights here, so links need no confirmation.
        elsewhere = {**AUTHORIZED, "Sec-Fetch-Site": "cross-site"}
        assert " ask " not in server.ask(f"v2/{spec}", headers=elsewhere).text

        links = server.ask(url, "POST", json={"spec": spec}).json()
        events = server.ask(links["events_url"]).text
        ready = json.loads(events.rstrip().rpartition("data: ")[2].partition("\n")[0])
        assert (ready["phase"], ready["url"]) == ("ready", f"{hub.url}user/someone/")
        # Opening the page again starts no second launch.
        assert server.ask(links["events_url"]).text == events
        assert hub.requests == [spec]

        hub.wait_for(hub.idle)
        hub.pause()
        hub.joined.clear()
        cancelled = server.ask(url, "POST", json={"spec": "gh/ada/whales/HEAD"}).json()
        hub.wait_for(hub.joined)
        hub.left.clear()
        assert server.ask(cancelled["state_url"], "DELETE").status_code == 202
        hub.wait_for(hub.left)
        hub.resume()
        hub.wait_for(hub.idle)
        assert hub.launches == 1
        listed = server.ask("api/launches").json()["launches"]
        assert [one["phase"] for one in listed] == ["cancelled", "ready"]
        assert [one["id"] for one in listed] == [cancelled["id"], links["id"]]

        # The BinderHub is monitored.
        assert server.ask("health").status_code == 200
        hub.health = {"ok": False, "checks": []}
        eventually(lambda: server.ask("health").status_code == 503, server.log)

        hub.health = healthy()
        eventually(lambda: server.ask("health").status_code == 200, server.log)
        hub.joined.clear()
        server.ask(url, "POST", json={"spec": spec})
        hub.wait_for(hub.joined)
        assert len(server.program.family()) == 1
        server.program.signal(signal.SIGTERM)
        assert server.program.wait(20) == 0
        hub.wait_for(hub.idle)
    assert not {"Traceback", "Unclosed"} & set(server.log.read_text().split())


@pytest.mark.long
def test_an_address_that_is_none_is_said(folder: Path, env: dict[str, str]) -> None:
    own = folder / "wrong"
    with jupyter_server(own, env, path="api", upstreams=["binder.example.org"]) as server:
        assert server.ask("health").status_code == 404
    log = server.log.read_text()
    assert "binderprogress is not available: " in log
    assert "'binder.example.org/' is not the address of a BinderHub" in log
    assert "Traceback" not in log
