"""Starting a launch, looking at it, cancelling it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from tornado.web import HTTPError

from ..core import specs
from ..core.events import json_schema
from ..errors import BadRequestError, NotFoundError
from ..launches import Launch
from .base import ApiHandler

__all__ = [
    "ApiNotFoundHandler",
    "EventSchemaHandler",
    "LaunchHandler",
    "LaunchesHandler",
    "Links",
    "LogHandler",
    "StartRequest",
    "links",
]


class StartRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /api/launches: a spec, or a repository's address with a ref.

    Attributes
    ----------
    spec : str
        As ``gh/binder-examples/requirements/HEAD``.
    repo : str
        Instead of a spec: an address that git clones.
    ref : str
        With `repo`: branch, tag or commit; the default branch if it is left out.
    """

    spec: str = ""
    repo: str = ""
    ref: str = ""


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """Where a launch can be looked at; the answer to POST /api/launches."""

    id: str
    spec: str
    state_url: str
    events_url: str
    socket_url: str
    log_url: str
    trace_url: str
    page_url: str


def links(launch: Launch, base_url: str) -> Links:
    """Return the addresses of a launch below `base_url`, which ends in a slash."""
    state = f"{base_url}api/launches/{launch.id}"
    return Links(
        id=launch.id,
        spec=str(launch.spec),
        state_url=state,
        events_url=f"{state}/events",
        # http becomes ws, https becomes wss.
        socket_url=f"ws{state.removeprefix('http')}/socket",
        log_url=f"{state}/log",
        trace_url=f"{state}/trace",
        # Behind the #, so that the key to the launch is in no server's log.
        page_url=f"{base_url}v2/{launch.spec}#launch={launch.id}",
    )


class _DescribingHandler(ApiHandler):
    def describe(self, launch: Launch) -> dict[str, Any]:
        """Return how a launch stands, and where it can be looked at."""
        state, found = launch.state(), links(launch, self.caller.base_url)
        return {**msgspec.to_builtins(state), **msgspec.to_builtins(found)}


class LaunchesHandler(_DescribingHandler):
    """/api/launches."""

    def allowed_methods(self) -> list[str]:
        """Return the methods that this address takes: it lists only where it is known who asks."""
        allowed = super().allowed_methods()
        return allowed if self.web.access.lists else [each for each in allowed if each != "GET"]

    def get(self) -> None:
        """List the launches of who asks, the newest first; only where it is known who does."""
        if not self.web.access.lists:
            raise HTTPError(405)
        launches = self.web.launches.of(self.user)
        self.write_json({"launches": [self.describe(launch) for launch in launches]})

    def post(self) -> None:
        """Start a launch."""
        content_type = self.request.headers.get("Content-Type", "").partition(";")[0]
        if content_type.strip().lower() != "application/json":
            # Forms of other sites' pages can be sent without asking; JSON cannot.
            raise BadRequestError("Send JSON, with Content-Type: application/json.")
        try:
            request = msgspec.json.decode(self.request.body, type=StartRequest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequestError(
                f'The body is not understood: {error}. Send {{"spec": "gh/user/repository/HEAD"}}.'
            ) from error
        if bool(request.spec) == bool(request.repo) or (request.spec and request.ref):
            raise BadRequestError("Send either `spec`, or `repo` with or without `ref`.")
        spec = (
            self.read_spec(request.spec)
            if request.spec
            else self.read_spec(str(specs.from_address(request.repo, request.ref)))
        )
        launch = self.start_launch(spec)
        answer = links(launch, self.caller.base_url)
        self.set_status(201)
        self.set_header("Location", answer.state_url)
        self.write_json(answer)


class LaunchHandler(_DescribingHandler):
    """/api/launches/{id}."""

    def get(self, launch_id: str) -> None:
        """Say how it stands."""
        self.write_json(self.describe(self.launch(launch_id)))

    def delete(self, launch_id: str) -> None:
        """Cancel it. Cleaning up goes on after the answer."""
        launch = self.launch(launch_id)
        self.web.launches.cancel(launch)
        self.set_status(202)
        self.write_json(launch.state())


class LogHandler(ApiHandler):
    """/api/launches/{id}/log."""

    async def get(self, launch_id: str) -> None:
        """Send the whole log so far, as text.

        Attack: many clients ask for a long log and read it slowly. Each has one chunk of it in
        memory at most, and none keeps the log of a launch that is forgotten on the disk.
        """
        launch = self.launch(launch_id)
        chunks = launch.log()
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        # In a thread: a disk may take its time.
        while chunk := await asyncio.to_thread(next, chunks, b""):
            if launch.forgotten:
                # Cut, not ended: the client has to see that this is not the whole log.
                self.detach().close()
                return
            self.write(chunk)
            if not await self.send():
                return
        self.finish()


class ApiNotFoundHandler(ApiHandler):
    """Everything else below /api: programs get JSON."""

    public = True

    async def prepare(self) -> None:
        """Say that there is nothing."""
        await super().prepare()
        raise NotFoundError("There is nothing at this address.")


class EventSchemaHandler(ApiHandler):
    """/api/schema/event.json."""

    public = True

    def get(self) -> None:
        """Send the JSON Schema of an event."""
        self.write_json(json_schema())
