"""Broadcasts: whoever listens is notified."""

from __future__ import annotations

from binderprogress.channels.base import Broadcast


def test_a_listener_that_was_removed_hears_nothing() -> None:
    broadcast = Broadcast()
    heard: list[str] = []

    def listener() -> None:
        heard.append("x")

    broadcast.add(listener)
    broadcast.add(listener)
    assert len(broadcast) == 1
    broadcast.notify()
    broadcast.remove(listener)
    broadcast.remove(listener)
    broadcast.notify()
    assert (heard, len(broadcast)) == (["x"], 0)


def test_listeners_may_come_and_go_while_they_are_told() -> None:
    broadcast = Broadcast()
    heard: list[str] = []

    def once() -> None:
        heard.append("once")
        broadcast.remove(once)
        broadcast.add(lambda: heard.append("later"))

    broadcast.add(once)
    broadcast.notify()
    assert heard == ["once"]
    broadcast.notify()
    assert heard == ["once", "later"]
