"""Builds images with repo2docker and docker or podman."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from platformdirs import user_data_path
from traitlets import Bool, Enum, Integer, List, Unicode

from ..._share import share_path
from ..._temporary import OwnedFolder
from ...core.log.reader import Record
from ...core.log.reasons import failure
from ...core.phases import COURSE, UNPUSHED, Phase
from ...core.timing.estimator import TYPICAL
from ..base import (
    PLAIN_CODEC,
    BackendProfile,
    BuildItems,
    BuildResult,
    Environment,
    ResolvedSpec,
    WaitForTurn,
)
from ..disk import full_disk_fails
from ..fetch.git import GitResolver
from ..fetch.proxy import FetchProxy
from ..processes.child import Process, check_exit, run
from ..processes.environment import ENGINE, PUSH, SYSTEM, engine_folders, private_home, select
from .images import ENVIRONMENT_LABEL, REUSED_LABEL, Images
from .reuse import Base, Reuse

__all__ = ["Repo2dockerBuilder"]

_ENGINES = {"docker": "docker", "podman": "binderprogress-podman"}


_DIGEST = 32
"""Number of hexadecimal digits. Attack: with 32 bits, an address with the digest of another
repository is found within a minute, and its image is run in the name of that repository."""


class Repo2dockerBuilder(GitResolver):
    """Builds an image of each commit with ``jupyter-repo2docker`` as a child process."""

    engine = Enum(list(_ENGINES), "docker", help="The container engine.").tag(config=True)

    image_prefix = Unicode(
        "localhost/binderprogress-",
        help="Prefix of the names of images. With a registry: registry.example.org/prefix-",
    ).tag(config=True)

    push = Bool(False, help="Whether images are pushed to their registry.").tag(config=True)

    user_id = Integer(1000, help="The user id in the image. It must not be 0.").tag(config=True)

    user_name = Unicode("jovyan", help="The user name in the image.").tag(config=True)

    extra_args = List(
        Unicode(), help="Additional arguments for jupyter-repo2docker, before the repository."
    ).tag(config=True)

    codec = PLAIN_CODEC

    reuse = Bool(
        True,
        help="Whether to reuse the image of the same commit. If False, each build makes its own.",
    ).tag(config=True)

    reuse_environment = Bool(
        False,
        help="""
        Whether to make the image of a commit from that of another commit of the same repository,
        if their environment files are the same. Only if nothing else in the repository can matter:
        there is no Dockerfile, postBuild or start, and no package of the repository is installed.
        """,
    ).tag(config=True)

    budget = Integer(
        50 * 2**30,
        min=0,
        help="""
        Size of the images that were built here, in bytes. When it is used up, the least recently
        used ones are removed, but none that a container uses, or that was used within 15 minutes.
        Layers that images share count in each. 0: no limit.
        """,
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.images = Images(self.engine, user_data_path("binderprogress") / "images")
        """The images that were built here."""
        self._shrinking: asyncio.Task[None] | None = None

    @property
    def profile(self) -> BackendProfile:
        """Properties of the backend. Without a registry, nothing is pushed."""
        typical = {
            Phase.WAITING: 0.5,
            Phase.FETCHING: 2.0,
            Phase.BUILDING: 60.0,
            Phase.LAUNCHING: 3.0,
        }
        return BackendProfile(
            typical=TYPICAL if self.push else typical,
            phases=COURSE if self.push else UNPUSHED,
            reads_private=self.credentials,
            finds=True,
        )

    async def check(self) -> dict[str, Any]:
        """Check that the container engine responds, and return its name.

        Raises
        ------
        LaunchFailedError
            If it does not.
        """
        await super().check()
        code, _ = await run([self.engine, "version"], timeout=self.timeout, keep_daemons=True)
        if code:
            raise failure("no-engine")
        return {"engine": self.engine}

    def image(self, resolved: ResolvedSpec, *, anew: str = "") -> str:
        """Return the name of a commit's image.

        Parameters
        ----------
        resolved : ResolvedSpec
        anew : str, optional
            Distinguishes an image that is not to be reused.
        """
        name = re.sub(r"[^a-z0-9]+", "-", resolved.title.lower()).strip("-")[:40]
        tag = f"{resolved.commit}-{anew}" if anew else resolved.commit
        return f"{self.image_prefix}{name}-{_digest(resolved)}:{tag}"

    def arguments(self, resolved: ResolvedSpec, image: str) -> list[str]:
        """Return the command line that builds a commit's image of a given name."""
        return [
            sys.executable,
            # Nothing is imported from the current folder.
            "-P",
            "-m",
            "repo2docker",
            *("--engine", _ENGINES[self.engine]),
            *("--config", str(share_path("repo2docker_config.py"))),
            *("--ref", resolved.commit),
            *("--image-name", image),
            *("--user-id", str(self.user_id)),
            *("--user-name", self.user_name),
            "--json-logs",
            "--no-run",
            "--push" if self.push else "--no-push",
            *self.extra_args,
            resolved.address,
        ]

    async def build(self, resolved: ResolvedSpec) -> BuildItems:
        """Build the image, or find an existing one; see `base.Builder.build`."""
        image = self.image(resolved, anew="" if self.reuse else secrets.token_hex(8))
        if not self.reuse or await self.images.created(image) is None:
            yield WaitForTurn()
        with full_disk_fails():
            async with (
                self.network.proxy() as proxy,
                aclosing(self._build(resolved, image, proxy)) as items,
            ):
                async for item in items:
                    yield item

    async def find(self, resolved: ResolvedSpec) -> Environment | None:
        """Return an image that exists; see `base.Finder`."""
        if not self.reuse:
            return None
        image = self.image(resolved)
        found = await self.images.details(image)
        if found is None:
            return None
        return Environment(image, self.engine, found.created, found.committed)

    async def _build(
        self, resolved: ResolvedSpec, image: str, proxy: FetchProxy | None
    ) -> AsyncGenerator[Record | BuildResult, None]:
        found = False
        names = (*SYSTEM, *ENGINE, *(PUSH if self.push else ()), *self.pass_environment)
        env = {
            **select(names),
            **engine_folders(),
            **(await self.fetch_plan(resolved, proxy)).environment,
            **(await self._reusable(resolved)),
            "LC_ALL": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
        }
        # The checkout is created in this folder, which no other user can read or write.
        with (
            private_home() as home,
            OwnedFolder("fetch") as folder,
        ):
            env |= home
            # Other limits would apply to the engine. It has its own settings for them.
            limits = {"core": 0}
            argv = self.arguments(resolved, image)
            async with Process(argv, env=env, cwd=folder, limits=limits) as process:
                async for line in process.lines():
                    # Printed by repo2docker after it has fetched the repository.
                    found = found or "Reusing existing image" in line
                    yield Record("repo2docker", line)
                code = await process.wait()
                for problem in proxy.problems if proxy and code else ():
                    yield Record("repo2docker", f"{problem}\n")
                check_exit(code)
        reused = await self._reused(image)
        await self._note(image, *reused)
        yield BuildResult(image, found=found or bool(reused))

    async def _reusable(self, resolved: ResolvedSpec) -> dict[str, str]:
        """Return the variables that tell a build which images it can reuse."""
        if not (self.reuse and self.reuse_environment):
            return {}
        repository = _digest(resolved)
        # Of several with the same environment, the newest one counts.
        bases = {
            details.labels[ENVIRONMENT_LABEL]: Base(name, details.created)
            for name, details in (await self.images.of(repository)).items()
            if details.labels.get(ENVIRONMENT_LABEL)
        }
        return Reuse(repository, bases).environment

    async def _reused(self, image: str) -> list[str]:
        """Return the image whose environment an image has, if it is that of another one."""
        details = await self.images.details(image) if self.reuse_environment else None
        name = details.labels.get(REUSED_LABEL) if details is not None else None
        return [name] if name else []

    async def _note(self, *images: str) -> None:
        """Note that images are used, and remove others if there are too many."""
        try:
            for image in images:
                await asyncio.to_thread(self.images.use, image)
        except OSError as error:
            self.log.warning("The use of an image cannot be noted: %s", error)
        if self._shrinking is None or self._shrinking.done():
            self._shrinking = asyncio.create_task(self.shrink())

    async def remove_stopped_builds(self) -> None:
        """Remove what builds have left in the engine's storage that were stopped or killed."""
        try:
            if number := await self.images.remove_stopped_builds():
                self.log.info("Removed %d containers of builds that were stopped.", number)
        except (OSError, TimeoutError, ValueError) as error:
            self.log.warning("Containers of builds could not be removed: %s", error)

    async def shrink(self) -> None:
        """Remove the least recently used images that exceed the budget."""
        if not self.budget:
            return
        try:
            for image in await self.images.shrink(self.budget):
                self.log.info("Removed the image %s to make room.", image.name)
        except (OSError, TimeoutError, ValueError) as error:
            self.log.warning("Images could not be removed: %s", str(error) or "no answer in time")

    async def close(self) -> None:
        """End what runs in the background."""
        if self._shrinking is not None:
            self._shrinking.cancel()
            await asyncio.gather(self._shrinking, return_exceptions=True)


def _digest(resolved: ResolvedSpec) -> str:
    """Identify the repository of an image."""
    return hashlib.sha256(resolved.address.encode()).hexdigest()[:_DIGEST]
