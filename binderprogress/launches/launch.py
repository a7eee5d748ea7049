"""A launch: one request's path to one running server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ..backends.base import BuildResult, LaunchRequest, RunningServer, ServerPlan
from ..channels.base import Broadcast
from ..core.client_address import client_network
from ..core.events import DoneAhead, Encoded, Event
from ..core.log.reasons import RULES, RuleSet
from ..core.log.steps import Step
from ..core.phases import TERMINAL, Phase
from ..core.specs import Spec
from ..core.timing.breakdown import Trace, trace
from ..core.timing.estimator import Estimator
from ..core.timing.priors import Expectation
from ..core.timing.spans import Span, StepChange, spans
from ..core.traceparent import TraceParent
from ..errors import LaunchFailedError
from .build import Build
from .caller import Caller
from .channel import Channel
from .channel_factory import Channels
from .event_writer import Clock, Limits, Writer
from .launch_state import LaunchState
from .ledger import AnyCodec
from .look_up import LookUp
from .parts import messages_of
from .stored import StoredLaunch, StoredPlan, StoredRequest, encode, launch_lease
from .stream import LaunchStream

__all__ = ["Launch"]

_LAUNCH_SIZE = 19 * 1024
"""Approximate memory of a launch in bytes, without its events and its log. Most is for its
estimators and its spec. `tests/launches/test_budget.py` measures it."""


class Launch(LaunchStream):
    """One request's path to one running server, and the stream of its events.

    Parameters
    ----------
    id : str
        Unguessable. Whoever knows it has access to the launch.
    spec : Spec
    caller : Caller
    clock : Clock
    limits : Limits
    rules : RuleSet
    expectation : Expectation
        What its estimates start from.
    channels : Channels
        Where its events are stored.
    on_failure : callable, optional
        Called if its own events cannot be stored.
    created : float, optional
        Seconds since 1970, of a launch that is restored; see `restore`.
    phases : sequence of Phase
        The phases that it can have; empty: any.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - what it is called everywhere
        spec: Spec,
        *,
        caller: Caller,
        clock: Clock,
        limits: Limits,
        rules: RuleSet = RULES,
        expectation: Expectation,
        channels: Channels,
        on_failure: Callable[[], None] = lambda: None,
        created: float | None = None,
        phases: Sequence[Phase] = (),
    ) -> None:
        super().__init__(id, channels, on_failure)
        self.spec = spec
        self.caller = caller
        self.created = clock.utc() if created is None else created
        self.look_up: LookUp | None = None  # of its commit, if it began before this was stored
        self.watched = Broadcast()
        """Notified when a viewer joins or leaves."""
        self.viewers = 0
        self.client = client_network(caller.ip)
        """The network that counts as one client in limits."""
        self.span: TraceParent | None = None  # if launches are traced
        self.joined = False
        """Whether its build was started by another launch."""
        self.built: BuildResult | None = None
        self.served: RunningServer | None = None
        self.image_bytes: int | None = None
        """The size of its image, if it is pulled and the size is reported."""
        self.build_id = ""
        """The id of its build. It is set before the build's events are shown."""
        self.request: LaunchRequest[Any, Any] | None = None
        """What the launcher was asked for, if it was."""
        self.plan: ServerPlan[Any] | None = None  # what it will be asked for, if that is prepared
        self.ahead: list[DoneAhead] = []  # what was done at the same time as something else
        self.is_lost = False
        """Whether another replica runs it now."""
        self.log_cut: int | None = None
        """How many bytes of the build's log belong to it; None: all."""
        self._clock = clock
        self._limits = limits
        self._rules = rules
        self._expectation = expectation
        self._began = clock.monotonic()
        self._meter = channels.meter
        self._meter.used += _LAUNCH_SIZE
        self._tail_writer: Writer | None = None
        self._head_writer = self._writer(self._head, None)
        if created is not None:
            return
        what = f"{spec.ref} of {spec.repo_url}" if spec.ref else spec.repo_url
        step = Step("resolving", f"Looking up {spec.ref or spec.title}")
        self.notice(f"Looking up {what}", step, phases=list(phases))
        self._first = self._head.unstored[0]

    async def restore(
        self,
        stored: StoredLaunch,
        head: Channel,
        tail: Channel | None,
        build: Build | None,
        *,
        cut: Encoded | None,
    ) -> None:
        """Go on where the events in the store end. Viewers that it has stay.

        Parameters
        ----------
        stored : StoredLaunch
        head, tail : Channel
            Restored channels.
        build : Build or None
            Of which this launch is a user.
        cut : Encoded or None
            See `last_of`.

        Raises
        ------
        StorageError
            If the events cannot be read.
        """
        # Viewers may be reading: nothing is awaited between the changes.
        self.joined, self.log_cut, self.span = stored.joined, stored.log_cut, stored.span
        self.build_id, self.ahead = stored.build, list(stored.ahead)
        self.is_lost, self.served, self.request, self.plan = False, None, None, None
        self.built = build.built if build is not None else None
        self.restore_channels(head, tail, build, cut)
        last = self.last
        # The clock may have been set back meanwhile.
        passed = stored.seconds or max(self._clock.utc() - self.created, last.elapsed)
        self._began = self._clock.monotonic() - passed
        self._head_writer = self._writer(head, None)
        self._head_writer.changes = stored.head_changes
        # They are stored once the launch has ended.
        if not stored.head_changes:
            await self._head_writer.replay_all()
        self._tail_writer = None
        if tail is not None:
            writer = self._tail_writer = self._writer_of_tail(tail)
            writer.changes = stored.tail_changes
            if not stored.tail_changes:
                await writer.replay_all()
                if writer.phase in TERMINAL:
                    # Its owner was gone before it had closed the channel.
                    tail.end()

    @property
    def lease(self) -> str:
        """The name of its lease."""
        return launch_lease(self.id)

    def stored(self, codec: AnyCodec, *, ended: bool = False) -> bytes:
        """Return the state for its lease."""
        request, plan = self.request, self.plan
        stored = StoredLaunch(
            spec=codec.encode(self.spec),
            caller=self.caller,
            created=self.created,
            build=self.build_id,
            joined=self.joined,
            log_cut=self.log_cut,
            request=StoredRequest.of(request, codec) if request is not None else None,
            plan=StoredPlan.of(plan, codec) if plan is not None and request is None else None,
            ahead=self.ahead,
            span=self.span,
            seconds=self.seconds if ended else 0.0,
            head_changes=self._head_writer.changes if ended else [],
            tail_changes=self._tail_writer.changes if ended and self._tail_writer else [],
        )
        return encode(stored)

    def follow(self, stored: StoredLaunch) -> None:
        """Take over what another replica has stored of it, before `show`."""
        self.joined, self.log_cut, self.span = stored.joined, stored.log_cut, stored.span
        self.build_id, self.ahead = stored.build, list(stored.ahead)
        self._began = self._clock.monotonic() - max(self._clock.utc() - self.created, 0.0)
        self._tail_writer = None

    async def replay(self) -> None:
        """Read from the events where the time went, if another replica runs the launch."""
        if not self.is_followed:
            return
        self._head_writer = self._writer(self._head, None)
        await self._head_writer.replay_all()
        if self.build is not None:
            self.build.use_channel(self.build.channel, began=self.build.writer.began)
            await self.build.writer.replay_all()
        if self._tail is not None:
            self._tail_writer = self._writer(self._tail, None)
            await self._tail_writer.replay_all()

    @property
    def commit(self) -> str:
        """The commit, as soon as it is known."""
        source = self.build or self.request
        return str(source.resolved.commit) if source is not None else ""

    @property
    def server_attempt(self) -> int:
        """The attempt to start a server, from 1."""
        return self._tail_writer.own_attempt if self._tail_writer is not None else 1

    async def messages_of_attempt(self) -> Counter[str]:
        """Count the messages of the current attempt to start a server, which are stored.

        Raises
        ------
        StorageError
            If they cannot be read.
        """
        messages: Counter[str] = Counter()
        tail, writer = self._tail, self._tail_writer
        if tail is None or writer is None or tail.last < tail.first:
            return messages
        events = [encoded.event for encoded in await tail.read(tail.first - 1, limit=tail.last)]
        messages.update(event.message for event in events if event.attempt == writer.attempt)
        del messages[""]
        return messages

    def join(self) -> None:
        """Count a viewer that joins."""
        self.viewers += 1
        self.watched.notify()

    def leave(self) -> None:
        """Count a viewer that leaves."""
        self.viewers -= 1
        self.watched.notify()

    async def own_log(self) -> tuple[bytes, bytes]:
        """Return what comes before and after the build's lines in the log so far, as UTF-8.

        Raises
        ------
        StorageError
            If the store cannot be read.
        """
        before = messages_of(await self._head.read(0, limit=self._head.last))
        after: list[bytes] = []
        # A launch that was detached before the end of the build has its own end.
        if self.build is not None and self.log_cut is None and self.build.channel.closed:
            channel = self.build.channel
            after += messages_of(await channel.read(channel.last - 1, limit=1))
        if (tail := self._tail) is not None:
            after += messages_of(await tail.read(tail.first - 1, limit=tail.last))
        if self._lost is not None:
            after += messages_of([self._lost])
        return b"".join(before), b"".join(after)

    def state(self) -> LaunchState:
        """Return the current state."""
        last, now = self.last, self._now_of_events
        return LaunchState(
            id=self.id,
            spec=str(self.spec),
            title=self.spec.title,
            repo_url=self.spec.repo_url,
            ref=self.spec.ref,
            commit=self.commit,
            phase=last.phase,
            step=last.step,
            progress=last.curve.at(now - last.time) if last.curve else last.progress,
            message=last.message,
            attempt=last.attempt,
            created=self.created,
            now=now,
            last=last.id,
            viewers=self.viewers,
        )

    def spans(self) -> list[Span]:
        """Return where the time went so far. This takes longer the more steps there are."""
        changes: list[StepChange] = [*self._head_writer.changes]
        if self.build is not None:
            last = self._cut or self.build.channel.last
            changes += [change for change in self.build.writer.changes if change.id <= last]
        if self._tail is not None and self._tail_writer is not None:
            last = self._tail.last
            changes += [change for change in self._tail_writer.changes if change.id <= last]
        return spans([*changes, self.last], began=self.created)

    def trace(self, took: Sequence[Span] | None = None) -> Trace:
        """Return the trace of the launch so far.

        Parameters
        ----------
        took : sequence of Span, optional
            The result of `spans`, if it is already known.
        """
        return trace(
            [self.last],
            began=self.created,
            now=self.now,
            id=self.id,
            spec=str(self.spec),
            took=self.spans() if took is None else took,
            ahead=self.ahead,
        )

    @property
    def now(self) -> float:
        """The current time in seconds since 1970, by the clock of its events."""
        return self.created + self.seconds

    @property
    def _now_of_events(self) -> float:
        """The current time by the clock of its newest event, in seconds since 1970.

        The system's clock may be set during a launch; monotonic time goes on. A build that was
        joined may have begun before its launch, by another time of the system's clock.
        """
        build = self.build
        began_here = build is None or self.last.id < build.channel.first + self._shift
        if build is None or began_here:
            return self.now
        writer = build.writer
        return writer.began_utc + self._clock.monotonic() - writer.began

    @property
    def seconds(self) -> float:
        """Seconds since its start."""
        return self._clock.monotonic() - self._began

    def notice(self, message: str, step: Step | None = None, **fields: Any) -> None:
        """Append an event before those of the build."""
        # The bar stays at 0, because the events of the build are shared and start at 0.
        fields = {"progress": 0.0, "curve": None, **fields}
        self._head_writer.append(Phase.WAITING, f"{message}\n", step, **fields)

    def detach(self) -> None:
        """Detach from the build. Its later events are not part of this launch."""
        build = self.build
        if build is not None and not self._cut:
            self.log_cut = None if build.channel.closed else build.full_log.size
        super().detach()

    def lose(self, error: LaunchFailedError) -> None:
        """End a launch whose events cannot be stored. The last event is only in memory."""
        if self._lost is not None:
            return
        last = self.last
        self._close_unstored(
            Event(
                id=self.end + 1,
                phase=Phase.FAILED,
                time=self.now,
                elapsed=max(self.seconds, last.elapsed),
                message=f"{error}\n",
                progress=last.progress,
                attempt=last.attempt,
                reason=error.reason,
                advice=error.advice,
            )
        )

    def forget(self) -> None:
        """Free its memory, and that of its build if no other launch uses it.

        `changed` notifies viewers that are still connected.
        """
        self._meter.used -= _LAUNCH_SIZE
        self._discard()

    def let_go(self, build: Build | None, *, is_shown: bool) -> None:
        """Undo `restore`, which failed. If it is shown, viewers go on reading what is stored."""
        if not is_shown:
            self._meter.used -= _LAUNCH_SIZE
            self._let_go(build)
        elif build is not None and not (self.build is build and self._cut):
            build.users -= 1

    @property
    def size(self) -> int:
        """Approximate memory in bytes, without its build."""
        return _LAUNCH_SIZE + self._own_size

    @property
    def held(self) -> list[Launch | Channel]:
        """The objects that use memory for it, and itself. The channel of a build is shared."""
        return [self, self.build.channel] if self.build is not None else [self]

    @property
    def writers(self) -> list[Writer]:
        """The writers that may still append to its log."""
        writers = [self._tail_writer] if self._tail_writer is not None else []
        if self.build is not None and not self._cut:
            writers.append(self.build.writer)
        return writers

    def tail(self) -> Writer:
        """Return the writer of this launch's own events after the build's."""
        if self._tail_writer is None:
            self._tail_writer = self._writer_of_tail(self._begin_tail())
        return self._tail_writer

    def _writer_of_tail(self, channel: Channel) -> Writer:
        """Return a writer that goes on after the build's events."""
        last = self._cut_event.event if self._cut_event is not None else None
        writer = self._writer(channel, self._head_writer.phase if last is None else last.phase)
        if last is not None:
            writer.attempt = writer.first_attempt = last.attempt
        if last is not None and last.curve is not None:
            # The build may have written events that are not stored, which nobody will see.
            writer.estimator.hold(last.curve, began=writer.began + last.elapsed)
        if channel.newest is not None:
            # The clock may have been set back meanwhile.
            elapsed = channel.newest.event.elapsed
            writer.began = min(writer.began, self._clock.monotonic() - elapsed)
        return writer

    def _writer(self, channel: Channel, phase: Phase | None) -> Writer:
        build = self.build.writer if self.build is not None else None
        return Writer(
            channel,
            clock=self._clock,
            began=build.began if build else self._began,
            began_utc=build.began_utc if build else self.created,
            # A copy: the build's estimator is shared.
            estimator=build.estimator.copy()
            if build
            else Estimator(now=self._began, expectation=self._expectation),
            limits=self._limits,
            rules=self._rules,
            phase=phase,
        )

    def __repr__(self) -> str:
        # The id gives access to the launch, and more people can read the server's log.
        return f"<Launch {self.id[:6]}… {self.spec} {self.last.phase}>"
