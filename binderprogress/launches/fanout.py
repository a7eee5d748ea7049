"""Fan-out: sends new events of a launch to all of its viewers, in at most one write per tick.

Each viewer has a position in the stream. For viewers that are up to date, new events are read and
encoded once, and all get the same bytes. Viewers that joined late or read slowly get slices in
turn, each at its own pace, so that other viewers do not wait for them.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from time import monotonic

from ..core.events import Encoded
from .launch import Launch
from .retries import Waiting
from .slices import SLICE_EVENTS, Slices
from .viewer import Format, Settings, Viewer

__all__ = ["Fanout"]

TICK = 0.02
"""Maximum seconds between two writes to a viewer. Events in between are written together."""

SHARE = 0.05
"""Share of the time that writing to viewers may take before writes are delayed.

With few viewers, each event is written at once; with hundreds, once per tick.
"""

_BUDGET = 0.005
"""Seconds of writing to viewers after which other tasks get a turn."""

_FRAMES = 32
"""Maximum number of encoded slices that are kept for other viewers."""

_BLOCK = 32
"""Number of viewers that are written to between two checks of the clock."""

_PATIENCE = 1.0
"""Seconds for which `Fanout.close` waits for viewers, twice."""


class Audience:
    """The viewers of a launch whose connections have the same format."""

    def __init__(self, fanout: Fanout, launch: Launch, form: Format) -> None:
        self.fanout = fanout
        self.launch = launch
        self.format = form
        self.position = launch.end
        """The number of the last event that the live viewers have."""
        self.written = monotonic()
        self.pending = False
        """Whether `send` is scheduled or has not finished."""
        self._live: dict[Viewer, None] = {}
        self._ahead: dict[Viewer, None] = {}
        """Viewers that have more than the live ones."""
        self._slices = Slices(launch)
        self._viewers: dict[Viewer, None] = {}
        self._is_closed = False
        launch.changed.add(self._changed)
        self._keepalive: asyncio.TimerHandle | None = None
        self._schedule_keepalive(silent=0.0)

    def _changed(self) -> None:
        if not self.pending:
            self.pending = True
            self.fanout.changed(self)

    def add(self, viewer: Viewer, after: int) -> None:
        """Add a viewer that has the events up to a number."""
        end = self.launch.end
        if self.launch.closed and after >= end:
            # A viewer that reconnects after the end gets the last event again, or it would wait
            # forever.
            after = end - 1
        if not self.launch.may_be_behind:
            # A viewer with a number beyond the last event would also wait forever.
            after = min(after, end)
        viewer.position = max(after, 0)
        viewer.audience = self
        self._viewers[viewer] = None
        self.launch.join()
        if self._storage and not viewer.send(self._storage):
            viewer.blocked()
        else:
            self.fanout.serve(viewer)

    @property
    def settings(self) -> Settings:
        """The settings of the fan-out."""
        return self.fanout.settings

    def serve(self, viewer: Viewer) -> None:
        """Schedule the next slice for a viewer that is behind."""
        self.fanout.serve(viewer)

    def remove(self, viewer: Viewer) -> None:
        """Remove a viewer."""
        self._live.pop(viewer, None)
        self._ahead.pop(viewer, None)
        del self._viewers[viewer]
        self.launch.leave()
        if not self._viewers:
            self.launch.changed.remove(self._changed)
            if self._keepalive is not None:
                self._keepalive.cancel()
            self._slices.close()
            self.fanout.forget(self)

    @property
    def complete(self) -> bool:
        """Whether the live viewers have the whole stream."""
        return self.launch.closed and self.position >= self.launch.end

    def send(self) -> Iterator[None]:
        """Write new events to the live viewers. Yields between blocks of viewers."""
        launch = self.launch
        end = launch.end
        while self.position < end and not launch.forgotten:
            events = self._slices.after(self.position, SLICE_EVENTS, self._resume)
            if events is None:
                return
            self.position = events[-1].id
            self.written = monotonic()
            data = self.fanout.frame(self.format, events)
            if len(self._live) < _BLOCK:
                self._write(tuple(self._live), data)
            else:
                yield from self._offer(data)
                end = launch.end
        # From here on, new events schedule this again.
        self.pending = False
        if self._ahead:
            ahead, self._ahead = self._ahead, {}
            for viewer in ahead:
                self.fanout.serve(viewer)
        if launch.forgotten:
            for viewer in () if self.fanout.holds else tuple(self._live):
                viewer.forget()
        elif self.complete:
            for viewer in tuple(self._live):
                del self._live[viewer]
                viewer.has_ended = True
                viewer.end()

    def show_storage(self) -> None:
        """Tell the live viewers whether events wait for storage."""
        if data := self._storage:
            self.fanout.start(self._offer(data))

    @property
    def _storage(self) -> bytes:
        """What a viewer has to know about storage. Empty: nothing."""
        waiting = self.fanout.waiting
        if waiting is None or not self.fanout.has_waited:
            return b""
        return self.format.storage(waiting=waiting.is_shown)

    def _resume(self) -> None:
        """Continue `send`, once the events that it waited for are read."""
        self.fanout.start(self.send())

    def _offer(self, data: bytes) -> Iterator[None]:
        # A viewer that joins meanwhile already has `data`.
        viewers = tuple(self._live)
        for start in range(0, len(viewers), _BLOCK):
            self._write(viewers[start : start + _BLOCK], data)
            yield

    def _write(self, viewers: Sequence[Viewer], data: bytes) -> None:
        live = self._live
        for viewer in viewers:
            if viewer not in live:
                continue
            try:
                if not viewer.send(data):
                    del live[viewer]
                    viewer.position = self.position
                    viewer.blocked()
            except Exception as error:  # noqa: BLE001 - other viewers must not be affected
                _report_bug(viewer, error)

    def catch_up(self, viewer: Viewer) -> bool:
        """Write a slice to a viewer that is behind. Return whether to continue at once."""
        if self._is_closed:
            return False
        if self.launch.forgotten:
            if not self.fanout.holds:
                viewer.forget()
            return False
        if self.complete and viewer.position > self.position:
            # It had no number of this launch.
            viewer.position = self.position - 1
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
            except Exception as error:  # noqa: BLE001 - other viewers must not be affected
                _report_bug(viewer, error)
            return False
        if self.complete:
            viewer.has_ended = True
            viewer.end()
        elif behind < 0:
            self._ahead[viewer] = None
        elif self._storage and not viewer.send(self._storage):
            viewer.blocked()
        else:
            self._live[viewer] = None
        return False

    def restart(self, delay: Callable[[], float], *, everyone: bool) -> Iterator[None]:
        """Let viewers reconnect. Yields between blocks of viewers.

        Parameters
        ----------
        delay : callable
            Returns the argument of `Viewer.restart`.
        everyone : bool
            Whether this includes viewers that are being sent the end of a launch.
        """
        if self._is_closed:
            return
        if everyone or self.launch.forgotten or not self.launch.closed:
            self._is_closed = True
            self._live.clear()
            self._ahead.clear()
        for number, viewer in enumerate(tuple(self._viewers)):
            if (self._is_closed or viewer.has_ended) and viewer in self._viewers:
                viewer.restart(delay())
            if number % _BLOCK == 0:
                yield

    def _keep_alive(self) -> None:
        silent, keepalive = monotonic() - self.written, self.fanout.settings.keepalive
        if silent >= keepalive:
            self.written = monotonic()
            self.fanout.start(self._offer(self.format.keepalive + self._storage))
            silent = 0.0
        self._schedule_keepalive(silent=silent)

    def _schedule_keepalive(self, *, silent: float) -> None:
        keepalive = self.fanout.settings.keepalive
        if keepalive > 0:
            self._keepalive = asyncio.get_running_loop().call_later(
                keepalive - silent, self._keep_alive
            )


class Fanout:
    """All audiences of a server.

    Events are sent at once, unless others were sent just before. Then they wait for a pause, which
    grows with the cost of the last writes, up to a tick, and are sent with those of all other
    launches. Everything runs in the event loop in which `join` is called.
    """

    def __init__(self, settings: Settings, waiting: Waiting | None = None) -> None:
        self.settings = settings
        self.waiting = waiting
        """What waits for storage."""
        self.has_waited = False
        """Whether viewers were ever told that events wait for storage."""
        if waiting is not None:
            waiting.changed.add(self._storage_changed)
        self._audiences: dict[tuple[Launch, Format], Audience] = {}
        self._later: dict[Audience, None] = {}
        self._work: deque[Iterator[None]] = deque()
        self._behind: deque[Viewer] = deque()
        self._framed: dict[tuple[Format, Encoded, Encoded], bytes] = {}
        self._next = 0.0
        """The monotonic time before which no new events are sent."""
        self._took = 0.0
        """Seconds of writing to live viewers since the queue was last empty."""
        self._turn: asyncio.Handle | None = None
        self._tick: asyncio.TimerHandle | None = None
        self.holds = False
        """Whether viewers of forgotten launches stay connected; see `hold`."""
        self._delay: Callable[[], float] | None = None
        """When viewers that can be told may reconnect. None until it is closed."""
        self._empty = asyncio.Event()
        """Nobody watches, after it was closed."""

    def join(self, viewer: Viewer, launch: Launch, after: int, form: Format) -> None:
        """Send a viewer the events after the number `after`, until `Viewer.leave` is called."""
        if self._delay is not None:
            viewer.restart(self._delay() if form.says_when else 0.0)
            return
        audience = self._audiences.get((launch, form))
        if audience is None:
            audience = self._audiences[launch, form] = Audience(self, launch, form)
        audience.add(viewer, after)

    def forget(self, audience: Audience) -> None:
        """Remove an audience without viewers."""
        del self._audiences[audience.launch, audience.format]
        self._later.pop(audience, None)
        if not self._audiences:
            self._empty.set()

    def hold(self) -> None:
        """Keep the viewers of launches that are forgotten from now on, until `close` is called.

        The server is being stopped, and others go on with these launches.
        """
        self.holds = True

    async def close(self, delay: Callable[[], float], *, spread: float = 0.0) -> None:
        """Let all viewers reconnect, and wait up to 2 seconds until they have disconnected.

        Viewers of a launch that has ended are sent its end, if that is in memory.

        Parameters
        ----------
        delay : callable
            Returns the seconds after which a viewer may reconnect.
        spread : float
            Seconds within which viewers that cannot be told so are disconnected, each at another
            moment. With such viewers, this waits for so much longer.
        """

        def stay() -> float:
            return random.uniform(0.0, spread)  # noqa: S311 - no secret

        self._delay = delay
        for everyone in (False, True):
            if not self._audiences:
                return
            self._empty.clear()
            patience = _PATIENCE
            for audience in tuple(self._audiences.values()):
                says_when = audience.format.says_when
                self.start(audience.restart(delay if says_when else stay, everyone=everyone))
                if everyone and not says_when:
                    patience = _PATIENCE + spread
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._empty.wait()

    def changed(self, audience: Audience) -> None:
        """Schedule sending new events, now or after a pause."""
        pause = self._next - monotonic()
        if pause <= 0:
            self.start(audience.send())
        else:
            self._later[audience] = None
            if self._tick is None:
                self._tick = asyncio.get_running_loop().call_later(pause, self._on_tick)

    def _storage_changed(self) -> None:
        self.has_waited = True
        for audience in self._audiences.values():
            audience.show_storage()

    def serve(self, viewer: Viewer) -> None:
        """Schedule the next slice for a viewer that is behind."""
        self._behind.append(viewer)
        self._schedule()

    def start(self, work: Iterator[None]) -> None:
        """Schedule writes to viewers, block by block."""
        self._work.append(work)
        self._schedule()

    def frame(self, form: Format, events: Sequence[Encoded]) -> bytes:
        """Return the bytes of events. They are encoded once for all current viewers.

        Launches that share a build also share these bytes.
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
        later, self._later = self._later, {}
        self._work.extend([audience.send() for audience in later])
        self._schedule()

    def _take_turn(self) -> None:
        self._turn = None
        began = monotonic()
        self._live_turn(began + _BUDGET)
        now = monotonic()
        self._took += now - began
        if not self._work:
            self._next = now + min(self._took / SHARE, TICK)
            self._took = 0.0
        # Viewers that are behind have a separate budget, so that live viewers cannot starve them.
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


def _report_bug(viewer: Viewer, error: Exception) -> None:
    """Report an unexpected error, and let the viewer reconnect."""
    problem = {"message": "A viewer could not be written to.", "exception": error}
    asyncio.get_running_loop().call_exception_handler(problem)
    viewer.drop()
