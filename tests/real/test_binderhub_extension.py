"""Our extension in a real BinderHub, in front of a real JupyterHub; see README.md."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from ..support.waiting import until
from .servers import events, free_ports, program

DOUBLES = Path(__file__).parents[1] / "doubles"
_found = importlib.util.find_spec("binderhub")
REAL = Path(_found.origin).parent if _found and _found.origin else DOUBLES

pytestmark = [
    pytest.mark.hub,
    pytest.mark.skipif(
        REAL.is_relative_to(DOUBLES), reason="BinderHub is not installed; see tests/real/README.md"
    ),
]

TOKEN = "the-binders-own-token"
ADMIN = "the-token-of-the-test"

HUB_CONFIG = """
import os
from jupyterhub.auth import DummyAuthenticator
from jupyterhub.spawner import SimpleLocalProcessSpawner

class TokenSpawner(SimpleLocalProcessSpawner):
    def get_args(self):
        token = self.user_options.get("token", "")
        return [
            "--allow-root", f"--port={{self.port}}", "--ip=127.0.0.1",
            f"--ServerApp.base_url={{self.server.base_url}}", f"--ServerApp.token={{token}}",
        ]

class AnyoneAuthenticator(DummyAuthenticator):
    allow_all = True

c.JupyterHub.authenticator_class = AnyoneAuthenticator
c.JupyterHub.spawner_class = TokenSpawner
c.TokenSpawner.cmd = ["jupyter-server"]
c.TokenSpawner.home_dir_template = {folder!r}
c.JupyterHub.bind_url = "http://127.0.0.1:{port}/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.JupyterHub.db_url = "sqlite:///:memory:"
def note(handler):
    '''Write down what is asked, and as a part of which trace.'''
    request = handler.request
    with open({asked!r}, "a") as file:
        told = request.headers.get("traceparent", "-")
        file.write(f"{{request.method}} {{request.path}} {{told}}\\n")

c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0, "log_function": note}}
c.JupyterHub.services = [
    {{
        "name": "binder", "api_token": {token!r},
        "oauth_client_id": "service-binder",
        "oauth_redirect_uri": "http://127.0.0.1:{binder_port}/oauth_callback",
        "oauth_no_confirm": True,
    }},
    {{"name": "test", "admin": True, "api_token": {admin!r}}},
]
c.JupyterHub.load_roles = [
    # What BinderHub's chart gives it.
    {{"name": "binder", "services": ["binder"], "scopes": ["servers", "admin:users"]}},
    {{"name": "user", "scopes": ["self", "access:services!service=binder"]}},
]
"""

BINDER_CONFIG = """
import json
import subprocess
from binderhub.build import BuildExecutor, ProgressEvent
from binderhub.quota import LaunchQuota
from binderhub.registry import FakeRegistry
from binderhub.repoproviders import FakeProvider

class ShellBuild(BuildExecutor):
    '''Runs a shell script, and writes down what is asked of it.'''

    def note(self, what):
        with open({calls!r}, "a") as file:
            file.write(what + "\\n")

    def submit(self):
        self.note("submit")
        self.progress(
            ProgressEvent.Kind.BUILD_STATUS_CHANGE, ProgressEvent.BuildStatus.RUNNING
        )

    def stream_logs(self):
        self.note("stream_logs")
        script = "for i in $(seq 1 40); do echo Step $i/40 : RUN x; sleep 0.1; done"
        shell = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
        for line in shell.stdout:
            record = {{"phase": "building", "message": line}}
            self.progress(ProgressEvent.Kind.LOG_MESSAGE, json.dumps(record))
        self.progress(
            ProgressEvent.Kind.BUILD_STATUS_CHANGE, ProgressEvent.BuildStatus.BUILT
        )

