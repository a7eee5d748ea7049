from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.backends.processes.child import Process, check_exit, run
from binderprogress.backends.processes.lines import Lines
from binderprogress.errors import LaunchFailedError

from ...support.asynchronous import asynchronous
from ...support.gone import gone

LINES = {
    "nothing": (b"", []),
    "line feeds": (b"a\nb\n", ["a\n", "b\n"]),
    "no end": (b"a\nb", ["a\n", "b"]),
    "carriage return and line feed": (b"a\r\nb\r\n", ["a\r\n", "b\r\n"]),
    "a line that overwrites itself": (b"10%\r20%\rdone\n", ["10%\r", "20%\r", "done\n"]),
    "a carriage return at the end": (b"10%\r", ["10%\r"]),
    "two carriage returns": (b"a\r\r\nb", ["a\r", "\r\n", "b"]),
    "empty lines": (b"\n\r\n\r\n", ["\n", "\r\n", "\r\n"]),
    "characters of several bytes": ("é→🚀\n".encode(), ["é→🚀\n"]),
    "no UTF-8": (b"a\xff\xfeb\n\xe2\x82", ["a\ufffd\ufffdb\n", "\ufffd"]),
    "NUL": (b"a\0b\n", ["a\0b\n"]),
    "what ends a line elsewhere": (
        "a\v\f\x1c\x1d\x1e\x85\u2028b\n".encode(),
        ["a\v\f\x1c\x1d\x1e\x85\u2028b\n"],
    ),
}


def read(pieces: list[bytes], longest: int = 100) -> list[str]:
    lines = Lines(longest=longest)
    return [line for piece in pieces for line in lines.feed(piece)] + lines.end()


@pytest.mark.parametrize(("data", "expected"), LINES.values(), ids=LINES)
def test_lines_split_anywhere(data: bytes, expected: list[str]) -> None:
    assert read([data]) == expected
    assert read([bytes([byte]) for byte in data]) == expected
    for at in range(len(data)):
        assert read([data[:at], data[at:]]) == expected


@given(
    st.lists(st.sampled_from([b"a", b"\r", b"\n", "é".encode(), b"\xff", b"bcd"])),
    st.lists(st.integers(0, 60)),
    st.integers(4, 9),
)
def test_the_pieces_do_not_matter(tokens: list[bytes], cuts: list[int], longest: int) -> None:
    data = b"".join(tokens)
    ends = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    pieces = [data[start:end] for start, end in itertools.pairwise(ends)]
    whole = read([data], longest)
    assert read(pieces, longest) == whole
    # Nothing is lost, and nothing is longer than allowed.
    if b"\xff" not in data:
        assert "".join(whole).encode() == data
        assert all(len(line.encode()) <= longest for line in whole)


def test_a_pause_shows_a_line_that_is_to_be_overwritten() -> None:
    lines = Lines(longest=100)
    assert (lines.feed(b"10%\r"), lines.pause()) == ([], ["10%\r"])
    assert (lines.feed(b"20%\r\nhal"), lines.pause()) == (["20%\r\n"], [])
    assert (lines.feed(b"f\n"), lines.pause(), lines.end()) == (["half\n"], [], [])


def test_a_long_line_is_cut_between_characters() -> None:
    assert read(["ééé\n".encode()], longest=5) == ["éé", "é\n"]


