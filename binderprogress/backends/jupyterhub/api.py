"""Requests to the REST API of a JupyterHub that may be slow, busy or restarting."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from random import uniform
from time import monotonic
from typing import Any, Protocol
from urllib.parse import urljoin

import aiohttp
import msgspec
import stamina

from ..._responses import read_text
from ...core import sse
from ...core.log.reasons import failure
from ...core.redact import redact
from ...errors import ConfigError, StreamError
from ..base import trace_headers
from ..connection_errors import LONGEST_RESPONSE, check_encoding, explain
from .progress import (
    LONGEST_EVENT,
    LONGEST_MESSAGE,
    NotStartingError,
    SpawnFailedError,
    error_message,
    not_the_api,
    progress_event,
    retry_after,
    servers_of_user,
)

__all__ = ["LONGEST_PAUSE", "QUIET", "Answer", "HubApi", "HubSettings", "NoAnswerError"]

QUIET = 2.0
"""Seconds for which JupyterHub may be away before viewers are told."""

LONGEST_PAUSE = 60.0
"""Maximum seconds between two attempts, whatever JupyterHub says in ``Retry-After``."""

_LONGEST_BACKOFF = 15.0
"""Maximum seconds between two attempts, if JupyterHub does not say when to try again."""

_SPREAD = 0.25
"""By how much later than JupyterHub says a request may be tried again."""

_EVENT_PATIENCE = 3
"""A stream without events ends after this many times `idle_timeout`."""

_CHUNK = 65536


class HubSettings(Protocol):
    """The settings of requests; see `HubLauncher`."""

    api_url: str
    api_token: str
    retries: int
    retry_delay: float
    retry_timeout: float
    request_timeout: float
    idle_timeout: float
    queue_timeout: float
    stop_timeout: float
    available: Callable[[], Awaitable[None]] | None

    @property
    def log(self) -> logging.Logger | logging.LoggerAdapter[Any]:
        """The operator's log."""
        ...


class NoAnswerError(Exception):
    """JupyterHub did not answer, or said that it cannot at the moment. It may later.

    Parameters
    ----------
    problem : str
        What happened, for the operator.
    shown : str
        The same for viewers, without addresses. The default is `problem`.
    busy : bool
        Whether JupyterHub itself limits the requests (429).
    retry_after : float
        Seconds after which to try again; 0 if it is not known.
    """

    def __init__(
        self, problem: str, *, shown: str = "", busy: bool = False, retry_after: float = 0.0
    ) -> None:
        super().__init__(problem)
        self.shown = shown or problem
        self.busy = busy
        self.retry_after = min(retry_after, LONGEST_PAUSE)


class Answer(msgspec.Struct, frozen=True):
    """A response of JupyterHub."""

    status: int
    text: str
    headers: Mapping[str, str]


