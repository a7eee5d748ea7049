"""Fan-out: no event is lost or sent twice, and slow viewers do not delay others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest
from tornado.ioloop import IOLoop

from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.events import Encoded
from binderprogress.core.phases import Phase
from binderprogress.core.specs import parse
from binderprogress.core.timing.estimator import TYPICAL
from binderprogress.core.timing.priors import Expectation, Place
from binderprogress.launches import Caller, Fanout, Launch, Viewer, fanout, slices
from binderprogress.launches.channel_factory import Channels
from binderprogress.launches.event_writer import Clock, Limits

from .parts import WITHIN, gen_test


@dataclass
class Settings:
    keepalive: float = 3600.0
    viewer_timeout: float = 3600.0


@dataclass(frozen=True)
class Numbers:
    """A format that has only the numbers of events."""

    name: str = ""
    says_when: bool = True
    keepalive = b"."

    def frame(self, events: Sequence[Encoded]) -> bytes:
        return b" ".join([b"%d" % encoded.event.id for encoded in events])


class Kept(Viewer):
    """A connection that records writes. Its buffer can be full."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.full = False
        self.ended = asyncio.Event()
        self.dropped = False
        self.delay: float | None = None
        self.on_write: Callable[[], object] = lambda: None

    @property
    def numbers(self) -> list[int]:
        return [int(n) for data in self.writes if data != b"." for n in data.split()]

    def send(self, data: bytes) -> bool:
        assert not self.full, "it has said that it is full"
        assert not self.ended.is_set()
        self.writes.append(data)
        self.on_write()
        return not self.full

    def drain(self) -> None:
        self.full = False
        self.drained()

    def end(self) -> None:
        assert not self.ended.is_set()
        self.ended.set()
        self.leave()

    def drop(self) -> None:
        self.dropped = True
        self.end()

    def forget(self) -> None:
        self.drop()

    def restart(self, delay: float) -> None:
        self.delay = delay
        self.leave()


class Unaware(Kept):
    """A connection that is closed when its viewer may come back."""

    def restart(self, delay: float) -> None:
        if self.delay is None:
            self.delay = delay
            asyncio.get_running_loop().call_later(delay, self.leave)


def new_launch() -> Launch:
    return Launch(
        "id",
        parse("gh/a/b/HEAD"),
        caller=Caller(),
        clock=Clock(),
        limits=Limits(),
        expectation=Expectation(None, Place(), TYPICAL),
        channels=Channels(MemoryChannelStore()),
    )


@pytest.fixture
def launch(io_loop: IOLoop) -> Launch:
    """A running launch with 5 events."""

    async def make() -> Launch:
        launch = new_launch()
        await launch.open()
        await say(launch, 4)
        return launch

    made: Launch = io_loop.run_sync(make)
    return made


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest.fixture
def out(settings: Settings, io_loop: object) -> Iterator[Fanout]:
    made = Fanout(settings)
    yield made
    assert not made._audiences, "somebody watches for ever"
    assert not (made._work or made._behind or made._later)


async def say(launch: Launch, lines: int) -> None:
    """Write lines, and wait until they are stored, which takes a turn of the loop."""
    for _ in range(lines):
        launch.tail().append(Phase.WAITING, "a line\n")
    while launch.tail().channel.unstored:  # noqa: ASYNC110 - to see each following turn
        await asyncio.sleep(0)


def join(out: Fanout, launch: Launch, after: int = 0, form: Numbers | None = None) -> Kept:
    viewer = Kept()
    out.join(viewer, launch, after, form or Numbers())
    return viewer


async def has(viewer: Kept, last: int) -> None:
    """Wait until a viewer has an event."""
    came = asyncio.Event()
    viewer.on_write = came.set
    async with asyncio.timeout(WITHIN):
        while not viewer.numbers or viewer.numbers[-1] < last:
            came.clear()
            await came.wait()


async def ended(*viewers: Kept) -> None:
    async with asyncio.timeout(WITHIN):
        for viewer in viewers:
            await viewer.ended.wait()


@pytest.mark.parametrize(("after", "first"), [(0, 1), (3, 4), (5, 6), (-7, 1), (99, 6)])
@gen_test
async def test_it_gets_what_comes_after_a_number(
    out: Fanout, launch: Launch, after: int, first: int
) -> None:
    # A viewer with a later number waits for the next event.
    viewer = join(out, launch, after)
    await asyncio.sleep(0)
    await say(launch, 1)
    launch.tail().cancel("cancelled")
    await ended(viewer)
    assert viewer.numbers == list(range(first, 8))


