"""Attacks on passwords: those of BinderHubs behind us, and those that people paste."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

import aiohttp
import pytest
import requests
from aiohttp import web
from traitlets import TraitError
from traitlets.config import Config

from binderprogress.backends.binderhub.upstreams import Upstreams
from binderprogress.backends.fetch.archives import Archives
from binderprogress.backends.fetch.git import GitResolver
from binderprogress.backends.jupyterhub.launcher import HubLauncher
from binderprogress.client import AsyncClient
from binderprogress.core import sse
from binderprogress.core.binderhub.stream import server_of
from binderprogress.core.phases import Phase
from binderprogress.core.specs import from_address, parse
from binderprogress.core.timing.breakdown import Trace
from binderprogress.core.traceparent import TraceParent
from binderprogress.deploy.jupyterhub_service import JupyterHubService
from binderprogress.deploy.opentelemetry_exporter import Exporter
from binderprogress.deploy.standalone import Standalone
from binderprogress.errors import (
    ConfigError,
    LaunchFailedError,
    RefusedError,
    ServerUnreachableError,
    SpecError,
)
from binderprogress.web.gallery import read_gallery

from ..support.asynchronous import asynchronous
from ..support.binderhub import BinderHub, binderhub_in_thread
from ..support.processes import program

PASSWORD = "Zq7-s3cr3t"
SPEC = "gh/ada/penguins/HEAD"


def with_credentials(url: str, user: str = "ada") -> str:
    return url.replace("://", f"://{user}:{PASSWORD}@")


def get(url: str) -> str:
    """Return an answer, whatever its status, with its headers."""
    try:
        with urlopen(Request(url, headers={"Sec-Fetch-Site": "none"}), timeout=20) as answer:
            return str(answer.headers) + str(answer.read().decode())
    except HTTPError as error:
        return str(error.headers) + error.read().decode()


def launch(server: str, spec: str) -> tuple[int, str]:
    request = Request(
        f"{server}api/launches",
        json.dumps({"spec": spec}).encode(),
        {"Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def watch(url: str) -> str:
    """Return everything that a stream sends, to its last event."""
    text = ""
    with urlopen(url, timeout=20) as stream:
        for line in stream:
            text += line.decode()
            if re.search(r'"phase":"(ready|failed|cancelled)"', text):
                return text
    raise AssertionError(text)


@contextmanager
def serving(folder: Path, *lines: str, level: str = "INFO") -> Iterator[str]:
    """Run the real server; everything that it writes is below `folder`."""
    config = folder / "binderprogress_config.py"
    config.write_text("\n".join(lines))
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder / "home"),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "TMPDIR": str(folder / "tmp"),
    }
    for name in ("home", "data", "cache", "tmp"):
        (folder / name).mkdir()
    arguments = ("serve", "--port", "0", "-f", str(config), "--log-level", level)
    with program("binderprogress", *arguments, env=env, log=folder / "log") as server:
        line = server.line()
        assert "listens on" in line, (folder / "log").read_text()
        yield line.split()[-1]
    config.unlink()


def written(folder: Path) -> bytes:
    """Return everything that was written below a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_attack_password_of_an_upstream(tmp_path: Path) -> None:
    """Anybody who reaches the server reads /health, and everybody who launches gets `ready`.

    A BinderHub behind a proxy that wants a password was named as https://user:password@host/.
    """
    with binderhub_in_thread() as hub:
        hub.basic = f"ada:{PASSWORD}"
        # Relative: it was joined to the address that has the password.
        hub.server_url = "/binder/user/someone/"
        lines = (
            f"c.Upstreams.urls = [{with_credentials(hub.url)!r}]",
            "c.Upstreams.health_interval = 0.1",
        )
        with serving(tmp_path, *lines, level="DEBUG") as server:
            status, answer = launch(server, SPEC)
            assert status == 201
            links = json.loads(answer)
            events = watch(links["events_url"])
            answers = [
                answer,
                events,
                *(get(f"{server}{path}") for path in ("health", "metrics", "versions", "stats")),
                *(get(f"{server}api/{path}") for path in ("stats", "popular")),
                *(
                    get(f"{server}api/launches/{links['id']}{path}")
                    for path in ("", "/log", "/trace")
                ),
            ]
        ready = json.loads(events.rpartition("data: ")[2])
        assert ready["phase"] == "ready"
        assert ready["url"].startswith(hub.url)
        assert hub.refused == 0
        health = json.loads(answers[2].rpartition("\n\n")[2] or answers[2].rpartition("\n")[2])
        (upstream,) = next(
            check["upstreams"] for check in health["checks"] if check["service"] == "BinderHubs"
        )
        assert upstream["url"] == hub.url
        assert upstream["ok"]
        assert not any(PASSWORD in one for one in answers)
        assert PASSWORD.encode() not in written(tmp_path)
        database = next(tmp_path.rglob("history.sqlite"))
        with sqlite3.connect(database) as connection:
            assert urlsplit(hub.url).netloc in "\n".join(connection.iterdump())


