"""Requests a server, and follows its start, over as many connections as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic
from typing import Any

from ...core.log.reasons import failure
from ...errors import LaunchFailedError
from .api import LONGEST_PAUSE, QUIET, Answer, HubApi, HubSettings, NoAnswerError
from .progress import (
    NotStartingError,
    Replay,
    SpawnFailedError,
    error_message,
    retry_after,
    spawn_failure,
)

__all__ = ["NoUserError", "follow", "request_server", "waiting"]

_LONGEST_BACKOFF = 15.0

# Hooks and spawners may refuse a server with any error (`SpawnException`). It is JupyterHub's own,
# because others are tried again.
_ANSWERS = {201, 202, 400, 404, 429, *range(500, 600)}

_DISPLAY_NAMES = (6,)
"""The first version of JupyterHub that shows another name than the one in addresses."""

_MOST_NOT_STARTING = 5
"""Answers in a row that the server is not starting, until that is believed."""


class NoUserError(Exception):
    """JupyterHub has no such user."""


def waiting(problem: NoAnswerError) -> dict[str, Any]:
    """Return a progress event that says that JupyterHub does not answer."""
    if problem.busy:
        return {"message": "JupyterHub is busy. Trying again.", "throttled": True}
    return {
        "message": f"JupyterHub does not respond ({problem.shown}). Trying again.",
        "unreachable": True,
    }


def _body(options: dict[str, str], label: str) -> dict[str, Any]:
    return {"display_name": label, "user_options": options} if label else dict(options)


def _no_room(settings: HubSettings) -> Exception:
    seconds = f"{settings.queue_timeout:g} seconds"
    return failure("quota", f"JupyterHub had no room for this server for {seconds}.")


async def request_server(
    api: HubApi,
    settings: HubSettings,
    user: str,
    server: str,
    options: dict[str, str],
    *,
    label: str = "",
) -> AsyncGenerator[dict[str, Any], None]:
    """Request a server. Yield an event for each pause, because JupyterHub is busy or away.

    Parameters
    ----------
    api : HubApi
    settings : HubSettings
    user, server : str
        Their names, quoted for a path.
    options : dict of str
        The ``user_options`` of the spawner.
    label : str
        The name that JupyterHub shows for a named server. It is sent to a JupyterHub that is known
        to have such names, from an earlier answer.

    Raises
    ------
    SpawnFailedError
        If JupyterHub cannot start the server.
    NoUserError
        If there is no such user.
    LaunchFailedError
        With the reason ``hub-unreachable`` or ``hub-refused``; or ``quota``, if JupyterHub has no
        room for `queue_timeout` seconds.
    """
    path = f"users/{user}/servers/{server}"
    body = _body(options, label if api.version >= _DISPLAY_NAMES else "")
    began, pause = monotonic(), settings.retry_delay
    while True:
        answer: Answer | None = None
        asked = api.attempts("POST", path, expect=_ANSWERS, body=body)
        async with aclosing(asked) as items:
            async for item in items:
                if isinstance(item, Answer):
                    answer = item
                else:
                    yield waiting(item)
        assert answer is not None  # noqa: S101 - for the type checker: the last item is one
        if answer.status != 429:
            break
        # JupyterHub limits concurrent spawns. This is a queue, not a failure.
        delay = min(retry_after(answer.headers.get("Retry-After")) or pause, LONGEST_PAUSE)
        if monotonic() - began + delay > settings.queue_timeout:
            raise _no_room(settings)
        pause = min(pause * 2, _LONGEST_BACKOFF)
        yield {"message": f"JupyterHub is busy. Retrying in {delay:g} s.", "throttled": True}
        await asyncio.sleep(delay)
    _check(answer)


def _check(answer: Answer) -> None:
    """Raise an error unless the server is starting, or runs already."""
    if answer.status == 404:
        message = error_message(answer.text)
        raise NoUserError(f"A request to JupyterHub failed: JupyterHub answered 404: {message}")
    if answer.status >= 400 and "already running" not in answer.text:
        message = error_message(answer.text) or f"JupyterHub answered {answer.status}"
        if answer.status == 400 and " is pending " not in answer.text:
            # Such as an image that a hook does not allow (`SpawnException`).
            raise spawn_failure(message)
        raise SpawnFailedError(message)


async def follow(
    api: HubApi, settings: HubSettings, user: str, server: str
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the progress events of a server that is starting, each once, until it is ready.

    If the stream of these events fails, JupyterHub is asked about the server itself. So a stream
    that is refused or never says anything does not hold up a server that is ready.

    Raises
    ------
    SpawnFailedError
        If JupyterHub says that the server is not starting.
    LaunchFailedError
        With the reason ``hub-unreachable``, if JupyterHub says nothing about the server for
        `retry_timeout` seconds, or at `retries` attempts in a row.
    """
    progress = (
        f"users/{user}/servers/{server}/progress" if server else f"users/{user}/server/progress"
    )
    replay = Replay()
    outage = _Outage(settings)
    while True:
        replay.restart()
        try:
            async with aclosing(api.events(progress)) as records:
                async for record in records:
                    if replay.is_new(record):
                        outage.over()
                        yield record
                    if record.get("ready") or record.get("failed"):
                        return
            problem = NoAnswerError("the stream ended early")
        except NotStartingError as error:
            if outage.failures >= min(_MOST_NOT_STARTING, settings.retries):
                raise SpawnFailedError(str(error)) from error
            problem = NoAnswerError(str(error))
        except NoAnswerError as error:
            problem = error
        pause = outage.add(problem)
        model = await _look(api, user, server)
        if model.get("ready"):
            url = str(model.get("url", ""))
            yield {"ready": True, "progress": 100, "message": f"Server ready at {url}", "url": url}
            return
        if model.get("pending") == "spawn":
            outage.bridge()
        elif outage.seconds >= QUIET:
            yield waiting(problem)
        settings.log.warning("Progress stream %s: %s; reconnecting.", progress, problem)
        await asyncio.sleep(pause)


async def _look(api: HubApi, user: str, server: str) -> dict[str, Any]:
    """Return JupyterHub's model of a server; empty if there is none, or if it does not answer."""
    try:
        return await api.server(user, server) or {}
    except (NoAnswerError, LaunchFailedError):
        # The stream has failed before, which is reported.
        return {}


class _Outage:
    """How long JupyterHub has said nothing about a server.

    Parameters
    ----------
    settings : HubSettings

    Attributes
    ----------
    failures : int
        Number of failed streams in a row.
    """

    def __init__(self, settings: HubSettings) -> None:
        self._settings = settings
        self.failures = 0
        self._streams = 0
        self._since = monotonic()

    @property
    def seconds(self) -> float:
        """For how long JupyterHub has said nothing."""
        return monotonic() - self._since

    def over(self) -> None:
        """Forget all failures: the stream works."""
        self.bridge()
        self._streams = 0

    def bridge(self) -> None:
        """Note that JupyterHub says that the server is starting. Only the stream does not work."""
        self.failures = 0
        self._since = monotonic()

    def add(self, problem: NoAnswerError) -> float:
        """Add a failure, and return the seconds to wait.

        Raises
        ------
        LaunchFailedError
            If JupyterHub has been silent for too long.
        """
        self.failures += 1
        self._streams += 1
        settings = self._settings
        if self.failures > settings.retries or self.seconds > settings.retry_timeout:
            raise failure("hub-unreachable")
        pause = settings.retry_delay * 2 ** (self._streams - 1)
        # So that there are several attempts before it is too long.
        return problem.retry_after or min(pause, _LONGEST_BACKOFF, settings.retry_timeout / 4)
