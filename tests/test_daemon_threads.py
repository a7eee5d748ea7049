"""Calls that may never return."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from binderprogress._daemon_threads import DaemonThreads

from .support.asynchronous import asynchronous


@asynchronous(20)
async def test_results_and_errors_are_passed_on() -> None:
    threads = DaemonThreads("test", most=1, timeout=60.0)
    assert await threads.run(lambda first, *, second: first + second, 1, second=2) == 3
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 / 0)
    assert await threads.run(threading.current_thread) is not threading.current_thread()


@asynchronous(20)
async def test_calls_that_hang_keep_no_more_than_their_threads() -> None:
    threads, go_on = DaemonThreads("test", most=2, timeout=0.05), threading.Event()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await threads.run(go_on.wait)
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError, match="Too many test threads are waiting"):
        await threads.run(go_on.wait)
    # Other calls in threads do not wait.
    assert await asyncio.to_thread(lambda: 1) == 1
    assert asyncio.get_running_loop().time() - began < 60
    go_on.set()
    while True:
        try:
            assert await threads.run(lambda: 2) == 2
            break
        except TimeoutError:
            await asyncio.sleep(0.01)  # its threads are about to end


HANGING = """
import asyncio, threading
from binderprogress._daemon_threads import DaemonThreads
async def main():
    try:
        await DaemonThreads("test", most=1, timeout=0.05).run(threading.Event().wait)
    except TimeoutError:
        print("over")
asyncio.run(main())
"""


def test_the_interpreter_does_not_wait_for_a_call_that_hangs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("over\n", "")
