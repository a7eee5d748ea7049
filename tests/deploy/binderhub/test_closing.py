"""Closing a build or a launch in BinderHub waits for its threads and tasks."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tornado.queues import Queue

from binderprogress.backends.base import BuildResult, LaunchRequest
from binderprogress.deploy.binderhub.build_watch import BuildWatch
from binderprogress.deploy.binderhub.server_launcher import BinderHubLauncher, _Server

from ...support.asynchronous import asynchronous
from ...support.inside import PlayedBuild


class SlowToStop(PlayedBuild):
    """A build whose log thread ends some time after it is stopped."""

    ended = False

    def stream_logs(self) -> None:
        self.say("a line")
        line = self._lines.get()
        assert line is not None
        line()
        while self._lines.get() is not None:
            pass
        # `stop` has already returned.
        threading.Event().wait(0.1)
        self.ended = True


@pytest.mark.parametrize("how", ["close", "cancel"])
@asynchronous(30)
async def test_the_threads_of_a_build_are_free_when_its_log_is_closed(how: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        build = SlowToStop(q=Queue(), name="build")
        watch = BuildWatch(build, pool=pool)
        lines = watch.lines()
        assert "a line" in await anext(lines)
        if how == "close":
            await lines.aclose()
        else:
            reading = asyncio.ensure_future(anext(lines))
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
        assert not build.ended
        await watch.stop()
        assert build.ended


@asynchronous(30)
async def test_an_error_while_it_stops_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(SlowToStop):
        """A build whose connection breaks when it is stopped."""

        def stream_logs(self) -> None:
            super().stream_logs()
            raise OSError("the connection is closed")

    with ThreadPoolExecutor(2) as pool:
        watch = BuildWatch(Broken(q=Queue(), name="build"), pool=pool)
        lines = watch.lines()
        await anext(lines)
        await lines.aclose()
        await watch.stop()
    await asyncio.sleep(0)
    assert "cannot be watched" not in caplog.text


class SlowLauncher:
    """A launcher that takes a moment to end when it is cancelled."""

    def __init__(self) -> None:
        self.ended = False

    async def launch(self, *, event_callback: Any, **_: Any) -> dict[str, str]:
        await event_callback({"message": "Server requested", "progress": 0})
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            self.ended = True
        raise AssertionError


@asynchronous(30)
async def test_a_launch_has_ended_when_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = SlowLauncher()
    ours = BinderHubLauncher({"launcher": launcher})
    monkeypatch.setattr(ours, "_new_server", lambda *_: _Server("user", "", ours=True))
    request: LaunchRequest[Any, Any] = LaunchRequest(
        name="a",
        key="key",
        token="token",
        resolved=None,
        result=BuildResult("image"),
        repo_url="https://example.org/a",
        options={},
    )
    items = ours._attempt(request, 1)
    await anext(items)
    assert not launcher.ended
    await items.aclose()
    assert launcher.ended