class HubApi:
    """Sends requests to JupyterHub.

    Parameters
    ----------
    settings : HubSettings
        They are read at each request.
    """

    def __init__(self, settings: HubSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self.version: tuple[int, ...] = ()
        """The first numbers of JupyterHub's version, such as (6, 1); empty if it is not known."""

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self, method: str, path: str, *, expect: set[int], body: Any = None
    ) -> Answer:
        """Send a request, and retry it as long as JupyterHub does not answer.

        Raises
        ------
        LaunchFailedError
            With the reason ``hub-unreachable`` or ``hub-refused``.
        """
        async for answer in self.attempts(method, path, expect=expect, body=body):
            if isinstance(answer, Answer):
                return answer
        raise AssertionError  # the last item is an answer

    async def attempts(
        self, method: str, path: str, *, expect: set[int], body: Any = None
    ) -> AsyncGenerator[Answer | NoAnswerError, None]:
        """Send a request until JupyterHub answers.

        Yields
        ------
        NoAnswerError
            For each attempt without an answer, before the pause. Not in the first `QUIET` seconds,
            unless JupyterHub is busy.
        Answer
            The last item.

        Raises
        ------
        LaunchFailedError
            With the reason ``hub-unreachable``, after `retry_timeout` seconds or `retries`
            attempts; or ``hub-refused``.
        """
        began = monotonic()
        try:
            async for attempt in self._retries():
                if attempt.num > 1 and self._settings.available is not None:
                    # A JupyterHub of our own may have ended, and be restarted.
                    await self._settings.available()
                results: list[Answer | NoAnswerError] = []
                with attempt:
                    try:
                        results.append(await self.send(method, path, expect=expect, body=body))
                    except NoAnswerError as error:
                        self._settings.log.warning("%s %s: %s", method, path, error)
                        if error.busy or monotonic() - began >= QUIET:
                            results.append(error)
                        raise
                # Not inside of `with`, which would swallow the end of this generator. It is empty
                # after any other exception, which the next iteration raises.
                for result in results:
                    yield result
        except NoAnswerError as error:
            raise failure("hub-unreachable", f"A request to JupyterHub failed: {error}") from error

    async def send(self, method: str, path: str, *, expect: set[int], body: Any = None) -> Answer:
        """Send a request once.

        Raises
        ------
        NoAnswerError
            If another attempt may succeed.
        LaunchFailedError
            With the reason ``hub-refused``; or ``hub-unreachable``, if it is not JupyterHub's API.
        """
        try:
            async with self.session.request(
                method,
                self.address(path),
                json=body,
                headers=trace_headers(),
                timeout=aiohttp.ClientTimeout(total=self._settings.request_timeout),
            ) as response:
                text = await read_text(response, LONGEST_RESPONSE)
                answer = Answer(response.status, text, response.headers)
        except (aiohttp.ClientError, TimeoutError, StreamError) as error:
            raise NoAnswerError(_describe(error), shown=explain(error)) from error
        self.note_version(answer.headers)
        if answer.status == 429 and 429 in expect:
            return answer
        _check(answer)
        if answer.status not in expect:
            problem = _problem(answer)
            if answer.status >= 500:
                raise NoAnswerError(problem)
            self._settings.log.error("%s %s failed: %s", method, path, problem)
            if answer.status < 400:
                # Perhaps a page, to which the request was redirected.
                raise not_the_api()
            raise failure("hub-refused", f"A request to JupyterHub failed: {problem}")
        return answer

    async def server(self, user: str, server: str) -> dict[str, Any] | None:
        """Return JupyterHub's model of a server that runs or starts or stops, with one request.

        Returns
        -------
        dict or None
            None if there is no such server.

        Raises
        ------
        NoAnswerError
            If JupyterHub does not answer.
        LaunchFailedError
            If it refuses, or the server at its address is not JupyterHub.
        """
        answer = await self.send("GET", f"users/{user}", expect={200, 404})
        if answer.status == 404:
            return None
        model = servers_of_user(answer.text).get(server)
        return model if isinstance(model, dict) else None

    async def events(self, path: str) -> AsyncGenerator[dict[str, Any], None]:
        """Read the progress events of one connection.

        Raises
        ------
        NoAnswerError
            If JupyterHub does not answer, sends nothing for `idle_timeout` seconds, no event for
            three times as long, or something that is not an event.
        NotStartingError, SpawnFailedError
            If it says that the server is not starting.
        """
        settings = self._settings
        timeout = aiohttp.ClientTimeout(total=None, sock_read=settings.idle_timeout)
        headers = {"Accept": "text/event-stream", **trace_headers()}
        try:
            async with self.session.get(
                self.address(path), timeout=timeout, headers=headers
            ) as response:
                if response.status != 200:
                    text = await read_text(response, LONGEST_RESPONSE)
                    _refuse_stream(Answer(response.status, text, response.headers))
                check_encoding(response)
                chunks = response.content.iter_chunked(_CHUNK)
                patience = _EVENT_PATIENCE * settings.idle_timeout
                async for record in _records(chunks, patience=patience):
                    yield record
        except (aiohttp.ClientError, TimeoutError, StreamError) as error:
            raise NoAnswerError(_describe(error), shown=explain(error)) from error

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session of all connections.

        Raises
        ------
        ConfigError
            If there is no token.
        """
        if self._session is None:
            token = self._settings.api_token
            if not token:
                raise ConfigError("Set c.HubLauncher.api_token or $JUPYTERHUB_API_TOKEN.")
            self._session = aiohttp.ClientSession(
                headers={"Authorization": f"token {token}", "Accept-Encoding": "identity"},
                # Each launch has a stream of its own.
                connector=aiohttp.TCPConnector(limit=0),
            )
        return self._session

    def note_version(self, headers: Mapping[str, str]) -> None:
        """Note the version of JupyterHub that is in the headers of its answers."""
        if found := re.match(r"(\d{1,4})\.(\d{1,4})", headers.get("X-JupyterHub-Version", "")):
            self.version = (int(found[1]), int(found[2]))

    def address(self, path: str) -> str:
        """Return the URL of a path of the API."""
        return urljoin(self._settings.api_url.rstrip("/") + "/", path)

    def _retries(self) -> AsyncIterator[stamina.Attempt]:
        settings = self._settings
        return stamina.retry_context(
            on=_pause_after,
            attempts=settings.retries,
            timeout=settings.retry_timeout,
            wait_initial=settings.retry_delay,
            wait_max=_LONGEST_BACKOFF,
            wait_jitter=settings.retry_delay / 2,
        ).__aiter__()


def _pause_after(error: Exception) -> bool | float:
    """Return whether to try again, or the seconds after which."""
    if not isinstance(error, NoAnswerError):
        return False
    # Not all launches at the same moment.
    return error.retry_after * uniform(1.0, 1.0 + _SPREAD) or True  # noqa: S311 - no secret


async def _records(
    chunks: AsyncIterator[bytes], *, patience: float
) -> AsyncGenerator[dict[str, Any], None]:
    decoder = sse.Decoder(max_block=LONGEST_EVENT)
    last = monotonic()
    async for chunk in chunks:
        for event in decoder.feed(chunk):
            yield progress_event(event.data)
            last = monotonic()
        if monotonic() - last > patience:
            # Only empty lines, which say nothing about the server.
            raise NoAnswerError(f"no event for {patience:g} s")


def _check(answer: Answer) -> None:
    """Raise `NoAnswerError` if another attempt may get another answer, whatever was asked."""
    pause = retry_after(answer.headers.get("Retry-After"))
    if answer.status == 429:
        raise NoAnswerError(_problem(answer), busy=True, retry_after=pause)
    if answer.status >= 500 and (pause or not _is_of_hub(answer)):
        raise NoAnswerError(_problem(answer), retry_after=pause)
    if answer.status == 404 and not _is_of_hub(answer):
        # Of the proxy, whose routes are missing for a moment after it was restarted.
        raise NoAnswerError(_problem(answer))


def _is_of_hub(answer: Answer) -> bool:
    """Whether an error is JupyterHub's own, and not that of a proxy before it."""
    if "X-JupyterHub-Version" in answer.headers:
        return True
    try:
        content = json.loads(answer.text)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("status") == answer.status


def _refuse_stream(answer: Answer) -> None:
    """Raise an error for a response that is not a stream."""
    _check(answer)
    message = error_message(answer.text) or f"JupyterHub answered {answer.status}"
    if answer.status == 400:
        raise NotStartingError(message)
    if answer.status in {403, 404}:
        # The server was stopped by someone else, or its spawn never began.
        raise SpawnFailedError(message)
    raise NoAnswerError(_problem(answer))


def _problem(answer: Answer) -> str:
    return f"JupyterHub answered {answer.status}: {error_message(answer.text)}"


def _describe(error: Exception) -> str:
    return redact(str(error))[:LONGEST_MESSAGE] or type(error).__name__
