"""A real JupyterHub with people who log in, and the server as its service."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests
from traitlets.config import Config

from binderprogress.deploy.embedded_jupyterhub import EmbeddedJupyterHub, free_ports

from .processes import BIN, program

DOCS = Path(__file__).parents[2] / "docs" / "jupyterhub.md"
SCOPE = "access:services!service=binderprogress"
SERVICE = "services/binderprogress/"
WRONG = "A" * 32
"""The id of no launch."""

# What a Hub takes for a single-user server, in a fraction of the time that Jupyter needs.
SERVER = """
import os
from http.server import HTTPServer, SimpleHTTPRequestHandler
from urllib.parse import urlsplit
class Handler(SimpleHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
port = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port
HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""

# What browsers say of a page that one goes to, and of what its scripts ask for.
NAVIGATE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
FETCH = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}


def documented(heading: str) -> Any:
    """Return the Hub's configuration that the documentation shows below a heading."""
    text = DOCS.read_text().split(f"## {heading}\n", 1)[1]
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert block is not None
    config = Config()
    exec(block[1], {"c": config})  # noqa: S102 - our own documentation
    return json.loads(json.dumps(config["JupyterHub"]))


class Service:
    """The service, and its Hub as its administrator sees it."""

    def __init__(self, hub: EmbeddedJupyterHub, tokens: dict[str, str]) -> None:
        self.hub_url = hub.url
        self.url = f"{hub.url}{SERVICE}"
        self.headers = {name: {"Authorization": f"token {tokens[name]}"} for name in tokens}
        """By which the service itself, an administrator and another service are known."""
        self.command: list[str] = []
        """The command of a service that was started by hand, with `env`."""
        self.env: dict[str, str] = {}

    @contextmanager
    def replica(self, log: Path) -> Iterator[str]:
        """Start another one by hand, with launches of its own; gives its address."""
        (port,) = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        command = [*self.command, "--Storage.url=memory"]
        env = {**self.env, "JUPYTERHUB_SERVICE_URL": url}
        with program(*command, env=env, log=log):
            _answers(f"{url}/{SERVICE}health", log)
            yield f"{url}/{SERVICE}"

    def ask(
        self, method: str, path: str, body: Any = None, *, status: int = 200, who: str = "admin"
    ) -> Any:
        """Ask the Hub's API."""
        answer = requests.request(
            method,
            f"{self.hub_url}hub/api/{path}",
            headers=self.headers[who],
            json=body,
            timeout=20,
        )
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def token(self, user: str, *scopes: str) -> dict[str, str]:
        """Make a token of a user; return the header that sends it."""
        made = self.ask("POST", f"users/{user}/tokens", {"scopes": scopes}, status=201)
        return {"Authorization": f"token {made['token']}"}

    def servers(self, user: str) -> dict[str, Any]:
        """List the servers of a user."""
        found: dict[str, Any] = self.ask("GET", f"users/{user}")["servers"]
        return found

    def users(self) -> set[str]:
        """List the users."""
        return {user["name"] for user in self.ask("GET", "users")}


class Person:
    """Somebody with a browser, as far as cookies and headers go."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.session = requests.Session()

    @property
    def cookies(self) -> str:
        """What the browser sends to the service, as a header."""
        request = requests.Request("GET", f"{self.service.url}api/launches")
        return str(self.session.prepare_request(request).headers["Cookie"])

    def log_in(self, name: str) -> Person:
        """Log in to the Hub."""
        url = f"{self.service.hub_url}hub/login?next=/hub/home"
        page = self.session.get(url, headers=NAVIGATE, timeout=20)
        (xsrf,) = [cookie.value for cookie in self.session.cookies if cookie.name == "_xsrf"]
        form = {"username": name, "password": "secret", "_xsrf": xsrf}
        page = self.session.post(url, data=form, headers=NAVIGATE, timeout=20)
        assert "login" not in page.url, page.text
        return self

    def go(self, path: str = "", **options: Any) -> requests.Response:
        """Go to a page of the service."""
        return self.session.get(
            self.service.url + path,
            headers={**NAVIGATE, **options.pop("headers", {})},
            timeout=20,
            **options,
        )

    @property
    def xsrf(self) -> str:
        """What the service's pages read from their cookie."""
        (value,) = [
            str(cookie.value)
            for cookie in self.session.cookies
            if cookie.name == "_xsrf" and cookie.path == f"/{SERVICE}"
        ]
        return value

    def fetch(
        self, path: str, method: str = "GET", *, xsrf: bool = True, **options: Any
    ) -> requests.Response:
        """Ask as a script in the service's page does; without `xsrf`, as one in another page."""
        more = {"X-XSRFToken": self.xsrf} if xsrf else {}
        return self.session.request(
            method,
            path if path.startswith("http") else self.service.url + path,
            headers={**FETCH, **more, **options.pop("headers", {})},
            timeout=20,
            **options,
        )

    def start(self, spec: Any) -> dict[str, Any]:
        """Start a launch and return its links."""
        answer = self.fetch("api/launches", "POST", json={"spec": str(spec)})
        assert answer.status_code == 201, answer.text
        links: dict[str, Any] = answer.json()
        return links

    def events(self, links: dict[str, Any]) -> list[dict[str, Any]]:
        """Watch a launch to its end."""
        answer = self.fetch(links["events_url"])
        assert answer.status_code == 200, answer.text
        return [
            json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")
        ]


