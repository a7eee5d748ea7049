"""Starts Jupyter servers with the REST API of a JupyterHub."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import aiohttp
from traitlets import Bool, Float, Integer, TraitError, Unicode, default, validate
from traitlets.config import LoggingConfigurable

from ..._responses import read_text
from ...core import sse
from ...core.events import is_http_url
from ...core.log.reader import Record
from ...core.log.reasons import failure
from ...core.redact import redact, redact_address, without_credentials
from ...errors import ConfigError, StreamError
from ..base import (
    Attempt,
    BuildResult,
    LaunchItems,
    LaunchRequest,
    ResolvedSpec,
    RunningServer,
    trace_headers,
)
from ..connection_errors import LONGEST_RESPONSE, check_encoding, explain
from .progress import (
    LONGEST_EVENT,
    LONGEST_MESSAGE,
    NotStartingError,
    Pods,
    Replay,
    SpawnFailedError,
    error_message,
    progress_event,
    retry_after,
    servers_of_user,
    spawn_failure,
)

__all__ = ["HubLauncher"]

_CHUNK = 65536


class HubLauncher(LoggingConfigurable):
    """Starts a server for each launch: that of a temporary user, or a named server of a user."""

    url = Unicode(
        help="Public address of JupyterHub, as browsers see it, such as http://host:8000/. It is "
        "not needed as a service of JupyterHub."
    ).tag(config=True)

    api_url = Unicode(
        help="Address of JupyterHub's API. The default is $JUPYTERHUB_API_URL or {url}hub/api/."
    ).tag(config=True)

    @default("api_url")
    def _default_api_url(self) -> str:
        return os.environ.get("JUPYTERHUB_API_URL") or urljoin(self.url, "hub/api/")

    @validate("url", "api_url")
    def _validate_address(self, proposal: Any) -> str:
        url = str(proposal["value"])
        if without_credentials(url) != url:
            # Browsers are sent to `url`, and requests to `api_url` have a token.
            raise TraitError(
                f"c.HubLauncher.{proposal['trait'].name} contains a user or a password, which "
                f"would be shown: {redact_address(url)!r}. Use c.HubLauncher.api_token."
            )
        return url

    api_token = Unicode(
        help="API token with the scopes admin:users and admin:servers, or, with `username`, "
        "servers!user=NAME. The default is $JUPYTERHUB_API_TOKEN."
    ).tag(config=True)

    @default("api_token")
    def _default_api_token(self) -> str:
        return os.environ.get("JUPYTERHUB_API_TOKEN", "")

    username = Unicode(
        help="Start named servers of this user. If empty, create a user for each launch."
    ).tag(config=True)

    named = Bool(
        False,
        help="Start named servers of the user who launches. This requires login, see "
        "JupyterHubService.",
    ).tag(config=True)

    attempts = Integer(3, min=1, help="Maximum number of attempts to start a server.").tag(
        config=True
    )

    retries = Integer(5, min=1, help="Maximum number of attempts of a request.").tag(config=True)

    retry_delay = Float(
        0.5, help="Seconds before the first retry. The delay doubles with each retry."
    ).tag(config=True)

    request_timeout = Float(30.0, help="Timeout of a request, in seconds.").tag(config=True)

    idle_timeout = Float(
        60.0,
        help="Seconds without data after which the progress stream is reconnected. JupyterHub "
        "sends an empty line every 8 s.",
    ).tag(config=True)

    stop_timeout = Float(60.0, help="Timeout of stopping a server, in seconds.").tag(config=True)

    def __init__(
        self, *, available: Callable[[], Awaitable[None]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._session: aiohttp.ClientSession | None = None
        self.available = available
        """Awaited before a launch and before each retry, while a JupyterHub of our own starts."""

    def connect(self, url: str, *, api_url: str, api_token: str) -> None:
        """Use a JupyterHub that was started for this launcher."""
        self.url, self.api_url, self.api_token = url, api_url, api_token

    async def disconnect(self) -> None:
        """Close the connections to that JupyterHub. The next one has another address and token."""
        self.url = ""
        await self.close()

    # -- the protocol of `base.Launcher`

    async def launch(self, request: LaunchRequest[ResolvedSpec, BuildResult]) -> LaunchItems:
        """Start a server; see `base.Launcher.launch`."""
        if self.available is not None:
            await self.available()
        if not is_http_url(self._site(request)):
            raise ConfigError(
                "Set c.HubLauncher.url to the address of JupyterHub, such as http://host:8000/."
            )
        if self.named and not self._owner(request):
            raise ConfigError("c.HubLauncher.named requires login. Run as a service of JupyterHub.")
        user, server = self._names(request)
        if not self._owner(request):
            await self._request("POST", f"users/{user}", expect={201, 409})
        token = secrets.token_urlsafe(24)
        pods = Pods()
        for attempt in range(1, self.attempts + 1):
            try:
                async with aclosing(self._attempt(request, user, server, token, pods)) as items:
                    async for item in items:
                        yield item
                return
            except SpawnFailedError as error:
                pods.begin_attempt()
                self.log.warning("Spawn of %s failed (attempt %d): %s", user, attempt, error)
                if attempt == self.attempts:
                    raise await asyncio.to_thread(spawn_failure, str(error)) from error
                # Before the pause, so that viewers see why nothing happens.
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
        """Close the connections to JupyterHub."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def check(self) -> dict[str, Any]:
        """Check that JupyterHub's API answers.

        Raises
        ------
        LaunchFailedError
            If it does not.
        """
        timeout = aiohttp.ClientTimeout(total=self.request_timeout)
        try:
            # The version, which needs no permission.
            async with self._open_session().get(self._address(""), timeout=timeout) as response:
                response.raise_for_status()
                await read_text(response, LONGEST_RESPONSE)
        except (aiohttp.ClientError, StreamError) as error:
            raise failure("hub-unreachable", explain(error)) from error
        return {}

    # -- one attempt

    async def _attempt(
        self,
        request: LaunchRequest[ResolvedSpec, BuildResult],
        user: str,
        server: str,
        token: str,
        pods: Pods,
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
            # JupyterHub limits concurrent spawns. This is a queue, not a failure.
            delay = min(retry_after(headers.get("Retry-After")) or self.retry_delay, 60.0)
            yield Record(
                "jupyterhub",
                {"message": f"JupyterHub is busy. Retrying in {delay:g} s.", "throttled": True},
            )
            await asyncio.sleep(delay)
        if status >= 400 and "already running" not in body:
            raise SpawnFailedError(error_message(body) or f"JupyterHub answered {status}")
        progress = f"{path}/progress" if server else f"users/{user}/server/progress"
        async with aclosing(self._progress(progress)) as records:
            async for record in records:
                if not pods.is_earlier(record):
                    yield Record("jupyterhub", record)
                if record.get("failed"):
                    raise SpawnFailedError(str(record.get("message") or "the spawn failed"))
                if record.get("ready"):
                    url = self._server_url(request, str(record.get("url", "")))
                    yield RunningServer(url, token)
                    return

    async def _progress(self, path: str) -> AsyncGenerator[dict[str, Any], None]:
        """Follow the progress stream to its end, with as many connections as needed."""
        replay = Replay()
        failures = 0
        while True:
            replay.restart()
            try:
                async with aclosing(self._stream(path)) as records:
                    async for record in records:
                        if replay.is_new(record):
                            failures = 0
                            yield record
                        if record.get("ready") or record.get("failed"):
                            return
                problem = "the stream ended early"
            except NotStartingError as error:
                if failures >= self.retries:
                    raise SpawnFailedError(str(error)) from error
                problem = str(error)
            except (aiohttp.ClientError, TimeoutError, StreamError) as error:
                problem = redact(str(error))[:LONGEST_MESSAGE] or type(error).__name__
            failures += 1
            if failures > self.retries:
                raise failure("hub-unreachable")
            self.log.warning("Progress stream %s: %s; reconnecting.", path, problem)
            await asyncio.sleep(self.retry_delay * 2 ** (failures - 1))

    async def _stream(self, path: str) -> AsyncGenerator[dict[str, Any], None]:
        """Read the progress events of one connection."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=self.idle_timeout)
        session = self._open_session()
        async with session.get(
            self._address(path),
            timeout=timeout,
            headers={"Accept": "text/event-stream", **trace_headers()},
        ) as response:
            if response.status in {400, 403, 404}:
                text = await read_text(response, LONGEST_RESPONSE)
                message = error_message(text) or f"JupyterHub answered {response.status}"
                if response.status == 400:
                    raise NotStartingError(message)
                # The server was stopped by someone else, or its spawn never began.
                raise SpawnFailedError(message)
            response.raise_for_status()
            check_encoding(response)
            decoder = sse.Decoder(max_block=LONGEST_EVENT)
            async for chunk in response.content.iter_chunked(_CHUNK):
                for event in decoder.feed(chunk):
                    yield progress_event(event.data)

    # -- requests

    async def _stop_server(self, user: str, server: str) -> None:
        path = f"users/{user}/servers/{server}"
        body = {"remove": True} if server else None
        # 404: the server does not exist.
        await self._request("DELETE", path, expect={202, 204, 404}, body=body)
        try:
            await self._wait_until_stopped(user, server)
        except TimeoutError:
            raise failure(
                "hub-unreachable", f"The server did not stop within {self.stop_timeout:g} seconds."
            ) from None

    async def _wait_until_stopped(self, user: str, server: str) -> None:
        async with asyncio.timeout(self.stop_timeout):
            while not await self._is_stopped(user, server):  # noqa: ASYNC110 - JupyterHub has no event for it
                await asyncio.sleep(0.2)

    async def _is_stopped(self, user: str, server: str) -> bool:
        status, body, _ = await self._request("GET", f"users/{user}", expect={200, 404})
        return status == 404 or server not in servers_of_user(body)

    async def _request(
        self, method: str, path: str, *, expect: set[int], body: Any = None
    ) -> tuple[int, str, Any]:
        """Send a request. Retry if JupyterHub cannot be reached, or answers with a 5xx status."""
        problem = ""
        reason = "hub-unreachable"
        for attempt in range(self.retries):
            if attempt:
                await asyncio.sleep(self.retry_delay * 2 ** (attempt - 1))
                if self.available is not None:
                    # It may have ended, and be restarted.
                    await self.available()
            try:
                async with self._open_session().request(
                    method,
                    self._address(path),
                    json=body,
                    headers=trace_headers(),
                    timeout=aiohttp.ClientTimeout(total=self.request_timeout),
                ) as response:
                    text = await read_text(response, LONGEST_RESPONSE)
                    if response.status in expect:
                        return response.status, text, response.headers
                    problem = f"JupyterHub answered {response.status}: {error_message(text)}"
                    if response.status < 500:
                        reason = "hub-refused"
                        break
            except (aiohttp.ClientError, TimeoutError, StreamError) as error:
                problem = redact(str(error))[:LONGEST_MESSAGE] or type(error).__name__
            self.log.warning("%s %s: %s", method, path, problem)
        self.log.error("%s %s failed: %s", method, path, problem)
        raise failure(reason, f"A request to JupyterHub failed: {problem}")

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            if not self.api_token:
                raise ConfigError("Set c.HubLauncher.api_token or $JUPYTERHUB_API_TOKEN.")
            self._session = aiohttp.ClientSession(
                headers={
                    "Authorization": f"token {self.api_token}",
                    "Accept-Encoding": "identity",
                },
                # Each launch has a stream of its own.
                connector=aiohttp.TCPConnector(limit=0),
            )
        return self._session

    def _address(self, path: str) -> str:
        return urljoin(self.api_url.rstrip("/") + "/", path)

    def _names(self, request: LaunchRequest[ResolvedSpec, BuildResult]) -> tuple[str, str]:
        """Return the names of the user and the server, quoted for a path."""
        slug = re.sub(r"[^a-z0-9]+", "-", request.name.lower()).strip("-")[:32] or "launch"
        name = f"{slug}-{request.key}"
        owner = self._owner(request)
        return (quote(owner, safe="@~"), name) if owner else (name, "")

    def _owner(self, request: LaunchRequest[ResolvedSpec, BuildResult]) -> str:
        """Return the user whose named server is started; empty: a temporary user."""
        return self.username or (request.user if self.named else "")

    def _server_url(self, request: LaunchRequest[ResolvedSpec, BuildResult], named: str) -> str:
        """Return the address of a server that is ready, from the one in JupyterHub's event."""
        try:
            url = without_credentials(urljoin(self._site(request), named))
            is_valid = is_http_url(url) and "@" not in urlsplit(url).netloc
        except ValueError:
            is_valid = False
        if not is_valid:
            shown = redact_address(named)[:100]
            raise spawn_failure(
                f"JupyterHub returned a server address that is not http: {shown!r}."
            )
        return url

    def _site(self, request: LaunchRequest[ResolvedSpec, BuildResult]) -> str:
        """Return the public address of JupyterHub."""
        return self.url or request.options.get("binder_launch_host", "")
