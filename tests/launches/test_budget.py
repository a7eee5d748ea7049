"""The memory that is counted is about the memory that is used."""

from __future__ import annotations

import gc
import tracemalloc

from binderprogress.channels.base import Meter
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.phases import Phase
from binderprogress.core.specs import parse
from binderprogress.core.timing.estimator import TYPICAL
from binderprogress.core.timing.priors import Expectation, Place
from binderprogress.launches import Caller, Launch
from binderprogress.launches.channel_factory import Channels
from binderprogress.launches.event_writer import Clock, Limits


def launch(meter: Meter, number: int) -> Launch:
    made = Launch(
        f"{number:032}",
        parse(f"gh/ada/repository-{number}/HEAD"),
        caller=Caller(base_url="https://binder.example.org/", ip="192.0.2.7"),
        clock=Clock(),
        limits=Limits(),
        expectation=Expectation(None, Place(), TYPICAL),
        channels=Channels(MemoryChannelStore(), meter=meter),
    )
    made.tail().append(Phase.BUILT, "Found the environment.\n")
    made.tail().cancel("cancelled")
    return made


def traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_a_launch_takes_what_is_counted() -> None:
    meter = Meter()
    launch(meter, 0)
    tracemalloc.start()
    try:
        before, counted = traced(), meter.used
        made = [launch(meter, number) for number in range(100)]
        taken, counted = traced() - before, meter.used - counted
        assert taken < counted < 4 * taken
        for one in made:
            one.forget()
        assert meter.used < counted / 50
    finally:
        tracemalloc.stop()


def test_an_event_takes_what_is_counted() -> None:
    meter = Meter()
    one = launch(meter, 0)
    del one
    other = Launch(
        "id",
        parse("gh/a/b/HEAD"),
        caller=Caller(),
        clock=Clock(),
        limits=Limits(),
        expectation=Expectation(None, Place(), TYPICAL),
        channels=Channels(MemoryChannelStore(), meter=meter),
    )
    other.notice("warm")
    tracemalloc.start()
    try:
        before, counted = traced(), meter.used
        for number in range(10_000):
            other.notice(f"A line of a log {number}")
        taken, counted = traced() - before, meter.used - counted
        assert 0.9 * taken < counted < 1.2 * taken
    finally:
        tracemalloc.stop()
