"""Servers, started by a real JupyterHub through its REST API.

The Hub's progress stream has no ids: after a reconnect it replays from the start, and once the
spawn is over it tells only the end. `_Replay` lets through what is new.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from hashlib import blake2b
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import aiohttp
from traitlets import Bool, Float, Integer, TraitError, Unicode, default, validate
from traitlets.config import LoggingConfigurable

from ..core import sse
from ..core.events import is_http_url
from ..core.log.diagnosis import diagnose
from ..core.log.reader import Record, clean
from ..core.log.reasons import failure
from ..core.redact import redact, redact_address, without_credentials
from ..errors import ConfigError, LaunchFailedError, StreamError
from .base import (
    Attempt,
    BuildResult,
    LaunchItems,
    LaunchRequest,
    ResolvedSpec,
    RunningServer,
    trace_headers,
)
from .connection_errors import check_encoding, explain, read_text

__all__ = ["HubLauncher"]

_CHUNK = 65536
_LONGEST_MESSAGE = 4096
# Attack: a line, or an event, that never ends. KubeSpawner's have a few kilobytes.
_LONGEST_EVENT = 2**20
# Attack: a stream that never ends. Of each event, its digest is kept.
_MOST_EVENTS = 100_000


class _SpawnFailedError(Exception):
    """One attempt failed; another may not."""


class _NotStartingError(Exception):
    """The Hub says that there is nothing to follow.

    It says so too while it clears a failed start away, before it says how that failed.
    """


class _Replay:
    """Tells what is new in a stream that begins anew with every connection."""

    def __init__(self) -> None:
        self._told: Counter[bytes] = Counter()
        self._now: Counter[bytes] = Counter()

    def restart(self) -> None:
        """Begin a new connection."""
        self._now.clear()

    def is_new(self, record: dict[str, Any]) -> bool:
        """Whether this connection has said it more often than all before.

        Raises
        ------
        LaunchFailedError
            If there were too many.
        """
        key = blake2b(json.dumps(record, sort_keys=True).encode(), digest_size=16).digest()
        self._now[key] += 1
        if len(self._told) >= _MOST_EVENTS:
            raise failure(
                "spawn-failed", f"JupyterHub sent more than {_MOST_EVENTS:,} events for one server."
            )
        if self._now[key] <= self._told[key]:
            return False
        self._told[key] += 1
        return True


class HubLauncher(LoggingConfigurable):
    """Starts a server for each launch: of a user that is made for it, or a named one of a user."""

    url = Unicode(
        help="The Hub's public address, as browsers see it: http://host:8000/ A service of the Hub "
        "is reached at the same one, and need not be told."
    ).tag(config=True)

    api_url = Unicode(help="The address of its API, by default {url}hub/api/").tag(config=True)

    @default("api_url")
    def _default_api_url(self) -> str:
        return os.environ.get("JUPYTERHUB_API_URL") or urljoin(self.url, "hub/api/")

    @validate("url", "api_url")
    def _validate_address(self, proposal: Any) -> str:
        url = str(proposal["value"])
        if without_credentials(url) != url:
            # Browsers are sent to the one, and the token is sent to the other.
            raise TraitError(
                f"c.HubLauncher.{proposal['trait'].name} has a user or a password in it, which "
                f"would be shown: {redact_address(url)!r}. Use c.HubLauncher.api_token."
            )
        return url

    api_token = Unicode(
        help="A token with the scopes admin:users, admin:servers (or, with `username`, "
        "servers!user=NAME); by default $JUPYTERHUB_API_TOKEN."
    ).tag(config=True)

    @default("api_token")
    def _default_api_token(self) -> str:
        return os.environ.get("JUPYTERHUB_API_TOKEN", "")

    username = Unicode(
        help="Start named servers of this user. Empty: make a user for each launch."
    ).tag(config=True)

    named = Bool(
        False,
        help="Start named servers of the user who launches. It needs users who log in: see "
        "JupyterHubService.",
    ).tag(config=True)

    attempts = Integer(3, min=1, help="How often to try to start a server.").tag(config=True)

    retries = Integer(5, min=1, help="How often to try a request that fails.").tag(config=True)

    retry_delay = Float(
        0.5, help="Seconds before the first retry; doubled with each further one."
    ).tag(config=True)

    request_timeout = Float(30.0, help="Seconds that a request may take.").tag(config=True)

    idle_timeout = Float(
        60.0,
        help="Seconds without a byte after which the progress stream is taken for dead. The Hub "
        "sends an empty line every 8 s.",
    ).tag(config=True)

    stop_timeout = Float(60.0, help="Seconds that stopping a server may take.").tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._session: aiohttp.ClientSession | None = None
        self.available: Callable[[], Awaitable[None]] | None = None
        """Awaited before the first request: a Hub that is just being started."""

    # -- the protocol of `base.Launcher`

    async def launch(self, request: LaunchRequest[ResolvedSpec, BuildResult]) -> LaunchItems:
        """Start a server; see `base.Launcher.launch`."""
        if self.available is not None:
            await self.available()
        if not is_http_url(self._site(request)):
            raise ConfigError("c.HubLauncher.url must be the Hub's address, as http://host:8000/")
        if self.named and not self._owner(request):
            raise ConfigError("c.HubLauncher.named needs users who log in, as a service of a Hub.")
        user, server = self._names(request)
        if not self._owner(request):
            await self._request("POST", f"users/{user}", expect={201, 409})
        token = secrets.token_urlsafe(24)
        for attempt in range(1, self.attempts + 1):
            try:
                async for item in self._attempt(request, user, server, token):
                    yield item
                return
            except _SpawnFailedError as error:
                self.log.warning("Spawn of %s failed (attempt %d): %s", user, attempt, error)
                if attempt == self.attempts:
                    raise await asyncio.to_thread(_failed, str(error)) from error
                # Before the pause, so that it is seen for what it is.
                yield Attempt(attempt + 1, str(error))
                await self._stop_server(user, server)
                await asyncio.sleep(self.retry_delay * 2**attempt)

    async def stop(self, request: LaunchRequest[ResolvedSpec, BuildResult]) -> None:
        """Stop a server; see `base.Launcher.stop`."""
        user, server = self._names(request)
        await self._stop_server(user, server)
        if not self._owner(request):
            await self._request("DELETE", f"users/{user}", expect={204, 404})

    async def close(self) -> None:
        """Close the connections to the Hub."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def check(self) -> dict[str, Any]:
        """Say whether the Hub's API answers; raise if it does not."""
        timeout = aiohttp.ClientTimeout(total=self.request_timeout)
        try:
            # What it tells to everyone: its version.
            async with self._open_session().get(self._address(""), timeout=timeout) as response:
                response.raise_for_status()
                await read_text(response)
        except (aiohttp.ClientError, StreamError) as error:
            raise failure("hub-unreachable", explain(error)) from error
        return {}

    # -- one attempt

    async def _attempt(
        self, request: LaunchRequest[ResolvedSpec, BuildResult], user: str, server: str, token: str
    ) -> AsyncGenerator[Record | RunningServer, None]:
        options = {
            **request.options,
            "image": request.image,
            "repo_url": request.repo_url,
            "token": token,
        }
        path = f"users/{user}/servers/{server}"
        while True:
            status, body, headers = await self._request(
                "POST", path, expect={201, 202, 400, 429, 500}, body=options
            )
            if status != 429:
                break
            # The Hub starts only so many at once; that is no failure, it is a queue.
            delay = min(_seconds(headers.get("Retry-After")) or self.retry_delay, 60.0)
            yield Record(
                "jupyterhub",
                {"message": f"The Hub is busy; asking again in {delay:g} s.", "throttled": True},
            )
            await asyncio.sleep(delay)
        if status >= 400 and "already running" not in body:
            raise _SpawnFailedError(_message(body) or f"the Hub answered {status}")
        progress = f"{path}/progress" if server else f"users/{user}/server/progress"
        async for record in self._progress(progress):
            yield Record("jupyterhub", record)
            if record.get("failed"):
                raise _SpawnFailedError(str(record.get("message") or "the spawn failed"))
            if record.get("ready"):
                url = self._server_url(request, str(record.get("url", "")))
                yield RunningServer(url, token)
                return

    async def _progress(self, path: str) -> AsyncIterator[dict[str, Any]]:
        """Follow the progress stream to its end, over as many connections as that takes."""
        replay = _Replay()
        failures = 0
        while True:
            replay.restart()
            try:
                async for record in self._stream(path):
                    if replay.is_new(record):
                        failures = 0
                        yield record
                    if record.get("ready") or record.get("failed"):
                        return
                problem = "the stream ended early"
            except _NotStartingError as error:
                if failures >= self.retries:
                    raise _SpawnFailedError(str(error)) from error
                problem = str(error)
            except (aiohttp.ClientError, TimeoutError, StreamError) as error:
                problem = redact(str(error))[:_LONGEST_MESSAGE] or type(error).__name__
            failures += 1
            if failures > self.retries:
                raise failure("hub-unreachable")
            self.log.warning("Progress stream %s: %s; reconnecting.", path, problem)
            await asyncio.sleep(self.retry_delay * 2 ** (failures - 1))

    async def _stream(self, path: str) -> AsyncIterator[dict[str, Any]]:
        """Read one connection's worth of progress events."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=self.idle_timeout)
        session = self._open_session()
        async with session.get(
            self._address(path),
            timeout=timeout,
            headers={"Accept": "text/event-stream", **trace_headers()},
        ) as response:
            if response.status in {400, 403, 404}:
                text = await read_text(response)
                message = _message(text) or f"the Hub answered {response.status}"
                if response.status == 400:
                    raise _NotStartingError(message)
                # It was stopped by somebody else, or never got as far as starting.
                raise _SpawnFailedError(message)
            response.raise_for_status()
            check_encoding(response)
            decoder = sse.Decoder(max_block=_LONGEST_EVENT)
            async for chunk in response.content.iter_chunked(_CHUNK):
                for event in decoder.feed(chunk):
                    yield _object(event.data)

    # -- requests

    async def _stop_server(self, user: str, server: str) -> None:
        path = f"users/{user}/servers/{server}"
        body = {"remove": True} if server else None
        # 404: it is gone, or was never there. 500: the spawner's stop failed; said in its log.
        await self._request("DELETE", path, expect={202, 204, 404}, body=body)
        try:
            await self._wait_until_stopped(user, server)
        except TimeoutError:
            raise failure(
                "hub-unreachable", f"The server did not stop within {self.stop_timeout:g} seconds."
            ) from None

    async def _wait_until_stopped(self, user: str, server: str) -> None:
        async with asyncio.timeout(self.stop_timeout):
            while not await self._is_stopped(user, server):  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.2)

    async def _is_stopped(self, user: str, server: str) -> bool:
        status, body, _ = await self._request("GET", f"users/{user}", expect={200, 404})
        return status == 404 or server not in _servers(body)

    async def _request(
        self, method: str, path: str, *, expect: set[int], body: Any = None
    ) -> tuple[int, str, Any]:
        """Send a request, and again while the Hub cannot be reached or is in trouble."""
        problem = ""
        for attempt in range(self.retries):
            if attempt:
                await asyncio.sleep(self.retry_delay * 2 ** (attempt - 1))
                if self.available is not None:
                    # It may have ended meanwhile, and be started again.
                    await self.available()
            try:
                async with self._open_session().request(
                    method,
                    self._address(path),
                    json=body,
                    headers=trace_headers(),
                    timeout=aiohttp.ClientTimeout(total=self.request_timeout),
                ) as response:
                    text = await read_text(response)
                    if response.status in expect:
                        return response.status, text, response.headers
                    problem = f"the Hub answered {response.status}: {_message(text)}"
                    if response.status < 500:
                        break
            except (aiohttp.ClientError, TimeoutError, StreamError) as error:
                problem = redact(str(error))[:_LONGEST_MESSAGE] or type(error).__name__
            self.log.warning("%s %s: %s", method, path, problem)
        self.log.error("%s %s failed for good: %s", method, path, problem)
        raise failure(
            "hub-unreachable", f"JupyterHub could not be asked to start a server: {problem}"
        )

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            if not self.api_token:
                raise ConfigError("c.HubLauncher.api_token or $JUPYTERHUB_API_TOKEN is not set.")
            self._session = aiohttp.ClientSession(
                headers={
                    "Authorization": f"token {self.api_token}",
                    "Accept-Encoding": "identity",
                },
                # As many as there are launches; each has a stream of its own.
                connector=aiohttp.TCPConnector(limit=0),
            )
        return self._session

    def _address(self, path: str) -> str:
        return urljoin(self.api_url.rstrip("/") + "/", path)

    def _names(self, request: LaunchRequest[ResolvedSpec, BuildResult]) -> tuple[str, str]:
        """Return the names of user and server, quoted for a path."""
        slug = re.sub(r"[^a-z0-9]+", "-", request.name.lower()).strip("-")[:32] or "launch"
        name = f"{slug}-{request.key}"
        owner = self._owner(request)
        return (quote(owner, safe="@~"), name) if owner else (name, "")

    def _owner(self, request: LaunchRequest[ResolvedSpec, BuildResult]) -> str:
        """Return whose named server it becomes; empty: that of a user made for it."""
        return self.username or (request.user if self.named else "")

    def _server_url(self, request: LaunchRequest[ResolvedSpec, BuildResult], named: str) -> str:
        """Return the address of a server that is ready, as the Hub has named it."""
        try:
            url = without_credentials(urljoin(self._site(request), named))
            is_fine = is_http_url(url) and "@" not in urlsplit(url).netloc
        except ValueError:
            is_fine = False
        if not is_fine:
            shown = redact_address(named)[:100]
            raise _failed(f"The Hub named an address that is not http: {shown!r}.")
        return url

    def _site(self, request: LaunchRequest[ResolvedSpec, BuildResult]) -> str:
        """Return the address below which the Hub's browsers find its servers."""
        return self.url or request.options.get("binder_launch_host", "")


