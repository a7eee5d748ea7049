"""The examples in `docs/extending.md` work."""

from __future__ import annotations

import asyncio
import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from traitlets.config import Config

from binderprogress import AsyncClient, LaunchFailedError, PastLaunch
from binderprogress.core.phases import Phase
from binderprogress.core.timing.spans import Span
from binderprogress.deploy.standalone import Standalone

from ..support.repositories import repository

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs/examples"


def example(name: str) -> dict[str, Any]:
    """The names that an example defines."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


@asynccontextmanager
async def serving(folder: Path, **extensions: Callable[[], Any]) -> AsyncIterator[tuple[str, Any]]:
    """A server with the example's backend and other extensions; its address and the backend."""
    await asyncio.to_thread(folder.mkdir)
    backends: list[Any] = []

    def make_backend() -> Any:
        backends.append(example("static_backend")["StaticBackend"](folder))
        return backends[0]

    config = Config()
    config.Standalone.port = 0
    config.History.url = ""
    config.Extensions.make_backend = make_backend
    config.Extensions.update(extensions)
    server = Standalone(config=config)
    await server.start()
    try:
        yield server.url, backends[0]
    finally:
        await server.stop()


def spec(folder: Path, ref: str = "HEAD") -> str:
    path = repository(folder, {"index.html": "Hello from the repository"})
    return f"git/{f'file://{path}'.replace('/', '%2F').replace(':', '%3A')}/{ref}"


async def read(url: str, **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status, await response.text()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(120):
            await scenario()

    asyncio.run(bounded())


# -- a backend


def test_a_backend_clones_and_serves_a_repository(tmp_path: Path) -> None:
    async def scenario() -> None:
        name = spec(tmp_path / "repository")
        async with serving(tmp_path / "clones") as (url, backend), AsyncClient(url) as client:
            launch = await client.start(name)
            events = [event async for event in client.watch(launch)]
            phases = list(dict.fromkeys(event.phase for event in events))
            assert phases == ["waiting", "fetching", "built", "launching", "ready"]
            assert any("Cloning into" in event.message for event in events)
            assert await read(events[-1].url) == (200, "Hello from the repository")
            # The second launch finds the clone.
            again = [event async for event in client.watch(await client.start(name))]
            assert Phase.FETCHING not in {event.phase for event in again}
            assert len(backend.servers) == 2
        assert not backend.servers
        with pytest.raises(aiohttp.ClientConnectorError):
            await read(events[-1].url)

    run(scenario)


def test_a_backend_says_why_it_fails(tmp_path: Path) -> None:
    async def scenario() -> None:
        name = spec(tmp_path / "repository", "no-such-branch")
        async with serving(tmp_path / "clones") as (url, _), AsyncClient(url) as client:
            with pytest.raises(LaunchFailedError, match="has no no-such-branch") as caught:
                await client.launch(name)
            assert caught.value.reason == "bad-ref"

    run(scenario)


# -- a channel store


def test_a_channel_store_keeps_launches_in_files(tmp_path: Path) -> None:
    """`test_file_channels.py` has the tests of all stores."""
    files = tmp_path / "channels"
    files.mkdir()
    store_class = example("file_channels")["FileChannelStore"]

    async def scenario() -> None:
        name = spec(tmp_path / "repository")
        stored = serving(tmp_path / "clones", make_channel_store=lambda: store_class(files))
        async with stored as (url, _), AsyncClient(url) as client:
            launch = await client.start(name)
            events = [event async for event in client.watch(launch)]
            assert events[-1].phase is Phase.READY
            assert [event.id for event in events] == list(range(1, len(events) + 1))
            again = [event async for event in client.watch(launch, after=2)]
            assert [event.id for event in again] == [event.id for event in events[2:]]
            written = b"".join(path.read_bytes() for path in files.iterdir())
            assert b"Cloning into" in written

    run(scenario)


# -- an access rule


def test_an_access_rule_tells_users_apart(tmp_path: Path) -> None:
    make_access = example("proxy_access")["ProxyAccess"]

    async def scenario() -> None:
        name = spec(tmp_path / "repository")
        async with serving(tmp_path / "clones", make_access=make_access) as (url, _):
            assert (await read(f"{url}api/launches"))[0] == 403
            headers = {"X-Remote-User": "ada"}
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.post(f"{url}api/launches", json={"spec": name}) as response,
            ):
                assert response.status == 201
                state = (await response.json())["state_url"]
            assert (await read(state, **headers))[0] == 200
            assert (await read(state, **{"X-Remote-User": "eve"}))[0] == 404
            listed = json.loads((await read(f"{url}api/launches", **headers))[1])
            assert [launch["state_url"] for launch in listed["launches"]] == [state]

    run(scenario)


# -- a history


def test_a_history_keeps_launches(tmp_path: Path) -> None:
    history_class = example("jsonl_history")["JsonLinesHistory"]

    def make_history() -> Any:
        return history_class(tmp_path / "history.jsonl")

    async def scenario() -> None:
        name = spec(tmp_path / "repository")
        async with (
            serving(tmp_path / "clones", make_history=make_history) as (url, _),
            AsyncClient(url) as client,
        ):
            await client.launch(name)

    run(scenario)
    history = make_history()
    (past,) = history.recent(10)
    history.close()
    assert past.outcome is Phase.READY
    assert past.repository.startswith("file://")


def test_a_history_gives_the_newest_launches_of_a_repository(tmp_path: Path) -> None:
    history = example("jsonl_history")["JsonLinesHistory"](tmp_path / "history.jsonl")
    for number in range(3):
        history.add(
            PastLaunch(
                began=float(number),
                provider="gh",
                repository=f"https://github.com/ada/{'ab'[number % 2]}",
                outcome=Phase.READY,
                spans=[Span(phase=Phase.WAITING, start=0.0, end=1.0)],
            )
        )
    assert [past.began for past in history.recent(2)] == [2.0, 1.0]
    assert [past.began for past in history.of("https://github.com/ada/a", 9)] == [2.0, 0.0]
    history.close()


# -- a language


def test_a_language_is_one_more_catalog(tmp_path: Path) -> None:
    """As the page says: write the file, translate it, and add it to the tests' list."""
    js = tmp_path / "js"
    shutil.copytree(ROOT / "js/src", js / "src")
    for name in ("package.json", "tsconfig.json", "vite.config.ts"):
        shutil.copy(ROOT / "js" / name, js)
    (js / "node_modules").symlink_to(ROOT / "js/node_modules")
    command = [sys.executable, str(EXAMPLES / "new_language.py"), "it"]
    output = subprocess.check_output(command, cwd=tmp_path, text=True)
    catalogs = ("it.json", "pages/it.json")
    assert output.splitlines() == [
        f"Translate the texts in js/src/i18n/catalogs/{name}." for name in catalogs
    ]

    catalog = js / "src/i18n/catalogs/it.json"
    texts = json.loads(catalog.read_text())
    catalog.write_text(json.dumps({key: f"{text} ✓" for key, text in texts.items()}))
    tests = js / "src/i18n/catalogs.test.ts"
    tests.write_text(tests.read_text().replace('"fr", "ja"', '"fr", "it", "ja"'))
    # Not with npx, which asks before it installs what it does not find. Where tests run in several
    # processes, standard input is how these are told what to do.
    done = subprocess.run(
        ["node_modules/.bin/vitest", "run", "src/i18n/catalogs.test.ts"],
        cwd=js,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it has every text" in done.stdout or "passed" in done.stdout
