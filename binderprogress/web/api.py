"""The API: start, list, show and cancel launches, and read their logs."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any, ClassVar

import msgspec
from tornado.web import HTTPError

from ..core.events import json_schema
from ..core.specs import is_address
from ..errors import BadRequestError, NotFoundError, StorageError
from ..launches import Launch
from ..launches.launch_log import log_of
from .base import ApiHandler
from .build_logs import LogFormatHandler, Readable
from .links import build_log_link, launch_link

__all__ = [
    "ApiNotFoundHandler",
    "BuildLogLink",
    "BuildsHandler",
    "EarlierBuildLog",
    "EventSchemaHandler",
    "LaunchHandler",
    "LaunchLinks",
    "LaunchRetention",
    "LaunchesHandler",
    "LogHandler",
    "StartRequest",
    "StorageStatus",
    "launch_links",
]


class StartRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /api/launches and /api/builds: a spec, or an address with an optional ref.

    Attributes
    ----------
    spec : str
        Such as ``gh/binder-examples/requirements/HEAD``. URLs are accepted here, too.
    repo : str
        Instead of a spec: any address that `binderprogress.core.specs.read_address` accepts.
    ref : str
        With `repo`: branch, tag or commit; empty for the default branch.
    """

    spec: str = ""
    repo: str = ""
    ref: str = ""


