"""The upstream BinderHubs: their configuration, their health, and which one to use."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from base64 import b64encode
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from traitlets import Dict, Enum, Float, Integer, List, TraitError, Unicode, validate
from traitlets.config import LoggingConfigurable

from ..._responses import read_text
from ..._send_once import send_once
from ...core.events import is_http_url
from ...core.log.reader import clean
from ...core.redact import redact, redact_address, split_credentials
from ...core.rendezvous import ranked
from ...core.specs import Spec
from ...errors import ConfigError, StreamError
from ..connection_errors import LONGEST_RESPONSE, explain

__all__ = ["REDIRECTS", "Upstream", "Upstreams"]

_UNHEALTHY_AFTER = 2
"""Failed checks in a row; a single one may be a network glitch."""
REDIRECTS = 5
"""Maximum number of redirects; a federation redirects once."""
_MOST_NAMES = 5
"""Maximum number of failed checks of a BinderHub that are named."""


class Upstream:
    """One BinderHub and its health.

    Parameters
    ----------
    url : str
        Its address, with a trailing slash. A user and a password in it are sent only to this
        BinderHub, and not shown anywhere.
    headroom : int
        Number of pods below its quota at which it counts as full.

    Attributes
    ----------
    url : str
        Its address, without user and password.
    host : str
        Host and port of the address.
    headers : dict
        Headers of requests to it.
    healthy : bool
        True until its first checks have failed.
    problem : str
        Why it is not healthy, or why the last check failed.
    latency : float or None
        Seconds that its last health check took.
    running : int
        Number of builds and launches of this server there.
    pods, quota : int or None
        Number of running pods and their limit, as it reports them.
    """

    def __init__(self, url: str, *, headroom: int = 0) -> None:
        self.url, user, password = split_credentials(url)
        self._headroom = headroom
        self.host = urlsplit(self.url).netloc
        # aiohttp does not forward it to another origin after a redirect.
        self.headers: dict[str, str] = {}
        if user or password:
            credentials = b64encode(f"{user}:{password}".encode()).decode()
            self.headers["Authorization"] = f"Basic {credentials}"
        self.healthy = True
        self.problem = ""
        self.latency: float | None = None
        self.running = 0
        self.pods: int | None = None
        self.quota: int | None = None
        self._failures = 0

    @property
    def room(self) -> int | None:
        """Number of pods that it has room for. None if it does not say."""
        if self.pods is None or self.quota is None:
            return None
        return max(self.quota - self._headroom - self.pods, 0)

    @property
    def has_room(self) -> bool:
        """Whether it has fewer pods than its quota, with some headroom."""
        return self.room != 0

    def take(self, answer: Any, latency: float) -> None:
        """Process a response of its ``/health``, which took `latency` seconds."""
        if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
            self.fail("its /health is not that of a BinderHub")
            return
        self.latency = latency
        self._failures = 0
        checks = answer.get("checks")
        checks = checks if isinstance(checks, list) else []
        checks = [check for check in checks if isinstance(check, dict)]
        self.healthy = answer["ok"]
        failed = [
            redact(str(check.get("service")))[:40] for check in checks if check.get("ok") is False
        ]
        names = ", ".join(failed[:_MOST_NAMES]) or "not ok"
        self.problem = "" if self.healthy else f"its health check failed: {names}"
        self.pods = self.quota = None
        for check in checks:
            if check.get("service") == "Pod quota":
                self.pods, self.quota = _count(check, "total_pods"), _count(check, "quota")

    def fail(self, problem: str) -> None:
        """Record a check without a valid response."""
        self._failures += 1
        self.problem = problem
        if self._failures >= _UNHEALTHY_AFTER:
            self.healthy = False

    def state(self) -> dict[str, Any]:
        """Return its state, for our own health check."""
        return {
            "url": self.url,
            "ok": self.healthy,
            "problem": self.problem,
            "latency": self.latency,
            "running": self.running,
            "total_pods": self.pods,
            "quota": self.quota,
        }


class Upstreams(LoggingConfigurable):
    """The BinderHubs that build and launch for this server."""

    urls = List(
        Unicode(),
        help="""
        Addresses of BinderHubs, such as https://binder.example.org/. If there are any, they build
        and launch, and this server needs no JupyterHub and no container engine.
        """,
    ).tag(config=True)

    routing = Enum(
        ["rendezvous", "random"],
        "rendezvous",
        help="""
        How a BinderHub is chosen among those that are healthy and have room.

        rendezvous: always the same one for a repository, so that its images and layers are there.
        random: any, those with more room more often. Use it if all have the same registry, or
        registries that replicate.
        """,
    ).tag(config=True)

    host_cookie_age = Integer(
        4 * 3600,
        min=0,
        help="Seconds for which the launches of a browser go to the same BinderHub, as long as it "
        'is healthy and has room. Only with the routing "random". 0: each launch goes to any.',
    ).tag(config=True)

    weights = Dict(
        value_trait=Float(min=0.001),
        key_trait=Unicode(),
        help='Shares of launches by address: with {"https://binder.example.org": 2}, this '
        "BinderHub gets twice as many as the others, whose weight is 1.",
    ).tag(config=True)

    headroom = Integer(
        0,
        min=0,
        help="Number of pods below its quota at which a BinderHub counts as full. Launches that "
        "others send there use it up between two health checks.",
    ).tag(config=True)

    max_running = Integer(
        0, min=0, help="Maximum number of concurrent builds and launches at each; 0: no limit."
    ).tag(config=True)

    health_interval = Float(
        10.0, help="Seconds between health checks of each, varied randomly by a fifth."
    ).tag(config=True)

    failed_interval = Float(
        None,
        allow_none=True,
        help="Seconds between health checks of a BinderHub that is not healthy. For that long, it "
        "gets no launches. The default is `health_interval`.",
    ).tag(config=True)

    health_timeout = Float(5.0, help="Timeout of a health check, in seconds.").tag(config=True)

    connect_timeout = Float(10.0, help="Timeout of connecting, in seconds.").tag(config=True)

    response_timeout = Float(
        30.0,
        help="Seconds within which a BinderHub must begin its response. It sends a comment after "
        "25 s at the latest.",
    ).tag(config=True)

    failover_after = Float(
        60.0,
        help="""
        Seconds without an event of a BinderHub that hangs or cannot be reached, after which another
        one that is healthy is tried. If there is none, all `pauses` are used.
        """,
    ).tag(config=True)

    idle_timeout = Float(
        60.0,
        help="Seconds without data after which a stream is reconnected. A BinderHub sends a "
        "comment every 25 s.",
    ).tag(config=True)

    pauses = List(
        Float(),
        [1.0, 2.0, 4.0, 8.0, 15.0],
        help="Seconds before each attempt to reconnect to a build. After the last one, another "
        "BinderHub is tried.",
    ).tag(config=True)

    @validate("urls")
    def _validate_urls(self, proposal: Any) -> list[str]:
        urls = [f"{url.rstrip('/')}/" for url in proposal["value"]]
        for url in urls:
            if not is_http_url(url):
                raise TraitError(
                    f"{redact_address(url)!r} is not the address of a BinderHub, such as "
                    "https://host/."
                )
            if "?" in url or "#" in url:
                raise TraitError(
                    f"The address of a BinderHub must not have a query: {redact_address(url)!r}."
                )
        return list(dict.fromkeys(urls))

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hubs = [Upstream(url, headroom=self.headroom) for url in self.urls]
        self._weights = self._weights_of_hubs()
        self._session: aiohttp.ClientSession | None = None
        self._watches: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the health checks."""
        self._watches = [asyncio.create_task(self._watch(hub)) for hub in self.hubs]

    async def close(self) -> None:
        """Stop the health checks, and close all connections."""
        for task in self._watches:
            task.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session of all connections."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # Each launch has a stream of its own.
                connector=aiohttp.TCPConnector(limit=0),
                # Cookies of one launch must not be sent for another.
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=[send_once],
            )
        return self._session

    def ordered(self, spec: Spec) -> list[Upstream]:
        """Return the BinderHubs in the order in which they are tried for a spec; see `ranking`."""
        return self.ranking(self.key(spec))

    def key(self, spec: Spec) -> str:
        """Return what decides about the order for one launch; see `ranking`."""
        return spec.repo_url if self.routing == "rendezvous" else secrets.token_hex()

    def ranking(self, key: str) -> list[Upstream]:
        """Return the BinderHubs in the order in which they are tried.

        Healthy ones with room come first, then full ones, then the rest. Within each group, the
        order is that of `routing`: the same for all refs of a repository, or random.

        Parameters
        ----------
        key : str
            From `key`. With the same one, the order only changes with the health and the room of
            the BinderHubs.
        """
        hubs = {hub.url: hub for hub in self.hubs}
        weights = {url: self._weights.get(url, 1.0) for url in hubs}
        if self.routing == "random":
            rooms = {hub.url: hub.room for hub in self.hubs if hub.room}
            # One that does not say how much room it has is as good as the others on average.
            mean = sum(room or 0 for room in rooms.values()) / len(rooms) if rooms else 1.0
            for url in weights:
                weights[url] *= rooms.get(url) or mean
        order = [hubs[url] for url in ranked(key, hubs, weights)]
        return sorted(order, key=lambda hub: (not hub.healthy, not hub.has_room))

    def choose(self, earlier: str) -> str:
        """Return the host for a launch, at random; see `web.hosts.Hosts`."""
        order = self.ranking(secrets.token_hex())
        usable = [hub for hub in order if hub.healthy and hub.has_room and not self.is_full(hub)]
        # Attack: the cookie names any host.
        same = (hub.host for hub in usable if hub.host == earlier)
        return next(same, (usable or order)[0].host)

    def _weights_of_hubs(self) -> dict[str, float]:
        given = {f"{url.rstrip('/')}/": weight for url, weight in self.weights.items()}
        unknown = given.keys() - {hub.url for hub in self.hubs}
        if unknown:
            raise ConfigError(
                f"c.Upstreams.weights has {redact_address(min(unknown))!r}, which is not one of "
                "c.Upstreams.urls. Leave out its user and password."
            )
        return {hub.url: given.get(hub.url, 1.0) for hub in self.hubs}

    def has_another(self, hub: Upstream) -> bool:
        """Whether another BinderHub is healthy and not full."""
        return any(
            other.healthy and not self.is_full(other) for other in self.hubs if other is not hub
        )

    def is_full(self, hub: Upstream) -> bool:
        """Whether it runs as many of our builds and launches as `max_running` allows."""
        return bool(self.max_running) and hub.running >= self.max_running

    async def health(self) -> dict[str, Any]:
        """Return a health check, which is ok if any BinderHub is healthy."""
        return {
            "service": "BinderHubs",
            "ok": any(hub.healthy for hub in self.hubs),
            "latency": min(
                (hub.latency for hub in self.hubs if hub.healthy and hub.latency is not None),
                default=None,
            ),
            "capacity": self.max_running * len(self.hubs) or None,
            "running": sum(hub.running for hub in self.hubs),
            "upstreams": [hub.state() for hub in self.hubs],
        }

    # -- health checks

    async def _watch(self, hub: Upstream) -> None:
        while True:
            was_healthy = hub.healthy
            await self.check(hub)
            if hub.healthy is not was_healthy:
                state = "healthy again" if hub.healthy else f"not healthy: {hub.problem}"
                self.log.warning("BinderHub %s is %s", hub.host, state)
            # Random, so that several servers do not send their checks at the same time.
            interval = self.health_interval
            if not hub.healthy and self.failed_interval is not None:
                interval = self.failed_interval
            await asyncio.sleep(interval * random.uniform(0.8, 1.2))  # noqa: S311 - no secret

    async def check(self, hub: Upstream) -> None:
        """Check the health of one BinderHub."""
        began = time.monotonic()
        try:
            async with self.session.get(
                f"{hub.url}health",
                headers={"Accept-Encoding": "identity", **hub.headers},
                timeout=aiohttp.ClientTimeout(total=self.health_timeout),
                max_redirects=REDIRECTS,
            ) as response:
                # 503 comes with the checks that failed.
                if response.status in {200, 503}:
                    answer = await _decoded(response)
                    hub.take(answer, round(time.monotonic() - began, 3))
                else:
                    hub.fail(f"its /health returned {response.status}")
        except (aiohttp.ClientError, TimeoutError, StreamError) as error:
            hub.fail(explain(error))


async def _decoded(response: aiohttp.ClientResponse) -> Any:
    text = await read_text(response, LONGEST_RESPONSE)
    try:
        return clean(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _count(check: dict[str, Any], name: str) -> int | None:
    value = check.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
