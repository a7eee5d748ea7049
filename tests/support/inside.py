"""Our extension inside a BinderHub, on a real port, with builds and launches that a test plays.

The BinderHub is the real one where it is installed, and else the double of its package in
`tests/doubles` (see `tests/conftest.py`). What is played is outside of it: the repository's host,
the registry, the builder, the Hub.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import binderhub.app
import requests
from binderhub.build import BuildExecutor, ProgressEvent
from binderhub.quota import LaunchQuota, LaunchQuotaExceeded
from binderhub.registry import DockerRegistry
from binderhub.repoproviders import RepoProvider
from jupyterhub.services.auth import HubOAuth
from tornado.httpclient import HTTPClientError
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import HTTPError
from traitlets import Bool, Integer, Unicode
from traitlets.config import Config, LoggingConfigurable

from binderprogress.deploy.binderhub.app import BinderProgressHub
from binderprogress.deploy.binderhub.names import image_name

from .hublogin import HubLogin, Visitor, hub_login

Status = ProgressEvent.BuildStatus
SECRET = b"s" * 32
COMMIT = "1a2b3c4d5e6f"
END = {"ready", "failed", "cancelled"}


class PlayedProvider(RepoProvider):
    """Has every repository, at one commit; branches with a name below `gone` are not there."""

    name = Unicode("GitHub")
    gone: set[str] = set()  # noqa: RUF012 - changed by tests
    display_config = {"displayName": "Played", "id": "gh"}  # noqa: RUF012 - BinderHub's way

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        parts = self.spec.split("/", 2)
        if len(parts) != 3:
            raise ValueError(f'Spec is not of the form "user/repo/ref", provided: "{self.spec}".')
        self.repo, self.unresolved_ref = "/".join(parts[:2]), parts[2]

    async def get_resolved_ref(self) -> str | None:
        if self.unresolved_ref == "unreachable":
            raise OSError("no route")
        return None if self.unresolved_ref in self.gone else COMMIT

    async def get_resolved_spec(self) -> str:
        return f"{self.repo}/{COMMIT}"

    def get_repo_url(self) -> str:
        return f"https://github.com/{self.repo}"

    async def get_resolved_ref_url(self) -> str:
        return f"https://github.com/{self.repo}/tree/{COMMIT}"

    def get_build_slug(self) -> str:
        return self.repo.replace("/", "-")


class PlayedRecords(RepoProvider):
    """Has every record, in version 2; as BinderHub's own, it has no ref to look up."""

    name = Unicode("Zenodo")
    display_config = {"displayName": "Zenodo DOI", "id": "zenodo"}  # noqa: RUF012 - BinderHub's way

    async def get_resolved_ref(self) -> str | None:
        return "2"

    async def get_resolved_spec(self) -> str:
        return self.spec.split("zenodo")[0] + "zenodo.2"

    def get_repo_url(self) -> str:
        return self.spec

    async def get_resolved_ref_url(self) -> str:
        return f"https://doi.org/{await self.get_resolved_spec()}"

    def get_build_slug(self) -> str:
        return "zenodo-2"


class PlayedRegistry(DockerRegistry):
    """Has the images that it is told of."""

    images: set[str] = set()  # noqa: RUF012 - changed by tests
    asked: list[str] = []  # noqa: RUF012 - read by tests

    async def get_image_manifest(self, image: str, tag: str) -> Any:
        self.asked.append(f"{image}:{tag}")
        return {"layers": []} if f"{image}:{tag}" in self.images else None

    async def get_credentials(self, image: str, tag: str) -> Any:
        return {"registry": "r", "username": "u", "password": "p"}


class PlayedQuota(LaunchQuota):
    """Is exceeded when it is told so."""

    exceeded = False
    asked: list[str] = []  # noqa: RUF012 - read by tests

    async def check_repo_quota(
        self, image_name: str, repo_config: dict[str, Any], repo_url: str
    ) -> Any:
        self.asked.append(image_name)
        if self.exceeded:
            message = f"Too many users running {repo_url}! Try again soon."
            raise LaunchQuotaExceeded(message, quota=1, used=1, status="repo_quota")
        return None


