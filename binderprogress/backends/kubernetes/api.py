"""Requests to the API server of Kubernetes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import stamina

from ...errors import ConfigError

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient, Configuration

__all__ = ["CUT", "KubeApi", "KubeError", "Listing"]

CUT = (aiohttp.ClientError, ConnectionError, TimeoutError)
"""How a connection ends that was cut, or that nothing came through in time."""

# Answers of an API server that is busy or starts, or that lost its database for a moment.
_TEMPORARY = {429, 500, 502, 503, 504}
_LONGEST_PAUSE = 15.0
# Seconds. The API server ends a watch by itself; the connection of one that is silent for longer
# than that has been lost.
_WATCH_TIME = 120
_WATCH_MARGIN = 30
# The lines of a log, and the objects of a watch, may be of any length. Attack: a build prints one
# line without end.
_LONGEST_LINE = 4 * 2**20


class KubeError(Exception):
    """The API server refused a request.

    Parameters
    ----------
    status : int
        HTTP status.
    reason : str
        Kubernetes' own word for it, such as ``AlreadyExists``; empty if there is none.
    message : str
        What it says, for people.
    retry_after : float
        Seconds after which to try again; 0 if it does not say.
    """

    def __init__(
        self, status: int, reason: str = "", message: str = "", *, retry_after: float = 0.0
    ) -> None:
        super().__init__(message or reason or f"HTTP {status}")
        self.status = status
        self.reason = reason
        self.message = str(self)
        self.retry_after = min(retry_after, _LONGEST_PAUSE)

    @property
    def is_of_rights(self) -> bool:
        """Whether we are not known or lack a right, which is no matter of the request itself.

        An API server that was just started says so, too, until it has read all roles.
        """
        return self.status == 401 or (self.status == 403 and " cannot " in self.message)


class Listing(msgspec.Struct, frozen=True):
    """Objects, and the version of all of them, from which a watch goes on."""

    items: list[dict[str, Any]]
    version: str


class _Status(msgspec.Struct, frozen=True):
    reason: str | None = ""
    message: str | None = ""


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""


class _List(msgspec.Struct, frozen=True):
    items: list[dict[str, Any]] | None
    metadata: _Metadata


class _Change(msgspec.Struct, frozen=True):
    type: str
    object: dict[str, Any]


class KubeApi:
    """Sends requests for the pods of one namespace, and for what happened to them.

    Parameters
    ----------
    namespace : str
    kubeconfig : str
        The file with the cluster's address and our credentials. Empty: those of the pod that we
        run in, or the default file.
    timeout : float
        Seconds for a request.
    patience : float
        Seconds for which a request is tried again while the API server does not answer.

    Attributes
    ----------
    rights_patience : float
        Seconds for which a request is tried again while we lack the right.
    """

    rights_patience = 10.0

    def __init__(
        self, namespace: str, *, kubeconfig: str = "", timeout: float, patience: float
    ) -> None:
        self.namespace = namespace
        self._kubeconfig = kubeconfig
        self._timeout = timeout
        self._patience = patience
        self._client: ApiClient | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    # -- pods

    async def pod(self, name: str) -> dict[str, Any] | None:
        """Return a pod; None if there is none of this name."""
        try:
            return await self._object("GET", f"pods/{name}")
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    async def create(self, pod: Mapping[str, Any]) -> dict[str, Any]:
        """Create a pod.

        Raises
        ------
        KubeError
            409 if there is one of this name.
        """
        return await self._object("POST", "pods", body=dict(pod))

    async def delete(self, name: str, *, uid: str, grace: int | None = None) -> bool:
        """Delete a pod, but no other one of the same name.

        Parameters
        ----------
        name, uid : str
        grace : int, optional
            Seconds that its processes have to end; the default is what the pod says.

        Returns
        -------
        bool
            Whether it was there.
        """
        body: dict[str, Any] = {"preconditions": {"uid": uid}}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        try:
            await self._object("DELETE", f"pods/{name}", body=body)
        except KubeError as error:
            if error.status in {404, 409}:
                return False
            raise
        return True

    # -- lists and watches

    async def pods(self, selector: str) -> Listing:
        """List the pods with these labels."""
        return await self._list("pods", labelSelector=selector)

    async def events(self, selector: str) -> Listing:
        """List events, by fields."""
        return await self._list("events", fieldSelector=selector)

    def watch_pods(self, selector: str, version: str) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
        """Watch the pods with these labels; see `_watch`."""
        return self._watch("pods", version, labelSelector=selector)

    def watch_events(
        self, selector: str, version: str
    ) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
        """Watch events, by fields; see `_watch`."""
        return self._watch("events", version, fieldSelector=selector)

    async def _list(self, kind: str, **query: str) -> Listing:
        answer = await self._retried("GET", kind, query=query)
        found = msgspec.json.decode(answer, type=_List)
        return Listing(found.items or [], found.metadata.resource_version)

    async def _watch(
        self, kind: str, version: str, **query: str
    ) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
        """Yield changes after a version: their kind and the object.

        It ends now and then, and then goes on from the last version that was seen.

        Raises
        ------
        KubeError
            410 if that version is too old: list again.
        """
        timeout = aiohttp.ClientTimeout(
            connect=self._timeout, sock_connect=self._timeout, sock_read=_WATCH_TIME + _WATCH_MARGIN
        )
        query |= {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_TIME),
        }
        async with self._answer("GET", kind, query=query, timeout=timeout) as answer:
            async for line in _lines(answer):
                change = msgspec.json.decode(line, type=_Change)
                if change.type == "ERROR":
                    status = change.object
                    raise KubeError(
                        int(status.get("code") or 500),
                        str(status.get("reason") or ""),
                        str(status.get("message") or ""),
                    )
                yield change.type, change.object

    # -- logs

    async def log(
        self, name: str, container: str, *, since: str = "", follow: bool
    ) -> AsyncGenerator[bytes]:
        """Yield the lines of a container's log with their times and line ends.

        The last one has no line end if the log is cut there, or if the container has not written
        any.

        Parameters
        ----------
        name, container : str
        since : str
            The time of the first line, to the second; empty: from the beginning.
        follow : bool
            Whether to wait for further lines until the container ends.
        """
        timeout = aiohttp.ClientTimeout(
            connect=self._timeout,
            sock_connect=self._timeout,
            sock_read=None if follow else self._timeout,
        )
        query = {"container": container, "timestamps": "true"}
        query |= {"follow": "true"} if follow else {}
        query |= {"sinceTime": since} if since else {}
        path = f"pods/{name}/log"
        async with self._answer("GET", path, query=query, timeout=timeout) as answer:
            async for line in _lines(answer):
                yield line

    # -- requests

    async def _object(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        found = await self._retried(method, path, body=body)
        decoded: dict[str, Any] = msgspec.json.decode(found, type=dict[str, Any])
        return decoded

    async def _retried(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> bytes:
        """Send a request until it is answered, and return the body."""
        began = time.monotonic()

        def pause(error: Exception) -> bool | float:
            if isinstance(error, KubeError) and error.is_of_rights:
                return time.monotonic() - began < self.rights_patience
            return _pause(error)

        async for attempt in stamina.retry_context(
            on=pause, attempts=None, timeout=self._patience, wait_initial=0.2, wait_max=5.0
        ):
            with attempt:
                async with self._answer(
                    method, path, query=query, body=body, timeout=self._timeout
                ) as answer:
                    return await answer.read()
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        timeout: float | aiohttp.ClientTimeout,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        client = await self._open()
        # Its methods for each kind of object lack `sinceTime`, and make models of what we read.
        answer = await client.call_api(
            path if path.startswith("/") else f"/api/v1/namespaces/{self.namespace}/{path}",
            method,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json, */*", "Content-Type": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=timeout,
        )
        try:
            if answer.status >= 300:
                raise _error(answer, await answer.read())
            yield answer
        finally:
            answer.close()

    async def _open(self) -> ApiClient:
        # Imported here, because it takes as long as everything else.
        from kubernetes_asyncio.client import ApiClient

        async with self._opening:
            if self._client is None:
                self._client = ApiClient(await self._configuration())
            return self._client

    async def _configuration(self) -> Configuration:
        from kubernetes_asyncio import config
        from kubernetes_asyncio.client import Configuration

        configuration = Configuration()
        try:
            if not self._kubeconfig and "KUBERNETES_SERVICE_HOST" in os.environ:
                config.load_incluster_config(  # type: ignore[no-untyped-call]  # its own is missing
                    client_configuration=configuration
                )
            else:
                await config.load_kube_config(
                    self._kubeconfig or None, client_configuration=configuration
                )
        except (config.ConfigException, OSError) as error:
            raise ConfigError(
                f"The address of Kubernetes is not known: {error}. Set "
                "c.KubernetesBuilder.kubeconfig, or run this server in a pod that has a service "
                "account."
            ) from error
        return configuration


def _pause(error: Exception) -> bool | float:
    """Whether to try again, and after how many seconds if that is known."""
    if isinstance(error, KubeError):
        return error.status in _TEMPORARY and (error.retry_after or True)
    return isinstance(error, CUT)


def _error(answer: aiohttp.ClientResponse, body: bytes) -> KubeError:
    text = body.decode(errors="replace").strip()
    try:
        status = msgspec.json.decode(body, type=_Status)
    except msgspec.DecodeError:
        # Priority and fairness answers with plain text.
        status = _Status(message=text[:1000])
    try:
        retry_after = float(answer.headers.get("Retry-After", "0"))
    except ValueError:
        retry_after = 0.0
    return KubeError(
        answer.status, status.reason or "", status.message or "", retry_after=max(retry_after, 0.0)
    )


async def _lines(answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    """Yield the lines of a body with their line ends. The last one may have none."""
    rest = b""
    async for chunk in answer.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else [rest + chunk]
        for line in lines:
            yield line + b"\n"
        if len(rest) > _LONGEST_LINE:
            yield rest
            rest = b""
    if rest:
        yield rest
