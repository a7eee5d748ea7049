"""Every step of a stop is taken."""

from __future__ import annotations

import asyncio
import errno
import logging

import pytest

from binderprogress._steps import take_steps

from .support.asynchronous import asynchronous

LOG = logging.getLogger("tests.steps")


@asynchronous(10)
async def test_all_are_taken_in_order_and_errors_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    taken: list[str] = []

    def full() -> None:
        taken.append("full")
        raise OSError(errno.ENOSPC, "No space left on device")

    async def broken() -> None:
        taken.append("broken")
        raise ValueError("a bug")

    async def last() -> None:
        taken.append("last")

    await take_steps(LOG, ("writing", full), ("counting", broken), ("ending processes", last))
    assert taken == ["full", "broken", "last"]
    first, second = caplog.records
    assert first.getMessage() == "An error while writing: [Errno 28] No space left on device"
    assert first.exc_info is None
    assert second.getMessage() == "An error while counting"
    assert second.exc_info is not None


@asynchronous(10)
async def test_the_rest_is_taken_if_one_is_cancelled() -> None:
    taken: list[str] = []
    waiting = asyncio.Event()

    async def wait() -> None:
        waiting.set()
        await asyncio.Event().wait()

    steps = (("waiting", wait), ("ending processes", lambda: taken.append("ended")))
    task = asyncio.create_task(take_steps(LOG, *steps))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert taken == ["ended"]
