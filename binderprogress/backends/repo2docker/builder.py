"""Builds images with repo2docker and docker or podman."""

from __future__ import annotations

import asyncio
import hashlib
import re
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
from .images import Images

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

    def image(self, resolved: ResolvedSpec) -> str:
        """Return the name of a commit's image."""
        digest = hashlib.sha256(resolved.address.encode()).hexdigest()[:_DIGEST]
        name = re.sub(r"[^a-z0-9]+", "-", resolved.title.lower()).strip("-")[:40]
        return f"{self.image_prefix}{name}-{digest}:{resolved.commit}"

    def arguments(self, resolved: ResolvedSpec) -> list[str]:
        """Return the command line that builds a commit's image."""
        return [
            sys.executable,
            # Nothing is imported from the current folder.
            "-P",
            "-m",
            "repo2docker",
            *("--engine", _ENGINES[self.engine]),
            *("--config", str(share_path("repo2docker_config.py"))),
            *("--ref", resolved.commit),
            *("--image-name", self.image(resolved)),
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
        if await self.images.created(self.image(resolved)) is None:
            yield WaitForTurn()
        with full_disk_fails():
            async with (
                self.network.proxy() as proxy,
                aclosing(self._build(resolved, proxy)) as items,
            ):
                async for item in items:
                    yield item

    async def find(self, resolved: ResolvedSpec) -> Environment | None:
        """Return an image that exists; see `base.Finder`."""
        image = self.image(resolved)
        created = await self.images.created(image)
        return None if created is None else Environment(image, self.engine, created)

    async def _build(
        self, resolved: ResolvedSpec, proxy: FetchProxy | None
    ) -> AsyncGenerator[Record | BuildResult, None]:
        found = False
        names = (*SYSTEM, *ENGINE, *(PUSH if self.push else ()), *self.pass_environment)
        env = {
            **select(names),
            **engine_folders(),
            **(await self.fetch_plan(resolved, proxy)).environment,
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
            async with Process(
                self.arguments(resolved), env=env, cwd=folder, limits=limits
            ) as process:
                async for line in process.lines():
                    # Printed by repo2docker after it has fetched the repository.
                    found = found or "Reusing existing image" in line
                    yield Record("repo2docker", line)
                code = await process.wait()
                for problem in proxy.problems if proxy and code else ():
                    yield Record("repo2docker", f"{problem}\n")
                check_exit(code)
        await self._note(self.image(resolved))
        yield BuildResult(self.image(resolved), found=found)

    async def _note(self, image: str) -> None:
        """Note that an image is used, and remove others if there are too many."""
        try:
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
