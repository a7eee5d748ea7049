"""Builds environments on this machine with uv, as repo2docker's detection asks for."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
import sys
import sysconfig
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from platform import libc_ver
from typing import Any

from platformdirs import user_cache_path
from traitlets import Bool, Enum, Integer, List, Unicode, default

from ...core.log.reader import Record
from ...core.phases import UNPUSHED, Phase
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
from ..fetch.git import GitResolver, git_environment
from ..fetch.proxy import FetchProxy
from ..processes.child import Process, check_exit
from ..processes.environment import PACKAGES, private_home, select
from .environments import Environments, built_at, committed_at
from .marker import MARKER
from .usage import use

__all__ = ["LocalBuilder"]

_VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"

# Increased when environments are built differently, so that old ones are not reused.
_LAYOUT = "4"

_USER_FOLDERS = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
"""Variables with which uv finds its folders, besides that of the home."""


class LocalBuilder(GitResolver):
    """Creates a virtual environment for each commit, with the packages of pip that it needs.

    It supports requirements.txt, pyproject.toml or setup.py, runtime.txt, postBuild and start, in
    the root of the repository or in its binder folder. Repositories with other configuration files
    of repo2docker need a container engine. They fail with a message that names the file.
    """

    codec = PLAIN_CODEC

    @property
    def profile(self) -> BackendProfile:
        """Properties of the backend, for a machine with a warm package cache."""
        return BackendProfile(
            typical={
                Phase.WAITING: 0.5,
                Phase.FETCHING: 2.0,
                Phase.BUILDING: 10.0,
                Phase.LAUNCHING: 3.0,
            },
            phases=UNPUSHED,
            # In a new environment, Python first compiles the modules that it imports.
            first_start=1.7,
            runs_on_host=True,
            reads_private=self.credentials,
            finds=True,
        )

    environments = Unicode(help="Folder of the environments, which has one for each commit.").tag(
        config=True
    )

    @default("environments")
    def _default_environments(self) -> str:
        return str(user_cache_path("binderprogress") / "environments")

    budget = Integer(
        20 * 2**30,
        min=0,
        help="""
        Disk space for environments, in bytes. When it is used up, the least recently used ones are
        removed, but none that a server uses, or that was used within 15 minutes. 0: no limit.
        """,
    ).tag(config=True)

    base_packages = List(
        Unicode(),
        ["jupyterlab>=4", "notebook>=7"],
        help="Packages to install in every environment, as requirements of pip.",
    ).tag(config=True)

    reuse = Bool(
        True,
        help="""
        Whether to reuse environments: that of the same commit, and that of another commit or
        repository whose environment files are the same. If False, each build makes its own.
        """,
    ).tag(config=True)

    ignore_repository = Bool(
        False,
        help="""
        Whether an environment with a postBuild, or with the package of a repository, is also reused
        for other commits, as long as the environment files are the same. Use it if these depend on
        no other files, and write none into the repository.
        """,
    ).tag(config=True)

    link_mode = Enum(
        ["copy", "clone", "hardlink", "symlink"],
        "copy",
        help="""
        How uv installs packages from its cache into an environment.

        With "copy", each environment has its own files. The others take less time and space, but
        environments of different repositories may share files. If a postBuild script or a notebook
        of one repository changes an installed package, it changes in all of them.
        """,
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stored = Environments(Path(self.environments).expanduser())
        """The environments on this machine."""
        self._shrinking: asyncio.Task[None] | None = None

    def folder(self, resolved: ResolvedSpec, *, anew: str = "") -> Path:
        """Return the folder of a commit's environment.

        Parameters
        ----------
        resolved : ResolvedSpec
        anew : str, optional
            Distinguishes an environment that is not to be reused.
        """
        parts = [_LAYOUT, resolved.key, _VERSION, *self.base_packages, *filter(None, [anew])]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
        name = re.sub(r"[^a-z0-9]+", "-", resolved.title.lower()).strip("-")[:40]
        return Path(self.environments).expanduser() / f"{name}-{digest}"

    async def build(self, resolved: ResolvedSpec) -> BuildItems:
        """Build the environment, or find an existing one; see `base.Builder.build`."""
        folder = self.folder(resolved, anew="" if self.reuse else secrets.token_hex(8))
        if await asyncio.to_thread(_is_there, folder):
            yield BuildResult(str(folder), found=True)
            return
        yield WaitForTurn()
        task = {
            "repo_url": resolved.address,
            "commit": resolved.commit,
            "ref": resolved.spec.ref,
            "folder": str(folder),
            "base_packages": list(self.base_packages),
            "link_mode": self.link_mode,
            "made_with": [_LAYOUT, _VERSION, sysconfig.get_platform(), *libc_ver()],
            "reuse": self.reuse,
            "ignore_repository": self.ignore_repository,
            "user_folders": {**select(_USER_FOLDERS), "HOME": str(Path.home())},
        }
        try:
            with full_disk_fails():
                async with (
                    self.network.proxy() as proxy,
                    aclosing(self._run(task, resolved, proxy)) as records,
                ):
                    async for record in records:
                        yield record
        except BaseException:
            # Attack: builds that fail or are cancelled, one after the other, fill the disk.
            await asyncio.shield(asyncio.to_thread(self.stored.remove_incomplete))
            raise
        found = await asyncio.to_thread(_was_reused, folder)
        self._shrink_in_background()
        yield BuildResult(str(folder), found=found)

    async def find(self, resolved: ResolvedSpec) -> Environment | None:
        """Return an environment that exists; see `base.Finder`."""
        if not self.reuse:
            return None
        return await asyncio.to_thread(_found, self.folder(resolved))

    def remove_incomplete(self) -> None:
        """Remove environments whose build was killed, and then as many as exceed the budget."""
        for folder in self.stored.remove_incomplete():
            self.log.info("Removed the incomplete environment %s.", folder.name)
        self._shrink()

    async def close(self) -> None:
        """Wait for what runs in the background."""
        if self._shrinking is not None:
            await asyncio.gather(self._shrinking, return_exceptions=True)

    def _shrink_in_background(self) -> None:
        if self._shrinking is None or self._shrinking.done():
            self._shrinking = asyncio.create_task(asyncio.to_thread(self._shrink))

    def _shrink(self) -> None:
        if self.budget:
            for environment in self.stored.shrink(self.budget):
                self.log.info("Removed the environment %s to make room.", environment.folder.name)

    async def _run(
        self, task: Mapping[str, Any], resolved: ResolvedSpec, proxy: FetchProxy | None
    ) -> AsyncGenerator[Record, None]:
        plan = await self.fetch_plan(resolved, proxy)
        # The process of the build has these limits, and those that it starts inherit them.
        plan = plan._replace(limits={})
        program = "binderprogress.backends.local.build_program"
        # -P: the current folder may be a repository with its own json.py.
        argv = [sys.executable, "-P", "-u", "-m", program, json.dumps(task)]
        # A repository's setup.py sees only these variables of our environment.
        env = git_environment(
            credentials=self.credentials, more=(*PACKAGES, *self.pass_environment)
        )
        with private_home() as home:
            env |= {**home, **plan.environment}
            async with Process(argv, env=env, limits=self.resource_limits) as process:
                async with aclosing(process.lines()) as lines:
                    async for line in lines:
                        yield Record("repo2docker", line)
                code = await process.wait()
        for problem in proxy.problems if proxy and code else ():
            yield Record("repo2docker", f"{problem}\n")
        check_exit(code)


def _found(folder: Path) -> Environment | None:
    built = built_at(folder)
    if built is None:
        return None
    return Environment(str(folder), "local", built, committed_at(folder))


def _was_reused(folder: Path) -> bool:
    """Whether the packages of an environment were there already. It counts as used now."""
    try:
        with use(folder):
            return bool(json.loads((folder / MARKER).read_text())["reused"])
    except OSError:
        return False  # it is being removed: the start of the server says so


def _is_there(folder: Path) -> bool:
    """Whether an environment is complete. It counts as used now."""
    try:
        with use(folder):
            return True
    except OSError:
        return False  # it does not exist, is incomplete, or is being removed
