"""The operations whose instructions are counted; `benchmarks.instructions` runs this in valgrind.

It makes everything ready, does each operation until the interpreter has warmed to it, and then
forks once for each: valgrind says at a process's end how many instructions it took, those before
the fork included. What a child has more than the first one, which does nothing, is its operation's.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import os
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

import msgspec
from tornado.iostream import IOStream

from binderprogress.backends.processes.child import Lines
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.events import Encoded, Event
from binderprogress.core.log.reader import Normalizer, Record
from binderprogress.core.log.steps import numbered
from binderprogress.core.phases import Phase
from binderprogress.core.specs import parse
from binderprogress.core.timing.estimator import TYPICAL, Estimator
from binderprogress.core.timing.priors import Expectation, Place
from binderprogress.launches import Caller, Fanout, Launch
from binderprogress.launches.channel_factory import Channels
from binderprogress.launches.event_writer import Clock, Limits, Writer
from binderprogress.launches.fanout import Audience
from binderprogress.web.viewers import EventStream, EventStreamViewer

__all__ = ["COUNT", "NOTHING", "OPERATIONS"]

COUNT = 2000
"""How often each is done."""

NOTHING = "nothing"
"""The child that does nothing."""

_WARM = 200
"""How often each is done before; CPython makes code faster as it runs."""

_EVERY = 50
"""One in so many lines begins a step."""

_VIEWERS = 200
"""As many watch one launch."""


class _Settings:
    """Of a server: nothing happens by time here."""

    keepalive = viewer_timeout = 3600.0


Operation = Callable[[int], None]
"""Does something so many times, `COUNT` at most."""


def _lines() -> list[bytes]:
    """Return the log of a build, as repo2docker prints it."""
    lines = []
    for number in range(COUNT):
        message = f"Collecting package-{number} (from -r requirements.txt (line {number % 300}))\n"
        if number % _EVERY == 0:
            message = f"STEP {number // _EVERY + 1}/{COUNT // _EVERY}: RUN command {number}\n"
        lines.append(json.dumps({"message": message, "phase": "building"}).encode() + b"\n")
    return lines


def _clock() -> Clock:
    """Return one that goes on by a millisecond with each look at it."""
    ticks = itertools.count()
    return Clock(monotonic=lambda: next(ticks) / 1000, utc=lambda: 1.7e9)


def _writer() -> Writer:
    clock = _clock()
    return Writer(
        Channels(MemoryChannelStore()).make(),
        clock=clock,
        began=0.0,
        began_utc=clock.utc(),
        estimator=Estimator(now=0.0),
        limits=Limits(),
        phase=Phase.WAITING,
    )


def _written() -> list[Event]:
    """Return the events of that log."""
    writer, normalizer = _writer(), Normalizer()
    for line in _lines():
        note = normalizer.read(Record("repo2docker", line.decode()))
        assert note is not None
        writer.write(note, log=logging.getLogger("benchmarks"))
    return [encoded.event for encoded in writer.channel.unstored]


def plain() -> Operation:
    """Make a line an event as a plain program would, with nothing of ours."""
    lines = _lines()

    def run(count: int) -> None:
        sent = []
        for number in range(count):
            record = json.loads(lines[number])
            seconds = number / 1000
            event = {"id": number, "time": round(1.7e9 + seconds, 3), "elapsed": round(seconds, 3)}
            event.update(record, progress=round(100 * number / (number + 1000), 3))
            sent.append(b"id: %d\ndata: %b\n\n" % (number, json.dumps(event).encode()))

    return run


def library() -> Operation:
    """Make an event JSON with msgspec alone, which most of our encoding is."""
    events: list[Any] = [msgspec.to_builtins(event) for event in _written()]

    def run(count: int) -> None:
        for event in events[:count]:
            msgspec.json.encode(event)

    return run


def encode() -> Operation:
    """Make an event the bytes of server-sent events and WebSockets."""
    events = _written()

    def run(count: int) -> None:
        for event in events[:count]:
            Encoded.of(event)

    return run


def append() -> Operation:
    """Make a line of a process's output an event in a channel, the estimate included."""
    lines, log = _lines(), logging.getLogger("benchmarks")
    loop = asyncio.new_event_loop()

    async def write(count: int) -> None:
        writer, normalizer, reader = _writer(), Normalizer(), Lines(longest=2**22)
        for line in reader.feed(b"".join(lines[:count])):
            note = normalizer.read(Record("repo2docker", line))
            assert note is not None
            writer.write(note, log=log)
        await writer.channel.flush()
        assert writer.channel.last == count

    def run(count: int) -> None:
        loop.run_until_complete(write(count))

    return run


