"""Makes launches and builds with the settings of a server."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from ..backends.base import AnyBackend, ResolvedSpec
from ..core.events import Earlier
from ..core.log.reasons import RuleSet
from ..core.phases import Phase
from ..core.specs import Spec
from ..core.timing.priors import Expectation, Place
from .build import Build
from .build_queue import BuildQueue
from .caller import Caller
from .channel_factory import Channels
from .earlier_version import find_earlier
from .event_writer import Clock, Limits
from .history_entry import address_of
from .launch import Launch
from .learner import Learner
from .ledger import Ledger
from .log_files import LogFiles

__all__ = ["Factory"]


class Factory(msgspec.Struct, frozen=True, kw_only=True):
    """Makes launches and builds, new ones and those that are restored.

    Attributes
    ----------
    backend : Backend
    clock : Clock
    limits : Limits
    rules : RuleSet
    channels : Channels
    ledger : Ledger
    learner : Learner
    logs : LogFiles
    queue : BuildQueue
    host : str
        Where servers are started, for what past launches taught.
    build_timeout : float
        Seconds.
    offers_earlier : bool
        Whether earlier versions are offered while a build runs.
    grew : callable
        Called after each record of a build, to make room in memory.
    lose : callable
        Called with a launch whose events cannot be stored.
    log : logging.Logger
    """

    backend: AnyBackend
    clock: Clock
    limits: Limits
    rules: RuleSet
    channels: Channels
    ledger: Ledger
    learner: Learner
    logs: LogFiles
    queue: BuildQueue
    host: str
    build_timeout: float
    offers_earlier: bool
    grew: Callable[[], None]
    lose: Callable[[Launch], None]
    log: logging.Logger | logging.LoggerAdapter[Any]

    def launch(
        self, spec: Spec, caller: Caller, *, launch_id: str = "", created: float | None = None
    ) -> Launch:
        """Return a launch; with an id and the time of its creation, one to be restored."""
        phases = self.backend.profile.phases
        if caller.build_only:
            phases = tuple(phase for phase in phases if phase is not Phase.LAUNCHING)
        launch = Launch(
            launch_id or secrets.token_urlsafe(24),
            spec,
            caller=caller,
            clock=self.clock,
            limits=self.limits,
            rules=self.rules,
            expectation=self._expect(spec),
            channels=self.channels,
            on_failure=lambda: self.lose(launch),
            created=created,
            phases=phases,
        )
        return launch

    def build(
        self, spec: Spec, resolved: ResolvedSpec, caller: Caller, *, build_id: str = ""
    ) -> Build:
        """Return a build that is not started, of a launch; with an id, one to be restored."""
        build_id = build_id or secrets.token_urlsafe(18)
        return Build(
            resolved,
            self.backend,
            expectation=self._expect(spec, resolved.commit or spec.ref),
            clock=self.clock,
            limits=self.limits,
            rules=self.rules,
            timeout=self.build_timeout,
            full_log=self.logs.make(build_id, log=self.log),
            log=self.log,
            channels=self.channels,
            ledger=self.ledger,
            keep=self.logs.keep,
            queue=self.queue,
            owner=caller.owner,
            earlier=partial(self._earlier, resolved) if self.offers_earlier else None,
            grew=self.grew,
            build_id=build_id,
        )

    async def _earlier(self, resolved: ResolvedSpec) -> Earlier | None:
        spec = resolved.spec
        commits = self.learner.branches.before(address_of(spec), spec.ref, resolved.commit)
        # Whoever asks for a commit wants that one.
        is_commit = spec.ref.lower() == resolved.commit
        return None if is_commit else await find_earlier(self.backend, resolved, commits)

    def _expect(self, spec: Spec, commit: str = "") -> Expectation:
        place = Place(self.host, address_of(spec), commit)
        profile = self.backend.profile
        return self.learner.about(place, profile.typical, first_start=profile.first_start)
