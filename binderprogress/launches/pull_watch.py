"""Says how large the image is that is pulled for a launch, and how long that takes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from ..backends.base import AnyBackend, Sizer
from ..core.kubernetes.pulls import node_of, pulled
from ..core.log.reader import Note
from ..core.timing.pulls import size_text
from .event_writer import Writer
from .learner import Learner

__all__ = ["PullWatch"]


class PullWatch:
    """Reads what Kubernetes says of one launch, and learns from it.

    Parameters
    ----------
    backend : Backend
    image : str
        What is launched.
    writer : Writer
        Of the launch.
    learner : Learner
    log : logging.Logger
    """

    def __init__(
        self,
        backend: AnyBackend,
        image: str,
        *,
        writer: Writer,
        learner: Learner,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._writer = writer
        self._learner = learner
        self._log = log
        self._node = ""
        self._size = 0
        self._asking: asyncio.Task[None] | None = None
        if backend.profile.sizes and isinstance(backend, Sizer):
            # Meanwhile, the server is requested and scheduled.
            self._asking = asyncio.create_task(self._ask(backend, image), name="size of an image")

    async def _ask(self, backend: Sizer, image: str) -> None:
        try:
            self._size = await backend.image_size(image)
        except Exception:  # noqa: BLE001 - the launch goes on without
            self._log.exception("The size of %s cannot be found out", image)

    def __enter__(self) -> PullWatch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._asking is not None:
            self._asking.cancel()

    def read(self, note: Note) -> Note:
        """Return a note, with the size and the time in the step if it begins the pull."""
        step, message = note.step, note.message
        if step is None:
            return note
        if step.key == "scheduled":
            self._node = node_of(message) or self._node
        elif step.key == "pulled" and (done := pulled(message)) is not None:
            size = done.size or self._size
            self._learner.pulls.add(size, done.seconds, node=self._node)
        elif step.key == "pulling" and self._size:
            expected = self._learner.pulls.expect(self._size, node=self._node)
            self._writer.estimator.pull_time = expected
            seconds = expected.median
            # Without words: pages show it in every language.
            about = f"~{seconds:.0f} s" if seconds < 90 else f"~{seconds / 60:.0f} min"
            label = f"{step.label} ({size_text(self._size)}, {about})"
            return msgspec.structs.replace(note, step=msgspec.structs.replace(step, label=label))
        return note
