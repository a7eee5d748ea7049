"""Starts launches, shares their builds, and cleans up after them."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import msgspec
from traitlets import Float, Integer
from traitlets.config import LoggingConfigurable

from ..backends.base import (
    TRACE,
    AnyBackend,
    Attempt,
    BuildResult,
    LaunchRequest,
    RefFinder,
    ResolvedSpec,
    RunningServer,
)
from ..channels.base import ChannelStore
from ..core.log.reader import Normalizer
from ..core.log.reasons import failure
from ..core.log.steps import Step
from ..core.phases import Phase
from ..core.specs import Spec
from ..core.timing.breakdown import Trace
from ..core.timing.priors import Expectation, Place
from ..core.timing.recent import Ended, Recent, Window
from ..core.timing.spans import Span
from ..core.traceparent import TraceParent
from ..errors import (
    BinderProgressError,
    LaunchFailedError,
    NotFoundError,
    RefusedError,
    StorageError,
    TooManyRequestsError,
)
from ..history.store import HistoryStore, NoHistory
from .admission import Admission
from .budget import Budgets
from .build import Build
from .build_log import BuildLog
from .channel import Channels
from .event_writer import Clock, Limits
from .history_entry import address_of, image_bytes, past_of
from .launch import Caller, Launch
from .learner import Learner
from .outcomes import Outcomes
from .ready_event import launch_request, ready_fields

__all__ = ["LaunchManager"]


class LaunchManager(LoggingConfigurable):
    """All launches of one server.

    Parameters
    ----------
    backend : Backend
    channels : ChannelStore
        Where events are stored.
    host : str, optional
        Where servers are started, for the history. Empty: on this machine.
    traced : bool, optional
        Whether each launch is a span of a trace.
    clock : Clock, optional
    """

    max_launches = Integer(200, help="How many launches may run at the same time.").tag(config=True)

    max_launches_per_client = Integer(
        50,
        help="""
        How many of them may be of one client: an IPv4 address, or a /64 network with IPv6; 0: no
        limit. Behind a proxy this needs Web.trust_proxy, or all clients are one.
        """,
    ).tag(config=True)

    max_launches_per_user = Integer(
        10,
        help="""
        … of one user, where users have names; they are not counted by their addresses then. 0: no
        limit.
        """,
    ).tag(config=True)

    abandon_after = Float(
        60.0, help="Seconds that a launch goes on while nobody watches it; then it is cancelled."
    ).tag(config=True)

    forget_after = Float(
        3600.0,
        help="""
        Seconds after its end for which a launch can still be looked at, unless its memory or its
        disk is needed before.
        """,
    ).tag(config=True)

    memory_budget = Integer(
        256 * 2**20,
        help="""
        Bytes of memory for the events of all launches. When they are used up, launches that are
        over are forgotten, the oldest first; then long logs are cut in the streams of those that
        run; then no more are started.
        """,
    ).tag(config=True)

    disk_budget = Integer(
        2**30,
        help="""
        Bytes on the disk for the full logs of all builds. When they are used up, launches that are
        over are forgotten, the oldest first; then the longest logs of running builds are cut.
        """,
    ).tag(config=True)

    build_timeout = Float(3600.0, help="Seconds that a build may take.").tag(config=True)

    launch_timeout = Float(
        900.0, help="Seconds that starting the server may take, with all attempts."
    ).tag(config=True)

    cleanup_timeout = Float(
        90.0, help="Seconds that stopping the server of a cancelled launch may take."
    ).tag(config=True)

    max_line = Integer(4096, help="Characters of one line of the log in the stream.").tag(
        config=True
    )

    max_log = Integer(
        8 * 2**20, help="Characters of one build's log in the stream; the full log has more."
    ).tag(config=True)

    max_full_log = Integer(
        256 * 2**20, help="Bytes of one build's full log, which is kept on the disk."
    ).tag(config=True)

    max_lines = Integer(
        100_000, help="Lines of one build's log in the stream; the full log has more."
    ).tag(config=True)

    def __init__(
        self,
        *,
        backend: AnyBackend,
        channels: ChannelStore,
        host: str = "",
        traced: bool = False,
        clock: Clock | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._backend = backend
        self._clock = clock or Clock()
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
        """What launches take of memory and disk."""
        self._channels = Channels(channels, meter=self.budgets.memory.meter, log=self.log)
        self._opening: set[Launch] = set()
        """Launches whose first event is being stored."""
        self._launches: dict[str, Launch] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._builds: dict[str, Build] = {}
        self._ending: set[asyncio.Task[BuildResult]] = set()
        """Builds that were cancelled, while they end their processes."""
        self._logs = tempfile.TemporaryDirectory(prefix="binderprogress-")
        self._closing = False
        self.ended: Counter[Phase] = Counter()
        """How many launches came to which end."""
        self._traced = traced
        self.over: list[Callable[[Launch, Trace], None]] = []
        """Called with each launch that is over, and where its time went; they must be quick."""
        self._outcomes = Outcomes(
            self.over, keep=self._keep, done=self._keep_for_a_while, log=self.log
        )
        self._recent = Window()
        self.history: HistoryStore = NoHistory()
        """Gets every launch that is over."""
        self._learner = Learner(self.log)
        self.host = host
        """Where servers are started, for the history; empty: here."""

    def learn_from(self, history: HistoryStore) -> None:
        """Keep launches that are over in a history, and learn from what it has.

        It takes as long as the database does: call it in a thread.
        """
        self._learner.open(history)
        self.history = history

    # -- what the web calls

    @property
    def running(self) -> int:
        """How many launches have not come to their end."""
        return len(self._tasks) + len(self._opening)

    @property
    def waiting(self) -> int:
        """How many of them wait: nothing is built or launched for them yet."""
        return self.phases()[Phase.WAITING]

    def phases(self) -> Counter[Phase]:
        """Return how many of those that are not over are in which phase."""
        return Counter(launch.last.phase for launch in self.under_way())

    def under_way(self) -> list[Launch]:
        """List the launches that have not come to their end."""
        running = [launch for key, launch in self._launches.items() if key in self._tasks]
        return [*self._opening, *running]

    @property
    def viewers(self) -> int:
        """How many connections watch a launch."""
        return sum(launch.viewers for launch in self._launches.values())

    def recent(self) -> Recent:
        """Say how the launches of the last minutes went."""
        return self._recent.look(self._clock.monotonic())

    @property
    def building(self) -> int:
        """How many builds run."""
        return len(self._builds)

    async def start(self, spec: Spec, caller: Caller) -> Launch:
        """Start a launch and return it once its first event is stored.

        Raises
        ------
        TooManyRequestsError
            If as many as allowed are running, or there is no memory for another.
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
            expectation=self._expect(spec),
            channels=self._channels,
            on_failure=lambda: self._lose(launch),
        )
        if self._traced:
            launch.span = _span_below(caller.parent)
        await self._open(launch)
        self._launches[launch.id] = launch
        task = asyncio.create_task(self._run(launch), name=repr(launch))
        self._tasks[launch.id] = task
        # Not at the end of `_run`: a task that is cancelled before its first step ends without it.
        task.add_done_callback(lambda _: self._settle(launch))
        launch.watched.add(lambda: self._watch(launch))
        self._watch(launch)
        self.log.info("%r started", launch)
        return launch

    async def find_ref(self, spec: Spec, refs: Sequence[str]) -> str:
        """Return the first of several refs that a repository has; empty if that is not known."""
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
        """Return a launch of a user; without users, whoever knows its id may have it.

        Raises
        ------
        NotFoundError
            If there is none, or no more, or it is somebody else's: that makes no difference.
        """
        launch = self._launches.get(launch_id)
        if launch is None or launch.caller.user != user:
            raise NotFoundError(
                "There is no such launch. It may be over and forgotten; start a new one."
            )
        # Polling a launch under way keeps it from being cancelled. One that is over is not kept
        # longer for it. Attack: who polls thousands of them would fill the memory.
        self._watch(launch)
        return launch

    def of(self, user: str) -> list[Launch]:
        """List the launches of a user, the newest first."""
        return [one for one in reversed(self._launches.values()) if one.caller.user == user]

    def cancel(self, launch: Launch, reason: str = "cancelled") -> None:
        """Call a launch off; what belongs to it is cleaned up in the background.

        One that has come to its end already is left as it is.
        """
        task = self._tasks.get(launch.id)
        if task is None or launch.ended:
            return
        launch.tail().cancel(reason)
        task.cancel()

    async def close(self) -> None:
        """Cancel everything and wait until it is cleaned up."""
        self._closing = True
        for launch in list(self._launches.values()):
            self.cancel(launch, "shutdown")
        builds = [*(build.task for build in self._builds.values()), *self._ending]
        try:
            while tasks := [*self._tasks.values(), *builds]:
                await asyncio.gather(*tasks, return_exceptions=True)
                builds = []
        finally:
            # Also when whoever stops the server has no more time for the rest.
            self._outcomes.finish()
            for timer in self._timers.values():
                timer.cancel()
            # Not discarded: viewers may still be on their way to the end of them.
            self._launches.clear()
            self._logs.cleanup()
            await self._channels.close()
            await self._backend.close()

    # -- the way of a launch

    async def _run(self, launch: Launch) -> None:
        request: LaunchRequest[Any, Any] | None = None
        # Who does not trace hands on what there was.
        TRACE.set(launch.span or launch.caller.parent)
        try:
            resolved = await self._backend.resolve(launch.spec)
            if resolved.notice:
                launch.notice(resolved.notice)
            await self._learner.look_up(address_of(launch.spec))
            built = launch.built = await self._build(launch, resolved)
            if resolved.build_only:
                message = "Done! Found built image\n" if built.found else "Done! Image built\n"
                launch.tail().end(Phase.READY, message, imageName=built.image)
                return
            request = launch_request(launch, resolved, built)
            async with asyncio.timeout(self.launch_timeout):
                served = launch.served = await self._spawn(launch, request, found=built.found)
            launch.tail().end(
                Phase.READY,
                f"server running at {served.url}\n",
                **ready_fields(launch, resolved, built, served),
            )
            await launch.flush()
            request = None
        except LaunchFailedError as error:
            await self._fail(launch, error)
        except RefusedError as error:
            await self._fail(launch, failure("refused", str(error)))
        except StorageError:
            # `_lose` has ended it.
            self.log.warning("%r: %s", launch, launch.last.message.strip())
        except TimeoutError:
            message = f"The server did not start within {self.launch_timeout:g} seconds."
            await self._fail(launch, failure("start-timeout", message))
        except asyncio.CancelledError:
            # By `cancel` or `_lose`, which have written its end.
            self.log.info("%r is called off", launch)
        except Exception:
            self.log.exception("%r failed", launch)
            await self._fail(launch, failure("internal"))
        finally:
            self._release(launch)
            if request is not None:
                await self._clean_up(request)

    def _expect(self, spec: Spec, commit: str = "") -> Expectation:
        place = Place(self.host, address_of(spec), commit)
        profile = self._backend.profile
        return self._learner.about(place, profile.typical, first_start=profile.first_start)

    async def _build(self, launch: Launch, resolved: ResolvedSpec) -> BuildResult:
        build = self._builds.get(resolved.key)
        launch.joined = build is not None
        if build is None:
            build = Build(
                resolved,
                self._backend,
                expectation=self._expect(launch.spec, resolved.commit or launch.spec.ref),
                clock=self._clock,
                limits=self._limits,
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
            self._builds[resolved.key] = build
            # A build that is over is not joined: the next launch looks whether its result is there.
            build.task.add_done_callback(lambda _: self._drop(build))
        launch.attach(build)
        return await build.result()

    async def _spawn(
        self, launch: Launch, request: LaunchRequest[Any, Any], *, found: bool
    ) -> RunningServer:
        writer = launch.tail()
        normalizer = Normalizer()
        writer.append(
            Phase.LAUNCHING, "Launching server...\n", Step("requested", "Requesting a server")
        )
        async with aclosing(self._backend.launch(request)) as items:
            async for item in items:
                if isinstance(item, RunningServer):
                    return item
                if isinstance(item, Attempt):
                    writer.try_again(item)
                    continue
                note = normalizer.read(item)
                if note is not None:
                    writer.write(note, log=self.log)
                    launch.image_bytes = launch.image_bytes or image_bytes(note.message)
                    self.budgets.grew()
        raise failure("internal", "The launcher ended without a result.")

    async def _fail(self, launch: Launch, error: LaunchFailedError) -> None:
        # A failed build has said so in its own channel, once for all its launches.
        if not launch.ended:
            try:
                await launch.tail().fail(error)
            except asyncio.CancelledError:
                # By `cancel`, which has said so to the viewers.
                self.log.info("%r is called off", launch)
                return
        self.log.warning("%r: %s", launch, launch.last.message.strip())

    # -- cleaning up

    def _lose(self, launch: Launch) -> None:
        """End a launch whose events cannot be stored."""
        task = None if launch.ended else self._tasks.get(launch.id)
        launch.lose(failure("storage"))
        # One that had its end already is past what could be cancelled.
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
        """Count a launch that is over."""
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
        """Leave a launch that is over to be looked at."""
        loop = asyncio.get_running_loop()
        self._timers[launch.id] = loop.call_later(self.forget_after, self._forget, launch)
        self.budgets.keep(launch)

    def _release(self, launch: Launch) -> None:
        launch.detach()
        build = launch.build
        if build is not None and build.users == 0:
            if not build.task.done():
                self.log.info("Build of %s is called off: nobody waits for it", build.resolved.key)
                self._ending.add(build.task)
                build.task.add_done_callback(self._ending.discard)
            build.release()
            # A new launch of it must not join one that is being ended.
            self._drop(build)

    def _drop(self, build: Build) -> None:
        if self._builds.get(build.resolved.key) is build:
            del self._builds[build.resolved.key]
        if not build.task.cancelled() and build.task.done():
            # Its launches have seen how it ended; without this, asyncio says that nobody has.
            build.task.exception()

    async def _clean_up(self, request: LaunchRequest[Any, Any]) -> None:
        try:
            async with asyncio.timeout(self.cleanup_timeout):
                await self._backend.stop(request)
        except (BinderProgressError, TimeoutError) as error:
            self.log.error(  # noqa: TRY400 - the sentence says it all
                "The server for %s may be left running: %s", request.name, error
            )
        except Exception:
            self.log.exception("The server for %s may be left running", request.name)

    def _watch(self, launch: Launch) -> None:
        """Set the timer that cancels a launch without viewers."""
        if launch.id in self._tasks:
            self._stop_timer(launch)
            if not launch.viewers:
                self._timers[launch.id] = asyncio.get_running_loop().call_later(
                    self.abandon_after, self.cancel, launch, "abandoned"
                )

    def _stop_timer(self, launch: Launch) -> None:
        timer = self._timers.pop(launch.id, None)
        if timer is not None:
            timer.cancel()

    def _forget(self, launch: Launch) -> None:
        self._stop_timer(launch)
        del self._launches[launch.id]
        self.budgets.drop(launch)
        launch.forget()


def _span_below(parent: TraceParent | None) -> TraceParent:
    """Return a new span of the same trace, or the first of a new one."""
    span_id = secrets.token_hex(8)
    if parent is None:
        return TraceParent(secrets.token_hex(16), span_id)
    return msgspec.structs.replace(parent, span_id=span_id)
