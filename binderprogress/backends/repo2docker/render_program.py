"""The program that picks a buildpack and makes its build context: ``python -m … FOLDER``.

It examines the repository in the current folder, with repo2docker's code. Strangers wrote what it
reads, so it runs where fetching does: in a namespace, where that works; see `isolated_buildpack`.
In ``FOLDER`` it finds a `RenderTask` and leaves a `Rendered`, and the context beside it. Its output
is read by `processes.messages`.
"""

from __future__ import annotations

import logging
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from ..buildpacks import pick_buildpack
from ..processes.messages import MessageHandler, print_message

__all__ = ["CONTEXT", "RESULT", "TASK", "RenderTask", "Rendered"]

CONTEXT, RESULT, TASK = "context", "result.json", "task.json"
"""Names in the folder: the build context, a `Rendered`, and a `RenderTask`."""


class RenderTask(msgspec.Struct, frozen=True):
    """How repo2docker is configured, as far as buildpacks need to know."""

    base_image: str
    platform: str
    appendix: str
    labels: Mapping[str, str]
    build_args: Mapping[str, str]


class Rendered(msgspec.Struct, frozen=True):
    """What was made of a repository.

    Attributes
    ----------
    buildpack : str
        The name of the buildpack's class.
    dockerfile : str
        For a repository that brings its own: where that is in the repository, which is the context.
        Empty if there is a context with a Dockerfile that repo2docker wrote.
    """

    buildpack: str
    dockerfile: str


class _ContextWriter:
    """Takes the place of a container engine and unpacks the context that it is given."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.dockerfile = ""

    def build(
        self, *, fileobj: IO[bytes] | None = None, dockerfile: str = "", **_: Any
    ) -> Iterator[str]:
        """Write the context; see `repo2docker.engine.ContainerEngine.build`."""
        if fileobj is None:
            self.dockerfile = dockerfile
        else:
            with tarfile.open(fileobj=fileobj) as tar:
                # "data" does not try to set owners, which a namespace does not permit.
                tar.extractall(self._folder, filter="data")
        return iter(())


def main() -> int:
    """Render the repository in the current folder."""
    folder = Path(sys.argv[1])
    logger = logging.getLogger("repo2docker")
    logger.addHandler(MessageHandler())
    logger.setLevel(logging.INFO)
    try:
        task = msgspec.json.decode((folder / TASK).read_bytes(), type=RenderTask)
        rendered = _render(task, folder / CONTEXT)
        (folder / RESULT).write_bytes(msgspec.json.encode(rendered))
    except Exception as error:  # noqa: BLE001 - reported, and the process ends
        # Parsers of YAML, TOML and the like raise many kinds.
        print_message(str(error) or repr(error), failed=True)
        return 1
    return 0


def _render(task: RenderTask, context: Path) -> Rendered:
    buildpack = pick_buildpack(task.base_image)
    buildpack.platform = task.platform
    buildpack.appendix = task.appendix
    buildpack.labels.update(task.labels)
    writer = _ContextWriter(context)
    for line in buildpack.build(
        writer, "", 0, dict(task.build_args), [], {}, platform=task.platform
    ):
        print_message(line)
    return Rendered(type(buildpack).__name__, writer.dockerfile)


if __name__ == "__main__":
    sys.exit(main())
