"""The channels that a launch is made of, as far as they are read or shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ..channels.durable import ChannelState
from ..core.events import Encoded
from .channel import Channel

__all__ = ["Extent", "Part", "messages_of"]

_DECODED = 64
"""Number of events that are decoded at a time for the log."""


class Extent(msgspec.Struct, frozen=True):
    """The extent of a channel, and its newest event, if there is one."""

    state: ChannelState
    newest: Encoded | None


class Part(msgspec.Struct, frozen=True):
    """Some events of one channel.

    Attributes
    ----------
    channel : Channel
    after : int
        In the channel's numbers.
    limit : int
    shift : int
        By how much their numbers are higher in the launch.
    """

    channel: Channel
    after: int
    limit: int
    shift: int = 0

    def moved(self, events: Sequence[Encoded]) -> Sequence[Encoded]:
        """Return events with the launch's numbers."""
        return [event.moved(self.shift) for event in events] if self.shift else events


def messages_of(events: Sequence[Encoded]) -> Iterator[bytes]:
    """Return the messages of events, in chunks of UTF-8."""
    for start in range(0, len(events), _DECODED):
        chunk = events[start : start + _DECODED]
        if text := "".join([encoded.event.message for encoded in chunk]):
            yield text.encode()
