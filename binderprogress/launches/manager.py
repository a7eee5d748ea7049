"""Starts, lists, cancels and forgets launches."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from traitlets import Float, Integer
from traitlets.config import LoggingConfigurable

from .._steps import take_steps
from ..backends.base import AnyBackend, RefFinder, ResolvedSpec
from ..channels.base import ChannelStore
from ..core.log.reasons import RULES, RuleSet, failure
from ..core.phases import Phase
from ..core.specs import Spec
from ..core.timing.breakdown import Trace
from ..core.timing.priors import Expectation, Place
from ..core.timing.recent import Ended, Recent, Window
from ..core.timing.spans import Span
from ..errors import NotFoundError, StorageError, TooManyRequestsError
from ..history.store import HistoryStore, NoHistory
from .admission import Admission
from .budget import Budgets
from .build import Build
from .build_log import BuildLog
from .channel import Channels
from .event_writer import Clock, Limits
from .history_entry import address_of, past_of
from .launch import Caller, Launch
from .learner import Learner
from .outcomes import Outcomes
from .runner import LaunchRunner, Timeouts
from .shared_builds import SharedBuilds

__all__ = ["LaunchManager"]


class LaunchManager(LoggingConfigurable):
    """All launches of a server.

    Parameters
    ----------
    backend : Backend
    channels : ChannelStore
        Where events are stored.
    host : str, optional
        Where servers are started, for the history. Empty: on this machine.
    traced : bool, optional
        Whether each launch is a span of a trace.
    rules : RuleSet, optional
        What recognises why a launch failed.
    clock : Clock, optional
    """

    max_launches = Integer(200, help="Maximum number of running launches.").tag(config=True)

    max_launches_per_client = Integer(
        50,
        help="""
        Maximum number of running launches of a client: an IPv4 address, or a /64 network with
        IPv6. 0 disables the limit. Behind a proxy, enable Web.trust_proxy; otherwise all clients
        count as one.
        """,
    ).tag(config=True)

    max_launches_per_user = Integer(
        10,
        help="""
        Maximum number of running launches of a user, where users log in. Their addresses do not
        count then. 0 disables the limit.
        """,
    ).tag(config=True)

    abandon_after = Float(
        60.0, help="Seconds without viewers after which a launch is cancelled."
    ).tag(config=True)

    forget_after = Float(
        3600.0,
        help="""
        Seconds for which a launch is kept after its end. It is forgotten earlier if its memory or
        disk space is needed.
        """,
    ).tag(config=True)

    memory_budget = Integer(
        256 * 2**20,
        help="""
        Memory for the events of all launches, in bytes. When it is used up, finished launches are
        forgotten, the oldest first. Then the streams of running launches with long logs are cut.
        Then no more launches are started.
        """,
    ).tag(config=True)

    disk_budget = Integer(
        2**30,
        help="""
        Disk space for the full logs of all builds, in bytes. When it is used up, finished launches
        are forgotten, the oldest first. Then the longest logs of running builds are cut.
        """,
    ).tag(config=True)

    build_timeout = Float(3600.0, help="Timeout of a build, in seconds.").tag(config=True)

    launch_timeout = Float(
        900.0, help="Timeout of starting the server, with all attempts, in seconds."
    ).tag(config=True)

    stuck_after = Float(
        60.0,
        help="""
        Seconds after which viewers are told that a server cannot start, such as because its image
        cannot be pulled. JupyterHub still tries to start it, until its own timeout.
        """,
    ).tag(config=True)

    cleanup_timeout = Float(
        90.0, help="Timeout of stopping the server of a cancelled launch, in seconds."
    ).tag(config=True)

    max_line = Integer(4096, help="Maximum characters of a line in the stream.").tag(config=True)

    max_log = Integer(8 * 2**20, help="Maximum characters of a build's log in the stream.").tag(
        config=True
    )

    max_full_log = Integer(
        256 * 2**20, help="Maximum size of a build's full log on disk, in bytes."
    ).tag(config=True)

    max_lines = Integer(100_000, help="Maximum lines of a build's log in the stream.").tag(
        config=True
    )

    def __init__(
        self,
        *,
        backend: AnyBackend,
        channels: ChannelStore,
        host: str = "",
        traced: bool = False,
        rules: RuleSet = RULES,
        clock: Clock | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._backend = backend
        self._clock = clock or Clock()
        self._rules = rules
        self._limits = Limits(line=self.max_line, log=self.max_log, lines=self.max_lines)
        self._admission = Admission(
            self.max_launches, self.max_launches_per_user, self.max_launches_per_client
        )
        self.budgets = Budgets(
            memory=self.memory_budget,
            disk=self.disk_budget,
            under_way=self.under_way,
            forget=self._forget,
        )
        """The memory and disk space that launches use."""
        self._channels = Channels(channels, meter=self.budgets.memory.meter, log=self.log)
        self._opening: set[Launch] = set()
        """Launches whose first event is being stored."""
        self._launches: dict[str, Launch] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._builds = SharedBuilds(self._start_build, log=self.log)
        self._logs = tempfile.TemporaryDirectory(prefix="binderprogress-")
        self._closing = False
        self.ended: Counter[Phase] = Counter()
        """The number of ended launches by their last phase."""
        self._traced = traced
        self.over: list[Callable[[Launch, Trace], None]] = []
        """Called with each ended launch and where its time went. They must be quick."""
        self._outcomes = Outcomes(
            self.over, keep=self._keep, done=self._keep_for_a_while, log=self.log
        )
        self._recent = Window()
        self.history: HistoryStore = NoHistory()
        """Keeps ended launches."""
        self._learner = Learner(self.log)
        self._runner = LaunchRunner(
            backend,
            builds=self._builds,
            learner=self._learner,
            timeouts=Timeouts(
                launch=self.launch_timeout, stuck=self.stuck_after, cleanup=self.cleanup_timeout
            ),
            grew=self.budgets.grew,
            log=self.log,
        )
        self.host = host
        """Where servers are started, for the history. Empty: on this machine."""

    def learn_from(self, history: HistoryStore) -> None:
        """Keep ended launches in a history, and learn from it. Call it in a thread: it does I/O."""
        self._learner.open(history)
        self.history = history

    # -- what the web calls

    @property
    def running(self) -> int:
        """The number of launches that have not ended."""
        return len(self._tasks) + len(self._opening)

    def phases(self) -> Counter[Phase]:
        """Return the number of running launches by phase."""
        return Counter(launch.last.phase for launch in self.under_way())

    def under_way(self) -> list[Launch]:
        """List the launches that have not ended."""
        running = [launch for key, launch in self._launches.items() if key in self._tasks]
        return [*self._opening, *running]

    @property
    def viewers(self) -> int:
        """The number of viewers of all launches."""
        return sum(launch.viewers for launch in self._launches.values())

    def recent(self) -> Recent:
        """Return how the launches of the last minutes ended."""
        return self._recent.look(self._clock.monotonic())

    @property
    def building(self) -> int:
        """The number of running builds."""
        return len(self._builds)

    async def start(self, spec: Spec, caller: Caller) -> Launch:
        """Start a launch and return it once its first event is stored.

        Raises
        ------
        TooManyRequestsError
            If too many launches are running, there is no memory for another one, or the server is
            shutting down.
        StorageError
            If it cannot be stored.
        """
        self._refuse_if_closing()
        self._admission.check(caller, self.under_way())
        self.budgets.make_room()
        if self.budgets.memory.is_over:
            raise TooManyRequestsError(
                "This server's memory is full with the logs of running launches. "
                "Try again in a minute.",
                retry_after=60,
            )
        launch = Launch(
            secrets.token_urlsafe(24),
            spec,
            caller=caller,
            clock=self._clock,
            limits=self._limits,
            rules=self._rules,
            expectation=self._expect(spec),
            channels=self._channels,
            on_failure=lambda: self._lose(launch),
        )
        if self._traced:
            launch.span = caller.span()
        await self._open(launch)
        self._launches[launch.id] = launch
        task = asyncio.create_task(self._runner.run(launch), name=repr(launch))
        self._tasks[launch.id] = task
        # Not at the end of its run: a task that is cancelled before its first step never runs.
        task.add_done_callback(lambda _: self._settle(launch))
        launch.watched.add(lambda: self._watch(launch))
        self._watch(launch)
        self.log.info("%r started", launch)
        return launch

    async def find_ref(self, spec: Spec, refs: Sequence[str]) -> str:
        """Return the first of several refs that a repository has. Empty if it is not known."""
        backend = self._backend
        return await backend.find_ref(spec, refs) if isinstance(backend, RefFinder) else ""

    async def _open(self, launch: Launch) -> None:
        """Store the first event of a launch. Nothing is done for it before."""
        self._opening.add(launch)
        try:
            await launch.open()
            self._refuse_if_closing()
        except BaseException as error:
            launch.forget()
            if isinstance(error, StorageError):
                raise StorageError(
                    "This server cannot store launches at the moment. Try again in a minute."
                ) from error
            raise
        finally:
            self._opening.discard(launch)

    def _refuse_if_closing(self) -> None:
        if self._closing:
            raise TooManyRequestsError("This server is being stopped.", retry_after=30)

    def get(self, launch_id: str, *, user: str = "") -> Launch:
        """Return a launch of a user. Without users, everyone who knows its id has access.

        Raises
        ------
        NotFoundError
            If there is no such launch, it was forgotten, or it belongs to another user. Callers
            cannot tell which.
        """
        launch = self._launches.get(launch_id)
        if launch is None or launch.caller.user != user:
            raise NotFoundError(
                "There is no such launch. It may be over and forgotten; start a new one."
            )
        # Polling keeps a running launch from being cancelled. It does not keep a finished one.
        # Attack: a client that polls thousands of finished launches would fill the memory.
        self._watch(launch)
        return launch

    def of(self, user: str) -> list[Launch]:
        """List the launches of a user, the newest first."""
        return [one for one in reversed(self._launches.values()) if one.caller.user == user]

    def cancel(self, launch: Launch, reason: str = "cancelled") -> None:
        """Cancel a launch, unless it has ended. It is cleaned up in the background."""
        task = self._tasks.get(launch.id)
        if task is None or launch.ended:
            return
        launch.tail().cancel(reason)
        task.cancel()

    async def close(self) -> None:
        """Cancel all launches and wait until they are cleaned up."""
        self._closing = True
        for launch in list(self._launches.values()):
            self.cancel(launch, "shutdown")
        builds = self._builds.tasks
        try:
            while tasks := [*self._tasks.values(), *builds]:
                await asyncio.gather(*tasks, return_exceptions=True)
                builds = []
        finally:
            # Also if this is cancelled, because stopping takes too long.
            await take_steps(
                self.log,
                ("recording launches", self._outcomes.finish),
                ("stopping timers", self._stop_timers),
                # Not discarded: viewers may still be reading their last events.
                ("forgetting launches", self._launches.clear),
                ("removing logs", self._logs.cleanup),
                ("closing the channels", self._channels.close),
                ("closing the backend", self._backend.close),
            )

    # -- parts of a launch

    def _expect(self, spec: Spec, commit: str = "") -> Expectation:
        place = Place(self.host, address_of(spec), commit)
        profile = self._backend.profile
        return self._learner.about(place, profile.typical, first_start=profile.first_start)

    def _start_build(self, launch: Launch, resolved: ResolvedSpec) -> Build:
        return Build(
            resolved,
            self._backend,
            expectation=self._expect(launch.spec, resolved.commit or launch.spec.ref),
            clock=self._clock,
            limits=self._limits,
            rules=self._rules,
            timeout=self.build_timeout,
            full_log=BuildLog(
                Path(self._logs.name) / f"{secrets.token_hex(8)}.log",
                limit=self.max_full_log,
                meter=self.budgets.disk.meter,
                log=self.log,
            ),
            log=self.log,
            channels=self._channels,
            grew=self.budgets.grew,
        )

    # -- cleaning up

    def _lose(self, launch: Launch) -> None:
        """End a launch whose events cannot be stored."""
        task = None if launch.ended else self._tasks.get(launch.id)
        launch.lose(failure("store-failed"))
        # A launch that had ended is not cancelled: its task is about to end, or cleans up.
        if task is not None:
            task.cancel()

    def _settle(self, launch: Launch) -> None:
        """Wait until the end of a launch is stored; its task is done."""
        if launch.closed:
            self._over(launch)
        else:
            task = asyncio.create_task(self._stored(launch), name=f"end of {launch!r}")
            self._tasks[launch.id] = task
            task.add_done_callback(lambda _: self._over(launch))

    async def _stored(self, launch: Launch) -> None:
        with suppress(StorageError):
            # It has ended with the reason `storage` then.
            await launch.flush()

    def _over(self, launch: Launch) -> None:
        """Count a launch that has ended."""
        del self._tasks[launch.id]
        last = launch.last
        self.ended[last.phase] += 1
        now = self._clock.monotonic()
        self._recent.add(Ended(now, last.phase, launch.seconds, last.reason))
        self._stop_timer(launch)
        self.log.info("%r ended", launch)
        self._outcomes.add(launch)

    def _keep(self, launch: Launch, took: list[Span]) -> None:
        past = past_of(launch, took, host=self.host)
        self.history.add(past)
        self._learner.add(past)

    def _keep_for_a_while(self, launch: Launch) -> None:
        """Keep a finished launch until `forget_after` has passed."""
        self._set_timer(launch, self.forget_after, self._forget)
        self.budgets.keep(launch)

    def _watch(self, launch: Launch) -> None:
        """Set the timer that cancels a launch without viewers, or stop it."""
        if launch.id in self._tasks:
            self._stop_timer(launch)
            if not launch.viewers:
                self._set_timer(launch, self.abandon_after, self.cancel, "abandoned")

    def _set_timer(self, launch: Launch, after: float, call: Callable[..., None], *a: str) -> None:
        later = asyncio.get_running_loop().call_later
        self._timers[launch.id] = later(after, call, launch, *a)

    def _stop_timer(self, launch: Launch) -> None:
        if (timer := self._timers.pop(launch.id, None)) is not None:
            timer.cancel()

    def _stop_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def _forget(self, launch: Launch) -> None:
        self._stop_timer(launch)
        del self._launches[launch.id]
        self.budgets.drop(launch)
        launch.forget()