class LaunchLinks(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The URLs of a launch. This is the response to POST /api/launches.

    `urlpath` is the path that the launched address opens in the Jupyter server.
    """

    id: str
    spec: str
    state_url: str
    events_url: str
    socket_url: str
    log_url: str
    trace_url: str
    page_url: str
    urlpath: str = ""


def launch_links(launch: Launch, base_url: str, urlpath: str = "") -> LaunchLinks:
    """Return the URLs of a launch.

    Parameters
    ----------
    launch : Launch
    base_url : str
        URL of this server, with a trailing slash.
    urlpath : str
        The path that the launched address opens.
    """
    state = f"{base_url}api/launches/{launch.id}"
    return LaunchLinks(
        id=launch.id,
        spec=str(launch.spec),
        state_url=state,
        events_url=f"{state}/events",
        # http becomes ws, and https becomes wss.
        socket_url=f"ws{state.removeprefix('http')}/socket",
        log_url=f"{state}/log",
        trace_url=f"{state}/trace",
        # In the fragment, which browsers do not send, so that it gets into no server's log.
        page_url=f"{launch_link(base_url, launch.spec, urlpath)}#launch={launch.id}",
        urlpath=urlpath,
    )


class LaunchRetention(msgspec.Struct, frozen=True, kw_only=True):
    """How long a launch is kept.

    Attributes
    ----------
    abandon_after : float
        Seconds without viewers after which it is cancelled, if it is running.
    """

    abandon_after: float


class StorageStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether what happens in a launch waits for storage. It is shown once it is stored."""

    waiting_for_storage: bool


class BuildLogLink(msgspec.Struct, frozen=True, kw_only=True):
    """Where the log of a launch's build can be read when the launch is forgotten.

    Attributes
    ----------
    build_log_url : str
        Empty while there is no build, and if logs are not kept.
    """

    build_log_url: str = ""


class EarlierBuildLog(msgspec.Struct, frozen=True, kw_only=True):
    """The log of the build that made the environment, if the launch itself built nothing.

    Attributes
    ----------
    earlier_build_log_url : str
        Where it can be read. Empty if the launch has built, or if the log is not kept here.
    earlier_build_ended : float or None
        When that build ended, in seconds since 1970.
    """

    earlier_build_log_url: str = ""
    earlier_build_ended: float | None = None


class _LaunchStateHandler(ApiHandler):
    def describe(self, launch: Launch) -> dict[str, Any]:
        """Return the state and the URLs of a launch as one object."""
        retention = LaunchRetention(abandon_after=self.web.launches.abandon_after)
        base_url = self.caller.base_url
        links = launch_links(launch, base_url)
        build_log = BuildLogLink()
        if launch.build_id and self.web.launches.is_durable:
            build_log = BuildLogLink(build_log_url=build_log_link(base_url, launch.build_id))
        is_waiting = self.web.launches.storage.is_shown and not launch.closed
        storage = StorageStatus(waiting_for_storage=is_waiting)
        parts = (launch.state(), retention, storage, links, build_log)
        return {name: value for part in parts for name, value in msgspec.to_builtins(part).items()}


class _StartHandler(_LaunchStateHandler):
    """Starts launches."""

    build_only: ClassVar[bool] = False
    """Whether no servers are started."""

    async def post(self) -> None:
        """Start a launch."""
        content_type = self.request.headers.get("Content-Type", "").partition(";")[0]
        if content_type.strip().lower() != "application/json":
            # Browsers send forms of other sites without a CORS preflight, but not JSON.
            raise BadRequestError("Send JSON with the header Content-Type: application/json.")
        try:
            request = msgspec.json.decode(self.request.body, type=StartRequest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequestError(
                f'Invalid request body: {error}. Send {{"spec": "gh/user/repository/HEAD"}}.'
            ) from error
        if bool(request.spec) == bool(request.repo) or (request.spec and request.ref):
            raise BadRequestError("Send either `spec`, or `repo` and optionally `ref`.")
        spec, urlpath = request.spec, ""
        if request.repo or is_address(request.spec):
            target = await self.read_address(request.repo or request.spec, request.ref)
            spec, urlpath = str(target.spec), target.urlpath
        launch = await self.start_launch(self.read_spec(spec), build_only=self.build_only)
        links = launch_links(launch, self.caller.base_url, urlpath)
        self.set_status(201)
        self.set_header("Location", links.state_url)
        self.write_json(links)


class BuildsHandler(_StartHandler):
    """POST /api/builds. A build is watched and cancelled as a launch, and ends without a server."""

    build_only = True


class LaunchesHandler(_StartHandler):
    """GET and POST /api/launches."""

    def allowed_methods(self) -> list[str]:
        """Return the HTTP methods that this handler supports. GET needs users."""
        methods = super().allowed_methods()
        return methods if self.web.access.lists else [name for name in methods if name != "GET"]

    async def get(self) -> None:
        """List the user's launches, newest first."""
        if not self.web.access.lists:
            raise HTTPError(405)
        launches = await self.web.launches.of(self.user)
        self.write_json({"launches": [self.describe(launch) for launch in launches]})


class LaunchHandler(_LaunchStateHandler):
    """GET and DELETE /api/launches/{id}."""

    async def get(self, launch_id: str) -> None:
        """Send the state of a launch."""
        launch = await self.launch(launch_id)
        earlier = await self._earlier_log(launch)
        self.write_json({**self.describe(launch), **msgspec.to_builtins(earlier)})

    async def _earlier_log(self, launch: Launch) -> EarlierBuildLog:
        launches = self.web.launches
        if launch.build is None or not launches.is_durable:
            return EarlierBuildLog()
        key = launch.build.resolved.key
        newest = await launches.build_logs.newest(key)
        # Whether the launch has built is not stored: the newest build is its own then, or later.
        is_own = newest is None or newest.id == launch.build_id
        if newest is None or is_own or newest.ended > launch.created + launch.last.elapsed:
            return EarlierBuildLog()
        link = build_log_link(self.caller.base_url, newest.id)
        return EarlierBuildLog(
            earlier_build_log_url=link, earlier_build_ended=round(newest.ended, 3)
        )

    async def delete(self, launch_id: str) -> None:
        """Cancel a launch. Its server and processes are cleaned up after the response."""
        launch = await self.launch(launch_id)
        try:
            await self.web.launches.cancel_anywhere(launch)
        except StorageError:
            if launch.is_followed:
                raise
            # The launch has failed with the reason `storage` then, and its state says so.
        self.set_status(202)
        self.write_json(launch.state())


class LogHandler(LogFormatHandler):
    """GET /api/launches/{id}/log."""

    async def get(self, launch_id: str) -> None:
        """Send the log so far as text.

        Attack: many clients request a long log and read it slowly. Each keeps at most one chunk in
        memory, and none keeps the log of a forgotten launch on disk.
        """
        is_plain = self.is_plain()
        launch = await self.launch(launch_id)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        log = Readable()
        async with aclosing(log_of(launch)) as chunks:
            async for chunk in chunks:
                self.write(await asyncio.to_thread(log.feed, chunk) if is_plain else chunk)
                if not await self.send():
                    return
        if is_plain:
            self.write(log.finish())
        if launch.forgotten:
            # Abort the response, so that the client notices that the log is incomplete.
            self.detach().close()
            return
        self.finish()


class ApiNotFoundHandler(ApiHandler):
    """Everything else under /api. The error is JSON."""

    public = True

    async def prepare(self) -> None:
        """Respond with 404."""
        await super().prepare()
        raise NotFoundError("There is nothing at this URL.")


class EventSchemaHandler(ApiHandler):
    """GET /api/schema/event.json."""

    public = True

    def get(self) -> None:
        """Send the JSON Schema of an event."""
        self.write_json(json_schema())
