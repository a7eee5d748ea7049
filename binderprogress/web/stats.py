"""Statistics of past launches: ``/api/stats``, ``/api/popular`` and the page ``/stats``."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, ParamSpec, TypeVar
from urllib.parse import urlencode

import msgspec

from ..core.phases import Phase
from ..core.specs import PROVIDERS
from ..errors import BadRequestError, HistoryUnavailableError, NotFoundError, RefusedError
from ..history.store import NoHistory, Popular, Stats
from ..launches import LaunchManager
from ..launches.replicas import InAll
from .base import ApiHandler, Handler

__all__ = [
    "Live",
    "PopularAnswer",
    "PopularHandler",
    "StatsAnswer",
    "StatsHandler",
    "StatsPageHandler",
]

P = ParamSpec("P")
T = TypeVar("T")

_AWAY = "The database of past launches does not respond. Launches work. Try again in a minute."
_MAX_DAYS = 366
_MAX_IMAGES = 1000
_PERIODS = (7, 30, 90)
_LOCAL_HOST = "here"
"""The value of the query argument `host` for launches at this server, whose host is empty."""
_PUBLIC_SCHEMES = ("http://", "https://")


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """The launches in progress in this replica.

    Attributes
    ----------
    running, building : int
        Number of launches and of builds in progress.
    capacity : int
        Maximum number of launches in progress, in all replicas.
    phases : dict
        Number of launches by phase.
    """

    running: int
    building: int
    capacity: int
    phases: dict[Phase, int]


class StatsAnswer(Stats, frozen=True, kw_only=True):
    """The response of /api/stats.

    Attributes
    ----------
    now : float
        Time of the response, in seconds since 1970 (UTC).
    last_days : int
        Length of the period, in days.
    provider, host : str
        The requested provider and host; empty for all.
    providers, hosts : list of str
        Providers and hosts of the launches in the history. ``here`` is this server itself.
    live : Live
        The launches in progress in this replica.
    all_replicas : InAll
        How many there are in all replicas.
    replica : str
        The name of this replica.
    replicas : int
        Number of replicas that are alive.
    lost : int
        Launches since the server started that could not be written to the history.
    """

    now: float
    last_days: int
    provider: str
    host: str
    providers: list[str]
    hosts: list[str]
    live: Live
    all_replicas: InAll
    replica: str
    replicas: int
    lost: int


class PopularAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The response of /api/popular."""

    images: list[Popular]


class _NumberHandler(ApiHandler):
    def number(self, name: str, *, default: int, maximum: int) -> int:
        """Return a numeric query argument.

        Raises
        ------
        BadRequestError
            If it is not a number from 1 to `maximum`.
        """
        value = self.query(name, str(default))
        if not (
            value.isascii() and value.isdigit() and len(value) < 10 and 1 <= int(value) <= maximum
        ):
            raise BadRequestError(f"`{name}` must be a number from 1 to {maximum}.")
        return int(value)


class StatsHandler(_NumberHandler):
    """GET /api/stats."""

    async def get(self) -> None:
        """Send the statistics of the last days, and the launches in progress."""
        days = self.number("days", default=30, maximum=_MAX_DAYS)
        launches, now = self.web.launches, time.time()
        selection = await _read_selection(self)
        stats = await _query(
            self,
            launches.history.stats,
            days=days,
            now=now,
            provider=selection.provider or None,
            host={"": None, _LOCAL_HOST: ""}.get(selection.host, selection.host),
        )
        repositories = stats.repositories if self.web.name_repositories else []
        self.write_json(
            StatsAnswer(
                days=stats.days,
                phases=stats.phases,
                reasons=stats.reasons,
                repositories=[row for row in repositories if has_public_url(row.repository)],
                now=round(now, 3),
                last_days=days,
                provider=selection.provider,
                host=selection.host,
                providers=selection.providers,
                hosts=selection.hosts,
                live=_live(launches),
                all_replicas=launches.replicas.in_all,
                replica=launches.replicas.name,
                replicas=launches.replicas.count,
                lost=launches.history.lost,
            )
        )


