"""What the writer can be asked to change. Each request is done as a whole, or raises before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from sqlalchemy import select, update

from ...core.events import Encoded
from ...errors import ChannelConflictError
from .session import Batch, Session, lost
from .tables import channels, leases, to_text

__all__ = ["Append", "Close", "Create", "Discard", "Request"]


class Request(Protocol):
    """A change that is requested."""

    @property
    def subject(self) -> str:
        """The name of what is changed."""
        ...

    @property
    def locks(self) -> Sequence[str]:
        """The names of all leases that it changes, or must not be changed meanwhile."""
        ...

    def run(self, session: Session) -> Any:
        """Do it.

        Raises
        ------
        StorageError
            If it cannot be done. Nothing was changed then.
        """
        ...


class _OfChannel(msgspec.Struct):
    channel: str

    @property
    def subject(self) -> str:
        """The channel."""
        return self.channel

    @property
    def locks(self) -> Sequence[str]:
        """None."""
        return ()


class Create(_OfChannel):
    """Creates a channel."""

    first: int
    lease: str

    @property
    def locks(self) -> Sequence[str]:
        """The lease that it belongs to, if any."""
        return (self.lease,) if self.lease else ()

    def run(self, session: Session) -> None:
        """Do it; see `Request.run`."""
        fence = 0
        if self.lease:
            # Locked, because `take` must find all channels.
            mine = select(leases.c.fence).where(
                leases.c.name == to_text(self.lease),
                leases.c.owner == session.replica,
                ~leases.c.given,
            )
            found = session.connection.scalar(mine.with_for_update())
            if found is None:
                raise lost(self.lease)
            fence = found
        done = session.execute(
            session.insert_new(channels),
            id=to_text(self.channel),
            lease=to_text(self.lease) or session.own_lease,
            first=self.first,
            last=self.first - 1,
            closed=False,
            fence=fence,
            size=0,
        )
        if not done.rowcount and not (
            session.in_doubt(Create, self.channel)
            and session.last_of(self.channel) == self.first - 1
        ):
            raise ChannelConflictError(f"The channel {self.channel} exists already.")
        session.fences[self.channel] = fence
        session.channels[self.channel] = (self.first - 1, False)


class Append(_OfChannel):
    """Appends events to a channel. The writer does many of these at once."""

    events: Sequence[Encoded]
    expected: int
    size: int
    """Bytes of the events."""

    @classmethod
    def of(cls, channel: str, events: Sequence[Encoded], expected: int) -> Append:
        """Return a request for these events."""
        return cls(channel, events, expected, sum([len(each.sse) for each in events]))

    def join(self, batches: dict[str, Batch]) -> bool:
        """Add the events to those of a group. Return whether they fit what is there."""
        batch = batches.get(self.channel)
        if batch is None:
            batches[self.channel] = self._batch()
        elif batch.last == self.expected:
            batch.blocks += [each.sse for each in self.events]
        else:
            return False
        return True

    def run(self, session: Session) -> None:
        """Do it; see `Request.run`."""
        batch = self._batch()
        if session.append([batch]) or self._resume(session, batch):
            return
        raise session.refusal(self.channel, self.expected)

    def _batch(self) -> Batch:
        return Batch(self.channel, self.expected + 1, [each.sse for each in self.events])

    def _resume(self, session: Session, batch: Batch) -> bool:
        """Store what is missing, if the events or the first of them were stored in doubt."""
        request = session.in_doubt(Append, self.channel)
        if request is None:
            return False
        stored = request._batch()
        if (stored.first, stored.last) != (batch.first, session.last_of(self.channel)):
            return False
        count = len(stored.blocks)
        if batch.blocks[:count] != stored.blocks:
            return False
        session.channels[self.channel] = (stored.last, False)
        rest = batch.blocks[count:]
        return not rest or session.append([Batch(batch.channel, stored.last + 1, rest)])


class Close(_OfChannel):
    """Closes a channel."""

    def run(self, session: Session) -> int:
        """Do it; see `Request.run`. Return the number of the last event."""
        fence = session.fence_of(self.channel)
        where = channels.c.id == to_text(self.channel), channels.c.fence == fence
        if (
            fence is None
            or not session.execute(update(channels).where(*where).values(closed=True)).rowcount
        ):
            raise session.refusal(self.channel)
        last = session.connection.scalar(select(channels.c.last).where(where[0])) or 0
        session.fences.pop(self.channel, None)
        session.channels[self.channel] = (last, True)
        return last


class Discard(_OfChannel):
    """Deletes a channel."""

    def run(self, session: Session) -> None:
        """Do it; see `Request.run`."""
        name = to_text(self.channel)
        found = select(channels.c.id).where(channels.c.id == name)
        if session.connection.scalar(found.with_for_update()) is None:
            return
        if session.fence_of(self.channel) is None:
            raise session.refusal(self.channel)
        session.fences.pop(self.channel, None)
        session.channels[self.channel] = (0, True)
        session.delete_channels([name])
