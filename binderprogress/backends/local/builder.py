"""Environments on this machine without a container engine: repo2docker's detection, uv's speed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from traitlets import Enum, List, Unicode, default

from ...core.log.reader import Record
from ...core.phases import Phase
from ...core.printable import plain
from ...errors import LaunchFailedError
from ..base import Attempt, BackendProfile, BuildResult, ResolvedSpec
from ..fetch.git import GitResolver, git_environment
from ..fetch.options import FetchPlan
from ..fetch.proxy import FetchProxy
from ..processes.child import Process, check_exit, run
from ..processes.environment import PACKAGES, private_home

__all__ = ["MARKER", "LocalBuilder"]

MARKER = "binderprogress.json"
"""The file that an environment has when it is whole."""

# Changes when environments are made in another way, so that old ones are not taken for new ones.
_LAYOUT = "2"


class LocalBuilder(GitResolver):
    """Makes a virtual environment for each commit, with what repo2docker would install by pip.

    It honours requirements.txt, pyproject.toml or setup.py, runtime.txt, postBuild and start, in
    the repository's root or its binder folder. Everything else that repo2docker knows needs a
    container engine, and is refused with a sentence that names the file.
    """

    _uv_folders: Mapping[str, str] = {}

    @property
    def profile(self) -> BackendProfile:
        """Seconds are those of an ordinary machine with a warm package cache."""
        return BackendProfile(
            typical={
                Phase.WAITING: 0.5,
                Phase.FETCHING: 2.0,
                Phase.BUILDING: 10.0,
                Phase.LAUNCHING: 3.0,
            },
            # In a new environment, Python first compiles what it imports.
            first_start=1.7,
            runs_on_host=True,
            reads_private=self.credentials,
        )

    environments = Unicode(help="The folder where environments are kept, one per commit.").tag(
        config=True
    )

    @default("environments")
    def _default_environments(self) -> str:
        return str(user_cache_path("binderprogress") / "environments")

    base_packages = List(
        Unicode(),
        ["jupyterlab>=4", "notebook>=7"],
        help="Packages that every environment has, as pip's requirements.",
    ).tag(config=True)

    link_mode = Enum(
        ["copy", "clone", "hardlink", "symlink"],
        "copy",
        help="""
        How uv puts packages of its cache into an environment.

        copy: each environment has files of its own. With the others it takes less time and disk,
        but the environments of different repositories may share files: what one repository's
        postBuild or notebook writes into an installed package is then in all of them.
        """,
    ).tag(config=True)

    def folder(self, resolved: ResolvedSpec) -> Path:
        """Return where the environment of a commit is kept."""
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        parts = [_LAYOUT, resolved.key, version, *self.base_packages]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
        name = re.sub(r"[^a-z0-9]+", "-", resolved.title.lower()).strip("-")[:40]
        return Path(self.environments).expanduser() / f"{name}-{digest}"

    async def build(
        self, resolved: ResolvedSpec
    ) -> AsyncGenerator[Record | Attempt | BuildResult, None]:
        """Make the environment, or find it; see `base.Builder.build`."""
        folder = self.folder(resolved)
        if (folder / MARKER).is_file():
            yield BuildResult(str(folder), found=True)
            return
        task = {
            "repo_url": resolved.address,
            "commit": resolved.commit,
            "ref": resolved.spec.ref,
            "folder": str(folder),
            "base_packages": list(self.base_packages),
            "link_mode": self.link_mode,
        }
        try:
            async with self.network.proxy() as proxy:
                plan = await self.fetch_plan(resolved, proxy)
                async with aclosing(self._run(task, plan, proxy)) as records:
                    async for record in records:
                        yield record
        finally:
            # Attack: builds that fail or are cancelled, one after the other, fill the disk.
            await asyncio.shield(asyncio.to_thread(_remove_unless_whole, folder))
        yield BuildResult(str(folder))

    async def _run(
        self, task: Mapping[str, Any], plan: FetchPlan, proxy: FetchProxy | None
    ) -> AsyncGenerator[Record, None]:
        program = "binderprogress.backends.local.build_program"
        # -P: we may be run in a repository that has a json.py of its own.
        argv = [sys.executable, "-P", "-u", "-m", program, json.dumps(task)]
        # Of what we have in our environment, a repository's setup.py gets what it needs by name.
        env = git_environment(
            credentials=self.credentials, more=(*PACKAGES, *self.pass_environment)
        )
        env |= await self._kept_by_uv()
        with private_home() as home:
            env |= {**home, **plan.environment}
            async with Process(argv, env=env, limits=self.resource_limits) as process:
                async for line in process.lines():
                    yield Record("repo2docker", line)
                code = await process.wait()
        for problem in proxy.problems if proxy and code else ():
            yield Record("repo2docker", f"{problem}\n")
        check_exit(code)

    async def _kept_by_uv(self) -> dict[str, str]:
        """Return where uv keeps packages and Pythons: it would look for them in the home."""
        from uv import find_uv_bin  # not needed where nothing is built

        if not self._uv_folders:
            folders = {}
            for name, kind in (("UV_CACHE_DIR", "cache"), ("UV_PYTHON_INSTALL_DIR", "python")):
                code, output = await run([find_uv_bin(), kind, "dir"], timeout=self.timeout)
                if code:
                    raise LaunchFailedError(
                        f"uv does not work: {plain(output).strip()}",
                        reason="internal",
                        advice="Whoever runs this server should look at its configuration of uv.",
                    )
                folders[name] = plain(output).strip()
            self._uv_folders = folders
        return dict(self._uv_folders)


def _remove_unless_whole(folder: Path) -> None:
    """Remove what a build that did not come to its end has left, unless another one goes on."""
    # Only here: filelock is part of the extra "local".
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder.with_name(folder.name + ".lock"), blocking=False):
            if not (folder / MARKER).is_file():
                shutil.rmtree(folder, ignore_errors=True)
    except Timeout:
        return  # another process builds the same environment
    except OSError:
        return  # the folder of environments cannot be written to, and so nothing is there