def process(script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", script, *arguments]


@asynchronous(20)
async def test_stdout_and_stderr_are_one_log() -> None:
    shell = "echo out; echo err >&2; printf 'half\\r'; printf no-end; exit 3"
    async with Process(["sh", "-c", shell]) as child:
        lines = [line async for line in child.lines()]
        assert await child.wait() == 3
    assert lines == ["out\n", "err\n", "half\r", "no-end"]


@asynchronous(30)
async def test_a_line_of_5_mb_is_cut() -> None:
    """Attack: a build writes an endless line, to fill the server's memory."""
    script = "import sys; sys.stdout.write('x' * 5_000_000 + '\\nafter\\n')"
    async with Process(process(script)) as child:
        lines = [line async for line in child.lines()]
    assert [len(line) for line in lines] == [4 * 2**20, 5_000_001 - 4 * 2**20, 6]
    assert lines[-1] == "after\n"


@asynchronous(20)
async def test_exit_codes() -> None:
    assert await run(["true"], timeout=10) == (0, "")
    assert await run(["sh", "-c", "echo why; exit 7"], timeout=10) == (7, "why\n")
    code, _ = await run(["sh", "-c", "kill -KILL $$"], timeout=10)
    assert code == -signal.SIGKILL
    check_exit(0)
    with pytest.raises(LaunchFailedError) as failed:
        check_exit(7)
    assert failed.value.reason == "build-failed"
    with pytest.raises(LaunchFailedError) as stopped:
        check_exit(-signal.SIGKILL)
    assert stopped.value.reason == "build-interrupted"


@asynchronous(20)
async def test_a_program_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        await run(["binderprogress-has-no-such-program"], timeout=10)


@asynchronous(20)
async def test_it_cannot_ask_a_person() -> None:
    code, output = await run(["sh", "-c", "read answer || echo nobody"], timeout=10)
    assert (code, output) == (0, "nobody\n")


# Says which processes there are, and then none of them wants to end: the shell's child ignores
# SIGTERM, and what that starts does too.
STUBBORN = """
trap '' TERM
sh -c 'trap "" TERM; sleep 600 & echo $!; echo $$; wait' &
echo $$
wait
"""


async def started(child: Process) -> tuple[list[psutil.Process], object]:
    lines = child.lines()
    pids = [int(await anext(lines)) for _ in range(3)]
    return [psutil.Process(pid) for pid in pids], lines


@asynchronous(20)
async def test_leaving_ends_grandchildren_that_ignore_sigterm() -> None:
    began = time.monotonic()
    async with Process(["sh", "-c", STUBBORN], stop_timeout=0.3) as child:
        family, _ = await started(child)
        assert all(process.is_running() for process in family)
    assert gone(family)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("session", ["", "setsid "], ids=["in its session", "in another session"])
@asynchronous(20)
async def test_what_a_process_left_behind_is_ended(session: str) -> None:
    """A build may have started a daemon before its own process ended."""
    async with Process(["sh", "-c", f"{session}sleep 600 & echo $!; wait"]) as child:
        lines = child.lines()
        left = psutil.Process(int(await anext(lines)))
        assert left.is_running()
    assert gone([left])


@asynchronous(20)
async def test_what_a_process_leaves_ends_with_it() -> None:
    """It has the output open, which would never end."""
    async with Process(["sh", "-c", "setsid sleep 600 & exit 3"]) as child:
        assert [line async for line in child.lines()] == []
        assert await child.wait() == 3


@asynchronous(20)
async def test_daemons_of_an_engine_are_kept() -> None:
    shell = "setsid sleep 600 > /dev/null 2>&1 & echo $!; sleep 600 > /dev/null 2>&1 & echo $!"
    async with Process(["sh", "-c", shell], keep_daemons=True) as child:
        kept, ended = [psutil.Process(int(line)) async for line in child.lines()]
        assert await child.wait() == 0
    assert gone([ended])
    assert kept.is_running()
    kept.kill()
    assert gone([kept])


# A server that has started a process, and says which ones there are then.
SERVER = """
import asyncio, os, sys
from binderprogress.backends.processes.child import Process

async def main():
    async with Process(["sh", "-c", sys.argv[1]], stop_timeout=0.2) as child:
        async for line in child.lines():
            print(line, end="", flush=True)

asyncio.run(main())
"""
DETACHED = f"""
setsid sleep 600 & echo $!
setsid sh -c 'setsid sleep 600 & echo $!; wait' &
{STUBBORN}
"""


def test_a_server_that_is_killed_leaves_nothing() -> None:
    command = [sys.executable, "-c", SERVER, DETACHED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        family = [psutil.Process(int(server.stdout.readline())) for _ in range(5)]
        family += psutil.Process(server.pid).children(recursive=True)
        server.kill()
    assert len(family) >= 6
    assert gone(family)


def test_a_server_that_is_stopped_for_a_while_loses_nothing() -> None:
    command = [sys.executable, "-c", SERVER, "echo $$; sleep 1; echo ended"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        child = psutil.Process(int(server.stdout.readline()))
        server.send_signal(signal.SIGSTOP)
        assert gone([child])
        server.send_signal(signal.SIGCONT)
        assert server.stdout.readline() == "ended\n"


@asynchronous(20)
async def test_a_supervisor_that_is_killed_takes_its_process_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Until Python 3.12, asyncio waits for the end of the output, which others have open.
    monkeypatch.setattr("binderprogress.backends.processes.child._MARGIN", 0.2)
    async with Process(["sh", "-c", STUBBORN], stop_timeout=0.1) as child:
        family, _ = await started(child)
        assert child._process is not None
        supervisor = child._process.pid
        programs = [process for process in family if process.ppid() == supervisor]
        assert len(programs) == 1
        child._process.kill()
        assert gone(programs)
    assert gone(family)


@asynchronous(20)
async def test_a_supervisor_that_is_stopped_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: a build stops the supervisor, so that the server waits for ever."""
    monkeypatch.setattr("binderprogress.backends.processes.child._MARGIN", 0.2)
    async with Process(["sh", "-c", STUBBORN], stop_timeout=0.1) as child:
        family, _ = await started(child)
        assert child._process is not None
        child._process.send_signal(signal.SIGSTOP)
    assert gone(family)


@pytest.mark.parametrize("number", [signal.SIGXCPU, signal.SIGSEGV, signal.SIGTERM])
@asynchronous(20)
async def test_it_ends_by_the_signal_that_ended_its_program(number: signal.Signals) -> None:
    code, _ = await run(["sh", "-c", f"kill -{number.value} $$"], timeout=10)
    assert code == -number


@asynchronous(20)
async def test_orphans_are_waited_for() -> None:
    """Otherwise, a build that starts many daemons fills the table of processes."""
    shell = "for i in 1 2 3 4 5; do (sleep 0 &); done; sleep 0.3; echo $$; sleep 600"
    async with Process(["sh", "-c", shell]) as child:
        pid = int(await anext(child.lines()))
        supervisor = psutil.Process(pid).parent()
        assert supervisor is not None
        async with asyncio.timeout(10):
            while len(supervisor.children()) > 1:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.02)


@asynchronous(20)
async def test_cancel_in_the_middle_leaves_nothing() -> None:
    family: list[psutil.Process] = []
    running = asyncio.Event()

    async def work() -> None:
        async with Process(["sh", "-c", STUBBORN], stop_timeout=0.2) as child:
            found, lines = await started(child)
            family.extend(found)
            running.set()
            await anext(lines)  # type: ignore[call-overload]

    task = asyncio.create_task(work())
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(family) == 3
    assert gone(family)


@asynchronous(20)
async def test_cancel_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    """The program runs already, but a busy event loop does not know it yet."""

    async def started() -> None:
        async with Process(["sh", "-c", "sleep 600 & echo $! > pid; wait"], cwd=str(tmp_path)):
            pytest.fail("It was cancelled before.")

    before = psutil.Process().children()
    starting = asyncio.create_task(started())
    while psutil.Process().children() == before:  # noqa: ASYNC110 - it has its child in one step
        await asyncio.sleep(0)
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.01)  # noqa: ASYNC251 - the loop is busy
    sleeping = psutil.Process(int(pid.read_text()))
    starting.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait([starting])
    assert starting.cancelled()
    assert gone([sleeping])


def test_a_loop_that_ends_leaves_nothing(tmp_path: Path) -> None:
    """Cancelled twice, the second time by the end of the event loop: SIGKILL follows at once."""
    pids: list[int] = []

    async def work(running: asyncio.Event) -> None:
        async with Process(["sh", "-c", STUBBORN], stop_timeout=30) as child:
            found, lines = await started(child)
            pids.extend(process.pid for process in found)
            running.set()
            await anext(lines)  # type: ignore[call-overload]

    async def main() -> None:
        running = asyncio.Event()
        task = asyncio.create_task(work(running))
        await running.wait()
        task.cancel()
        await asyncio.sleep(0)  # it is in its __aexit__ now
        task.cancel()

    asyncio.run(main())
    assert len(pids) == 3
    assert gone([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)])


@asynchronous(20)
async def test_timeout_ends_it() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await run(["sleep", "600"], timeout=0.2)
    assert time.monotonic() - began < 5


@asynchronous(20)
async def test_environment_and_folder(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "ONLY": "this"}
    async with Process(["sh", "-c", "pwd; echo $ONLY$HOME"], env=env, cwd=str(tmp_path)) as child:
        assert [line async for line in child.lines()] == [f"{tmp_path}\n", "this\n"]


@asynchronous(20)
async def test_not_started() -> None:
    child = Process(["true"])
    with pytest.raises(RuntimeError):
        await child.wait()
    with pytest.raises(RuntimeError):
        await anext(aiter(child.lines()))
