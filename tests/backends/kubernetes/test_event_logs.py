"""Event logs of BinderHubs, in files and over HTTP."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from binderprogress.backends.kubernetes import event_logs
from binderprogress.backends.kubernetes.event_logs import EventLogs

from ...support.asynchronous import asynchronous

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
LOG = logging.getLogger("test")


def line(date: str, ref: str = "c0") -> bytes:
    event = {
        "timestamp": f"{date}T10:00:00+00:00",
        "version": 6,
        "schema": "binderhub.jupyter.org/launch",
        "provider": "GitHub",
        "spec": "ada/penguins/HEAD",
        "ref": ref,
        "status": "success",
    }
    return json.dumps(event).encode() + b"\n"


def commits(logs: list[event_logs.EventCounter]) -> list[str]:
    return [each.commit for log in logs for each in log.launches.values()]


@asynchronous(10)
async def test_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    text = line("2026-11-21") + b"\n" + line("2026-11-21", "c1").strip()
    (tmp_path / "events.jsonl").write_bytes(text)
    (tmp_path / "broken.jsonl").write_bytes(b"no event\n")
    sources = [str(tmp_path / name) for name in ("events.jsonl", "broken.jsonl", "missing.jsonl")]
    assert commits(await EventLogs(sources, days=3, log=LOG).read(NOW)) == ["c1"]
    assert "missing.jsonl cannot be read" in caplog.text
    assert "1 lines of" in caplog.text


@asynccontextmanager
async def site(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    """Answer requests for any path. Yield the address."""
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynchronous(10)
async def test_urls_with_dates_are_read_once_if_the_day_is_over() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        if request.path == "/old-2026-11-19":
            raise web.HTTPFound("/new-2026-11-19")
        date = request.path[-10:]
        if date == "2026-11-21":
            raise web.HTTPNotFound
        return web.Response(body=line(date, date))

    async with site(answer) as url:
        logs = EventLogs([f"{url}/old-{{date}}"], days=3, log=LOG)
        assert commits(await logs.read(NOW)) == ["2026-11-20", "2026-11-19"]
        assert len(asked) == 4
        assert commits(await logs.read(NOW)) == ["2026-11-20", "2026-11-19"]
        # Today and yesterday.
        assert len(asked) == 6


@asynchronous(10)
async def test_logs_that_are_too_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 100 if request.path == "/line" else line("2026-11-21"))

    monkeypatch.setattr(event_logs, "_LARGEST", 10)
    monkeypatch.setattr(event_logs, "_LONGEST_LINE", 10)
    async with site(answer) as url:
        assert commits(await EventLogs([f"{url}/log"], days=1, log=LOG).read(NOW)) == []
        assert "only read to 10 bytes" in caplog.text
        # Attack: a line without end.
        assert await EventLogs([f"{url}/line"], days=1, log=LOG).read(NOW) == []
        assert "a line is too long" in caplog.text