c.BinderHub.build_class = ShellBuild
c.BinderHub.use_registry = True
c.BinderHub.registry_class = FakeRegistry
c.BinderHub.builder_required = False
c.BinderHub.repo_providers = {{"fake": FakeProvider}}
c.BinderHub.launch_quota_class = LaunchQuota
c.BinderHub.hub_api_token = {token!r}
c.BinderHub.hub_url = {hub!r}
c.BinderHub.port = {port}
c.BinderHub.auth_enabled = {auth!r}
c.BinderProgress.page = {page!r}
c.RateLimiter.limit = 0
c.Tracing.endpoint = {endpoint!r}
"""


class Pair:
    """A JupyterHub, and a BinderHub with our extension."""

    def __init__(self, folder: Path, hub: str, url: str) -> None:
        self.hub = hub
        self.url = url
        self.process: subprocess.Popen[bytes] | None = None
        self._calls = folder / "calls"
        self._asked = folder / "asked"

    def asked(self) -> list[list[str]]:
        """What was asked of the Hub: method, path, traceparent or "-"."""
        return [line.split() for line in self._asked.read_text().splitlines()]

    def calls(self) -> list[str]:
        """What was asked of the builder."""
        return self._calls.read_text().split() if self._calls.exists() else []

    def start(self, **options: Any) -> dict[str, Any]:
        answer = requests.post(
            f"{self.url}api/launches", json={"spec": "fake/a/b"}, timeout=30, **options
        )
        assert answer.status_code == 201, answer.text
        started: dict[str, Any] = answer.json()
        return started

    def watch(self, started: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
        """Read a launch to its end."""
        return list(events(started["events_url"], **options))

    def api(self, method: str, path: str, **options: Any) -> Any:
        headers = {"Authorization": f"token {ADMIN}"}
        answer = requests.request(
            method, f"{self.hub}hub/api/{path}", headers=headers, timeout=30, **options
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None


@contextmanager
def pair(
    folder: Path, *, auth: bool = False, page: str = "binderhub", endpoint: str = ""
) -> Iterator[Pair]:
    port, hub_port, proxy_port, binder_port = free_ports(4)
    hub = f"http://127.0.0.1:{port}/"
    hub_config = folder / "jupyterhub_config.py"
    ports = {
        "port": port,
        "hub_port": hub_port,
        "proxy_port": proxy_port,
        "binder_port": binder_port,
    }
    asked = str(folder / "asked")
    hub_config.write_text(
        HUB_CONFIG.format(folder=str(folder), asked=asked, token=TOKEN, admin=ADMIN, **ports)
    )
    binder_config = folder / "binderhub_config.py"
    binder_config.write_text(
        BINDER_CONFIG.format(
            calls=str(folder / "calls"),
            token=TOKEN,
            hub=hub,
            port=binder_port,
            auth=auth,
            page=page,
            endpoint=endpoint,
        )
    )
    made = Pair(folder, hub, f"http://127.0.0.1:{binder_port}/")
    env = {
        "JUPYTERHUB_API_TOKEN": TOKEN,
        "JUPYTERHUB_API_URL": f"{hub}hub/api/",
        "JUPYTERHUB_HOST": hub.rstrip("/"),
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_CLIENT_ID": "service-binder",
        "JUPYTERHUB_SERVICE_NAME": "binder",
        "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{made.url}oauth_callback",
    }
    jupyterhub = [sys.executable, "-m", "jupyterhub", "-f", str(hub_config)]
    binderhub = [sys.executable, "-m", "binderprogress.deploy.binderhub", "--config"]
    binderhub.append(str(binder_config))
    with (
        program(jupyterhub, f"{hub}hub/api/health", folder, {}),
        program(
            [*binderhub, str(binder_config)], f"{made.url}versions", folder, env
        ) as made.process,
    ):
        yield made


@pytest.fixture(scope="module")
def binder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("binder")) as made:
        yield made


def test_a_repository_goes_to_a_running_server_with_the_hubs_progress(binder: Pair) -> None:
    told = binder.watch(binder.start())
    assert told[-1]["phase"] == "ready"
    assert [event["id"] for event in told] == list(range(1, len(told) + 1))
    hub = [event["source"] for event in told if "progress" in event.get("source", {})]
    assert [source["progress"] for source in hub] == sorted(source["progress"] for source in hub)
    assert hub[-1]["progress"] == 100
    assert "<a href=" in hub[-1]["html_message"]
    ready = told[-1]
    token = {"Authorization": f"token {ready['token']}"}
    answer = requests.get(f"{ready['url']}api/status", headers=token, timeout=30)
    assert answer.status_code == 200


def test_fifty_viewers_of_twenty_launches_cost_one_build_watch(binder: Pair) -> None:
    before = binder.calls()
    users = len(binder.api("GET", "users"))
    launches = [binder.start() for _ in range(20)]
    with ThreadPoolExecutor(50) as threads:
        watched = [threads.submit(binder.watch, launches[n % 20]) for n in range(50)]
        # One server is enough for the machine of a test: the others leave while it is built.
        wait_for(launches[0], "Step 20/40")
        for launch in launches[1:]:
            requests.delete(launch["state_url"], timeout=30)
        streams = [viewer.result(120) for viewer in watched]
    assert binder.calls()[len(before) :] == ["submit", "stream_logs"]
    assert [stream[-1]["phase"] for stream in streams].count("ready") == 3
    assert all("Step 20/40" in "".join(e.get("message", "") for e in told) for told in streams)
    assert len(binder.api("GET", "users")) == users + 1


def wait_for(launch: dict[str, Any], text: str) -> None:
    for event in events(launch["events_url"]):
        if text in event.get("message", ""):
            return
    raise AssertionError(f"the launch ended without {text!r}")


def test_a_launch_that_is_cancelled_leaves_no_user(binder: Pair) -> None:
    users = {user["name"] for user in binder.api("GET", "users")}
    started = binder.start()
    for event in events(started["events_url"]):
        if event.get("source", {}).get("progress") is not None:
            requests.delete(started["state_url"], timeout=30)
            break
    until(lambda: {user["name"] for user in binder.api("GET", "users")} == users)


def test_when_it_is_stopped_it_says_so_and_leaves_no_user(tmp_path: Path) -> None:
    with pair(tmp_path) as binder:
        stream = events(binder.start()["events_url"])
        for event in stream:
            if event.get("source", {}).get("progress") is not None:
                break
        assert binder.process is not None
        binder.process.terminate()
        assert list(stream)[-1]["reason"] == "shutdown"
        # As BinderHub ends.
        assert binder.process.wait(10) == -signal.SIGTERM
        assert binder.api("GET", "users") == []


def test_binderhubs_own_page_works(binder: Pair, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("playwright")
    browser = request.getfixturevalue("browser")
    before = len(binder.calls())
    page = browser.new_page()
    page.goto(f"{binder.url}v2/fake/a/b")
    page.wait_for_url(re.compile(rf"{binder.hub}user/.*"), timeout=90_000)
    page.close()
    assert binder.calls()[before:] == ["submit", "stream_logs"]


def test_our_page_goes_to_the_end(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("playwright")
    browser = request.getfixturevalue("browser")
    with pair(tmp_path, page="ours") as binder:
        page = browser.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else 0)
        page.goto(f"{binder.url}v2/fake/a/b?urlpath=lab")
        ready = page.evaluate(
            """() => new Promise((resolve) => {
              const element = document.querySelector("binder-progress");
              element.addEventListener("ready", ({ detail }) => resolve(detail.url));
              element.addEventListener("failed", ({ detail }) => resolve(detail.message));
            })"""
        )
        page.close()
    assert ready.startswith(f"{binder.hub}user/")
    assert problems == []


def test_with_logins_a_launch_is_its_users_own(tmp_path: Path) -> None:
    with pair(tmp_path, auth=True) as binder:
        assert (
            requests.post(
                f"{binder.url}api/launches", json={"spec": "fake/a/b"}, timeout=30
            ).status_code
            == 403
        )
        accept = {"Accept": "text/event-stream"}
        (event,) = events(f"{binder.url}build/fake/a/b", headers=accept)
        assert (event["phase"], event["status_code"]) == ("failed", 403)
        # Pages go to the Hub's login.
        page = requests.get(f"{binder.url}v2/fake/a/b", timeout=30, allow_redirects=False)
        assert "/hub/api/oauth2/authorize" in page.headers["Location"]

        headers = {}
        for name in ("ann", "bob"):
            binder.api("POST", f"users/{name}")
            token = binder.api("POST", f"users/{name}/tokens", json={})["token"]
            headers[name] = {"Authorization": f"token {token}"}
        started = binder.start(headers=headers["ann"])
        told = binder.watch(started, headers=headers["ann"])
        assert told[-1]["url"] == f"{binder.hub}user/ann/"
        for name, status in (("ann", 200), ("bob", 404)):
            answer = requests.get(started["log_url"], headers=headers[name], timeout=30)
            assert answer.status_code == status
        assert requests.get(started["log_url"], timeout=30).status_code == 403


def test_our_page_leads_to_the_login_and_to_ones_own_server(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("playwright")
    browser = request.getfixturevalue("browser")
    with pair(tmp_path, auth=True, page="ours") as binder:
        ann, bob = browser.new_context(), browser.new_context()
        page = ann.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else 0)
        log_in(page, f"{binder.url}v2/fake/a/b?urlpath=lab", "ann")
        # The browser came from the Hub, which for it is the same site.
        page.get_by_role("button", name="Launch").click()
        page.get_by_role("link", name="Open the server").wait_for(timeout=90_000)
        href = str(page.get_by_role("link", name="Open the server").get_attribute("href"))
        assert href.startswith(f"{binder.hub}user/ann/")
        # A reload goes on with this launch; it starts no other.
        page.reload()
        page.get_by_role("link", name="Open the server").wait_for()
        assert binder.calls() == ["submit", "stream_logs"]
        launch = page.url.partition("#launch=")[2]
        page.get_by_role("link", name="Your launches").click()
        page.get_by_role("link", name="fake/repo").click()
        page.get_by_role("link", name="Open the server").wait_for()
        assert problems == []

        page = bob.new_page()
        log_in(page, f"{binder.url}launches", "bob")
        page.get_by_text("There are none").wait_for()
        page.goto(f"{binder.url}v2/fake/a/b#launch={launch}")
        page.get_by_role("heading", name="This launch has expired").wait_for()
        assert page.get_by_role("link", name="Open the server").count() == 0
        ann.close()
        bob.close()
        assert set(binder.api("GET", "users/ann")["servers"]) == {""}
        assert binder.api("GET", "users/bob")["servers"] == {}


def log_in(page: Any, url: str, name: str) -> None:
    """Go to a page, by way of the Hub's login."""
    page.goto(url)
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill("any")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(url)


