"""The BinderHubs behind us: which there are, how they are, and who takes what."""

from __future__ import annotations

import asyncio
import json
import random
import time
from base64 import b64encode
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from traitlets import Float, Integer, List, TraitError, Unicode, validate
from traitlets.config import LoggingConfigurable

from ..._send_once import send_once
from ...core.events import is_http_url
from ...core.log.reader import clean
from ...core.redact import redact, redact_address, split_credentials
from ...core.rendezvous import ranked
from ...core.specs import Spec
from ...errors import StreamError
from ..connection_errors import LONGEST_ANSWER, explain, read_text

__all__ = ["REDIRECTS", "Upstream", "Upstreams"]

_UNHEALTHY_AFTER = 2
"""Failed checks in a row; a single one may be a hiccup of the network."""
REDIRECTS = 5
"""How often a request is sent on, to http and https only: a federation does so once."""
_TOLD = 5
"""So many of its checks that are not well are named."""


class Upstream:
    """One BinderHub, as far as we know it.

    Parameters
    ----------
    url : str
        Its address, with a slash at the end. It may have a user and a password, which are sent to
        it and appear nowhere else.

    Attributes
    ----------
    url : str
        Its address, without user and password.
    healthy : bool
        Until it was asked for the first time it is taken for healthy.
    problem : str
        Why it is not, or why its last check failed.
    latency : float or None
        Seconds that its last answer took.
    running : int
        Our connections to it: builds and launches.
    pods, quota : int or None
        What it says of itself: pods that run, and how many are to.
    """

    def __init__(self, url: str) -> None:
        self.url, user, password = split_credentials(url)
        self.host = urlsplit(self.url).netloc
        # aiohttp does not send it on to another origin.
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
    def has_room(self) -> bool:
        """Whether it has fewer pods than its quota."""
        return self.pods is None or self.quota is None or self.pods < self.quota

    def take(self, answer: Any, latency: float) -> None:
        """Take in what its ``/health`` says."""
        if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
            self.fail("its /health is not a BinderHub's")
            return
        self.latency = latency
        self._failures = 0
        checks = answer.get("checks")
        checks = checks if isinstance(checks, list) else []
        checks = [check for check in checks if isinstance(check, dict)]
        self.healthy = answer["ok"]
        bad = [
            redact(str(check.get("service")))[:40] for check in checks if check.get("ok") is False
        ]
        self.problem = "" if self.healthy else f"it says so: {', '.join(bad[:_TOLD]) or 'not ok'}"
        self.pods = self.quota = None
        for check in checks:
            if check.get("service") == "Pod quota":
                self.pods, self.quota = _count(check, "total_pods"), _count(check, "quota")

    def fail(self, problem: str) -> None:
        """Take in that it did not answer, or not in a way that can be understood."""
        self._failures += 1
        self.problem = problem
        if self._failures >= _UNHEALTHY_AFTER:
            self.healthy = False

    def state(self) -> dict[str, Any]:
        """Say how it is."""
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
    """The BinderHubs that build and launch for us."""

    urls = List(
        Unicode(),
        help="""
        Addresses of BinderHubs, as https://binder.example.org/. With any, they build and launch,
        and no JupyterHub or engine is needed here.
        """,
    ).tag(config=True)

    max_running = Integer(
        0, min=0, help="How many builds and launches we have on each at once; 0: no limit."
    ).tag(config=True)

    health_interval = Float(
        10.0, help="Seconds between two looks at the /health of each, give or take a fifth."
    ).tag(config=True)

    health_timeout = Float(5.0, help="Seconds that /health may take.").tag(config=True)

    connect_timeout = Float(10.0, help="Seconds that connecting may take.").tag(config=True)

    idle_timeout = Float(
        90.0,
        help="Seconds without a byte after which a stream is taken for dead. A BinderHub sends a "
        "comment every 25 s.",
    ).tag(config=True)

    pauses = List(
        Float(),
        [1.0, 2.0, 4.0, 8.0, 15.0],
        help="Seconds before each try to connect again to a build whose stream was cut. After the "
        "last one, another BinderHub is tried.",
    ).tag(config=True)

    @validate("urls")
    def _validate_urls(self, proposal: Any) -> list[str]:
        urls = [f"{url.rstrip('/')}/" for url in proposal["value"]]
        for url in urls:
            if not is_http_url(url):
                raise TraitError(
                    f"{redact_address(url)!r} is not the address of a BinderHub, as https://host/."
                )
            if "?" in url or "#" in url:
                raise TraitError(
                    f"The address of a BinderHub has no query: {redact_address(url)!r}."
                )
        return list(dict.fromkeys(urls))

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hubs = [Upstream(url) for url in self.urls]
        self._session: aiohttp.ClientSession | None = None
        self._watches: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to watch their health."""
        self._watches = [asyncio.create_task(self._watch(hub)) for hub in self.hubs]

    async def close(self) -> None:
        """Watch them no more, and close all connections."""
        for task in self._watches:
            task.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """What connections are made with."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # As many as there are launches; each has a stream of its own.
                connector=aiohttp.TCPConnector(limit=0),
                # What it wants one launch's client to remember is nothing for another's.
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=[send_once],
            )
        return self._session

    def ordered(self, spec: Spec) -> list[Upstream]:
        """Return all in the order in which they are to be tried.

        The same repository, at whatever ref, goes to the same one, whose caches are warm: among
        those that are well and have room, then those that are full, and then the rest.
        """
        hubs = {hub.url: hub for hub in self.hubs}
        order = [hubs[url] for url in ranked(spec.repo_url, hubs)]
        return sorted(order, key=lambda hub: (not hub.healthy, not hub.has_room))

    def is_full(self, hub: Upstream) -> bool:
        """Whether we have as much on it as we may."""
        return bool(self.max_running) and hub.running >= self.max_running

    async def health(self) -> dict[str, Any]:
        """Return our own health check of them: well while one of them is."""
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

    # -- watching

    async def _watch(self, hub: Upstream) -> None:
        while True:
            was = hub.healthy
            await self.check(hub)
            if hub.healthy is not was:
                level = "well again" if hub.healthy else f"not well: {hub.problem}"
                self.log.warning("BinderHub %s is %s", hub.host, level)
            # Not all at the same moment, also where several of us ask the same ones.
            await asyncio.sleep(self.health_interval * random.uniform(0.8, 1.2))  # noqa: S311

    async def check(self, hub: Upstream) -> None:
        """Ask one how it is."""
        began = time.monotonic()
        try:
            async with self.session.get(
                f"{hub.url}health",
                headers={"Accept-Encoding": "identity", **hub.headers},
                timeout=aiohttp.ClientTimeout(total=self.health_timeout),
                max_redirects=REDIRECTS,
            ) as response:
                # With 503 it says what is the matter.
                if response.status in {200, 503}:
                    answer = await _answer(response)
                    hub.take(answer, round(time.monotonic() - began, 3))
                else:
                    hub.fail(f"its /health answered {response.status}")
        except (aiohttp.ClientError, TimeoutError, StreamError) as error:
            hub.fail(explain(error))


async def _answer(response: aiohttp.ClientResponse) -> Any:
    text = await read_text(response, LONGEST_ANSWER)
    try:
        return clean(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _count(check: dict[str, Any], name: str) -> int | None:
    value = check.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
