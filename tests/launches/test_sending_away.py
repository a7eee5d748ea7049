"""Fan-out: viewers are sent away when the server is stopped. Then nothing is sent to them."""

from __future__ import annotations

import asyncio

import pytest

from binderprogress.core.phases import Phase
from binderprogress.launches import Fanout, Launch, fanout

from .parts import gen_test
from .test_fanout import Kept, Settings, ended, has, join, new_launch, say


async def made() -> Launch:
    """Return a running launch with 5 events."""
    launch = new_launch()
    await launch.open()
    await say(launch, 4)
    return launch


async def end(launch: Launch) -> None:
    """Cancel a launch, and wait until that is stored."""
    launch.tail().cancel("shutdown")
    while not launch.closed:  # noqa: ASYNC110 - before viewers get it
        await asyncio.sleep(0)


@gen_test
async def test_all_viewers_are_sent_away_each_after_another_time() -> None:
    out, launch = Fanout(Settings()), await made()
    live, late = join(out, launch, 5), join(out, launch, 0)
    full = join(out, launch, 0)
    full.on_write = lambda: setattr(full, "full", True)
    await has(late, 5)
    delays = iter([1.0, 2.0, 3.0, 4.0])
    await out.close(lambda: next(delays))
    assert sorted(each.delay or 0.0 for each in (live, late, full)) == [1.0, 2.0, 3.0]
    assert launch.viewers == 0
    # Nothing is sent after the end of a response.
    written = len(live.writes)
    await say(launch, 3)
    await asyncio.sleep(0.05)
    assert len(live.writes) == written
    # Whoever comes meanwhile goes at once.
    assert join(out, launch, 5).delay == 4.0
    assert not out._audiences


@gen_test
async def test_viewers_of_a_launch_that_has_ended_get_its_end() -> None:
    out, launch = Fanout(Settings()), await made()
    viewer = join(out, launch, 0)
    await end(launch)
    await out.close(lambda: 1.0)
    await ended(viewer)
    assert viewer.delay is None
    assert viewer.numbers == [1, 2, 3, 4, 5, 6]


@gen_test
async def test_those_that_do_not_read_the_end_are_sent_away_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fanout, "_PATIENCE", 0.05)
    out, launch = Fanout(Settings()), await made()
    viewer = join(out, launch, 0)
    viewer.full = True
    viewer.send = lambda _: False  # type: ignore[method-assign] # it has taken nothing
    await end(launch)
    await out.close(lambda: 1.0)
    assert viewer.delay == 1.0
    assert launch.viewers == 0


@gen_test
async def test_viewers_of_launches_that_others_go_on_with_stay_until_then() -> None:
    out, launch = Fanout(Settings()), await made()
    live, late = join(out, launch, 5), join(out, launch, 0)
    await has(late, 5)
    out.hold()
    launch.forget()
    new = join(out, launch, 0)
    await asyncio.sleep(0.05)
    viewers: tuple[Kept, ...] = (live, late, new)
    assert launch.forgotten
    assert not any(each.dropped for each in viewers)
    await out.close(lambda: 1.0)
    assert [each.delay for each in viewers] == [1.0, 1.0, 1.0]


@gen_test
async def test_an_interrupted_launch_is_never_shown_as_over() -> None:
    """Its last phase here is not that of its end."""
    out, launch = Fanout(Settings()), await made()
    viewer = join(out, launch, 5)
    out.hold()
    launch.forget()
    await out.close(lambda: 1.0)
    assert not viewer.ended.is_set()
    assert launch.last.phase is Phase.WAITING
