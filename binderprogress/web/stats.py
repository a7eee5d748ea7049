"""GET /api/stats, /api/popular: what the history says of launches, in numbers."""

from __future__ import annotations

import asyncio
import time

import msgspec

from ..core.phases import Phase
from ..errors import BadRequestError, RefusedError
from ..history.base import NoHistory, Popular, Stats
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
        As asked for.
    live : Live
    lost : int
        Launches that could not be written into the history since the server was started.
    """

    now: float
    last_days: int
    live: Live
    lost: int


class PopularAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of /api/popular."""

    images: list[Popular]


class _NumberHandler(ApiHandler):
    def number(self, name: str, default: int, most: int) -> int:
        """Return a number of the query, from 1 to `most`."""
        value = self.get_query_argument(name, str(default))
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
        provider, host = (
            self.get_query_argument("provider", ""),
            self.get_query_argument("host", ""),
        )
        launches, now = self.web.launches, time.time()
        found = await asyncio.to_thread(
            launches.history.stats, days=days, now=now, provider=provider, host=host
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

    def get(self) -> None:
        """Show it, for a period that can be chosen there."""
        asked = self.get_query_argument("days", "30")
        if asked not in map(str, _PERIODS):
            raise BadRequestError("`days` has to be 7, 30 or 90.")
        kept = not isinstance(self.web.launches.history, NoHistory)
        self.set_header("Cache-Control", "no-store")
        self.finish(self.web.render("stats.html", days=int(asked), choices=_PERIODS, kept=kept))


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
