"""A launch: one person's way to one running server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import msgspec

from ..backends.base import BuildResult, RunningServer
from ..channels.base import Broadcast, Channel, Meter
from ..channels.memory import MemoryChannel
from ..core.client_address import client_network
from ..core.events import Encoded, Event
from ..core.log.steps import Step
from ..core.phases import Phase
from ..core.specs import Spec
from ..core.timing.breakdown import Trace, trace
from ..core.timing.estimator import Estimator
from ..core.timing.priors import Expectation
from ..core.timing.spans import Span, StepChange, spans
from ..core.traceparent import TraceParent
from .build import FIRST, Build
from .event_writer import Clock, Limits, Writer

__all__ = ["Caller", "Launch", "LaunchState"]

_LAUNCH_SIZE = 16 * 1024
"""About how many bytes of memory a launch takes beside its events and its log.

Most is its estimators and its spec; `tests/launches/test_budget.py` measures it.
"""

_LOG_EVENTS = 64
"""As many events are read at once where their messages are a part of the log."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for a launch, as far as the server's answer needs it.

    Attributes
    ----------
    base_url : str
        The server's address as the caller sees it, with a slash at its end.
    ip : str
        The caller's address.
    user : str
        The caller's name, to whom the launch belongs; empty where nobody has one.
    parent : TraceParent or None
        The trace that the caller's request is a part of.
    """

    base_url: str = ""
    ip: str = ""
    user: str = ""
    parent: TraceParent | None = None

    @property
    def account(self) -> str:
        """What stands for the caller where launches are counted."""
        return self.user or self.ip


class LaunchState(msgspec.Struct, frozen=True, kw_only=True):
    """What `GET /api/launches/{id}` tells.

    Attributes
    ----------
    created, now : float
        Seconds since 1970; `now` is the server's clock.
    last : int
        The number of the newest event.
    """

    id: str
    spec: str
    title: str
    repo_url: str
    ref: str
    commit: str
    phase: Phase
    step: str
    progress: float
    message: str
    attempt: int
    created: float
    now: float
    last: int
    viewers: int


class Launch:
    """A stream in up to three parts: its own events, its build's, and its own again.

    Parameters
    ----------
    id : str
        Unguessable; the key to the launch.
    spec : Spec
    caller : Caller
    clock : Clock
    limits : Limits
    expectation : Expectation
        What its estimates begin with.
    memory : Meter, optional
        Counts the memory that it takes.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - what it is called everywhere
        spec: Spec,
        *,
        caller: Caller,
        clock: Clock,
        limits: Limits,
        expectation: Expectation,
        memory: Meter | None = None,
    ) -> None:
        self.id = id
        self.spec = spec
        self.caller = caller
        self.created = clock.utc()
        self.changed = Broadcast()
        """Notified when there is something to read."""
        self.watched = Broadcast()
        """Notified when a viewer comes or goes."""
        self.viewers = 0
        self.client = client_network(caller.ip)
        """What counts as one client where launches are limited."""
        self.forgotten = False
        """Whether its events and its log are gone; it must not be read any more."""
        self.span: TraceParent | None = None
        """What stands for it in a trace, where launches are traced."""
        self.build: Build | None = None
        self.joined = False
        """Whether its build was begun by another launch."""
        self.built: BuildResult | None = None
        self.served: RunningServer | None = None
        self._end: Event | None = None
        """The last event of one that is forgotten, for logs."""
        self._cut = 0
        self._shift = 0
        """By how much the numbers of its build's events are higher here: none, as a rule."""
        self._log_cut: int | None = None
        self._clock = clock
        self._limits = limits
        self._expectation = expectation
        self._began = clock.monotonic()
        self._memory = memory or Meter()
        self._memory.used += _LAUNCH_SIZE
        self._head = MemoryChannel(meter=self._memory)
        self._tail: Writer | None = None
        self._head_writer = self._writer(self._head, None)
        what = f"{spec.ref} of {spec.repo_url}" if spec.ref else spec.repo_url
        self.notice(
            f"Looking up {what}",
            Step("resolving", f"Looking up {spec.ref or spec.title}"),
        )

    # -- reading

    def join(self) -> None:
        """Count a viewer that comes."""
        self.viewers += 1
        self.watched.notify()

    def leave(self) -> None:
        """Count a viewer that goes."""
        self.viewers -= 1
        self.watched.notify()

    @property
    def last(self) -> Event:
        """The newest event."""
        if self._end is not None:
            return self._end
        # A launch has at least its first event.
        return self.read(self.end - 1, limit=1)[0].event

    @property
    def end(self) -> int:
        """The number of the newest event."""
        if self._tail is not None and self._tail.channel.last >= self._tail.channel.first:
            return self._tail.channel.last
        if self.build is not None:
            return max((self._cut or self.build.channel.last) + self._shift, self._head.last)
        return self._head.last

    @property
    def closed(self) -> bool:
        """Whether the stream is complete."""
        if self.forgotten:
            return True
        if self._tail is not None:
            return self._tail.channel.closed
        return self.build is not None and self.build.channel.closed and self.last.terminal

    def read(self, after: int, *, limit: int = 1000) -> Sequence[Encoded]:
        """Return what comes after the number `after`, at most `limit` events."""
        if after >= self._head.last and self._tail is None:
            # Where most are, most of the time.
            return self._read_build(after, limit)
        found = [*self._head.read(after, limit=limit)]
        for events in (self._read_build, self._read_tail):
            found.extend(events(after, limit - len(found)))
        return found

    def own(self) -> Sequence[Encoded]:
        """Return the events so far that come after those of the build."""
        return self._read_tail(0, self._tail.channel.last) if self._tail is not None else ()

    def log(self) -> Iterator[bytes]:
        """Return the whole log so far in chunks of UTF-8.

        What it is is settled now; the chunks can be read later, and in another thread.
        """
        parts = [_messages(self._head)]
        if self.build is not None:
            parts.append(self.build.full_log.read(self._log_cut))
            # Who left before the build's end has an end of their own.
            if self._log_cut is None and self.build.channel.closed:
                parts.append(_messages(self.build.channel, self.build.channel.last - 1))
        if self._tail is not None:
            parts.append(_messages(self._tail.channel))
        return chain.from_iterable(parts)

    def state(self) -> LaunchState:
        """Say how it stands."""
        last = self.last
        return LaunchState(
            id=self.id,
            spec=str(self.spec),
            title=self.spec.title,
            repo_url=self.spec.repo_url,
            ref=self.spec.ref,
            commit=self.build.resolved.commit if self.build is not None else "",
            phase=last.phase,
            step=last.step,
            progress=last.curve.at(self._clock.utc() - last.time) if last.curve else last.progress,
            message=last.message,
            attempt=last.attempt,
            created=self.created,
            now=self._clock.utc(),
            last=last.id,
            viewers=self.viewers,
        )

    def spans(self) -> list[Span]:
        """Say where the time went, in all or so far; it takes as long as there are steps."""
        changes: list[StepChange] = [*self._head_writer.changes]
        if self.build is not None:
            last = self._cut or self.build.channel.last
            changes += [change for change in self.build.writer.changes if change.id <= last]
        if self._tail is not None:
            changes += self._tail.changes
        return spans([*changes, self.last], began=self.created)

    def trace(self, took: Sequence[Span] | None = None) -> Trace:
        """Say where the time went, in all or so far, and on what.

        Parameters
        ----------
        took : sequence of Span, optional
            As `spans` returned them, if it was asked already.
        """
        return trace(
            [self.last],
            began=self.created,
            now=self.now,
            id=self.id,
            spec=str(self.spec),
            took=self.spans() if took is None else took,
        )

    @property
    def now(self) -> float:
        """The time by the clock that its events are timed by, in seconds since 1970."""
        return self.created + self.seconds

    @property
    def seconds(self) -> float:
        """How long ago it was started."""
        return self._clock.monotonic() - self._began

    # -- writing

    def notice(self, message: str, step: Step | None = None) -> None:
        """Append an event before those of the build."""
        # The bar stands: the build's events, which are shared, begin at 0 whenever they come.
        self._head_writer.append(Phase.WAITING, f"{message}\n", step, progress=0.0, curve=None)
        self.changed.notify()

    def attach(self, build: Build) -> None:
        """Go on with the events of a build."""
        self._head.close()
        self._shift = self._head.last + 1 - FIRST
        self.build = build
        build.users += 1
        build.readers += 1
        build.channel.changed.add(self.changed.notify)
        self.changed.notify()

    def detach(self) -> None:
        """Take no more of the build's events from here on."""
        if self.build is not None and not self._cut:
            self._cut = self.build.channel.last
            self._log_cut = None if self.build.channel.closed else self.build.full_log.size
            self.build.users -= 1
            self.build.channel.changed.remove(self.changed.notify)

    def forget(self) -> None:
        """Give its memory back, and its build's with the last launch that reads it.

        Whoever watches it still is told by `changed`.
        """
        self._end = self.last
        self.forgotten = True
        self._memory.used -= _LAUNCH_SIZE
        self._head.discard()
        if self._tail is not None:
            self._tail.channel.discard()
        if self.build is not None:
            self.build.readers -= 1
            if self.build.readers == 0:
                self.build.forget()
        self.changed.notify()

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes, without its build."""
        tail = self._tail.channel.size if self._tail is not None else 0
        return _LAUNCH_SIZE + self._head.size + tail

    @property
    def held(self) -> list[Launch | Channel]:
        """What takes memory for it, itself among it; a build's channel is shared."""
        return [self, self.build.channel] if self.build is not None else [self]

    @property
    def writers(self) -> list[Writer]:
        """What may still write lines of a log for it."""
        found = [self._tail] if self._tail is not None else []
        if self.build is not None and not self._cut:
            found.append(self.build.writer)
        return found

    def tail(self) -> Writer:
        """Return what writes this launch's own events, after those of its build."""
        if self._tail is None:
            self.detach()
            self._head.close()
            channel = MemoryChannel(first=self.end + 1, meter=self._memory)
            channel.changed.add(self.changed.notify)
            self._tail = self._writer(channel, self.last.phase)
        return self._tail

    def _writer(self, channel: MemoryChannel, phase: Phase | None) -> Writer:
        build = self.build.writer if self.build is not None else None
        return Writer(
            channel,
            clock=self._clock,
            began=build.began if build else self._began,
            began_utc=build.began_utc if build else self.created,
            # From here on it goes its own way; the build's is shared.
            estimator=build.estimator.copy()
            if build
            else Estimator(now=self._began, expectation=self._expectation),
            limits=self._limits,
            phase=phase,
        )

    # -- parts

    def _read_build(self, after: int, limit: int) -> Sequence[Encoded]:
        if self.build is None:
            return ()
        after -= self._shift
        if self._cut:
            limit = min(limit, self._cut - max(after, FIRST - 1))
        events = self.build.channel.read(after, limit=limit)
        # Whoever got a notice has numbers of their own; the others share the build's bytes.
        return [encoded.moved(self._shift) for encoded in events] if self._shift else events

    def _read_tail(self, after: int, limit: int) -> Sequence[Encoded]:
        return self._tail.channel.read(after, limit=limit) if self._tail is not None else ()

    # -- for people

    def __repr__(self) -> str:
        # The id is a key; logs are read by more people than may open the launch.
        return f"<Launch {self.id[:6]}… {self.spec} {self.last.phase}>"


def _messages(channel: Channel, after: int = 0) -> Iterator[bytes]:
    """Return the messages that a channel has now, after the number `after`, in chunks of UTF-8."""
    last = channel.last

    def chunks() -> Iterator[bytes]:
        at = after
        while events := channel.read(at, limit=min(_LOG_EVENTS, last - at)):
            at = events[-1].id
            if text := "".join([encoded.event.message for encoded in events]):
                yield text.encode()

    return chunks()
