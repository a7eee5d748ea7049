"""Starts, lists, cancels and forgets launches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from traitlets import Bool, Float, Integer
from traitlets.config import LoggingConfigurable

from .._steps import take_steps
from .._temporary import OwnedFolder
from ..backends.base import AnyBackend, Resumable
from ..channels.base import ChannelStore
from ..core.log.reasons import RULES, RuleSet
from ..core.specs import Spec
from ..errors import RefusedError
from ..history.store import HistoryStore
from .admission import Admission
from .budget import Budgets
from .build_cleaner import BuildCleaner
from .build_queue import BuildQueue
from .caller import Caller
from .channel_factory import Channels
from .directory import Directory
from .event_writer import Clock, Limits
from .factory import Factory
from .launch import Launch
from .launch_log import LaunchLines
from .learner import Learner
from .ledger import Ledger
from .log_copies import log_copies
from .log_files import LogFiles
from .lookups import Lookups
from .outcomes import Outcomes
from .overview import Overview
from .replicas import Replicas
from .restorer import Restorer
from .runner import LaunchRunner, Timeouts
from .running import RunningLaunches
from .shared_builds import SharedBuilds
from .successor import Successor
from .timers import Timers

__all__ = ["LaunchManager"]


class LaunchManager(Overview, Lookups, LoggingConfigurable):
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
    logs : Path, optional
        The folder for the full logs of builds. The default is a temporary one.
    """

    max_launches = Integer(
        200,
        help="Maximum number of running launches. Replicas that share a database count together, "
        "for this and for the limits of clients and users.",
    ).tag(config=True)

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

    max_builds = Integer(
        32,
        min=0,
        help="""
        Maximum number of builds at the same time. Others wait in a queue, in which users and
        clients take turns. Replicas that share a database count together. 0 disables the limit.
        """,
    ).tag(config=True)

    abandon_after = Float(
        600.0,
        help="""
        Seconds without viewers after which a launch is cancelled. Pages say until when it is kept
        when their connection is lost, such as while a phone sleeps.
        """,
    ).tag(config=True)

    forget_after = Float(
        3600.0,
        help="""
        Seconds for which a launch is kept after its end. It is forgotten earlier if its memory or
        disk space is needed.
        """,
    ).tag(config=True)

    keep_logs = Float(
        7 * 24 * 3600.0,
        help="Seconds for which logs of builds are kept after their end, if launches are stored.",
    ).tag(config=True)

    storage_patience = Float(
        300.0,
        help="Seconds for which running launches wait for a database that is away. What happens "
        "meanwhile is kept in memory, and shown once it is stored.",
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
        help="Disk space for the full logs of all builds, in bytes. When it is used up, finished "
        "launches are forgotten, the oldest first. Then the longest running logs are cut.",
    ).tag(config=True)

    offer_earlier = Bool(
        False, help="Whether an earlier version that is built can be started during a build."
    ).tag(config=True)

    build_timeout = Float(3600.0, help="Timeout of a build, in seconds.").tag(config=True)
    launch_timeout = Float(900.0, help="Timeout of starting a server, in seconds.").tag(config=True)

    stuck_after = Float(
        60.0,
        help="Seconds after which viewers are told that a server cannot start, such as because its "
        "image cannot be pulled. JupyterHub still tries to start it, until its own timeout.",
    ).tag(config=True)

    cleanup_timeout = Float(
        90.0, help="Timeout of stopping the server of a cancelled launch, in seconds."
    ).tag(config=True)

    max_line = Integer(4096, help="Maximum characters of a line in the stream.").tag(config=True)

    max_log = Integer(8 * 2**20, help="Maximum characters of a log in the stream.").tag(config=True)

    max_full_log = Integer(256 * 2**20, help="Maximum bytes of a full log.").tag(config=True)

    max_lines = Integer(100_000, help="Maximum lines of a log in the stream.").tag(config=True)

    def __init__(
        self,
        *,
        backend: AnyBackend,
        channels: ChannelStore,
        host: str = "",
        traced: bool = False,
        rules: RuleSet = RULES,
        clock: Clock | None = None,
        logs: Path | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._backend = backend
        self._clock = clock or Clock()
        self.budgets = Budgets(
            memory=self.memory_budget,
            disk=self.disk_budget,
            under_way=self.under_way,
            forget=lambda launch: self._directory.forget(launch),
        )
        """The memory and disk space that launches use."""
        codec = backend.codec if isinstance(backend, Resumable) else None
        self._ledger = Ledger(channels, codec, patience=self.storage_patience, log=self.log)
        self.storage = self._ledger.waiting
        """What waits for a store that is away."""
        self.replicas = Replicas(
            self._ledger, running=lambda: self.running, building=lambda: self.building
        )
        """This server among all that share the store."""
        self._channels = Channels(
            channels,
            patience=self.storage_patience if self.is_durable else 0.0,
            waiting=self.storage,
            meter=self.budgets.memory.meter,
            log=self.log,
        )
        self._timers = Timers()
        self._logs = OwnedFolder("logs")
        self._learner = Learner(self.log, backend.profile)
        self._traced = traced
        self._compose_builds(logs or Path(self._logs.name), rules=rules, host=host)
        self._compose_launches(host=host)
        self._compose_succession()

    def _compose_builds(self, logs: Path, *, rules: RuleSet, host: str) -> None:
        backend, store = self._backend, self._ledger.store
        self.build_logs = LogFiles(
            folder=logs,
            limit=self.max_full_log,
            budget=self.disk_budget,
            keep=self.keep_logs,
            meter=self.budgets.disk.meter,
            store=store,
            copies=log_copies(store, patience=self.storage_patience, log=self.log),
        )
        self.log_lines = LaunchLines(self.build_logs)
        self.queue = BuildQueue(self._ledger, most=self.max_builds)
        """The builds that wait for others."""
        self._factory = Factory(
            backend=backend,
            clock=self._clock,
            limits=Limits(line=self.max_line, log=self.max_log, lines=self.max_lines),
            rules=rules,
            channels=self._channels,
            ledger=self._ledger,
            learner=self._learner,
            logs=self.build_logs,
            queue=self.queue,
            host=host,
            build_timeout=self.build_timeout,
            offers_earlier=self.offer_earlier,
            grew=self.budgets.grew,
            lose=lambda launch: self._running.lose(launch),
            log=self.log,
        )
        self._builds = SharedBuilds(
            lambda one, resolved: self._factory.build(one.spec, resolved, one.caller),
            ledger=self._ledger,
            log=self.log,
        )
        self._cleaner = BuildCleaner(
            backend, ledger=self._ledger, builds=self._builds, log=self.log
        )
        self._restorer = Restorer(
            self._ledger, factory=self._factory, channels=self._channels, builds=self._builds
        )

    def _compose_launches(self, *, host: str) -> None:
        self._directory = Directory(
            self._ledger,
            self._restorer,
            timers=self._timers,
            budgets=self.budgets,
            abandon_after=self.abandon_after,
            forget_after=self.forget_after,
            log=self.log,
        )
        self.outcomes = Outcomes(
            self._learner,
            host=host,
            clock=self._clock,
            done=self._directory.keep_for_a_while,
            log=self.log,
        )
        """Counts and records launches that have ended."""
        self.ended = self.outcomes.counts
        """The number of ended launches by their last phase."""
        self.over = self.outcomes.listeners
        """Called with each ended launch and where its time went. They must be quick."""
        self._runner = LaunchRunner(
            self._backend,
            builds=self._builds,
            ledger=self._ledger,
            learner=self._learner,
            timeouts=Timeouts(self.launch_timeout, self.stuck_after, self.cleanup_timeout),
            grew=self.budgets.grew,
            log=self.log,
        )
        self.standby = self._runner.standby
        self._running = RunningLaunches(
            self._runner,
            builds=self._builds,
            ledger=self._ledger,
            timers=self._timers,
            abandon_after=self.abandon_after,
            forget_after=self.forget_after,
            clock=self._clock,
            over=self.outcomes.add,
            left=self._directory.leave,
            log=self.log,
        )
        self._admission = Admission(
            self._ledger,
            in_all=self.max_launches,
            of_user=self.max_launches_per_user,
            of_client=self.max_launches_per_client,
            running=self._running.launches,
        )

    def _compose_succession(self) -> None:
        self._successor = Successor(
            self._ledger,
            factory=self._factory,
            builds=self._builds,
            restorer=self._restorer,
            locks=self._directory.locks,
            followers=self._directory.followers,
            is_running=self._running.is_running,
            run=self._run,
            clean_up=self._runner.cleanups.take_over,
        )

    async def open(self) -> None:
        """Open the store, and take up the launches of a server that was stopped or killed.

        Raises
        ------
        StorageError
            If the store cannot be read.
        """
        await self._ledger.open()
        # Before launches are taken up again, whose builds go on.
        await self._cleaner.open()
        await self._successor.open()

    def learn_from(self, history: HistoryStore) -> None:
        """Keep ended launches in a history, and learn from it. Call it in a thread: it does I/O."""
        self._learner.open(history)
        self.history = history

    async def start(self, spec: Spec, caller: Caller) -> Launch:
        """Start a launch and return it once its first event is stored.

        Raises
        ------
        TooManyRequestsError
            If too many launches are running, or there is no memory for another one.
        RefusedError
            If only a build is requested, and the backend cannot do that.
        ServerStoppingError, StorageError
            If the server is being stopped; if it cannot be stored.
        """
        if caller.build_only and self._backend.profile.builds_to_launch:
            raise RefusedError("This server is in front of BinderHubs, which build only to launch.")
        self._admission.check(caller)
        self.budgets.check()
        launch = self._factory.launch(spec, caller)
        launch.span = caller.span() if self._traced else None
        with self._runner.look_up(launch):
            await self._admission.begin(launch)
        self._run(launch)
        self.log.info("%r started", launch)
        return launch

    def _run(self, launch: Launch, is_cancelled: bool = False) -> None:
        self._directory.add(launch)
        self._running.start(launch)
        if is_cancelled:
            self.cancel(launch)

    def get(self, launch_id: str, *, user: str = "") -> Launch:
        """Return a launch of a user. Without users, everyone who knows its id has access.

        Raises
        ------
        NotFoundError
            If there is no such launch, it was forgotten, or it belongs to another user. Callers
            cannot tell which.
        """
        launch = self._directory.get(launch_id, user=user)
        # Polling keeps a running launch from being cancelled. It does not keep a finished one.
        # Attack: a client that polls thousands of finished launches would fill the memory.
        self._running.watch(launch)
        self._directory.followers.watch(launch)
        return launch

    async def find(self, launch_id: str, *, user: str = "") -> Launch:
        """Return a launch as `get` does, also one of another replica, or of earlier.

        Raises
        ------
        NotFoundError, StorageError
            As `get` does; if the store cannot be read.
        """
        await self._directory.find(launch_id)
        return self.get(launch_id, user=user)

    async def of(self, user: str) -> list[Launch]:
        """List the launches of a user as `find` does, the newest first."""
        return await self._directory.of(user)

    def cancel(self, launch: Launch, reason: str = "cancelled") -> None:
        """Cancel a launch that runs here, unless it has ended. It is cleaned up later."""
        self._running.cancel(launch, reason)

    async def cancel_anywhere(self, launch: Launch) -> None:
        """Cancel a launch, unless it has ended, and wait until that is stored.

        Raises
        ------
        StorageError
            If it cannot be stored, or another replica runs it and cannot be asked.
        """
        self.cancel(launch)
        await self._directory.followers.cancel(launch)
        await launch.flush()

    async def close(self, *, hand_over: bool = False) -> None:
        """Cancel all launches and wait until they are cleaned up.

        Parameters
        ----------
        hand_over : bool
            Whether a successor goes on with them, if the store is durable. Their servers stay.
        """
        self._admission.close()
        await self._directory.followers.close()
        await self._successor.stop()
        await self._cleaner.close()
        if hand_over and self.is_durable:
            await self._running.interrupt()
        for launch in self._directory:
            self.cancel(launch, "shutdown")
        try:
            await self._running.wait()
        finally:
            # Also if this is cancelled, because stopping takes too long.
            await take_steps(
                self.log,
                ("recording launches", self.outcomes.finish),
                ("stopping timers", self._timers.close),
                # Not discarded: viewers may still be reading their last events.
                ("forgetting launches", self._directory.clear),
                ("copying logs", self.build_logs.close),
                ("removing logs", self._logs.cleanup),
                ("closing the channels", self._channels.close),
                ("closing the store", self._ledger.close),
                ("closing the backend", self._backend.close),
            )
