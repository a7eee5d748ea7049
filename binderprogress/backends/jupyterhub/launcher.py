"""Starts Jupyter servers with the REST API of a JupyterHub."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from time import monotonic
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

import aiohttp
from traitlets import Bool, Float, Integer, TraitError, Unicode, default, validate
from traitlets.config import LoggingConfigurable

from ..._responses import read_text
from ...core.events import is_http_url
from ...core.log.reader import Record
from ...core.log.reasons import failure
from ...core.redact import redact_address, without_credentials
from ...core.server_names import display_name, server_name
from ...errors import ConfigError, LaunchFailedError, StreamError
from ..base import (
    Attempt,
    BuildResult,
    LaunchItems,
    LaunchRequest,
    Prepared,
    ResolvedSpec,
    RunningServer,
    ServerPlan,
)
from ..connection_errors import LONGEST_RESPONSE, explain
from .api import HubApi, NoAnswerError
from .cleanups import Cleanup, Cleanups
from .pod_events import PodEvents, explained
from .progress import Pods, SpawnFailedError, spawn_failure
from .starting import NoUserError, follow, request_server, waiting
from .stopping import remove, stop_server
from .users import Users

__all__ = ["HubLauncher"]

Request = LaunchRequest[ResolvedSpec, BuildResult]
Plan = ServerPlan[ResolvedSpec]


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

    retries = Integer(
        20, min=1, help="Maximum number of attempts of a request, within `retry_timeout`."
    ).tag(config=True)

    retry_delay = Float(
        0.5,
        help="Seconds before the first retry. The delay doubles with each retry, up to 15 s. If "
        "JupyterHub says when to try again, that counts.",
    ).tag(config=True)

    retry_timeout = Float(
        120.0,
        help="""
        Seconds for which a request is retried while JupyterHub is away, restarts, or answers that
        it is too busy. Then the launch fails with the reason hub-unreachable.
        """,
    ).tag(config=True)

    queue_timeout = Float(
        600.0,
        help="""
        Seconds for which a launch waits while JupyterHub answers that it starts too many servers,
        or that too many are running (429). Then the launch fails with the reason quota.
        """,
    ).tag(config=True)

    request_timeout = Float(30.0, help="Timeout of a request, in seconds.").tag(config=True)

    idle_timeout = Float(
        20.0,
        help="""
        Seconds without data after which the progress stream is reconnected, and JupyterHub is
        asked about the server itself. JupyterHub sends an empty line every 8 s. The same happens
        after three times as long with nothing but empty lines.
        """,
    ).tag(config=True)

    stop_timeout = Float(60.0, help="Timeout of stopping a server, in seconds.").tag(config=True)

    def __init__(
        self, *, available: Callable[[], Awaitable[None]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.available = available
        """Awaited before a launch and before each retry, while a JupyterHub of our own starts."""
        self.pod_events: PodEvents | None = None
        """Knows what Kubernetes says of servers, if it is known."""
        self._api = HubApi(self)
        self._users = Users(self._api)
        self.cleanups = Cleanups(self._remove, pause=self.retry_delay, log=self.log)
        """The servers that are still to be removed."""

    def connect(self, url: str, *, api_url: str, api_token: str) -> None:
        """Use a JupyterHub that was started for this launcher."""
        self.url, self.api_url, self.api_token = url, api_url, api_token

    async def disconnect(self) -> None:
        """Close the connections to that JupyterHub. The next one has another address and token."""
        self.url = ""
        await self.close()

    # -- the protocol of `base.Launcher`

    async def launch(self, request: Request) -> LaunchItems:
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
            async with aclosing(self._users.make(user)) as problems:
                async for problem in problems:
                    yield Record("jupyterhub", waiting(problem))
        token = request.token
        pods = Pods()
        # After a restart of this server, the names and the token are those of before: JupyterHub
        # answers that the server is starting or running, and replays its progress.
        for attempt in range(request.attempt, self.attempts + 1):
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
                await stop_server(self._api, self, user, server)
                await asyncio.sleep(self.retry_delay * 2**attempt)

    async def stop(self, request: Request) -> None:
        """Stop a server; see `base.Launcher.stop`. If that fails, it is retried in the background.

        Raises
        ------
        LaunchFailedError
            If the first attempt fails.
        """
        await self._clean_up(request)

    async def removed(self, request: Request | Plan) -> bool:
        """Wait for the removal of a server; see `base.Remover.removed`."""
        return await self.cleanups.done(self._cleanup(request))

    # -- the protocol of `base.Preparer`

    prepares = True

    async def prepare(
        self, plan: Plan, *, building: asyncio.Event, done: Callable[[Prepared], None]
    ) -> None:
        """Make the user while the environment is built, or connect at least.

        See `base.Preparer.prepare`.
        """
        user, _ = self._names(plan)
        try:
            if self.available is not None:
                await self.available()
            began = monotonic()
            if self._owner(plan):
                # The version also decides under which name the server is shown.
                await self._api.send("GET", "", expect={200})
                what = Prepared("jupyterhub", "Connected to JupyterHub", monotonic() - began)
            else:
                await self._users.make_ahead(user)
                what = Prepared("jupyterhub-user", "JupyterHub user made", monotonic() - began)
        except (NoAnswerError, LaunchFailedError, ConfigError) as error:
            self.log.info("Nothing is prepared in JupyterHub for %s: %s", user, error)
        else:
            done(what)

    async def discard(self, plan: Plan) -> None:
        """Remove the user of a server that will not be requested; see `base.Preparer.discard`."""
        user, _ = self._names(plan)
        if self._owner(plan) or not (plan.resumed or user in self._users):
            # Nothing was made.
            return
        await self._clean_up(plan)

    async def close(self) -> None:
        """Give up clean-ups, and close the connections to JupyterHub."""
        await self._users.close()
        await self.cleanups.close()
        if self.pod_events is not None:
            await self.pod_events.close()
        await self._api.close()

    async def check(self) -> dict[str, Any]:
        """Check that JupyterHub's API answers.

        Returns
        -------
        dict
            ``cleanups``: the number of servers that are still to be removed.

        Raises
        ------
        LaunchFailedError
            If it does not answer.
        """
        timeout = aiohttp.ClientTimeout(total=self.request_timeout)
        try:
            # The version, which needs no permission.
            async with self._api.session.get(self._api.address(""), timeout=timeout) as response:
                response.raise_for_status()
                self._api.note_version(response.headers)
                await read_text(response, LONGEST_RESPONSE)
        except (aiohttp.ClientError, StreamError) as error:
            raise failure("hub-unreachable", explain(error)) from error
        return {"cleanups": len(self.cleanups.outstanding())}

    # -- one attempt

    async def _attempt(
        self,
        request: Request,
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
        label = display_name(request.name) if server else ""
        records = self._progress(user, server, options, label)
        if self.pod_events is not None:
            records = explained(records, self.pod_events, unquote(user), server)
        async with aclosing(records):
            async for progress in records:
                if not pods.is_earlier(progress):
                    yield Record("jupyterhub", progress)
                if progress.get("failed"):
                    raise SpawnFailedError(str(progress.get("message") or "the spawn failed"))
                if progress.get("ready"):
                    url = self._server_url(request, str(progress.get("url", "")))
                    yield RunningServer(url, token)
                    return

    async def _progress(
        self, user: str, server: str, options: dict[str, str], label: str
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Request a server, and yield what JupyterHub says of it."""
        requested = self._request(user, server, options, label)
        for records in (requested, follow(self._api, self, user, server)):
            async with aclosing(records):
                async for record in records:
                    yield record

    async def _request(
        self, user: str, server: str, options: dict[str, str], label: str
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Request a server, and make its user again if that was removed meanwhile.

        A Hub removes users that have no server for a while, and a build may take longer.
        """
        was_made = bool(server)
        while True:
            requested = request_server(self._api, self, user, server, options, label=label)
            try:
                async with aclosing(requested):
                    async for record in requested:
                        yield record
            except NoUserError as error:
                if was_made:
                    raise failure("hub-refused", str(error)) from error
            else:
                return
            was_made = True
            async with aclosing(self._users.make(user)) as problems:
                async for problem in problems:
                    yield waiting(problem)

    async def _remove(self, cleanup: Cleanup) -> None:
        if self.available is not None:
            await self.available()
        await remove(self._api, self, cleanup)

    async def _clean_up(self, request: Request | Plan) -> None:
        cleanup = self._cleanup(request)
        await self._users.forget(cleanup.user)
        try:
            await self.cleanups.run(cleanup)
        except NoAnswerError as error:
            raise failure(
                "hub-unreachable", f"{error}. JupyterHub is asked again until it is removed."
            ) from error

    def _cleanup(self, request: Request | Plan) -> Cleanup:
        user, server = self._names(request)
        return Cleanup(user, server, with_user=not self._owner(request))

    def _names(self, request: Request | Plan) -> tuple[str, str]:
        """Return the names of the user and the server, quoted for a path."""
        slug = re.sub(r"[^a-z0-9]+", "-", request.name.lower()).strip("-")[:32] or "launch"
        name = f"{slug}-{request.key}"
        owner = self._owner(request)
        return (quote(owner, safe="@~"), server_name(name)) if owner else (name, "")

    def _owner(self, request: Request | Plan) -> str:
        """Return the user whose named server is started; empty: a temporary user."""
        return self.username or (request.user if self.named else "")

    def _server_url(self, request: Request, named: str) -> str:
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

    def _site(self, request: Request) -> str:
        """Return the public address of JupyterHub."""
        return self.url or request.options.get("binder_launch_host", "")