@pytest.mark.parametrize("after", [6, 7, 99])
@gen_test
async def test_who_comes_back_after_the_end_gets_the_end_again(
    out: Fanout, launch: Launch, after: int
) -> None:
    launch.tail().cancel("cancelled")
    viewer = join(out, launch, after)
    await ended(viewer)
    assert viewer.numbers == [6]


@gen_test
async def test_what_comes_at_once_goes_out_at_once_and_in_one_write(
    out: Fanout, launch: Launch
) -> None:
    first, second = join(out, launch), join(out, launch, 5)
    await has(first, 5)
    await say(launch, 3)
    assert first.numbers == [1, 2, 3, 4, 5]
    await has(first, 8)
    assert second.writes == [b"6 7 8"]
    # The bytes are not copied for each viewer.
    assert first.writes[-1] is second.writes[-1]
    launch.tail().cancel("cancelled")
    await ended(first, second)


@gen_test
async def test_events_are_written_at_once_or_once_a_pause(out: Fanout, launch: Launch) -> None:
    viewer = join(out, launch, 5)
    await asyncio.sleep(0)
    out._next = 0.0
    await say(launch, 1)
    assert out._work and not out._later
    await has(viewer, 6)
    # With this pause, nothing is written at once.
    out._next = fanout.monotonic() + 3600.0
    await say(launch, 3)
    assert len(out._later) == 1 and not out._work
    assert out._tick is not None
    # The pause is over.
    out._tick.cancel()
    out._on_tick()
    await has(viewer, 9)
    assert viewer.writes == [b"6", b"7 8 9"]
    launch.tail().cancel("cancelled")
    await ended(viewer)


@gen_test
async def test_the_pause_is_that_of_all_launches(out: Fanout, launch: Launch) -> None:
    quiet = new_launch()
    await quiet.open()
    await say(quiet, 1)
    viewers = [join(out, launch, launch.end), join(out, quiet, quiet.end)]
    await asyncio.sleep(0)
    out._next = fanout.monotonic() + 3600.0
    await say(launch, 1)
    await say(quiet, 1)
    assert len(out._later) == len(viewers) and not out._work
    assert out._tick is not None
    out._tick.cancel()
    out._on_tick()
    for viewer in viewers:
        await has(viewer, 1)
        assert len(viewer.writes) == 1
    for one in (launch, quiet):
        one.tail().cancel("cancelled")
    await ended(*viewers)


