"""Keeps servers of some repositories ready, so that their launches need not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, Protocol

from traitlets import Dict, Float, Integer, Unicode
from traitlets.config import LoggingConfigurable

from ..backends.base import AnyBackend, BuildResult, ResolvedSpec, RunningServer, WaitForTurn
from ..core.phases import Phase
from ..core.specs import Spec
from ..core.standby import Limits
from ..errors import BinderProgressError, ConfigError, StorageError
from .caller import Caller
from .event_writer import Clock
from .leader import Leader
from .manager import LaunchManager
from .standby_keeper import StandbyKeeper, Target

__all__ = ["Probe", "Standby"]

_LOOK = 5.0
"""Seconds after which it is looked whether something has to be done, besides after changes."""

_RETRY, _LONGEST_RETRY = 30.0, 3600.0
"""Seconds after which a repository that cannot be resolved or built is tried again: after the first
failure, and at most. The pause doubles with each failure in a row."""

ReadSpec = Callable[[str], Spec]
Ranking = Callable[[int], Awaitable[Sequence[str]]]
"""Returns the specs of the most popular repositories, at most as many as are asked for."""


class Probe(Protocol):
    """Asks servers whether they answer."""

    async def answers(self, server: RunningServer) -> bool:
        """Return whether a server answers, with its token."""
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...


class Standby(LoggingConfigurable):
    """Servers of some repositories stand ready. The next launch of their commit takes one.

    Parameters
    ----------
    launches : LaunchManager
    backend : Backend
    make_probe : callable
        Returns what asks servers whether they answer; it gets ``timeout`` and ``proxy_url``.
    read_spec : callable
        Reads a spec of the configuration.
    ranking : callable
        Returns the specs of popular repositories.
    culled_after : float
        Seconds after which JupyterHub stops idle servers. 0: never, or not known.
    clock : Clock, optional
    """

    repositories = Dict(
        value_trait=Integer(min=0),
        key_trait=Unicode(),
        help="""
        How many servers of which repositories stand ready, by spec:
        {"gh/binder-examples/requirements/HEAD": 4}. The most important ones come first.
        """,
    ).tag(config=True)

    popular = Integer(
        0,
        min=0,
        help="""
        Number of the most popular repositories of the history of which servers stand ready, too.
        """,
    ).tag(config=True)

    popular_count = Integer(
        1, min=1, help="Number of servers of each of these popular repositories."
    ).tag(config=True)

    budget = Integer(
        10,
        min=0,
        help="Maximum number of servers that stand ready or are being started for that, in all "
        "replicas. If more are wanted, repositories take turns.",
    ).tag(config=True)

    memory = Integer(
        0,
        min=0,
        help="Maximum memory of these servers in bytes; 0: only `budget` counts.",
    ).tag(config=True)

    memory_per_server = Integer(
        512 * 2**20,
        min=1,
        help="Bytes for which a server that stands ready counts in `memory`, such as the memory "
        "that JupyterHub guarantees to a server.",
    ).tag(config=True)

    max_age = Float(
        1200.0,
        min=10.0,
        help="""
        Seconds after which a server that nobody has taken is replaced. It must be less than the
        time after which JupyterHub stops servers that nobody uses.
        """,
    ).tag(config=True)

    starts = Integer(
        2, min=1, help="Maximum number of servers that are started ahead at the same time."
    ).tag(config=True)

    resolve_every = Float(
        300.0,
        min=1.0,
        help="""
        Seconds after which it is looked for new commits and for popular repositories. Servers of an
        earlier commit are replaced.
        """,
    ).tag(config=True)

    check_every = Float(
        30.0,
        min=1.0,
        help="Seconds after which servers are asked whether they still answer. They are also asked "
        "when a launch takes them.",
    ).tag(config=True)

    check_timeout = Float(1.0, min=0.01, help="Seconds after which a server does not answer.").tag(
        config=True
    )

    proxy_url = Unicode(
        help="Where this server reaches the proxy of JupyterHub, such as http://proxy-public/, if "
        "it cannot use the address that browsers use."
    ).tag(config=True)

    base_url = Unicode(
        help="Address of this server for the variable BINDER_LAUNCH_HOST of servers that stand "
        "ready: they do not know yet how their users reach it."
    ).tag(config=True)

    def __init__(
        self,
        *,
        launches: LaunchManager,
        backend: AnyBackend,
        make_probe: Callable[..., Probe],
        read_spec: ReadSpec,
        ranking: Ranking,
        culled_after: float = 0.0,
        clock: Clock | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._launches = launches
        self._backend = backend
        self._read_spec = read_spec
        self._ranking = ranking
        self._clock = clock or Clock()
        self._pool = launches.standby
        self._leader = Leader(self._pool.ledger)
        if 0.0 < culled_after <= self.max_age:
            raise ConfigError(
                f"c.Standby.max_age is {self.max_age:g} s, but servers that nobody uses are "
                f"stopped after {culled_after:g} s. Set it to less, such as "
                f"{culled_after * 2 / 3:g}."
            )
        self._is_changed = asyncio.Event()
        self._ranked_at: float | None = None
        self._specs: dict[str, int]
        self.want(self.repositories)
        self._probe = make_probe(timeout=self.check_timeout, proxy_url=self.proxy_url)
        self._keeper = StandbyKeeper(
            backend,
            self._pool,
            answers=self._probe.answers,
            base_url=self.base_url,
            timeout=launches.launch_timeout,
            clock=self._clock,
            wake=self._is_changed.set,
            log=self.log,
        )
        self._targets: dict[str, Target] = {}
        """What is wanted, by spec."""
        self._due: dict[str, float] = {}
        """When a spec is resolved again, by monotonic time."""
        self._pauses: dict[str, float] = {}
        """Seconds until a spec that failed is resolved again."""
        self._looking: dict[str, asyncio.Task[None]] = {}
        """Tasks that resolve and build, by spec."""
        self._wanted: dict[str, int] = {}
        self._checked_at = self._clock.monotonic()
        self._running: asyncio.Task[None] | None = None

    @property
    def limits(self) -> Limits:
        """The limits of all servers together."""
        most = self.budget
        if self.memory:
            most = min(most, self.memory // self.memory_per_server)
        return Limits(most=most, starts=self.starts, max_age=self.max_age)

    def _checked(self, text: str) -> str:
        try:
            return str(self._read_spec(text))
        except BinderProgressError as error:
            raise ConfigError(f"c.Standby.repositories: {text!r} is not valid. {error}") from error

    def want(self, repositories: Mapping[str, int]) -> None:
        """Replace what `repositories` says.

        Raises
        ------
        ConfigError
            If a spec is not valid.
        """
        self._specs = {self._checked(text): count for text, count in repositories.items() if count}
        self._ranked_at = None
        self._is_changed.set()

    def start(self) -> None:
        """Begin. The launches must be open."""
        self._pool.open(self._probe.answers)
        self._pool.changed.add(self._is_changed.set)
        self._running = asyncio.create_task(self._run(), name="servers that stand ready")

    async def close(self, *, hand_over: bool = False, forget: bool = False) -> None:
        """End it, and stop the servers.

        Parameters
        ----------
        hand_over : bool
            Whether the next process goes on with the servers instead, if they are stored.
        forget : bool
            Whether the JupyterHub ends, and with it the servers.
        """
        self._pool.close()
        tasks = [*self._looking.values(), *([self._running] if self._running else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            hand_over = hand_over and self._launches.is_durable
            await self._keeper.close(hand_over=hand_over, forget=forget)
        finally:
            await self._probe.close()

    async def _run(self) -> None:
        is_open = not self._is_shared
        while True:
            self._is_changed.clear()
            try:
                if not is_open:
                    await self._leader.open()
                    is_open = True
                await self._round()
            except StorageError as error:
                self.log.warning("Servers that stand ready stay as they are: %s", error)
            except Exception:
                self.log.exception("Servers that stand ready cannot be looked after")
            try:
                async with asyncio.timeout(_LOOK):
                    await self._is_changed.wait()
            except TimeoutError:
                pass

    @property
    def _is_shared(self) -> bool:
        return self._pool.ledger.is_shared

    async def _round(self) -> None:
        """Do what is to be done now."""
        # One replica starts and stops them, so that all together keep within the limits.
        is_here = not self._is_shared or await self._leader.is_here()
        if is_here:
            await self._keeper.adopt()
        now = self._clock.monotonic()
        is_due = now >= self._checked_at + self.check_every
        if self._is_shared or is_due:
            await self._keeper.compare()
        if is_due:
            self._checked_at = now
            await self._keeper.check()
        await self._rank()
        self._resolve(is_here)
        if is_here:
            targets = [self._targets[text] for text in self._wanted if text in self._targets]
            unknown = {
                text: count for text, count in self._wanted.items() if text not in self._targets
            }
            self._keeper.apply(targets, self.limits, unknown=unknown)
        elif leader := await self._leader.name():
            await self._keeper.give(leader)

    # -- what is wanted

    async def _rank(self) -> None:
        """Find out which repositories are wanted."""
        now = self._clock.monotonic()
        if self._ranked_at is not None and now < self._ranked_at + self.resolve_every:
            return
        self._ranked_at = now
        wanted = dict(self._specs)
        for text in await self._popular():
            wanted.setdefault(text, self.popular_count)
        self._wanted = wanted
        for known in (self._targets, self._due, self._pool.wanted):
            for text in known.keys() - wanted.keys():
                del known[text]

    async def _popular(self) -> list[str]:
        """Return the specs of the popular repositories that can be launched here."""
        texts = []
        for text in await self._ranking(self.popular) if self.popular else ():
            with suppress(BinderProgressError):
                texts.append(str(self._read_spec(text)))
        return texts

    def _resolve(self, is_here: bool) -> None:
        """Look for the commits that are due, in the background."""
        now = self._clock.monotonic()
        for text in self._wanted:
            if text not in self._looking and now >= self._due.get(text, now):
                self._due[text] = now + self.resolve_every
                task = asyncio.create_task(self._look(text, is_here), name=f"look at {text}")
                self._looking[text] = task

    async def _look(self, text: str, is_here: bool) -> None:
        """Resolve a spec, and build it if that is to be done here."""
        try:
            spec = self._read_spec(text)
            resolved = await self._backend.resolve(spec)
            self._pool.wanted[text] = resolved.key
            built = await self._found(resolved)
            if built is None and is_here:
                built = await self._build(spec)
            if built is None:
                # Another replica builds it.
                self._due[text] = self._clock.monotonic() + min(_RETRY, self.resolve_every)
            elif text in self._wanted:
                self._targets[text] = Target(
                    spec=spec, resolved=resolved, built=built, count=self._wanted[text]
                )
        except Exception as error:  # noqa: BLE001 - whatever a backend raises; it is tried again
            pause = self._pauses.get(text, min(_RETRY, self.resolve_every))
            self._pauses[text] = min(pause * 2, _LONGEST_RETRY)
            self._due[text] = self._clock.monotonic() + pause
            self.log.warning(
                "No server of %s can stand ready: %s. It is looked up again in %g s.",
                text,
                str(error).rstrip("."),
                pause,
            )
        else:
            self._pauses.pop(text, None)
        finally:
            del self._looking[text]
            self._is_changed.set()

    async def _found(self, resolved: ResolvedSpec) -> BuildResult | None:
        """Return the environment, if it exists."""
        async with aclosing(self._backend.build(resolved)) as items:
            async for item in items:
                if isinstance(item, BuildResult):
                    return item
                if isinstance(item, WaitForTurn):
                    break
        return None

    async def _build(self, spec: Spec) -> BuildResult:
        """Build an environment, as for a caller who wants no server."""
        caller = Caller(base_url=self.base_url, build_only=True)
        launch = await self._launches.start(spec, caller)
        is_changed = asyncio.Event()
        launch.changed.add(is_changed.set)
        # Or it would be cancelled as one that nobody watches.
        launch.join()
        try:
            while not launch.closed:
                await is_changed.wait()
                is_changed.clear()
        finally:
            launch.leave()
            launch.changed.remove(is_changed.set)
        if launch.last.phase is not Phase.READY or launch.built is None:
            raise BinderProgressError(launch.last.message.strip())
        return launch.built
