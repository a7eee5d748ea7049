"""Starts servers with BinderHub's launcher."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

from binderhub.builder import LAUNCH_COUNT, LAUNCH_TIME, LAUNCHES_INPROGRESS
from tornado.httpclient import HTTPClientError
from tornado.web import HTTPError
from traitlets.config import LoggingConfigurable

from ...backends.base import Attempt, BuildResult, LaunchItems, LaunchRequest, RunningServer
from ...backends.jupyterhub.api import NoAnswerError
from ...backends.jupyterhub.cleanups import Cleanup, Cleanups
from ...core.log.diagnosis import diagnose
from ...core.log.reader import Record
from ...core.log.reasons import failure
from ...core.server_names import server_name
from ...errors import LaunchFailedError
from .event_log import emit_launch
from .quota import check_quota
from .requests import BinderHubResolvedSpec

__all__ = ["BinderHubLauncher"]


BinderHubRequest = LaunchRequest[BinderHubResolvedSpec, BuildResult]

_PAUSE = 1.0
"""Seconds before the second attempt to remove a server."""

_STOP_TIMEOUT = 60.0
"""Seconds within which a server must have stopped, or it is tried again."""


class _Server:
    """A requested server, and whether this launch has started it and may stop it."""

    def __init__(self, user: str, name: str, *, ours: bool) -> None:
        self.user = user
        self.name = name
        self.ours = ours


class BinderHubLauncher(LoggingConfigurable):
    """Starts servers with BinderHub's launcher.

    Parameters
    ----------
    settings : mapping
        Settings of BinderHub's Tornado application.
    """

    def __init__(self, settings: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._settings = settings
        self._launcher = settings["launcher"]
        self._servers: dict[str, list[_Server]] = {}
        self.cleanups = Cleanups(self._remove, pause=_PAUSE, log=self.log)
        """The servers that are still to be removed."""

    # -- the protocol of `base.Launcher`

    async def launch(self, request: BinderHubRequest) -> LaunchItems:
        """Start a server; see `base.Launcher.launch`."""
        target = request.resolved
        delay, retries = self._launcher.retry_delay, self._launcher.retries
        with LAUNCHES_INPROGRESS.track_inprogress():
            await check_quota(self._settings, target)
            first = request.attempt
            if request.resumed:
                # Its token is not known any more, so it cannot be used.
                try:
                    await self._stop_one(self._new_server(request, first))
                except (NoAnswerError, LaunchFailedError) as error:
                    self.log.warning(
                        "The server for %s is not removed yet: %s", request.name, error
                    )
                first += 1
                yield Attempt(first, "BinderHub was restarted while the server was starting.")
            for attempt in range(first, max(retries, first) + 1):
                began = time.perf_counter()
                try:
                    async with aclosing(self._attempt(request, attempt)) as items:
                        async for item in items:
                            if isinstance(item, RunningServer):
                                self._succeeded(request, target, began, attempt)
                            yield item
                    return
                except Exception as error:
                    # Trying again does not help if the request was refused.
                    last = attempt == retries or _is_refusal(error)
                    self._failed(target, began, error, last=last)
                    if last:
                        raise await asyncio.to_thread(_failure, error) from error
                    yield Attempt(
                        attempt + 1, f"Launch attempt {attempt} failed: {_message(error)}"
                    )
                await asyncio.sleep(delay)
                delay *= 2

    async def stop(self, request: BinderHubRequest) -> None:
        """Stop the servers of a request; see `base.Launcher.stop`.

        If that fails, it is retried in the background, unless a server is the only one of its user.

        Raises
        ------
        LaunchFailedError
            If the first attempt fails.
        """
        servers = self._servers.pop(request.key, [])
        if request.resumed and not servers:
            servers = [self._new_server(request, request.attempt)]
        results = await asyncio.gather(*map(self._stop_one, servers), return_exceptions=True)
        for error in results:
            if isinstance(error, NoAnswerError):
                raise failure("hub-unreachable", str(error)) from error
            if error is not None:
                raise error

    async def removed(self, request: BinderHubRequest) -> bool:
        """Wait for the removal of the servers of a request; see `base.Remover.removed`."""
        attempts = range(1, max(self._launcher.retries, request.attempt + 1) + 1)
        servers = [self._new_server(request, attempt) for attempt in attempts]
        done = [self._is_unique(one) and await self._is_removed(one) for one in servers]
        return all(done)

    async def close(self) -> None:
        """Give up clean-ups. The connections belong to BinderHub."""
        await self.cleanups.close()

    def new_key(self, resolved: BinderHubResolvedSpec) -> str:
        """Return a name that BinderHub chooses; see `base.KeyMaker`."""
        return str(self._launcher.unique_name_from_repo(resolved.spec.repo_url))

    # -- one attempt

    async def _attempt(
        self, request: BinderHubRequest, attempt: int
    ) -> AsyncGenerator[Record | RunningServer, None]:
        server = self._new_server(request, attempt)
        self._servers.setdefault(request.key, []).append(server)
        events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        task = asyncio.create_task(
            self._launcher.launch(
                image=request.image,
                username=server.user,
                server_name=server.name,
                repo_url=request.repo_url,
                extra_args=dict(request.options),
                event_callback=events.put,
            )
        )
        task.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                server.ours = True
                yield Record("jupyterhub", event)
            started = await task
        finally:
            task.cancel()
            # Wait for the cancelled task. Its error, if any, was already raised above.
            await asyncio.wait([task])
        yield RunningServer(started["url"], started["token"])

    def _new_server(self, request: BinderHubRequest, attempt: int) -> _Server:
        """Return user and server names: other ones for each attempt."""
        target = request.resolved
        unique = request.key if attempt == 1 else f"{request.key}-{attempt}"
        if not self._settings["auth_enabled"]:
            return _Server(unique, "", ours=True)
        user = target.spec.visit.user
        if self._launcher.allow_named_servers:
            return _Server(user, server_name(unique), ours=True)
        # The user's only server. If it is already running, the launch fails and must not stop it.
        return _Server(user, "", ours=False)

    # -- stopping

    def _is_unique(self, server: _Server) -> bool:
        """Whether no later launch has a server of the same name."""
        return bool(server.name or self._launcher.create_user)

    def _cleanup(self, server: _Server) -> Cleanup:
        user = quote(server.user, safe="@~")
        return Cleanup(user, server.name, with_user=self._launcher.create_user)

    async def _stop_one(self, server: _Server) -> None:
        if not server.ours:
            return
        if self._is_unique(server):
            await self.cleanups.run(self._cleanup(server))
        else:
            await self._remove(self._cleanup(server))

    async def _is_removed(self, server: _Server) -> bool:
        return await self.cleanups.done(self._cleanup(server))

    async def _remove(self, cleanup: Cleanup) -> None:
        """Stop and remove a server, and its user if that was created for it.

        Raises
        ------
        NoAnswerError, LaunchFailedError
            If that is not done.
        """
        try:
            async with asyncio.timeout(_STOP_TIMEOUT):
                await self._stop_server(cleanup.user, cleanup.server)
            if cleanup.with_user:
                await self._delete(f"users/{cleanup.user}")
        except HTTPClientError as error:
            message = f"A request to JupyterHub failed: {error}"
            if error.code < 500 and error.code != 429:
                raise failure("hub-refused", message) from error
            raise NoAnswerError(message) from error
        except TimeoutError:
            message = f"The server did not stop within {_STOP_TIMEOUT:g} seconds."
            raise NoAnswerError(message) from None
        except OSError as error:
            raise NoAnswerError(f"JupyterHub cannot be reached: {error}") from error

    async def _stop_server(self, user: str, name: str) -> None:
        """Stop a server and wait for its end."""
        # Otherwise, the entry of a named server remains, and counts toward the user's limit.
        body = b'{"remove": true}' if name else None
        await self._delete(
            f"users/{user}/servers/{name}", body=body, allow_nonstandard_methods=True
        )
        while await self._is_running(user, name):  # noqa: ASYNC110 - JupyterHub has no event for it
            await asyncio.sleep(0.5)

    async def _is_running(self, user: str, name: str) -> bool:
        try:
            return name in (await self._launcher.get_user_data(user)).get("servers", {})
        except HTTPClientError as error:
            if error.code == 404:
                return False
            raise

    async def _delete(self, path: str, **request: Any) -> None:
        try:
            await self._launcher.api_request(path, method="DELETE", **request)
        except HTTPClientError as error:
            # It does not exist any more, or never did.
            if error.code != 404:
                raise

    # -- metrics and logs

    def _succeeded(
        self, request: BinderHubRequest, target: BinderHubResolvedSpec, began: float, attempt: int
    ) -> None:
        del self._servers[request.key]
        seconds = time.perf_counter() - began
        LAUNCH_TIME.labels(status="success", retries=attempt - 1).observe(seconds)
        LAUNCH_COUNT.labels(status="success", **target.labels).inc()
        self.log.info("Launched %s in %.0fs", request.repo_url, seconds)
        emit_launch(self._settings["event_log"], target)

    def _failed(
        self, target: BinderHubResolvedSpec, began: float, error: Exception, *, last: bool
    ) -> None:
        seconds = time.perf_counter() - began
        status = "failure" if last else "retry"
        # As in BinderHub: only successful launches are labeled with their number of retries.
        LAUNCH_TIME.labels(status=status, retries=-1).observe(seconds)
        if last:
            LAUNCH_COUNT.labels(status=status, **target.labels).inc()
        self.log.error(
            "Launch of %s: %s after %.0fs: %r", target.spec.repo_url, status, seconds, error
        )


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, HTTPError) and error.status_code < 500


def _message(error: Exception) -> str:
    """Return an error's message for users. Other errors are only logged."""
    if isinstance(error, HTTPError) and error.log_message:
        return str(error.log_message % error.args)
    return "JupyterHub could not be reached"


def _failure(error: Exception) -> LaunchFailedError:
    message = _message(error)
    return diagnose([message], otherwise="spawn-failed", kind="spawn").error(message)
