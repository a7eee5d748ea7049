"""A real JupyterHub spawns the image that the real repo2docker has built."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from traitlets import TraitError

from binderprogress.deploy.embedded_jupyterhub import HUB_PROGRAM
from binderprogress.deploy.spawners.container import ContainerSpawner

from .podman_support import BASE_IMAGE, Podman

pytestmark = [pytest.mark.podman, pytest.mark.hub]

API_TOKEN = "the-service-token-of-this-test"

CONFIG = """\
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:{ports[0]}/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{ports[1]}/"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{ports[2]}/"
c.ConfigurableHTTPProxy.command = ["{proxy}"]
c.ConfigurableHTTPProxy.pid_file = "{folder}/proxy.pid"
c.JupyterHub.cookie_secret_file = "{folder}/cookie_secret"
c.JupyterHub.db_url = "sqlite:///:memory:"
c.JupyterHub.authenticator_class = "null"
c.JupyterHub.allow_named_servers = True
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}
c.JupyterHub.services = [{{"name": "binderprogress", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [
    {{
        "name": "binderprogress-launcher",
        "services": ["binderprogress"],
        "scopes": ["admin:users", "admin:servers"],
    }}
]
c.JupyterHub.spawner_class = "binderprogress.deploy.spawners.container.ContainerSpawner"
# Containers have no network of their own in this sandbox.
c.ContainerSpawner.host_network = True
c.ContainerSpawner.http_timeout = 60
c.ContainerSpawner.cors_allow_origin = "https://example.org"
"""


class Hub:
    """The Hub as a service sees it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"token {API_TOKEN}"

    def request(self, method: str, path: str, **options: object) -> requests.Response:
        return self._session.request(
            method, f"{self.url}hub/api/{path}", timeout=60, allow_redirects=False, **options
        )

    def start(self, user: str, options: dict[str, object]) -> requests.Response:
        assert self.request("POST", f"users/{user}").status_code == 201
        return self.request("POST", f"users/{user}/servers/lab", json=options)

    def progress(self, user: str, *, timeout: float = 60) -> list[dict[str, object]]:
        """Read the progress stream to its end."""
        path = f"users/{user}/servers/lab/progress"
        deadline = time.monotonic() + timeout
        response = self.request("GET", path, stream=True)
        # JupyterHub says "is not starting" while it clears a failed start away, and then tells how
        # it failed; there is nothing else to wait for.
        while response.status_code == 400 and time.monotonic() < deadline:
            response.close()
            time.sleep(0.05)
            response = self.request("GET", path, stream=True)
        with response:
            assert response.status_code == 200, response.text
            lines = response.iter_lines(decode_unicode=True)
            return [json.loads(line[5:]) for line in lines if line.startswith("data:")]

    def close(self) -> None:
        self._session.close()


@pytest.fixture(scope="module")
def hub(podman_service: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    beside = [str(Path(sys.executable).parent), str(Path("js/node_modules/.bin").absolute())]
    path = os.pathsep.join([*beside, os.environ["PATH"]])
    proxy = shutil.which("configurable-http-proxy", path=path)
    if proxy is None:
        pytest.skip("configurable-http-proxy is not installed")
    folder = tmp_path_factory.mktemp("hub")
    ports = free_ports(3)
    config = folder / "jupyterhub_config.py"
    config.write_text(CONFIG.format(ports=ports, proxy=proxy, folder=folder, token=API_TOKEN))
    with (folder / "hub.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", HUB_PROGRAM, "--config", str(config)],
            cwd=folder,
            env={**os.environ, "DOCKER_HOST": podman_service, "PATH": path},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    hub = Hub(f"http://127.0.0.1:{ports[0]}/")
    try:
        await_hub(hub, process, folder / "hub.log", timeout=40)
        yield hub
    finally:
        hub.close()
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(True)]
        process.terminate()
        _, alive = psutil.wait_procs(family, timeout=20)
        for left in alive:
            left.kill()
        process.wait(timeout=20)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        # All at once, so that they differ.
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [listener.getsockname()[1] for listener in sockets]


def await_hub(hub: Hub, process: subprocess.Popen[bytes], log: Path, *, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        # The proxy answers 503 until it knows the Hub.
        with contextlib.suppress(requests.ConnectionError):
            if hub.request("GET", "").status_code == 200:
                return
        # There is no event for "answers"; the end of the process is one.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
            break
    pytest.fail(log.read_text())


@pytest.fixture
def user() -> str:
    return f"launch-{secrets.token_hex(4)}"


@pytest.mark.long
def test_a_server_opens_with_its_token_and_only_with_it(
    hub: Hub, podman: Podman, image: str, user: str
) -> None:
    token = secrets.token_urlsafe(16)
    options = {
        "image": image,
        "token": token,
        "repo_url": "https://example.org/repo",
        "binder_request": "v2/git/example",
        "binder_ref_url": "https://example.org/repo/tree/main",
        "LD_PRELOAD": "/evil.so",
    }
    assert hub.start(user, options).status_code == 202
    events = hub.progress(user)
    assert events[-1].get("ready") is True, events

    server = f"{hub.url.rstrip('/')}{events[-1]['url']}"
    assert server == f"{hub.url}user/{user}/lab/"

    def get(path: str, *, query: str = "", host: str | None = None) -> requests.Response:
        headers = {"Host": host} if host else {}
        return requests.get(f"{server}{path}{query}", headers=headers, timeout=20)

    with_token = f"?token={token}"
    answer = get("api/status", query=with_token)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://example.org"
    assert get("api/status").status_code == 403
    assert get("api/status", query="?token=another").status_code == 403
    files = get("api/contents", query=with_token).json()["content"]
    assert "README.md" in {file["name"] for file in files}
    # By another name, as behind a public host.
    page = get("lab", query=with_token, host="hub.example.org")
    assert page.status_code == 200
    assert "JupyterLab" in page.text

    mine = ["--filter", f"label=binderprogress.user={user}"]
    (container,) = json.loads(podman.run("ps", *mine, "--format", "json"))
    assert container["Names"] == [f"binderprogress-{user.replace('-', '-2d')}--lab"]
    assert container["Labels"]["binderprogress.server"] == "lab"
    (found,) = json.loads(podman.run("container", "inspect", container["Id"]))
    assert token not in json.dumps([found["Args"], found["Config"]["Cmd"], container])
    env = dict(item.split("=", 1) for item in found["Config"]["Env"])
    assert env["JUPYTER_TOKEN"] == token
    assert env["BINDER_REPO_URL"] == "https://example.org/repo"
    assert env["BINDER_REQUEST"] == "v2/git/example"
    assert env["BINDER_REF_URL"] == "https://example.org/repo/tree/main"
    assert "LD_PRELOAD" not in env
    # The Hub's token is not for a stranger's code.
    assert not {"JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN"} & set(env)

    # 204: it has stopped; 202 would be: it goes on stopping.
    assert hub.request("DELETE", f"users/{user}/servers/lab").status_code == 204
    assert json.loads(podman.run("ps", "--all", *mine, "--format", "json")) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": "docker.io/library/debian:12"}, "is not allowed here"),
        ({"image": "evil.example.org/binderprogress-x:1"}, "is not allowed here"),
        # "binderprogress-x" could be anybody's account at a registry.
        ({"image": "binderprogress-x/evil:1"}, "is not allowed here"),
        ({"image": "binderprogress-x:1\n"}, "is not allowed here"),
        ({"image": ["binderprogress-x:1"]}, "is not allowed here"),
        ({}, "The option image is missing"),
        ({"image": "binderprogress-no-such-image:1"}, "does not exist"),
        # It would be a server that anyone may use.
        ({"image": "binderprogress-x:1", "token": ""}, "The option token is missing or not valid"),
        (
            {"image": "binderprogress-x:1", "token": None},
            "The option token is missing or not valid",
        ),
        (
            {"image": "binderprogress-x:1", "token": "a b"},
            "The option token is missing or not valid",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    hub: Hub, podman: Podman, user: str, options: dict[str, object], message: str
) -> None:
    response = hub.start(user, {"token": "a-token", **options})
    if response.status_code == 202:
        said = str(hub.progress(user)[-1]["message"])
    else:
        # It was over before the Hub had answered.
        assert response.status_code in {400, 404}
        said = response.json()["message"]
    assert message in said
    containers = podman.run(
        "ps", "--all", "--quiet", "--filter", f"label=binderprogress.user={user}"
    )
    assert containers == ""


def test_an_image_without_jupyter_says_so(podman: Podman, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\nRUN rm /usr/local/bin/jupyter-*\n")
    name = "localhost/binderprogress-bare:1"
    podman.run("build", "--quiet", "--tag", name, str(tmp_path))
    command = ["podman", "run", "--rm", name, *ContainerSpawner().cmd, "--port=1"]
    done = subprocess.run(command, env=podman.env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 127
    assert done.stderr == "This image has no JupyterLab, Jupyter Notebook or Jupyter Server.\n"


def test_networks() -> None:
    published = ContainerSpawner()
    assert (published.ip, published.network_name) == ("0.0.0.0", "bridge")
    assert not published.use_internal_ip
    host = ContainerSpawner(host_network=True)
    assert (host.ip, host.network_name) == ("127.0.0.1", "host")
    assert host.use_internal_ip


def test_a_broken_pattern_is_told() -> None:
    with pytest.raises(TraitError, match="allowed_images is not a regular expression"):
        ContainerSpawner(allowed_images="(")