@gen_test
async def test_a_pause_is_as_long_as_writing_is_costly(
    out: Fanout, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(fanout, "monotonic", lambda: now)
    viewers = [join(out, launch, 5) for _ in range(3)]
    await asyncio.sleep(0)

    def take(seconds: float) -> None:
        nonlocal now
        now += seconds

    for viewer in viewers:
        viewer.on_write = lambda: take(0.0001)
    now += 1

    await say(launch, 1)
    await asyncio.sleep(0)
    assert out._next - now == pytest.approx(3 * 0.0001 / fanout.SHARE)
    for viewer in viewers:
        viewer.on_write = lambda: take(0.01)
    now += 1
    await say(launch, 1)
    # Over several turns of the loop, if necessary.
    await has(viewers[-1], 7)
    assert out._next - now == pytest.approx(fanout.TICK)
    for viewer in viewers:
        viewer.on_write = lambda: None
    now += 1
    launch.tail().cancel("cancelled")
    await ended(*viewers)


@gen_test
async def test_launches_that_share_events_share_their_bytes(out: Fanout, launch: Launch) -> None:
    class Shared(Launch):
        """A launch with the same events."""

        def __init__(self) -> None:
            self.changed, self.watched, self.viewers = launch.changed, launch.watched, 0
            self.forgotten = False
            self.read_nowait = launch.read_nowait  # type: ignore[method-assign]

        may_be_behind = False
        closed = property(lambda self: launch.closed)
        end = property(lambda self: launch.end)

    viewers = [join(out, launch, 5), join(out, Shared(), 5), join(out, launch, 5, Numbers("x"))]
    await asyncio.sleep(0)
    await say(launch, 2)
    for viewer in viewers:
        await has(viewer, 7)
    first, other, of_other_format = (viewer.writes[0] for viewer in viewers)
    assert first is other
    assert of_other_format is not first
    assert not out._framed
    launch.tail().cancel("cancelled")
    await ended(*viewers)


@gen_test
async def test_one_that_is_full_holds_up_nobody_and_goes_on_where_it_was(
    out: Fanout, launch: Launch
) -> None:
    slow, quick = join(out, launch, 5), join(out, launch, 5)
    await asyncio.sleep(0)
    slow.on_write = lambda: setattr(slow, "full", True)
    for number in range(6, 10):
        await say(launch, 1)
        await has(quick, number)
    assert slow.numbers == [6]
    slow.on_write = lambda: None
    slow.drain()
    await has(slow, 9)
    assert slow.writes[1] == b"7 8 9"
    # Then it is live again.
    await say(launch, 1)
    await has(slow, 10)
    assert slow.writes[-1] is quick.writes[-1]
    launch.tail().cancel("cancelled")
    await ended(slow, quick)


@gen_test
async def test_one_that_stays_full_is_dropped(
    out: Fanout, launch: Launch, settings: Settings
) -> None:
    settings.viewer_timeout = 0.01
    slow, late = join(out, launch, 5), join(out, launch, 0)
    # One is blocked by new events, the other by old ones.
    for viewer in (slow, late):
        viewer.on_write = lambda viewer=viewer: setattr(viewer, "full", True)  # type: ignore[misc]
    await asyncio.sleep(0)
    await say(launch, 1)
    await ended(slow, late)
    assert slow.dropped and late.dropped
    assert launch.viewers == 0
    # A blocked viewer that has left is not served again.
    slow.drained()
    await asyncio.sleep(0)


@gen_test
async def test_one_that_empties_in_time_is_not_dropped(
    out: Fanout, launch: Launch, settings: Settings
) -> None:
    settings.viewer_timeout = 0.5
    viewer = join(out, launch, 5)
    await asyncio.sleep(0)
    began = asyncio.get_running_loop().time()
    number = 5
    while asyncio.get_running_loop().time() < began + 0.7:
        number += 1
        viewer.on_write = lambda: setattr(viewer, "full", True)
        await say(launch, 1)
        while not viewer.full:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(viewer.ended.wait(), 0.1)
        viewer.on_write = lambda: None
        viewer.drain()
    launch.tail().cancel("cancelled")
    await ended(viewer)
    assert not viewer.dropped
    assert viewer.numbers == list(range(6, number + 2))


@gen_test
async def test_a_long_log_comes_in_slices_between_which_live_viewers_are_served(
    out: Fanout, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "TICK", 0.0)
    monkeypatch.setattr(fanout, "SLICE_EVENTS", 10)
    monkeypatch.setattr(fanout, "_BUDGET", 0.0)
    await say(launch, 995)
    live, late, later = join(out, launch, 1000), join(out, launch), join(out, launch, 500)
    await say(launch, 1)
    await has(live, 1001)
    assert len(late.writes) < 50
    assert len(later.writes) < 50
    launch.tail().cancel("cancelled")
    await ended(live, late, later)
    assert late.numbers == list(range(1, 1003))
    assert later.numbers == list(range(501, 1003))
    assert max(len(data.split()) for data in late.writes) == 10


@gen_test
async def test_slices_are_measured_in_bytes_too(
    out: Fanout, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "SLICE_BYTES", 1)
    viewer = join(out, launch)
    launch.tail().cancel("cancelled")
    await ended(viewer)
    assert viewer.writes == [b"1", b"2", b"3", b"4", b"5", b"6"]


@gen_test
async def test_many_live_viewers_are_served_over_several_turns(
    out: Fanout, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "_BUDGET", 0.0)
    monkeypatch.setattr(fanout, "_BLOCK", 2)
    viewers = [join(out, launch, 5) for _ in range(9)]
    live = out._audiences[launch, Numbers()]._live
    while len(live) < len(viewers):  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0)
    await say(launch, 1)
    await has(viewers[0], 6)
    # Meanwhile, a viewer leaves, another joins, and there is a new event.
    assert not viewers[-1].numbers
    viewers[-1].leave()
    new = join(out, launch, 0)
    await say(launch, 1)
    for viewer in viewers[:-1]:
        await has(viewer, 7)
    await has(new, 7)
    launch.tail().cancel("cancelled")
    await ended(*viewers[:-1], new)
    for viewer in viewers[:-1]:
        assert viewer.numbers == [6, 7, 8]
    assert viewers[-1].numbers == []
    assert new.numbers == list(range(1, 9))


