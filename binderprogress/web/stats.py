"""GET /api/stats, /api/popular: what the history says of launches, in numbers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec

from ..core.phases import Phase
from ..core.specs import PROVIDERS
from ..errors import BadRequestError, NotFoundError, RefusedError
from ..history.store import NoHistory, Popular, Stats
from ..launches import LaunchManager
from .base import ApiHandler, Handler

__all__ = [
    "Live",
    "PopularAnswer",
    "PopularHandler",
    "StatsAnswer",
    "StatsHandler",
    "StatsPageHandler",
]

_MOST_DAYS = 366
_MOST_IMAGES = 1000
_PERIODS = (7, 30, 90)
_HERE = "here"
"""Stands for the host "", which is not to be told from one that is not named."""
_PUBLIC = ("http://", "https://")


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """The launches of this moment.

    Attributes
    ----------
    running, building, capacity : int
        Launches that are not over, builds, and how many launches there may be.
    phases : dict
        How many launches are in which phase.
    """

    running: int
    building: int
    capacity: int
    phases: dict[Phase, int]


class StatsAnswer(Stats, frozen=True, kw_only=True):
    """The answer of /api/stats.

    Attributes
    ----------
    now : float
        The server's clock, in seconds since 1970.
    last_days : int
    provider, host : str
        As asked for; empty: all.
    providers, hosts : list of str
        What can be asked for: of these, launches are kept. ``here`` is no other host.
    live : Live
    lost : int
        Launches that could not be written into the history since the server was started.
    """

    now: float
    last_days: int
    provider: str
    host: str
    providers: list[str]
    hosts: list[str]
    live: Live
    lost: int


class PopularAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of /api/popular."""

    images: list[Popular]


class _NumberHandler(ApiHandler):
    def number(self, name: str, default: int, most: int) -> int:
        """Return a number of the query, from 1 to `most`."""
        value = self.query(name, str(default))
        if not (
            value.isascii() and value.isdigit() and len(value) < 10 and 1 <= int(value) <= most
        ):
            raise BadRequestError(f"`{name}` has to be a number from 1 to {most}.")
        return int(value)


class StatsHandler(_NumberHandler):
    """/api/stats."""

    async def get(self) -> None:
        """Send where the time went in the last days, and what runs now."""
        days = self.number("days", 30, _MOST_DAYS)
        launches, now = self.web.launches, time.time()
        chosen = await _chosen(self)
        found = await asyncio.to_thread(
            launches.history.stats,
            days=days,
            now=now,
            provider=chosen.provider or None,
            host={"": None, _HERE: ""}.get(chosen.host, chosen.host),
        )
        named = self.web.name_repositories
        self.write_json(
            StatsAnswer(
                days=found.days,
                phases=found.phases,
                reasons=found.reasons,
                repositories=[r for r in found.repositories if named and is_public(r.repository)],
                now=round(now, 3),
                last_days=days,
                provider=chosen.provider,
                host=chosen.host,
                providers=chosen.providers,
                hosts=chosen.hosts,
                live=_live(launches),
                lost=launches.history.lost,
            )
        )


class PopularHandler(_NumberHandler):
    """/api/popular."""

    async def get(self) -> None:
        """Send which images are worth having on every node."""
        if not self.web.name_repositories:
            raise RefusedError(
                "This server names no repositories. Whoever runs it can let it, with "
                "c.Web.name_repositories."
            )
        limit = self.number("limit", 20, _MOST_IMAGES)
        history = self.web.launches.history
        found = await asyncio.to_thread(history.popular, limit=limit, now=time.time())
        self.write_json(PopularAnswer(images=[one for one in found if is_public(one.repository)]))


class StatsPageHandler(Handler):
    """GET /stats: the page that shows the numbers; its script asks for them."""

    async def get(self) -> None:
        """Show it; period, provider and host can be chosen there."""
        asked = self.get_query_argument("days", "30")
        if asked not in map(str, _PERIODS):
            raise BadRequestError("`days` has to be 7, 30 or 90.")
        chosen = await _chosen(self)
        kept = not isinstance(self.web.launches.history, NoHistory)
        self.set_header("Cache-Control", "no-store")
        self.finish(
            self.web.render(
                "stats.html",
                days=int(asked),
                choices=_PERIODS,
                query=chosen.query,
                chosen={"provider": chosen.provider, "host": chosen.host},
                providers=_options(chosen.provider, chosen.providers, PROVIDERS),
                hosts=_options(chosen.host, chosen.hosts, {}),
                kept=kept,
            )
        )


class _Chosen(NamedTuple):
    """Whose numbers somebody wants (empty: those of all), and which there are."""

    provider: str
    host: str
    providers: list[str]
    hosts: list[str]

    def query(self, days: int) -> str:
        """Return it as a query, for so many days."""
        of = {name: value for name in ("provider", "host") if (value := getattr(self, name))}
        return urlencode({"days": days, **of})


def _options(chosen: str, there: list[str], names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return what a list on the page offers, with its names for people."""
    values = sorted({*there, chosen} - {""})
    return [(value, names.get(value, value)) for value in values]


async def _chosen(handler: Handler) -> _Chosen:
    """Return what the query names.

    Raises
    ------
    NotFoundError
        If nothing of the kind is known here.
    """
    launches = handler.web.launches
    provider, host = (handler.query(name) for name in ("provider", "host"))
    names = await asyncio.to_thread(launches.history.names)
    hosts = [name or _HERE for name in names.hosts]
    # One that is known and has no launch yet is no mistake.
    _check("provider", provider, names.providers, also=PROVIDERS)
    _check("host", host, hosts, also=(_HERE, launches.host))
    return _Chosen(provider, host, names.providers, hosts)


def _check(name: str, value: str, there: list[str], *, also: Collection[str]) -> None:
    if not value or value in there or value in also:
        return
    choices = f"one of {', '.join(there)}" if there else "left out: none is kept yet"
    raise NotFoundError(
        f"No launch of the {name} {value[:80]!r} is kept. `{name}` has to be {choices}."
    )


def is_public(repository: str) -> bool:
    """Whether an address may be named: not one of this machine, or that needs a key."""
    return repository.startswith(_PUBLIC)


def _live(launches: LaunchManager) -> Live:
    return Live(
        running=launches.running,
        building=launches.building,
        capacity=launches.max_launches,
        phases=launches.phases(),
    )
