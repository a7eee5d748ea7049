"""One build in a pod: creates or joins it, and reads what it says."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Any

from ...core.kubernetes.pods import END_REASONS, PodState, event_line, read_state
from ...core.log.diagnosis import diagnose
from ...core.log.reader import Record
from ...core.log.reasons import failure
from ...errors import LaunchFailedError
from .api import CUT, KubeApi, KubeError
from .follow_log import LogFollower
from .manifest import CONTAINER, built_image
from .pod_builder import PodBuilder
from .watcher import PodWatcher, WatchedPod

__all__ = ["BuildPod", "refused"]

# Lines of the log, or events, that wait for whoever reads them.
_MOST_WAITING = 1000
# Lines of Kubernetes that are kept to say why it failed.
_MOST_LINES = 50
# Seconds that a kubelet has to say that a deleted pod has ended, beyond what its processes have.
_KUBELET_GRACE = 15.0
# Reasons of events that say that a container cannot be made, and that it is made.
_NOT_STARTED = {"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"}
_GOES_ON = {"SuccessfulAttachVolume", "Pulling", "Pulled", "Created"}


def refused(error: KubeError) -> LaunchFailedError:
    """Return the failure if the API server refuses a pod: a quota, an admission, our rights.

    Viewers are told what it says only of a quota or an admission. The rest is for the operator.
    """
    diagnosis = diagnose([error.message], otherwise="internal", kind="spawn")
    if diagnosis.reason == "internal":
        return failure("internal", "Kubernetes does not accept the build.")
    return diagnosis.error(f"Kubernetes does not accept the build: {error.message}")


class BuildPod:
    """Follows the pod of a build.

    Parameters
    ----------
    api : KubeApi
    watcher : PodWatcher
        Which has been opened.
    manifest : mapping
        The pod, if it has to be created.
    program : PodBuilder
        Reads its log and its exit code.
    start_timeout : float
        Seconds for which something may keep it from starting.
    log : logging.Logger
    """

    def __init__(
        self,
        api: KubeApi,
        watcher: PodWatcher,
        manifest: Mapping[str, Any],
        program: PodBuilder,
        *,
        start_timeout: float,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._api = api
        self._watcher = watcher
        self._manifest = manifest
        self._program = program
        self._start_timeout = start_timeout
        self._log = log
        self._name = str(manifest["metadata"]["name"])
        self._items: asyncio.Queue[Record | None] = asyncio.Queue(_MOST_WAITING)
        self._said: list[str] = []
        self._state = PodState()
        # What keeps the pod from starting, as its events say.
        self._problem = ""
        # Since when something has kept it from starting, and since when it is being deleted.
        self._stuck_since = self._deleted_since = 0.0

    async def records(self) -> AsyncGenerator[Record]:
        """Yield what Kubernetes and the build say, until the image exists.

        Then the pod is deleted. If this is closed before, the build goes on.

        Raises
        ------
        LaunchFailedError
            If the build fails.
        KubeError
            If the API server does not let us do this.
        """
        with self._watcher.watch(self._name) as watched:
            pod = await self._create_or_join()
            watched.choose(pod)
            self._state = read_state(pod, CONTAINER)
            following = asyncio.create_task(self._run(watched), name=f"pod {self._name}")
            try:
                while (item := await self._items.get()) is not None:
                    yield item
                try:
                    await following
                except LaunchFailedError:
                    # It has ended, or will never start.
                    await self._remove()
                    raise
                # If it cannot be followed, it goes on, and this is not reached.
                await self._remove()
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def _create_or_join(self) -> dict[str, Any]:
        """Create the pod; if it exists, return that one.

        Raises
        ------
        LaunchFailedError
            If the API server refuses it.
        """
        while True:
            try:
                return await self._api.create(self._manifest)
            except KubeError as error:
                if error.status != 409 or error.reason != "AlreadyExists":
                    self._log.warning("Kubernetes refuses a build: %s", error)
                    raise refused(error) from error
            pod = await self._api.pod(self._name)
            if pod is not None and not await self._is_in_the_way(pod):
                return pod

    async def _is_in_the_way(self, pod: dict[str, Any]) -> bool:
        """Wait until a pod is gone if it is of no use for this build."""
        metadata = pod["metadata"]
        state = read_state(pod, CONTAINER)
        has_failed = state.end not in {None, "succeeded"}
        # Attack: the names of two repositories lead to the same name of a pod.
        is_other = built_image(pod) != built_image(self._manifest)
        if is_other and state.end is None:
            raise failure(
                "build-failed", "A build of another repository has the same name. Try again later."
            )
        if not (has_failed or is_other or metadata.get("deletionTimestamp")):
            return False
        with self._watcher.watch(self._name) as watched:
            watched.choose(pod)
            await self._api.delete(self._name, uid=metadata["uid"], grace=0)
            while not watched.may_be_gone:
                self._watcher.check()
                await watched.changed()
        return True

    # -- following

    async def _run(self, watched: WatchedPod) -> None:
        """Follow the pod, and say when that is over, unless nobody listens any more."""
        try:
            await self._follow(watched)
        except Exception:
            await self._items.put(None)
            raise
        await self._items.put(None)

    async def _follow(self, watched: WatchedPod) -> None:
        """Read events and the log, until the pod has ended and all of its log was read."""
        reading: asyncio.Task[None] | None = None
        try:
            self._stuck_since = self._deleted_since = time.monotonic()
            while True:
                self._watcher.check()
                await self._read_events(watched)
                state = self._state = read_state(watched.pod or {}, CONTAINER)
                problem = "" if state.has_log else state.problem or self._problem
                if state.has_log and reading is None:
                    reading = asyncio.create_task(self._read_log(), name=f"log {self._name}")
                    reading.add_done_callback(lambda _: watched.wake())
                if reading is not None and reading.done():
                    # Raises that it may not be read.
                    await reading
                if state.end is not None or await self._is_gone(watched):
                    break
                left = self._time_left(state, problem)
                if left is not None and left <= 0:
                    otherwise = "image-pull-failed" if problem else "build-interrupted"
                    raise self._failed(problem, otherwise)
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await watched.changed()
            if reading is not None:
                await reading
            await self._read_events(watched)
            self._check_end()
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    def _time_left(self, state: PodState, problem: str) -> float | None:
        """Return the seconds for which the pod may stay as it is; None: for ever.

        A pod that is deleted while its node is lost stays until somebody deletes it by force.
        """
        now = time.monotonic()
        left = []
        if not problem:
            self._stuck_since = now
        elif state.is_hopeless:
            left.append(0.0)
        else:
            left.append(self._stuck_since + self._start_timeout - now)
        if state.grace is None:
            self._deleted_since = now
        else:
            left.append(self._deleted_since + state.grace + _KUBELET_GRACE - now)
        return min(left, default=None)

    async def _is_gone(self, watched: WatchedPod) -> bool:
        if not watched.may_be_gone:
            return False
        # A list may have been made just before the pod was created.
        watched.may_be_gone = False
        pod = await self._api.pod(self._name)
        return pod is None or pod["metadata"]["uid"] != self._state.uid

    def _check_end(self) -> None:
        end = self._state.end
        if end == "succeeded":
            return
        if end is None:
            raise self._failed("", "build-interrupted")
        if end == "failed":
            # The log says why, if the exit code does not.
            raise self._program.failure(self._state.exit_code) or failure("build-failed")
        raise self._failed(self._state.message, END_REASONS[end])

    def _failed(self, message: str, otherwise: str) -> LaunchFailedError:
        """Return the failure that events explain, or the one that is given."""
        lines = [*self._said, message] if message else self._said
        if otherwise in {"out-of-memory", "build-timeout"} or not lines:
            return failure(otherwise)
        return diagnose(lines, otherwise=otherwise, kind="spawn").error()

    async def _read_events(self, watched: WatchedPod) -> None:
        while watched.events:
            event = watched.events.popleft()
            # Not those of an earlier pod of the same name.
            if (event.get("involvedObject") or {}).get("uid") != self._state.uid:
                continue
            line = event_line(event)
            self._said = [*self._said, line.strip()][-_MOST_LINES:]
            if event.get("reason") in _NOT_STARTED:
                self._problem = line
            elif event.get("reason") in _GOES_ON:
                self._problem = ""
            await self._items.put(Record("kubernetes", event))

    async def _read_log(self) -> None:
        follower = LogFollower(
            self._api, self._name, CONTAINER, is_over=lambda: self._state.end is not None
        )
        async with aclosing(follower.lines()) as lines:
            try:
                async for line in lines:
                    await self._items.put(self._program.record(line))
            except (KubeError, *CUT) as error:
                if isinstance(error, KubeError) and error.status in {401, 403}:
                    raise
                # The pod or its node is gone, and its log with it.
                self._log.warning("The log of %s is not complete: %s", self._name, error)

    async def _remove(self) -> None:
        """Delete the pod, which has ended. Another one may do it, too."""
        try:
            await self._api.delete(self._name, uid=self._state.uid, grace=0)
        except (KubeError, *CUT) as error:
            self._log.warning("The build pod %s cannot be deleted: %s", self._name, error)