PASTED = [
    f"https://ada:{PASSWORD}@host.invalid/a/b",
    f"https://{PASSWORD}@host.invalid/a/b",
    f"https://ada:x/{PASSWORD}@host.invalid/a/b",
    f"https://ada:{PASSWORD}@[host/a/b",
    f"ftp://ada:{PASSWORD}@host.invalid/a/b",
    f"ssh://ada:{PASSWORD}@host.invalid/a/b",
    f"ada:{PASSWORD}@host.invalid:a/b",
    f"https://host.invalid/a/b?private_token={PASSWORD}",
    f"https://host.invalid/a/b?token={PASSWORD}",
    f"https://host.invalid/a/b.git?access_token={PASSWORD}&x=1",
    f"https://host.invalid/a/b#access_token={PASSWORD}",
]


def test_attack_pasted_passwords(tmp_path: Path) -> None:
    """Somebody pastes an address with a password; the operator and others must not get to see it.

    Neither in the access log, nor in errors that reach the log or a page, nor in the history.
    """
    with binderhub_in_thread() as hub:
        lines = (f"c.Upstreams.urls = [{hub.url!r}]", "c.Web.rate_limit = 0")
        with serving(tmp_path, *lines, level="DEBUG") as server:
            told = []
            for address in PASTED:
                quoted = quote(address, safe="")
                status, answer = launch(server, f"git/{quoted}/HEAD")
                assert status == 400, address
                told.append(answer)
                told.append(get(f"{server}build/git/{quoted}/HEAD"))
                get(f"{server}v2/git/{quoted}/HEAD")
                get(f"{server}link?repo={quoted}")
                get(f"{server}?repo={quoted}")
                get(f"{server}api/images/git/{quoted}/HEAD")
                get(f"{server}nowhere/{quote(quoted)}?url={quote(quoted)}")
        assert not [one for one in told if PASSWORD in one]
        assert PASSWORD.encode() not in written(tmp_path)
        assert hub.requests == []


@pytest.mark.parametrize("address", PASTED)
def test_attack_refused_address_is_repeated(address: str) -> None:
    """The sentence that refuses an address is shown, logged and stored."""
    for read in (from_address, lambda text: parse(f"git/{quote(text, safe='')}/HEAD")):
        with pytest.raises(SpecError) as caught:
            read(address)
        assert PASSWORD not in str(caught.value)
        assert caught.value.__cause__ is None or str(caught.value.__cause__) not in str(
            caught.value
        )


@pytest.mark.parametrize(
    "url",
    [
        f"https://ada:{PASSWORD}@host.invalid/user/ada/",
        f"//ada:{PASSWORD}@host.invalid/user/ada/",
        f"https://{PASSWORD}@host.invalid/user/ada/",
        f"https://ada:{PASSWORD}@host.invalid\\@other.invalid/",
        f"javascript://ada:{PASSWORD}@host.invalid/",
        f"https://ada:{PASSWORD}@[host.invalid/",
    ],
)
def test_attack_password_in_the_address_of_a_server(url: str) -> None:
    """A BinderHub names a server with a password: it would be kept, counted and shown."""
    try:
        address, _ = server_of({"url": url, "token": "t"}, "https://hub.invalid/")
    except LaunchFailedError as error:
        address = str(error)
    assert PASSWORD not in address


