"""The program that picks a buildpack and creates its build context: ``python -m … FOLDER``.

It examines the repository in the current folder with repo2docker's code. The repository is not
trusted, so the program runs in a namespace where that works, as fetching does; see
`isolated_buildpack`. It reads a `RenderTask` from ``FOLDER``, and writes a `Rendered` and the
context there. `processes.messages` reads its output.
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
from ..processes.message_handler import MessageHandler
from ..processes.messages import print_message
from .environment_key import environment_key

__all__ = ["CONTEXT", "RESULT", "TASK", "RenderTask", "Rendered"]

CONTEXT, RESULT, TASK = "context", "result.json", "task.json"
"""Names in the folder: the build context, a `Rendered`, and a `RenderTask`."""


class RenderTask(msgspec.Struct, frozen=True):
    """The configuration of repo2docker that buildpacks need.

    `wants_key` is whether to say what identifies the environment.
    """

    base_image: str
    platform: str
    appendix: str
    labels: Mapping[str, str]
    build_args: Mapping[str, str]
    wants_key: bool = False


class Rendered(msgspec.Struct, frozen=True):
    """The result of rendering a repository.

    Attributes
    ----------
    buildpack : str
        The name of the buildpack's class.
    dockerfile : str
        Path of the repository's own Dockerfile, if it has one. The repository is the context then.
        Empty: repo2docker has written a context with a Dockerfile.
    environment : str
        What identifies the environment; see `environment_key`. Empty: it is that of this commit.
    """

    buildpack: str
    dockerfile: str
    environment: str = ""


class _ContextWriter:
    """Replaces the container engine, and unpacks the context instead of building it."""

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
                # The filter "data" does not set owners, which a namespace does not permit.
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
    key = environment_key(buildpack, task.build_args) if task.wants_key else ""
    return Rendered(type(buildpack).__name__, writer.dockerfile, key)


if __name__ == "__main__":
    sys.exit(main())
