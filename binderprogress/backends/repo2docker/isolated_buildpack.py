"""The buildpack for repo2docker that examines repositories in a separate process.

Attack: repo2docker parses files of a repository in the process that connects to the container
engine, which is as powerful as root. So the real buildpack runs in another process, in a namespace
where that works. The namespace has the checkout, Python and the folders of the system, all
read-only. It has neither the socket and storage of the engine nor the files and variables of the
server. The result is a build context, which is checked before the engine reads it.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from repo2docker.engine import ContainerEngineException

from ..fetch.checkout import UnsafeCheckoutError, check_checkout
from ..fetch.commit_date import read_commit_date
from ..fetch.options import FetchPlan
from ..processes.environment import ENGINE, PUSH, exclude
from ..processes.limits import limited
from ..processes.messages import ProgramError, program_messages
from ..processes.sandbox import sandboxed
from .images import COMMITTED_LABEL
from .render_program import CONTEXT, RESULT, TASK, Rendered, RenderTask
from .reuse import Reuse, make_reusable, thin_dockerfile, thin_labels

__all__ = ["BuildContext", "isolated_buildpack", "render"]

_DOCKERFILES = ("Dockerfile", "binder/Dockerfile", ".binder/Dockerfile")
_LONGEST_RESULT = 4096
_KEY = re.compile("(?:[0-9a-f]{32})?")


class BuildContext(msgspec.Struct, frozen=True):
    """A build context for the container engine.

    Attributes
    ----------
    buildpack : str
        The name of the buildpack.
    path : Path
        The folder of the context.
    dockerfile : Path
        The Dockerfile in `path`.
    is_own : bool
        Whether the Dockerfile comes from the repository.
    environment : str
        What identifies the environment; see `environment_key`. Empty: it is that of this commit.
    """

    buildpack: str
    path: Path
    dockerfile: Path
    is_own: bool
    environment: str = ""


def render(
    plan: FetchPlan, task: RenderTask, *, source: Path, checkout: Path, folder: Path
) -> Iterator[str | BuildContext]:
    """Run `render_program` on a checkout that was checked, and check its result.

    Parameters
    ----------
    plan : FetchPlan
        The plan of the fetch. The program has the same limits and namespace.
    task : RenderTask
    source : Path
        The folder to build: the checkout, or a folder in it.
    checkout : Path
    folder : Path
        A folder for the context, which must not exist. No other user may have write permission for
        its parent.

    Yields
    ------
    str or BuildContext
        Messages, and finally the context.

    Raises
    ------
    ProgramError
        If the repository cannot be built. The message says why.
    UnsafeCheckoutError
        If a path in the context is not safe to read.
    """
    folder.mkdir(mode=0o700)
    (folder / TASK).write_bytes(msgspec.json.encode(task))
    module = f"{__package__}.render_program"
    argv = [sys.executable, "-P", "-u", "-m", module, str(folder)]
    if plan.sandbox:
        argv = sandboxed(argv, writable=folder, folder=source, readable=[str(checkout)])
    env = {
        **exclude((*ENGINE, *PUSH), os.environ),
        "HOME": str(folder),
        "TMPDIR": str(folder),
    }
    yield from program_messages(
        limited(argv, plan.limits), env=env, cwd=source, activity="Examining the repository"
    )
    yield _checked_context(folder, source, checkout)


def _checked_context(folder: Path, source: Path, checkout: Path) -> BuildContext:
    """Return the result of the program, which is not trusted."""
    check_checkout(folder)
    result = folder / RESULT
    if result.stat().st_size > _LONGEST_RESULT:
        raise ProgramError("Examining the repository gave a result that is too long.")
    try:
        rendered = msgspec.json.decode(result.read_bytes(), type=Rendered)
    except msgspec.MsgspecError as error:
        raise ProgramError(f"Examining the repository gave an invalid result: {error}.") from None
    is_own = bool(rendered.dockerfile)
    if is_own and rendered.dockerfile not in _DOCKERFILES:
        raise UnsafeCheckoutError("Examining the repository gave a Dockerfile from elsewhere.")
    path = source if is_own else folder / CONTEXT
    dockerfile = path / (rendered.dockerfile or "Dockerfile")
    root = checkout if is_own else folder
    if not dockerfile.is_file() or not dockerfile.resolve().is_relative_to(root.resolve()):
        raise ProgramError("Examining the repository gave no Dockerfile.")
    key = "" if is_own else rendered.environment
    if not _KEY.fullmatch(key):
        raise ProgramError("Examining the repository gave an environment without a valid key.")
    return BuildContext(rendered.buildpack, path, dockerfile, is_own, key)


class _IsolatedBuildpack:
    """Stands for the buildpack that the separate process picks."""

    plan: FetchPlan
    checkout: Path
    reuse: Reuse | None

    def __init__(self, base_image: str) -> None:
        # repo2docker sets these.
        self.base_image = base_image
        self.labels: dict[str, Any] = {}
        self.platform = ""
        self.appendix = ""
        self._context: BuildContext | None = None

    def detect(self) -> bool:
        """Return True: it is the only buildpack."""
        return True

    def render(self, build_args: Mapping[str, str] | None = None) -> str:
        """Return the Dockerfile."""
        return self._render(build_args or {}).dockerfile.read_text(errors="replace")

    def build(
        self,
        client: Any,
        image_spec: str,
        memory_limit: int,
        build_args: Mapping[str, str],
        cache_from: Sequence[str],
        extra_build_kwargs: Mapping[str, Any],
        platform: str | None = None,
    ) -> Iterator[Any]:
        """Build the image; see `repo2docker.buildpacks.BuildPack.build`."""
        context = self._render(build_args)
        limits = {"memory": memory_limit, "memswap": memory_limit} if memory_limit else {}
        build = partial(
            client.build,
            path=str(context.path),
            tag=image_spec,
            buildargs=build_args,
            container_limits=limits,
            cache_from=cache_from,
            platform=platform,
            **extra_build_kwargs,
        )
        if self.reuse is not None and context.environment:
            if base := self.reuse.bases.get(context.environment):
                thin = thin_dockerfile(context.path, base, str(build_args["NB_UID"]))
                yield base.message
                try:
                    yield from build(dockerfile=str(thin), labels=thin_labels(self.labels, base))
                except (ContainerEngineException, subprocess.CalledProcessError) as error:
                    # It may have been removed meanwhile.
                    yield f"It cannot be reused: {error}\n"
                else:
                    return
            make_reusable(context.path, context.environment, self.reuse.repository)
        # Dockerfiles of repo2docker already contain labels.
        labels = self.labels if context.is_own else {}
        yield from build(dockerfile=str(context.dockerfile), labels=labels)

    def _render(self, build_args: Mapping[str, str]) -> BuildContext:
        if self._context is None:
            committed = read_commit_date(self.checkout)
            if committed is not None:
                self.labels[COMMITTED_LABEL] = f"{committed:.0f}"
            task = RenderTask(
                base_image=self.base_image,
                platform=self.platform,
                appendix=self.appendix,
                labels={name: str(value) for name, value in self.labels.items()},
                build_args=build_args,
                wants_key=self.reuse is not None,
            )
            folder = self.checkout.with_name("rendered")
            for item in render(
                self.plan, task, source=Path.cwd(), checkout=self.checkout, folder=folder
            ):
                if isinstance(item, BuildContext):
                    self._context = item
                    # repo2docker logs this name.
                    type(self).__name__ = item.buildpack
                else:
                    logging.getLogger("repo2docker").info(item)
        if self._context is None:
            raise ProgramError("Examining the repository gave no result.")
        return self._context


def isolated_buildpack(plan: FetchPlan, checkout: Path, reuse: Reuse | None = None) -> type:
    """Return the only buildpack for ``c.Repo2Docker.buildpacks``.

    Parameters
    ----------
    plan : FetchPlan
    checkout : Path
        Where the repository is fetched to. No other user may have write permission for its parent.
    reuse : Reuse, optional
        The images of other commits that can be reused. None: none can, now or later.
    """
    settings = {"plan": plan, "checkout": checkout, "reuse": reuse}
    return type("Isolated", (_IsolatedBuildpack,), settings)