def _on_launch(links: dict[str, Any]) -> list[tuple[str, str]]:
    """List all that can be asked about a launch."""
    state = links["state_url"]
    return [
        ("GET", state),
        ("GET", links["events_url"]),
        ("GET", links["log_url"]),
        ("GET", links["trace_url"]),
        ("GET", f"{state}/socket"),
        ("DELETE", state),
    ]


def refused_alike(
    fetch: Callable[[str, str], requests.Response], links: dict[str, Any], status: int
) -> None:
    """Whatever is asked, that the launch is there cannot be told from the answer."""
    for method, url in _on_launch(links):
        answer = fetch(url, method)
        assert answer.status_code == status, (method, url)
        wrong = fetch(url.replace(links["id"], WRONG), method)
        assert (answer.status_code, answer.text) == (wrong.status_code, wrong.text)
        assert answer.headers.keys() == wrong.headers.keys()
        assert "endless" not in answer.text


@contextmanager
def service(
    folder: Path, heading: str, config: str = "", *, by_hand: bool = False
) -> Iterator[Service]:
    """Run a Hub as documented below a heading, with the service that it starts.

    `folder` has the repositories; `config` is more for the service. `by_hand`: it is started here,
    with the variables that the documentation lists.
    """
    hub_folder = folder / "hub"
    hub_folder.mkdir()
    fake = hub_folder / "server.py"
    fake.write_text(SERVER)
    (own,) = free_ports(1)
    service_config = folder / "binderprogress_config.py"
    service_config.write_text(
        f"c.LocalBuilder.environments = {str(folder / 'environments')!r}\n"
        f"c.LocalBuilder.local_folders = [{str(folder)!r}]\n"
        "c.LocalBuilder.base_packages = []\n"
        "c.LocalBuilder.link_mode = 'hardlink'\n"
        "c.JupyterHubService.trust_visitors = True\n" + config
    )
    values = documented(heading)
    starting = ExitStack()
    managed = values["services"][0]
    managed["url"] = f"http://127.0.0.1:{own}"
    # The Hub starts services with little of its environment; uv is to find the package index.
    # Launches of the services before are not its own.
    environment = {**os.environ, "XDG_DATA_HOME": str(folder / "data")}
    managed["environment"] = environment
    ours = {
        "binderprogress": str(BIN / "binderprogress"),
        "/etc/jupyterhub/binderprogress_config.py": str(service_config),
    }
    managed["command"] = [ours.get(word, word) for word in managed["command"]]
    own_token, admin, robot = (secrets.token_hex() for _ in range(3))
    managed["api_token"] = own_token
    values["services"] += [
        {"name": "tests", "api_token": admin},
        {"name": "robot", "api_token": robot},
    ]
    # A user who has the other service's name.
    values["load_groups"]["launchers"]["users"].append("robot")
    values["load_roles"] += [
        {
            "name": "tests",
            "services": ["tests"],
            "scopes": ["admin:users", "admin:servers", "tokens", "access:servers"],
        },
        {"name": "robot", "services": ["robot"], "scopes": [SCOPE]},
    ]
    if by_hand:
        command = managed.pop("command")
        managed.pop("environment")
    hub = EmbeddedJupyterHub(
        hub_folder,
        config={
            "JupyterHub": {
                **values,
                "authenticator_class": "dummy",
                "spawner_class": "simple",
            },
            "DummyAuthenticator": {"password": "secret"},
            "Authenticator": {"allow_all": True},
            "SimpleLocalProcessSpawner": {
                "home_dir_template": str(hub_folder / "homes" / "{username}"),
                "cmd": [sys.executable, str(fake)],
            },
        },
        env={},
    )
    # For `config`.
    environment["TEST_HUB_URL"] = hub.url
    # Whoever started the Hub asks with its token whether it is the one that answers.
    values["services"].append({"name": "starter", "api_token": hub.api_token})
    values["load_roles"].append(
        {"name": "starter", "services": ["starter"], "scopes": ["list:users"]}
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    asyncio.run_coroutine_threadsafe(hub.start(), loop).result(240)
    found = Service(hub, {"own": own_token, "admin": admin, "robot": robot})
    try:
        if by_hand:
            # Meanwhile: the Hub waits up to half a minute for a service that it does not start.
            env = {**environment, **_by_hand(hub.url, managed)}
            found.command, found.env = command, env
            starting.enter_context(program(*command, env=env, log=folder / "service.log"))
        asyncio.run_coroutine_threadsafe(hub.available(), loop).result(240)
        _answers(f"{found.url}health", hub_folder / "jupyterhub.log")
        yield found
    finally:
        starting.close()
        asyncio.run_coroutine_threadsafe(hub.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def _by_hand(hub_url: str, managed: dict[str, Any]) -> dict[str, str]:
    """Return the environment that the documentation asks for, with our own addresses."""
    text = DOCS.read_text().split("## Starting the service yourself\n", 1)[1]
    named = dict(re.findall(r"(?m)^export (\w+)=(.*)$", text))
    own = {
        "JUPYTERHUB_API_TOKEN": managed["api_token"],
        "JUPYTERHUB_API_URL": f"{hub_url}hub/api",
        "JUPYTERHUB_SERVICE_URL": managed["url"],
    }
    assert own.keys() <= named.keys()
    return {**named, **own}


def _answers(url: str, log: Path) -> None:
    """Await that the service does; the Hub does not say when."""
    until = time.monotonic() + 120  # machines may be slow
    while not _is_well(url):
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.1)


def _is_well(url: str) -> bool:
    try:
        return requests.get(url, timeout=30).status_code == 200
    except requests.ConnectionError:
        # It does not listen yet.
        return False
