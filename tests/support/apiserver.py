"""The strict double of an API server of Kubernetes: pods, their events and logs, lists and watches.

A test plays the scheduler and the kubelet. What the double does not know, it refuses; its answers
are those that a real one was recorded to give.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

__all__ = ["ApiServer", "api_server"]

NAMESPACE = "builds"
_TOKEN = "secret"
_BASE = "/api/v1/namespaces/{namespace}"
_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?")
_LISTED = {"labelSelector", "fieldSelector"}
_WATCHED = {*_LISTED, "watch", "resourceVersion", "allowWatchBookmarks", "timeoutSeconds"}
_LOGGED = {"container", "timestamps", "follow", "sinceTime"}

Object = dict[str, Any]
Server = TypeVar("Server", bound="ApiServer")


class ApiServer:
    """One namespace.

    Attributes
    ----------
    requests : Counter
        How often each was made: ``GET pods``, ``WATCH pods``, ``GET log``.
    answers : list of (int, bytes, dict)
        What is answered instead, to the next requests that are no watch.
    cut_log : callable
        Returns after how many bytes the next answer with a log is cut.
    refusal : bytes
        The body with which pods are refused (403); empty: they are created.
    log_status : int
        What is answered in place of each log, as for a node that is lost; 0: the log.
    holds_deleted : bool
        Whether pods with a node stay when they are deleted, as if their processes did not end.
    """

    def __init__(self) -> None:
        self.url = ""
        self.pods: dict[str, Object] = {}
        self.events: list[Object] = []
        self.requests: Counter[str] = Counter()
        self.answers: list[tuple[int, bytes, dict[str, str]]] = []
        self.cut_log: Callable[[], int] | None = None
        self.log_status = 0
        self.refusal = b""
        self.holds_deleted = False
        self._logs: dict[str, list[bytes]] = {}
        self._history: list[tuple[int, str, str, Object]] = []
        self._version = itertools.count(1)
        self._newest = 0
        self._forgotten = 0
        self._uids = itertools.count(1)
        self._seconds = itertools.count(1)
        self._changed = asyncio.Event()
        self._cut = asyncio.Event()

    # -- what the scheduler and the kubelet do

    async def created(self, count: int = 1) -> Object:
        """Wait until so many pods were created. Return the newest one."""
        while self.requests["POST pods"] < count or not self.pods:
            await self.next_request()
        return list(self.pods.values())[-1]

    def say(self, name: str, reason: str, message: str, *, kind: str = "Normal") -> None:
        """Record an event about a pod."""
        pod = self.pods[name]["metadata"]
        about = {"kind": "Pod", "namespace": NAMESPACE, "name": name, "uid": pod["uid"]}
        event = {
            "metadata": {
                "name": f"{name}.{len(self.events)}",
                "namespace": NAMESPACE,
                "uid": f"event-{len(self.events)}",
            },
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "type": kind,
            "lastTimestamp": "2026-11-29T05:54:13Z",
            "count": 1,
        }
        self.events.append(self._note("events", "ADDED", event))

    def repeat(self, event: Object) -> None:
        """Record an event once more, as a kubelet does: it is the same object."""
        place = next(
            number
            for number, each in enumerate(self.events)
            if each["metadata"]["uid"] == event["metadata"]["uid"]
        )
        count = self.events[place]["count"] + 1
        self.events[place] = self._note("events", "MODIFIED", {**event, "count": count})

    def bind(self, name: str) -> None:
        """Have a node take it."""
        self.say(name, "Scheduled", f"Successfully assigned {NAMESPACE}/{name} to node-1")
        pod = self.pods[name]
        self._store(name, {**pod, "spec": {**pod["spec"], "nodeName": "node-1"}})

    def run(self, name: str) -> None:
        """Have a node take it and start its container."""
        self.bind(name)
        self.say(name, "Started", "Started container builder")
        self.set(name, "Running", {"running": {"startedAt": "2026-11-29T05:54:13Z"}})

    def set(self, name: str, phase: str, state: Object, **status: str) -> None:
        """Set the state of a pod and of its container."""
        containers = [{"name": "builder", "state": state}]
        new = {"phase": phase, "containerStatuses": containers, **status}
        self._store(name, {**self.pods[name], "status": new})

    def write(self, name: str, *lines: str, stamp: str = "", end: str = "\n") -> None:
        """Write lines to the log. Each has a time of its own, or that which is given."""
        for line in lines:
            number = next(self._seconds)
            minute, second = divmod(number // 7, 60)
            hour, minute = divmod(minute, 60)
            # Zeros at the end are left out, as some engines do.
            fraction = f"{number % 7 * 1300:06d}".rstrip("0") or "0"
            default = f"2026-11-29T{hour:02d}:{minute:02d}:{second:02d}.{fraction}Z"
            self._logs[name].append(f"{stamp or default} {line}{end}".encode())
        self._wake()

    def write_raw(self, name: str, text: bytes) -> None:
        """Write what need not be a line of the container."""
        self._logs[name].append(text)
        self._wake()

    def exit(self, name: str, code: int = 0, reason: str = "") -> None:
        """End the container."""
        reason = reason or ("Error" if code else "Completed")
        terminated = {"exitCode": code, "reason": reason}
        self.set(name, "Failed" if code else "Succeeded", {"terminated": terminated})

    def lose(self, name: str) -> None:
        """Lose its node: it is to be deleted, and stays."""
        self.log_status = 500
        self.say(name, "NodeNotReady", "Node is not ready", kind="Warning")
        pod = self.pods[name]
        when = {"deletionTimestamp": "2026-11-29T05:54:43Z", "deletionGracePeriodSeconds": 0}
        self._store(name, {**pod, "metadata": {**pod["metadata"], **when}})

    def remove(self, name: str) -> None:
        """Delete a pod, whoever asked for it."""
        pod = self.pods.pop(name)
        self._note("pods", "DELETED", pod)

    # -- faults

    def cut(self) -> None:
        """Cut all connections that wait."""
        self._cut.set()
        self._cut = asyncio.Event()

    def compact(self) -> None:
        """Forget all versions before the newest one, as etcd does now and then."""
        self._forgotten = self._newest
        self._history.clear()

    # -- requests

    def routes(self) -> web.Application:
        """Return the application."""
        app = web.Application(middlewares=[_authorize])
        app.router.add_get(f"{_BASE}/{{kind:pods|events}}", self._list)
        app.router.add_post(f"{_BASE}/pods", self._create)
        app.router.add_get(f"{_BASE}/pods/{{name}}", self._read)
        app.router.add_delete(f"{_BASE}/pods/{{name}}", self._delete)
        app.router.add_get(f"{_BASE}/pods/{{name}}/log", self._follow)
        return app

    def _answered(self) -> web.Response | None:
        if not self.answers:
            return None
        status, body, headers = self.answers.pop(0)
        return web.Response(status=status, body=body, headers=headers)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        kind, query = request.match_info["kind"], request.query
        is_watch = query.get("watch") == "true"
        if unknown := query.keys() - (_WATCHED if is_watch else _LISTED):
            return _status(400, "BadRequest", f"not known: {unknown}")
        self.requests[f"{'WATCH' if is_watch else 'GET'} {kind}"] += 1
        self._wake()
        if is_watch:
            return await _until_left(request, self._watch(request, kind))
        if answer := self._answered():
            return answer
        items = [item for item in self._items(kind) if _selected(item, request)]
        return web.json_response(
            {"kind": "List", "metadata": {"resourceVersion": str(self._newest)}, "items": items}
        )

    def _items(self, kind: str) -> list[Object]:
        return list(self.pods.values()) if kind == "pods" else self.events

    async def _watch(self, request: web.Request, kind: str) -> web.StreamResponse:
        version = int(request.query["resourceVersion"])
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if version < self._forgotten:
            error = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            await response.write(_line({"type": "ERROR", "object": error}))
            return response
        cut = self._cut
        over = asyncio.Event()
        seconds = int(request.query["timeoutSeconds"])
        timer = asyncio.get_running_loop().call_later(seconds, over.set)
        while not (cut.is_set() or over.is_set()):
            changed = self._changed
            for number, its_kind, change, found in list(self._history):
                if number > version:
                    version = number
                    if its_kind == kind and _selected(found, request):
                        await response.write(_line({"type": change, "object": found}))
                    else:
                        metadata = {"resourceVersion": str(number)}
                        bookmark = {"type": "BOOKMARK", "object": {"metadata": metadata}}
                        await response.write(_line(bookmark))
            await _first(changed, cut, over)
        timer.cancel()
        if cut.is_set():
            _abort(request)
        return response

    async def _create(self, request: web.Request) -> web.StreamResponse:
        self.requests["POST pods"] += 1
        if self.refusal:
            return web.Response(status=403, body=self.refusal)
        if answer := self._answered():
            return answer
        pod = await request.json()
        name = pod["metadata"]["name"]
        if not _NAME.fullmatch(name):
            return _status(422, "Invalid", f'Pod "{name}" is invalid: metadata.name: Invalid value')
        if name in self.pods:
            return _status(409, "AlreadyExists", f'pods "{name}" already exists')
        pod["metadata"] |= {
            "namespace": NAMESPACE,
            "uid": f"uid-{next(self._uids)}",
            "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        pod["status"] = {"phase": "Pending"}
        self._logs[name] = []
        self._store(name, pod, change="ADDED")
        return web.json_response(self.pods[name], status=201)

    async def _read(self, request: web.Request) -> web.StreamResponse:
        self.requests["GET pod"] += 1
        if answer := self._answered():
            return answer
        pod = self.pods.get(request.match_info["name"])
        return _missing(request) if pod is None else web.json_response(pod)

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        self.requests["DELETE pod"] += 1
        if answer := self._answered():
            return answer
        name = request.match_info["name"]
        if name not in self.pods:
            return _missing(request)
        options = await request.json()
        pod = self.pods[name]
        if options["preconditions"]["uid"] != pod["metadata"]["uid"]:
            return _status(409, "Conflict", "Precondition failed: UID in precondition")
        if "nodeName" in pod["spec"] and options.get("gracePeriodSeconds") != 0:
            # The kubelet removes it once its container has ended.
            when = {"deletionTimestamp": "2026-11-29T05:54:43Z", "deletionGracePeriodSeconds": 30}
            self._store(name, {**pod, "metadata": {**pod["metadata"], **when}})
            if self.holds_deleted:
                return web.json_response(self.pods[name])
        self.remove(name)
        return web.json_response(pod)

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        return await _until_left(request, self._log(request))

    async def _log(self, request: web.Request) -> web.StreamResponse:
        self.requests["GET log"] += 1
        self._wake()
        name, query = request.match_info["name"], request.query
        if unknown := query.keys() - _LOGGED:
            return _status(400, "BadRequest", f"not known: {unknown}")
        if name not in self.pods:
            return _missing(request)
        if self.log_status:
            return _status(self.log_status, "InternalError", "the node does not answer")
        if "nodeName" not in self.pods[name]["spec"]:
            return web.Response(status=204)
        state = self.pods[name]["status"].get("containerStatuses", [{"state": {}}])[0]["state"]
        if not state.keys() & {"running", "terminated"}:
            return _status(400, "BadRequest", f'container "builder" in pod "{name}" is waiting')
        since = query.get("sinceTime", "").removesuffix("Z").encode()
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        left = self.cut_log() if self.cut_log is not None else None
        sent, cut = 0, self._cut
        while True:
            changed = self._changed
            lines = self._logs[name]
            for number in range(sent, len(lines)):
                line = lines[number]
                if line[: len(since)] < since and line[:1].isdigit():
                    continue
                if left is not None and len(line) > left:
                    await response.write(line[:left])
                    _abort(request)
                    return response
                left = None if left is None else left - len(line)
                await response.write(line)
            sent = len(lines)
            if self._is_over(name) or query.get("follow") != "true":
                return response
            if cut.is_set():
                _abort(request)
                return response
            await _first(changed, cut)

    def _is_over(self, name: str) -> bool:
        pod = self.pods.get(name)
        return pod is None or pod["status"]["phase"] in {"Succeeded", "Failed"}

    def _store(self, name: str, pod: Object, *, change: str = "MODIFIED") -> None:
        self.pods[name] = self._note("pods", change, pod)

    def _note(self, kind: str, change: str, found: Object) -> Object:
        self._newest = next(self._version)
        found = {**found, "metadata": {**found["metadata"], "resourceVersion": str(self._newest)}}
        self._history.append((self._newest, kind, change, found))
        self._wake()
        return found

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def next_request(self) -> None:
        """Wait for the next request, or another change."""
        await self._changed.wait()


@asynccontextmanager
async def api_server(
    folder: Path, make: Callable[[], Server] = ApiServer
) -> AsyncIterator[tuple[Server, Path]]:
    """Run the double. Return it, and a file with which to reach it."""
    server = make()
    runner = web.AppRunner(server.routes(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    config = folder / "kubeconfig"
    try:
        context = {"cluster": "double", "user": "double", "namespace": NAMESPACE}
        config.write_text(
            json.dumps(
                {
                    "current-context": "double",
                    "contexts": [{"name": "double", "context": context}],
                    "clusters": [{"name": "double", "cluster": {"server": url}}],
                    "users": [{"name": "double", "user": {"token": _TOKEN}}],
                }
            )
        )
        yield server, config
    finally:
        server.cut()
        await runner.cleanup()


@web.middleware
async def _authorize(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse other tokens and namespaces."""
    if request.headers.get("Authorization") != f"Bearer {_TOKEN}":
        return _status(401, "Unauthorized", "Unauthorized")
    if request.match_info.get("namespace", NAMESPACE) != NAMESPACE:
        return _status(403, "Forbidden", 'pods is forbidden: User "double" cannot do this')
    return await handler(request)


def _selected(item: Object, request: web.Request) -> bool:
    if (selector := request.query.get("labelSelector")) is not None:
        if not selector:
            return True
        name, is_set, values = selector.removesuffix(")").partition(" in (")
        if not is_set:
            name, _, values = selector.partition("=")
        return bool(item["metadata"].get("labels", {}).get(name) in values.split(","))
    return request.query.get("fieldSelector") == "involvedObject.kind=Pod"


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code}
    return web.json_response({**body, "reason": reason, "message": message}, status=code)


def _missing(request: web.Request) -> web.Response:
    return _status(404, "NotFound", f'pods "{request.match_info["name"]}" not found')


def _line(value: Object) -> bytes:
    return json.dumps(value).encode() + b"\n"


async def _until_left(
    request: web.Request, answer: Coroutine[Any, Any, web.StreamResponse]
) -> web.StreamResponse:
    try:
        return await answer
    except ConnectionResetError:
        # The client has gone. There is nobody to answer.
        _abort(request)
        return web.StreamResponse()


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _first(*events: asyncio.Event) -> None:
    tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
