"""Puts together what keeps servers ready for their launches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from traitlets.config import Config, LoggingConfigurable

from .._daemon_threads import DaemonThreads
from ..backends.base import AnyBackend
from ..backends.probe import JupyterProbe
from ..core.specs import Spec, from_address
from ..core.standby import popular
from ..errors import BinderProgressError, ConfigError, HistoryUnavailableError
from ..history.store import HistoryStore
from ..launches import LaunchManager
from ..launches.standby import Standby
from .composition import setting, with_defaults

__all__ = ["is_enabled", "make_standby", "refusal", "stop"]

_TIMEOUT = 60.0

_MOST_LAUNCHES = 5000
"""Launches of the history that are read, the newest ones."""


def is_enabled(config: Config) -> bool:
    """Whether servers are to stand ready."""
    nothing = with_defaults(config, {"Standby": {"repositories": {}, "popular": 0}})
    return bool(setting(nothing, Standby, "repositories") or setting(nothing, Standby, "popular"))


def refusal(why: str) -> ConfigError:
    """Return the error that servers cannot stand ready here."""
    return ConfigError(
        f"Servers cannot stand ready here: {why} Remove c.Standby.repositories and "
        "c.Standby.popular."
    )


def make_standby(
    parent: LoggingConfigurable,
    launches: LaunchManager,
    backend: AnyBackend,
    *,
    culled_after: float = 0.0,
    read_spec: Callable[[str], Spec] = from_address,
) -> Standby:
    """Return what keeps servers ready.

    Parameters
    ----------
    parent : LoggingConfigurable
        Has the configuration.
    launches : LaunchManager
    backend : Backend
    culled_after : float
        Seconds after which JupyterHub stops idle servers. 0: never, or not known.
    read_spec : callable
        Reads a spec, or the address of a repository.

    Raises
    ------
    ConfigError
        If a spec is not valid, or servers would be culled before they are replaced.
    """
    return Standby(
        launches=launches,
        backend=backend,
        make_probe=JupyterProbe,
        read_spec=read_spec,
        ranking=_ranking(parent, lambda: launches.history),
        culled_after=culled_after,
        parent=parent,
    )


async def stop(standby: Standby, *, patience: float, hand_over: bool, forget: bool = False) -> None:
    """Stop it, and the servers, as `Standby.close` does.

    What is not done after `patience` seconds is left to the next process, if the servers are
    stored, and else to JupyterHub.
    """
    try:
        async with asyncio.timeout(patience):
            await standby.close(hand_over=hand_over, forget=forget)
    except TimeoutError:
        standby.log.warning("Not all servers that stood ready could be stopped in time.")


def _ranking(
    parent: LoggingConfigurable, history: Callable[[], HistoryStore]
) -> Callable[[int], Awaitable[Sequence[str]]]:
    threads = DaemonThreads("popular repositories", most=2, timeout=_TIMEOUT)
    known: list[str] = []

    async def rank(most: int) -> Sequence[str]:
        try:
            past = await threads.run(history().recent, _MOST_LAUNCHES)
        except (HistoryUnavailableError, TimeoutError) as error:
            parent.log.warning(
                "Popular repositories stay as they are: %s", error or "no answer in time"
            )
            return known
        launches = ((each.repository, each.ref, each.began) for each in past)
        best = popular(launches, now=time.time(), most=most)
        known[:] = [text for one in best if (text := _spec_of(*one))]
        return known

    return rank


def _spec_of(address: str, ref: str) -> str:
    try:
        return str(from_address(address, ref))
    except BinderProgressError:
        # Such as one whose credentials are not in the history.
        return ""
