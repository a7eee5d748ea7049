"""Fan-out: what is new in a launch goes to each of its viewers, in one write a tick at most.

A viewer is a position. Those who have everything so far are alike: what is new is read once, put
into bytes once, and the same bytes are offered to each. The others, who came later or read slowly,
get slices of what is there, each at its own pace and in turns, so that nobody waits for them.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Protocol

from ..core.events import Encoded
from .launch import Launch
from .slices import SLICE_EVENTS, Slices

__all__ = ["Fanout", "Format", "Settings", "Viewer"]

TICK = 0.02
"""Seconds from one write to a viewer to the next, at most: what comes in between goes together."""

SHARE = 0.05
"""The part of all time that writing to viewers takes before they wait for each other.

Where few watch, everything goes out at once; where hundreds do, once a tick.
"""

_BUDGET = 0.005
"""Seconds for which viewers are written to until everything else gets its turn."""

_FRAMES = 32
"""How many slices are kept for others who may want the same."""

_BLOCK = 32
"""How many viewers are written to between two looks at the clock."""


class Format(Protocol):
    """How events go over a kind of connection. Equal ones share their bytes."""

    @property
    def keepalive(self) -> bytes:
        """What says nothing, and keeps proxies from cutting a silent connection."""
        ...

    def frame(self, events: Sequence[Encoded]) -> bytes:
        """Return the bytes of some events, one after the other."""
        ...


class Settings(Protocol):
    """What may change while it runs."""

    keepalive: float
    """Seconds of silence after which a keepalive is sent; 0 turns keepalives off."""

    viewer_timeout: float
    """Seconds after which a viewer that does not read is dropped."""


class Viewer(ABC):
    """One connection that watches a launch."""

    __slots__ = ("_deadline", "audience", "position")

    def __init__(self) -> None:
        self.position = 0
        """The number of the last event that it has, or that is on its way to it."""
        self.audience: Audience | None = None
        self._deadline: asyncio.TimerHandle | None = None

    @abstractmethod
    def send(self, data: bytes) -> bool:
        """Write to the connection, and do not wait.

        Returns
        -------
        bool
            Whether the system has taken all of it. If not, the rest is kept and `drained` is
            called when it has; nothing more is sent until then.
        """

    @abstractmethod
    def end(self) -> None:
        """Say that the stream is complete, and close the connection."""

    @abstractmethod
    def drop(self) -> None:
        """Close the connection of one that does not read. It can resume."""

    @abstractmethod
    def forget(self) -> None:
        """Close the connection: the launch is forgotten, and there is nothing to resume."""

    @property
    def settings(self) -> Settings:
        """Those of its server, while it watches."""
        assert self.audience is not None  # noqa: S101 - for the type checker
        return self.audience.fanout.settings

    def drained(self) -> None:
        """Go on: what was kept has been taken."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self.audience is not None:
            self.audience.fanout.serve(self)

    def left(self) -> None:
        """Forget the viewer: its connection is closed."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self.audience is not None:
            self.audience.remove(self)
            self.audience = None

    def blocked(self) -> None:
        """Drop it unless it is `drained` in time."""
        timeout = self.settings.viewer_timeout
        self._deadline = asyncio.get_running_loop().call_later(timeout, self.drop)


class Audience:
    """The viewers of a launch whose connections are of one kind."""

    def __init__(self, fanout: Fanout, launch: Launch, form: Format) -> None:
        self.fanout = fanout
        self.launch = launch
        self.format = form
        self.position = launch.end
        """The number of the last event that those have who have everything."""
        self.written = monotonic()
        self.pending = False
        """Whether `send` is going to be called, or has not finished."""
        self._live: dict[Viewer, None] = {}
        self._slices = Slices(launch)
        self._size = 0
        launch.changed.add(self._changed)
        self._keepalive: asyncio.TimerHandle | None = None
        self._schedule_keepalive(silent=0.0)

    def _changed(self) -> None:
        if not self.pending:
            self.pending = True
            self.fanout.changed(self)

    def add(self, viewer: Viewer, after: int) -> None:
        """Take a viewer in, from a number on."""
        end = self.launch.end
        if self.launch.closed and after >= end:
            # Who comes back after the end gets the end again, and does not wait for ever.
            after = end - 1
        # A number from the future would wait for ever.
        viewer.position = min(max(after, 0), end)
        viewer.audience = self
        self._size += 1
        self.launch.join()
        self.fanout.serve(viewer)

    def remove(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        self._live.pop(viewer, None)
        self._size -= 1
        self.launch.leave()
        if not self._size:
            self.launch.changed.remove(self._changed)
            if self._keepalive is not None:
                self._keepalive.cancel()
            self._slices.close()
            self.fanout.forget(self)

    @property
    def complete(self) -> bool:
        """Whether there is nothing after `position`, and never will be."""
        return self.launch.closed and self.position >= self.launch.end

    def send(self) -> Iterator[None]:
        """Write what is new to all who have everything before it; stops between blocks of them."""
        while self.position < self.launch.end and not self.launch.forgotten:
            events = self._slices.after(self.position, SLICE_EVENTS, self._resume)
            if events is None:
                return
            self.position = events[-1].id
            self.written = monotonic()
            yield from self._offer(self.fanout.frame(self.format, events))
        # From here on, what is new is told anew.
        self.pending = False
        if self.launch.forgotten:
            for viewer in tuple(self._live):
                viewer.forget()
        elif self.complete:
            for viewer in tuple(self._live):
                del self._live[viewer]
                viewer.end()

    def _resume(self) -> None:
        """Go on with `send`: what it waited for was read."""
        self.fanout.start(self.send())

    def _offer(self, data: bytes) -> Iterator[None]:
        # Who joins meanwhile has what is in `data`.
        position, live = self.position, self._live
        for number, viewer in enumerate(tuple(live), 1):
            if viewer in live:
                try:
                    if not viewer.send(data):
                        del live[viewer]
                        viewer.position = position
                        viewer.blocked()
                except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
                    _mistaken(viewer, error)
            if not number % _BLOCK:
                yield

    def catch_up(self, viewer: Viewer) -> bool:
        """Write a slice to a viewer that has not everything; True if it wants another at once."""
        if self.launch.forgotten:
            viewer.forget()
            return False
        behind = self.position - viewer.position
        if behind > 0:
            events = self._slices.after(
                viewer.position, min(behind, SLICE_EVENTS), lambda: self.fanout.serve(viewer)
            )
            if events is None:
                return False
            viewer.position = events[-1].id
            try:
                if viewer.send(self.fanout.frame(self.format, events)):
                    return True
                viewer.blocked()
            except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
                _mistaken(viewer, error)
            return False
        if self.complete:
            viewer.end()
        else:
            self._live[viewer] = None
        return False

    def _keep_alive(self) -> None:
        silent, keepalive = monotonic() - self.written, self.fanout.settings.keepalive
        if silent >= keepalive:
            self.written = monotonic()
            self.fanout.start(self._offer(self.format.keepalive))
            silent = 0.0
        self._schedule_keepalive(silent=silent)

    def _schedule_keepalive(self, *, silent: float) -> None:
        keepalive = self.fanout.settings.keepalive
        if keepalive > 0:
            self._keepalive = asyncio.get_running_loop().call_later(
                keepalive - silent, self._keep_alive
            )


class Fanout:
    """All audiences of a server, and whose turn it is.

    A launch that was silent for a pause is written to at once, else after the next one. A pause is
    as long as the last writes were costly, and never longer than a tick. All run in the event loop
    that `join` is called in.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._audiences: dict[tuple[Launch, Format], Audience] = {}
        self._later: list[Audience] = []
        self._work: deque[Iterator[None]] = deque()
        self._behind: deque[Viewer] = deque()
        self._framed: dict[tuple[Format, Encoded, Encoded], bytes] = {}
        self._pause = 0.0
        self._took = 0.0
        """Seconds for which live viewers have been written to, since there was nothing to write."""
        self._turn: asyncio.Handle | None = None
        self._tick: asyncio.TimerHandle | None = None

    def join(self, viewer: Viewer, launch: Launch, after: int, form: Format) -> None:
        """Send a viewer what comes after the number `after`, until its `Viewer.left` is called."""
        audience = self._audiences.get((launch, form))
        if audience is None:
            audience = self._audiences[launch, form] = Audience(self, launch, form)
        audience.add(viewer, after)

    def forget(self, audience: Audience) -> None:
        """Forget an audience of nobody."""
        del self._audiences[audience.launch, audience.format]

    def changed(self, audience: Audience) -> None:
        """Have what is new sent, now or after a pause."""
        if monotonic() - audience.written >= self._pause:
            self.start(audience.send())
        else:
            self._later.append(audience)
            if self._tick is None:
                self._tick = asyncio.get_running_loop().call_later(self._pause, self._on_tick)

    def serve(self, viewer: Viewer) -> None:
        """Send more to a viewer that has not everything, when it is its turn."""
        self._behind.append(viewer)
        self._schedule()

    def start(self, work: Iterator[None]) -> None:
        """Write to viewers, block after block."""
        self._work.append(work)
        self._schedule()

    def frame(self, form: Format, events: Sequence[Encoded]) -> bytes:
        """Return the bytes of events, made once for all who get them at about the same time.

        Launches that share their build share its events, too.
        """
        key = (form, events[0], events[-1])
        data = self._framed.get(key)
        if data is None:
            if len(self._framed) >= _FRAMES:
                del self._framed[next(iter(self._framed))]
            data = self._framed[key] = form.frame(events)
        return data

    def _schedule(self) -> None:
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._take_turn)

    def _on_tick(self) -> None:
        self._tick = None
        later, self._later = self._later, []
        self._work.extend([audience.send() for audience in later])
        self._schedule()

    def _take_turn(self) -> None:
        self._turn = None
        began = monotonic()
        self._live_turn(began + _BUDGET)
        now = monotonic()
        self._took += now - began
        if not self._work:
            self._pause = min(self._took / SHARE, TICK)
            self._took = 0.0
        # These have a time of their own, or they would starve where live ones need all of it.
        self._behind_turn(now + _BUDGET)
        if self._work or self._behind:
            self._schedule()
        else:
            self._framed.clear()

    def _live_turn(self, end: float) -> None:
        while self._work:
            work = self._work.popleft()
            for _ in work:
                if monotonic() >= end:
                    self._work.appendleft(work)
                    return
            if monotonic() >= end:
                return

    def _behind_turn(self, end: float) -> None:
        for _ in range(len(self._behind)):
            viewer = self._behind.popleft()
            if viewer.audience is not None and viewer.audience.catch_up(viewer):
                self._behind.append(viewer)
            if monotonic() >= end:
                return


def _mistaken(viewer: Viewer, error: Exception) -> None:
    """Tell of a mistake of ours, and let the viewer come back."""
    problem = {"message": "A viewer could not be written to.", "exception": error}
    asyncio.get_running_loop().call_exception_handler(problem)
    viewer.drop()