class PlayedBuild(BuildExecutor):
    """Says what a test says, in BinderHub's threads."""

    begun: queue.Queue[PlayedBuild] = queue.Queue()
    calls: list[str] = []  # noqa: RUF012 - read by tests
    broken = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lines: queue.Queue[Callable[[], None] | None] = queue.Queue()

    def submit(self) -> None:
        self.calls.append("submit")
        if self.broken:
            raise OSError("the cluster does not answer")
        self.progress(ProgressEvent.Kind.BUILD_STATUS_CHANGE, Status.PENDING)
        self.progress(ProgressEvent.Kind.BUILD_STATUS_CHANGE, Status.RUNNING)
        self.begun.put(self)

    def stream_logs(self) -> None:
        self.calls.append("stream_logs")
        while (line := self._lines.get()) is not None:
            line()

    def stop(self) -> None:
        super().stop()
        self.calls.append("stop")
        self._lines.put(None)

    def say(self, message: str, phase: str = "building") -> None:
        line = json.dumps({"phase": phase, "message": message})
        self._lines.put(lambda: self.progress(ProgressEvent.Kind.LOG_MESSAGE, line))

    def end(self, status: Any = Status.BUILT) -> None:
        kind = ProgressEvent.Kind.BUILD_STATUS_CHANGE
        self._lines.put(lambda: self.progress(kind, status))
        self._lines.put(None)


class PlayedLauncher(LoggingConfigurable):
    """Stands in the place of BinderHub's; its Hub says what a test says."""

    hub_api_token = Unicode()
    hub_url = Unicode()
    hub_url_local = Unicode()
    create_user = Bool(True)
    allow_named_servers = Bool(False).tag(config=True)
    retries = Integer(3).tag(config=True)
    retry_delay = Integer(0).tag(config=True)
    launch_timeout = Integer(600).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._numbers = itertools.count()
        self.launched: list[dict[str, Any]] = []
        self.traceparents: list[str] = []
        self.deleted: list[str] = []
        self.failures: list[Exception] = []
        self.refusal: Exception | None = None
        """How removals are answered now."""
        self.hold: asyncio.Event | None = None
        self.events = [
            {"progress": 0, "message": "Server requested"},
            {
                "progress": 40,
                "raw_event": {"reason": "Pulling", "type": "Normal"},
                "html_message": "<b>Pulling</b> image",
                "message": "Pulling image",
            },
        ]

    def unique_name_from_repo(self, repo_url: str) -> str:
        return f"{repo_url.rpartition('/')[2]}-{next(self._numbers)}"

    async def launch(
        self,
        image: str,
        username: str,
        server_name: str = "",
        repo_url: str = "",
        extra_args: dict[str, Any] | None = None,
        event_callback: Any = None,
    ) -> dict[str, Any]:
        asked = {"image": image, "username": username, "server_name": server_name}
        self.launched.append({**asked, "repo_url": repo_url, **(extra_args or {})})
        if self.failures and isinstance(self.failures[0], HTTPError):
            raise self.failures.pop(0)
        await self.api_request(f"users/{username}/servers/{server_name}", method="POST", body=b"")
        for event in self.events:
            await event_callback(event)
        if self.failures:
            raise self.failures.pop(0)
        if self.hold is not None:
            await self.hold.wait()
        url = f"https://hub.example.org/user/{username}/{server_name}"
        return {"image": image, "repo_url": repo_url, "token": "t0ken", "url": url}

    async def get_user_data(self, username: str) -> dict[str, Any]:
        return {"servers": {}}

    async def api_request(self, url: str, **request: Any) -> Any:
        self.traceparents.append(request.get("headers", {}).get("traceparent", ""))
        if request["method"] != "DELETE":
            return
        self.deleted.append(f"{request['method']} {url}")
        if self.refusal is not None:
            raise self.refusal
        if "gone" in url:
            raise HTTPClientError(404)


