"""The store in memory: what it promises beyond other stores."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from binderprogress.channels.memory import MemoryChannelStore

from .test_conformance import Watcher, event, events


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """Run what must not suspend, without an event loop; return its result."""
    with pytest.raises(StopIteration) as done:
        work.send(None)
    return done.value.value


def test_nothing_suspends() -> None:
    # Writing stays as fast as it is: a batch is stored and shown in one turn of the loop.
    store, watcher = MemoryChannelStore(), Watcher()
    at_once(store.create("channel"))
    store.watch("channel", watcher)
    at_once(store.append("channel", events(1, 3), expected=0))
    assert watcher.reports == [(3, False)]
    assert len(at_once(store.read("channel", 0, limit=10))) == 3
    at_once(store.close("channel"))
    assert watcher.reports[-1] == (3, True)
    at_once(store.discard("channel"))


def test_all_readers_share_the_bytes() -> None:
    store, encoded = MemoryChannelStore(), event(1)
    at_once(store.create("channel"))
    at_once(store.append("channel", [encoded], expected=0))
    assert store.read_nowait("channel", 0, limit=1)[0] is encoded
    assert at_once(store.read("channel", 0, limit=1))[0] is encoded