def _failed(message: str) -> LaunchFailedError:
    message = redact(message)
    found = diagnose([message], otherwise="spawn-failed")
    sentence = message.removeprefix("Spawn failed: ").strip().rstrip(".")
    if found.reason == "spawn-failed":
        return LaunchFailedError(
            f"The server could not be started: {sentence}.",
            reason=found.reason,
            advice=found.advice,
        )
    return LaunchFailedError(
        f"{found.message} ({sentence})",
        reason=found.reason,
        subject=found.subject,
        advice=found.advice,
    )


def _message(body: str) -> str:
    """Return the message in the Hub's JSON error, or nothing."""
    try:
        content = clean(json.loads(body))
    except (ValueError, RecursionError):
        return redact(body)[:200]
    message = content.get("message") if isinstance(content, dict) else None
    return redact(str(message or ""))[:_LONGEST_MESSAGE]


def _servers(body: str) -> dict[str, Any]:
    """Return the servers of a user, as the Hub's API tells of them."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    servers = content.get("servers", {}) if isinstance(content, dict) else None
    if not isinstance(servers, dict):
        raise failure("hub-unreachable", "What answers for JupyterHub is not its API.")
    return servers


def _object(data: str) -> dict[str, Any]:
    try:
        record = clean(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise StreamError("The Hub's stream has an event that is not JSON.") from error
    if not isinstance(record, dict):
        raise StreamError("The Hub's stream has an event that is no object.")
    return record


def _seconds(text: str | None) -> float:
    # Attack: digits that are none to `float`, or so many that it is infinite.
    return float(text) if text and text.isdecimal() and len(text) < 10 else 0.0