@asynchronous(20)
async def test_attack_redirect_of_an_upstream_to_another_origin() -> None:
    """A BinderHub sends us on to somewhere else, which must not get its password."""
    heard: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        heard.append(request.headers.get("Authorization", ""))
        return web.json_response({"ok": True, "checks": []})

    async def here(request: web.Request) -> web.Response:
        assert request.headers["Authorization"].startswith("Basic ")
        raise web.HTTPFound(f"http://127.0.0.1:{ports[1]}{request.path}")

    ports: list[int] = []
    runners = []
    for handle in (here, elsewhere):
        app = web.Application()
        app.router.add_get("/{path:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.append(runner.addresses[0][1])
        runners.append(runner)
    upstreams = Upstreams(urls=[with_credentials(f"http://127.0.0.1:{ports[0]}/")])
    await upstreams.check(upstreams.hubs[0])
    assert heard == [""]
    assert upstreams.hubs[0].healthy
    await upstreams.close()
    for runner in runners:
        await runner.cleanup()


@asynchronous(20)
async def test_attack_errors_of_connections_to_an_upstream(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An upstream answers with our own password in its status line, or is not there at all."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        url = with_credentials("https://binder.invalid/")
        writer.write(f"HTTP/1.1 500 {url} failed\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = Config()
    config.Upstreams.urls = [with_credentials(f"http://127.0.0.1:{port}/")]
    config.Upstreams.pauses = [0.01]
    config.Standalone.port = 0
    standalone = Standalone(config=config)
    await standalone.start()
    text = ""
    async with aiohttp.ClientSession(standalone.url) as session:
        async with session.post("/api/launches", json={"spec": SPEC}) as response:
            events_url = (await response.json())["events_url"]
        async with session.get(events_url) as response:
            decoder = sse.Decoder()
            async for chunk in response.content.iter_any():
                events = decoder.feed(chunk)
                text += "".join(event.data for event in events)
                if '"failed"' in text:
                    break
        async with session.get("/health") as response:
            text += await response.text()
    await standalone.stop()
    server.close()
    assert "the response was 500" in text
    assert PASSWORD not in text
    assert PASSWORD not in caplog.text


def test_attack_password_in_a_setting_that_is_refused() -> None:
    """A mistake in the config prints the setting, to a log that others read."""
    for url in (f"ftp://ada:{PASSWORD}@host", f"https://ada:{PASSWORD}@host/?token={PASSWORD}"):
        with pytest.raises(TraitError) as caught:
            Upstreams(urls=[url])
        assert PASSWORD not in str(caught.value)
    for name in ("url", "api_url"):
        with pytest.raises(TraitError, match="api_token") as caught:
            HubLauncher(**{name: f"https://ada:{PASSWORD}@host/"})
        assert PASSWORD not in str(caught.value)


def test_attack_password_in_the_address_of_a_ckan() -> None:
    """An operator hopes that records are fetched with it; the setting is printed."""
    with pytest.raises(TraitError, match="without a login") as caught:
        Archives(ckan_sites=[f"https://ada:{PASSWORD}@ckan.example.org/"])
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("variable", ["JUPYTERHUB_API_URL", "JUPYTERHUB_HOST"])
def test_attack_password_in_the_address_of_the_hub_of_a_service(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """JupyterHub's login puts the one into errors, and the other into redirects of browsers."""
    for name, value in {
        "JUPYTERHUB_API_TOKEN": "x",
        "JUPYTERHUB_API_URL": "http://127.0.0.1:1/hub/api",
        "JUPYTERHUB_SERVICE_NAME": "binderprogress",
        "JUPYTERHUB_SERVICE_PREFIX": "/services/binderprogress/",
        variable: f"http://ada:{PASSWORD}@127.0.0.1:1/hub/api",
    }.items():
        monkeypatch.setenv(name, value)
    config = Config({"Upstreams": {"urls": ["http://127.0.0.1:1/"]}, "History": {"url": ""}})
    with pytest.raises(ConfigError, match="JUPYTERHUB_API_TOKEN") as caught:
        JupyterHubService(config=config)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    "entry",
    [
        f"title: A\n  repo: https://ada:{PASSWORD}@github.com/a/b\n",
        f"title: A\n  spec: git/https%3A%2F%2Fada%3A{PASSWORD}%40host%2Fa%2Fb/HEAD\n",
        f"title: A\n  repo: https://github.com/a/b\n  ref: '?token={PASSWORD}'\n",
        f"title: A\n  spec: gh/a/b/HEAD\n  picture: https://ada:{PASSWORD}@host:port/a.png\n",
        f"title: A\n  spec: gh/a/b/HEAD\n  urlpath: //ada:{PASSWORD}@host/a\n",
        f"title: A\n  slug: https://ada:{PASSWORD}@host/\n  spec: gh/a/b/HEAD\n",
        f"title: A\n  https://ada:{PASSWORD}@host/: b\n",
        f'title: "https://ada:{PASSWORD}@host/\n',
    ],
)
def test_attack_password_in_a_gallery_that_is_refused(tmp_path: Path, entry: str) -> None:
    """What is wrong with an entry is printed with what it says."""
    path = tmp_path / "gallery.yml"
    path.write_text(f"- {entry}")
    with pytest.raises(ConfigError) as caught:
        read_gallery(path)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("raises", [False, True])
def test_attack_password_of_a_collector_of_traces(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, raises: bool
) -> None:
    """The collector is down; or the library that sends to it fails, and names its address."""

    def fail(_: requests.Session, url: str, **__: object) -> None:
        raise RuntimeError(f"Nothing can be sent to {url}")

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    if raises:
        monkeypatch.setattr(requests.Session, "post", fail)
    endpoint = f"http://ada:{PASSWORD}@127.0.0.1:9/v1/traces"
    exporter = Exporter(endpoint, version="0", log=logging.getLogger("of.a.host"))
    trace = Trace(began=0.0, seconds=1.0, phase=Phase.READY, spans=[], totals={})
    exporter.send(TraceParent("1" * 32, "2" * 16), None, trace)
    exporter.close()
    assert "Traces cannot be sent" in caplog.text
    assert PASSWORD not in caplog.text


@asynchronous(30)
async def test_attack_address_that_git_makes_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator's gitconfig puts a token into addresses, and git repeats them in its errors."""
    config = tmp_path / "gitconfig"
    config.write_text(
        f'[url "https://oauth2:{PASSWORD}@127.0.0.1:9/"]\n\tinsteadOf = https://git.invalid/\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    with pytest.raises(LaunchFailedError) as caught:
        await GitResolver(pass_environment=["GIT_CONFIG_GLOBAL"]).resolve(
            from_address("https://git.invalid/a/b")
        )
    error = caught.value
    assert PASSWORD not in f"{error} {error.subject} {error.advice} {error.evidence}"
    assert "127.0.0.1" in caplog.text
    assert PASSWORD not in caplog.text


@asynchronous(20)
async def test_attack_password_of_the_server_of_a_client() -> None:
    """A client is given an address with a password, and its errors are shown by a notebook."""
    hub = BinderHub()
    hub.basic = f"ada:{PASSWORD}"
    hub.start()
    async with AsyncClient(with_credentials(hub.url)) as client:
        assert client.server == hub.url.rstrip("/")
        assert await client.detect_kind() == "binderhub"
    await hub.stop()
    async with AsyncClient(with_credentials(hub.url)) as client:
        with pytest.raises((ServerUnreachableError, RefusedError)) as caught:
            await client.detect_kind()
    assert PASSWORD not in str(caught.value)
    assert hub.refused == 0