class PopularHandler(_NumberHandler):
    """GET /api/popular."""

    async def get(self) -> None:
        """Send the images that are most worth pulling to every node."""
        if not self.web.name_repositories:
            raise RefusedError(
                "This server does not show the names of repositories. Its administrator can "
                "change that with c.Web.name_repositories."
            )
        limit = self.number("limit", default=20, maximum=_MAX_IMAGES)
        history = self.web.launches.history
        images = await _query(self, history.popular, limit=limit, now=time.time())
        public = [image for image in images if has_public_url(image.repository)]
        self.write_json(PopularAnswer(images=public))


class StatsPageHandler(Handler):
    """GET /stats: a page whose script shows the statistics."""

    async def get(self) -> None:
        """Show the page with the selected period, provider and host."""
        days = self.get_query_argument("days", "30")
        if days not in map(str, _PERIODS):
            raise BadRequestError("`days` must be 7, 30 or 90.")
        selection = await _read_selection(self)
        self.set_header("Cache-Control", "no-store")
        self.finish(
            self.page(
                "stats.html",
                days=int(days),
                choices=_PERIODS,
                query=selection.query,
                chosen={"provider": selection.provider, "host": selection.host},
                providers=_options(selection.provider, selection.providers, PROVIDERS),
                hosts=_options(selection.host, selection.hosts, {}),
                kept=not isinstance(self.web.launches.history, NoHistory),
            )
        )


async def _query(handler: Handler, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Read the history.

    Raises
    ------
    HistoryUnavailableError
        If its database cannot be reached, or does not answer in time.
    """
    try:
        return await handler.web.history_threads.run(call, *args, **kwargs)
    except HistoryUnavailableError as error:
        handler.web.log.warning("%s", error)
        raise HistoryUnavailableError(_AWAY) from error
    except TimeoutError as error:
        handler.web.log.warning("The history's database does not answer.")
        raise HistoryUnavailableError(_AWAY) from error


class _Selection(NamedTuple):
    """The selected provider and host (empty for all), and what can be selected."""

    provider: str
    host: str
    providers: list[str]
    hosts: list[str]

    def query(self, days: int) -> str:
        """Return a query string that selects the same, for a number of days."""
        names = ("provider", "host")
        selected = {name: value for name in names if (value := getattr(self, name))}
        return urlencode({"days": days, **selected})


def _options(
    selected: str, available: list[str], labels: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Return the options of a select element: pairs of value and label."""
    values = sorted({*available, selected} - {""})
    return [(value, labels.get(value, value)) for value in values]


async def _read_selection(handler: Handler) -> _Selection:
    """Read the provider and the host from the query.

    Raises
    ------
    NotFoundError
        If either is unknown.
    """
    launches = handler.web.launches
    provider, host = (handler.query(name) for name in ("provider", "host"))
    names = await _query(handler, launches.history.names)
    hosts = [name or _LOCAL_HOST for name in names.hosts]
    # Known providers and hosts are valid even if they have no launches yet.
    _check_known("provider", provider, names.providers, also=PROVIDERS)
    _check_known("host", host, hosts, also=(_LOCAL_HOST, launches.outcomes.host))
    return _Selection(provider, host, names.providers, hosts)


def _check_known(name: str, value: str, available: list[str], *, also: Collection[str]) -> None:
    if not value or value in available or value in also:
        return
    advice = f"Use one of {', '.join(available)}, or omit it." if available else "Omit it."
    raise NotFoundError(f"The history has no launches with the {name} {value[:80]!r}. {advice}")


def has_public_url(repository: str) -> bool:
    """Whether a repository may be named: not if it is a local folder or is fetched over ssh."""
    return repository.startswith(_PUBLIC_SCHEMES)


def _live(launches: LaunchManager) -> Live:
    return Live(
        running=launches.running,
        building=launches.building,
        capacity=launches.max_launches,
        phases=launches.phases(),
    )