def estimate() -> Operation:
    """Take an event through the estimator; one in fifty begins a step."""

    def run(count: int) -> None:
        estimator = Estimator(now=0.0)
        for number in range(count):
            step = None
            if number % _EVERY == 0:
                step = numbered(number // _EVERY + 1, COUNT // _EVERY)
            estimator.update(Phase.BUILDING, step, now=number / 40)

    return run


def _sockets() -> tuple[list[socket.socket], list[socket.socket]]:
    """Return both ends of a connection of each viewer; they take all that is sent here."""
    ours, theirs = zip(*(socket.socketpair() for _ in range(_VIEWERS)), strict=True)
    for end in ours:
        end.setblocking(False)
    return list(ours), list(theirs)


def send() -> Operation:
    """Send each event to each of many connections, and do nothing else."""
    ours, theirs = _sockets()
    data = bytes(300)

    def run(count: int) -> None:
        assert len(theirs) == len(ours)
        for _ in range(count // _VIEWERS):
            for end in ours:
                end.send(data)

    return run


def fanout() -> Operation:
    """Append an event and send it to each of many viewers; counted for one viewer."""
    loop = asyncio.new_event_loop()
    ours, theirs = _sockets()
    log = logging.getLogger("benchmarks")
    form = EventStream(chunked=True)
    clock = _clock()
    launch = Launch(
        "launch",
        parse("gh/a/b/HEAD"),
        caller=Caller(),
        clock=clock,
        limits=Limits(),
        expectation=Expectation(None, Place(), dict(TYPICAL)),
        channels=Channels(MemoryChannelStore()),
    )
    every = Fanout(_Settings())

    async def join() -> Audience:
        await launch.open()
        for end in ours:
            viewer = EventStreamViewer(IOStream(end), log=log, launch=launch, form=form, linger=0)
            every.join(viewer, launch, launch.end, form)
        audience = viewer.audience
        assert audience is not None
        while len(audience._live) < _VIEWERS:  # noqa: ASYNC110 - nobody else wants to know
            await asyncio.sleep(0)
        return audience

    audience = loop.run_until_complete(join())

    async def deliver(events: int) -> None:
        for _ in range(events):
            launch.notice("Looking up a commit")
            await launch.flush()
            # At once: it would wait for the next tick.
            for _ in audience.send():
                pass

    def run(count: int) -> None:
        assert len(theirs) == len(ours)
        loop.run_until_complete(deliver(count // _VIEWERS))

    return run


REFERENCES = {"plain": plain, "library": library, "send": send}
"""What operations are compared with."""

# Add what else is worth guarding here: a function that makes everything ready and returns what is
# to be counted, and the reference that is nearest to it, so that it depends least on how the
# interpreter was built.
OPERATIONS: dict[str, tuple[Callable[[], Operation], str]] = {
    "encode": (encode, "library"),
    "append": (append, "plain"),
    "estimate": (estimate, "plain"),
    "fanout": (fanout, "send"),
}
"""What is guarded, and its reference."""


def _status(run: Operation) -> int:
    """Do what is counted and return the exit code; a child must not go on as its parent does."""
    try:
        run(COUNT)
    except Exception:  # noqa: BLE001 - whatever it is, the parent is told
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    makers = REFERENCES | {name: make for name, (make, _) in OPERATIONS.items()}
    ready = {name: make() for name, make in makers.items()}
    for run in ready.values():
        run(_WARM)
    # What is there now is nothing to look through for the collections to come.
    gc.collect()
    gc.freeze()
    for name, run in {NOTHING: lambda count: None, **ready}.items():
        pid = os.fork()
        if pid == 0:
            os._exit(_status(run))
        _, status = os.waitpid(pid, 0)
        if status:
            sys.exit(f"{name} failed.")
        print(name, pid, flush=True)


if __name__ == "__main__":
    main()
