"""Runs a build executor of BinderHub, and reads its log."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor, Future
from typing import Any

from binderhub.build import ProgressEvent
from tornado.queues import Queue

from ...core.log.reasons import failure
from ...errors import LaunchFailedError
from ..logs import SafeLogger

__all__ = ["BuildWatch"]

_log = SafeLogger(logging.getLogger(__name__))

_Status = ProgressEvent.BuildStatus

_STATUS_TIMEOUT = 10.0
"""Seconds to wait for the status once the log reports a failure."""

_STOP_TIMEOUT = 2.0
"""Seconds to wait for the threads to stop."""

_LOG_TIMEOUT = 2.0
"""Seconds to wait for the rest of the log once the status reports the end."""


class BuildWatch:
    """Runs a build executor in BinderHub's threads, and reads its queue.

    Parameters
    ----------
    executor : binderhub.build.BuildExecutor
        With an empty queue that no other executor uses.
    pool : concurrent.futures.Executor
        BinderHub's pool for builds. One thread submits and watches the build, another reads its
        log.
    """

    def __init__(self, executor: Any, *, pool: Executor) -> None:
        self._executor = executor
        self._pool = pool
        self._queue: Queue[Any] = executor.q
        self._logs: asyncio.Future[Any] | None = None
        self._submitted: list[Future[Any]] = []
        self._stopped = False

    async def lines(self) -> AsyncGenerator[str, None]:
        """Run the build, and iterate over the lines of its log, in repo2docker's JSON.

        Raises
        ------
        LaunchFailedError
            If the build failed.
        """
        failed = False
        self._run(self._executor.submit)
        while True:
            try:
                item = await self._next(_STATUS_TIMEOUT if failed else None)
            except TimeoutError:
                break
            if isinstance(item, LaunchFailedError):
                raise item
            payload = item.payload
            if not isinstance(payload, _Status):
                failed = failed or _reports_failure(payload)
                yield payload
            elif payload is _Status.RUNNING and self._logs is None:
                self._logs = self._run(self._executor.stream_logs)
            elif payload in {_Status.BUILT, _Status.FAILED}:
                failed = failed or payload is _Status.FAILED
                async for line in self._remaining_lines():
                    failed = failed or _reports_failure(line)
                    yield line
                break
        if failed:
            raise failure("build-failed")

    async def stop(self) -> None:
        """Stop watching the build, and wait for the threads."""
        self._stopped = True
        self._executor.stop()
        # Work that has not started yet is cancelled.
        running = [
            asyncio.wrap_future(future)
            for future in self._submitted
            if not future.cancel() and not future.done()
        ]
        if running:
            ended, busy = await asyncio.wait(running, timeout=_STOP_TIMEOUT)
            for future in ended:
                # Ignore the error: stopping may have caused it.
                future.exception()
            if busy:
                _log.warning("The threads that watch build %s did not stop", self._executor.name)

    def _run(self, work: Callable[[], None]) -> asyncio.Future[Any]:
        submitted = self._pool.submit(work)
        self._submitted.append(submitted)
        future = asyncio.wrap_future(submitted)
        future.add_done_callback(self._check)
        return future

    def _check(self, future: asyncio.Future[Any]) -> None:
        if future.cancelled() or (error := future.exception()) is None or self._stopped:
            # `submit` may return long before the build ends. The queue reports its end.
            return
        _log.error("Build %s cannot be watched", self._executor.name, exc_info=error)
        sentence = "Unhandled error watching for build events. Please try again."
        self._queue.put_nowait(failure("internal", sentence))

    async def _next(self, timeout: float | None) -> Any:
        async with asyncio.timeout(timeout):
            return await self._queue.get()

    async def _remaining_lines(self) -> AsyncGenerator[str, None]:
        """Iterate over the rest of the log, which says why a build failed."""
        if self._logs is not None:
            await asyncio.wait([self._logs], timeout=_LOG_TIMEOUT)
        while self._queue.qsize():
            item = self._queue.get_nowait()
            if isinstance(getattr(item, "payload", None), str):
                yield item.payload


def _reports_failure(line: str) -> bool:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    phase = record.get("phase") if isinstance(record, dict) else None
    return isinstance(phase, str) and phase.lower() in {"failed", "failure"}