class Inside:
    """The server. Its methods are called from the test's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, config: Config, login: HubLogin) -> None:
        self.hand_over = False
        """Whether its launches are left to the next one when it is closed, as on SIGTERM."""
        self.loop = loop
        self.login = login
        sockets = bind_sockets(0, "127.0.0.1")
        self.host = f"127.0.0.1:{sockets[0].getsockname()[1]}"
        base_url = config.BinderHub.get("base_url", "/")
        known = login.config(f"http://{self.host}{base_url}oauth_callback")
        config.HubOAuth = Config({**known, **config.HubOAuth})
        self.events: list[dict[str, Any]] = []
        config.EventLog.handlers_maker = lambda _: [_Kept(self.events)]
        self.hub = BinderProgressHub(config=config)
        self.hub.initialize([])
        self.launcher: PlayedLauncher = self.hub.launcher
        self._server = HTTPServer(self.hub.tornado_app, xheaders=True)
        self._server.add_sockets(sockets)
        self.url = f"http://{self.host}{self.hub.base_url}"

    def visitor(self, name: str = "") -> Visitor:
        """Return somebody with a browser, who is logged in at the Hub or has no name."""
        return Visitor(self.url, name)

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=30, **options)

    def start(
        self, spec: str = "gh/a/b/HEAD", *, path: str = "api/launches", **options: Any
    ) -> requests.Response:
        """POST a launch."""
        url = f"{self.url}{path}"
        return requests.post(url, json={"spec": spec}, timeout=30, **options)

    def stream(self, path: str, **headers: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """GET a stream: iterate over ids and events."""
        headers = {"Accept": "text/event-stream", **headers}
        with self.get(path, headers=headers, stream=True) as response:
            identifier = ""
            for line in response.iter_lines(decode_unicode=True):
                if line.startswith("id: "):
                    identifier = line.removeprefix("id: ")
                if line.startswith("data: "):
                    yield identifier, json.loads(line.removeprefix("data: "))

    def watch(self, started: requests.Response, **headers: str) -> list[dict[str, Any]]:
        """Read a launch to its end."""
        assert started.status_code == 201, started.text
        path = f"api/launches/{started.json()['id']}/events"
        return [event for _, event in self.stream(path, **headers)]

    def build(self) -> PlayedBuild:
        """Wait for the next build."""
        return PlayedBuild.begun.get(timeout=30)

    def call(self, work: Callable[[], Any]) -> Any:
        """Do something in the server's loop."""

        async def do() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(do(), self.loop).result(30)

    async def close(self) -> None:
        self._server.stop()
        await self.hub.progress.close(hand_over=self.hand_over)
        await self._server.close_all_connections()
        self.hub.build_pool.shutdown()
        self.hub.executor.shutdown()


def add_image(server: Inside, slug: str = "a-b") -> str:
    """Add the image of a repository to the registry, and return its name."""

    class Named:
        def get_build_slug(self) -> str:
            return slug

    image = image_name(Named(), COMMIT, server.hub.image_prefix)
    PlayedRegistry.images.add(image.partition("/")[2])
    return image


class _Kept(logging.Handler):
    def __init__(self, events: list[dict[str, Any]]) -> None:
        super().__init__()
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        said = record.msg
        self._events.append(said if isinstance(said, dict) else json.loads(said))


def played(**config: Any) -> Config:
    """Return a configuration in which everything outside of BinderHub is played by tests."""
    for kept in (PlayedRegistry.asked, PlayedQuota.asked, PlayedBuild.calls):
        kept.clear()
    PlayedRegistry.images, PlayedProvider.gone = set(), set()
    PlayedQuota.exceeded = PlayedBuild.broken = False
    PlayedBuild.begun = queue.Queue()
    given = Config(config)
    hub = {
        "repo_providers": {"gh": PlayedProvider},
        "registry_class": PlayedRegistry,
        "launch_quota_class": PlayedQuota,
        "build_class": PlayedBuild,
        "builder_required": False,
        "build_token_secret": SECRET.hex(),
        "image_prefix": "registry.example.org/binder-",
        "hub_url": "https://hub.example.org/",
    }
    given.BinderHub = Config({**hub, **given.BinderHub})
    # These tests read a stream to its end.
    given.Web = Config({"linger": 0.0, **given.Web})
    given.Storage = Config({"url": "memory", **given.Storage})
    if "limit" not in given.RateLimiter:
        given.RateLimiter.limit = 0
    return given


@contextmanager
def inside(**config: Any) -> Iterator[Inside]:
    """Run a BinderHub with our extension in another thread."""
    given = played(**config)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def call(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    async def make() -> Inside:
        server = Inside(loop, given, login)
        await server.hub.progress.open()
        return server

    try:
        with hub_login() as login, patch.object(binderhub.app, "Launcher", PlayedLauncher):
            made: Inside = call(make())
            try:
                yield made
            finally:
                call(made.close())
    finally:
        # There is one for each process.
        HubOAuth.clear_instance()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