# -- the double is like the real one


def definitions(path: Path) -> dict[str, list[str]]:
    """Functions with their parameters, classes, and what is assigned in both."""
    found: dict[str, list[str]] = {}

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[prefix + node.name] = [argument.arg for argument in node.args.args]
            elif isinstance(node, ast.ClassDef):
                found[prefix + node.name] = []
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        found[prefix + target.id] = []

    visit(ast.parse(path.read_text()).body, "")
    return found


# Only of the double: where it stands for what is not there, and what has other names inside.
OWN = {
    "app.py": {
        *("SCHEMA", "_FIELDS", "Launcher", "BinderHub._secret", "BinderHub._networks"),
        *("MetricsHandler", "MetricsHandler.get", "HealthHandler", "HealthHandler.initialize"),
        *("HealthHandler.get", "UIHandler", "UIHandler.get"),
    },
    "__init__.py": {"__version__"},
    "builder.py": {"BuildHandler.get"},
    "ratelimit.py": {"RateLimiter.__init__"},
}


@pytest.mark.parametrize("name", sorted(path.name for path in (DOUBLES / "binderhub").glob("*.py")))
def test_what_the_double_has_the_real_one_has_too(name: str) -> None:
    double, real = definitions(DOUBLES / "binderhub" / name), definitions(REAL / name)
    for what, parameters in double.items():
        if what not in OWN.get(name, ()):
            assert real.get(what) == parameters, what


def test_the_attribute_that_says_whether_a_request_had_a_build_token() -> None:
    """`deploy.binderhub.handlers` reads it; without it, such requests would count as others."""
    assert "self._have_build_token = " in (REAL / "base.py").read_text()


def test_the_double_names_images_and_builds_as_the_real_one() -> None:
    from binderprogress.deploy.binderhub.names import build_name, image_name

    class Named:
        def __init__(self, slug: str) -> None:
            self._slug = slug

        def get_build_slug(self) -> str:
            return self._slug

    slugs = ["a-b", "Ünï-code_x", "x" * 300, "ends_"]
    names = [[build_name(Named(s), "1A" * 20), image_name(Named(s), "main", "r/p-")] for s in slugs]
    code = (
        "import json, sys\n"
        "from binderhub.builder import _generate_build_name as g, _safe_build_slug as s\n"
        "def image(slug): return f'r/p-{s(slug, limit=251)}:main'.replace('_', '-').lower()\n"
        "print(json.dumps([[g(x, '1A' * 20, prefix='build-'), image(x)] for x in "
        f"{slugs!r}]))"
    )
    env = {**os.environ, "PYTHONPATH": str(DOUBLES)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == names