@gen_test
async def test_late_joiners_share_their_slices(
    out: Fanout, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "SLICE_EVENTS", 10)
    monkeypatch.setattr(fanout, "_FRAMES", 2)
    await say(launch, 95)
    viewers = [join(out, launch) for _ in range(3)]
    launch.tail().cancel("cancelled")
    await ended(*viewers)
    for viewer in viewers:
        assert viewer.numbers == list(range(1, 102))
    assert [id(data) for data in viewers[0].writes] == [id(data) for data in viewers[2].writes]
    # They are kept no longer than a viewer may need them.
    await asyncio.sleep(0)
    assert not out._framed


@gen_test
async def test_a_mistake_in_one_viewer_does_not_stop_the_others(
    io_loop: IOLoop, out: Fanout, launch: Launch
) -> None:
    class MistakeError(Exception):
        """Raised by the test."""

    def fail() -> None:
        raise MistakeError

    said: list[object] = []
    io_loop.asyncio_loop.set_exception_handler(  # type: ignore[attr-defined]
        lambda _, context: said.append(context.get("exception"))
    )
    wrong, right = join(out, launch, 5), join(out, launch, 5)
    late = join(out, launch, 0)
    wrong.on_write = late.on_write = fail
    await ended(late)
    await say(launch, 1)
    await ended(wrong)
    await has(right, 6)
    launch.tail().cancel("cancelled")
    await ended(right)
    assert right.numbers == [6, 7]
    assert wrong.dropped and late.dropped
    assert [type(error) for error in said] == [MistakeError, MistakeError]


@gen_test
async def test_silence_is_filled(out: Fanout, launch: Launch, settings: Settings) -> None:
    settings.keepalive = 0.02
    viewer = join(out, launch, 5)
    async with asyncio.timeout(WITHIN):
        while len(viewer.writes) < 3:
            came = asyncio.Event()
            viewer.on_write = came.set
            await came.wait()
    assert viewer.writes[:3] == [b"."] * 3
    assert viewer.numbers == []
    launch.tail().cancel("cancelled")
    await ended(viewer)


@gen_test
async def test_without_keepalives_a_silent_launch_is_left_alone(
    out: Fanout, launch: Launch, settings: Settings
) -> None:
    settings.keepalive = 0.0
    viewer = join(out, launch, 5)
    for _ in range(100):
        await asyncio.sleep(0)
    assert viewer.writes == []
    await say(launch, 1)
    await has(viewer, 6)
    launch.tail().cancel("cancelled")
    await ended(viewer)


@gen_test
async def test_viewers_are_counted_and_their_coming_and_going_is_told(
    out: Fanout, launch: Launch
) -> None:
    counts: list[int] = []
    launch.watched.add(lambda: counts.append(launch.viewers))
    first, second = join(out, launch), join(out, launch, 0, Numbers("x"))
    first.leave()
    first.leave()
    second.leave()
    assert counts == [1, 2, 1, 0]
    await asyncio.sleep(0)
    assert (first.writes, second.writes) == ([], [])


@gen_test
async def test_who_cannot_be_told_when_to_reconnect_is_disconnected_later(
    out: Fanout, launch: Launch
) -> None:
    told, unaware = join(out, launch), [Unaware() for _ in range(20)]
    for viewer in unaware:
        out.join(viewer, launch, 0, Numbers(says_when=False))
    # Longer than it waits for others.
    await out.close(lambda: 7.0, spread=2.5)
    assert told.delay == 7.0
    delays = [viewer.delay for viewer in unaware if viewer.delay is not None]
    assert len(delays) == len(set(delays)) == 20
    assert 2.0 < max(delays) <= 2.5
    assert all(viewer.audience is None for viewer in unaware)
    late = Unaware()
    out.join(late, launch, 0, Numbers(says_when=False))
    assert late.delay == 0.0


@gen_test
async def test_with_no_spread_all_are_disconnected_at_once(out: Fanout, launch: Launch) -> None:
    unaware = Unaware()
    out.join(unaware, launch, 0, Numbers(says_when=False))
    await out.close(lambda: 7.0)
    assert (unaware.delay, unaware.audience) == (0.0, None)
