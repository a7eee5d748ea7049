"""Environments on this machine without a container engine: repo2docker's detection, uv's speed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import sys
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from traitlets import List, Unicode, default

from ..core.normalize import Record
from ..core.phases import Phase
from .base import Built, Target
from .fetching import FetchSettings
from .git import GitResolver, git_environment
from .process import Process, check_exit

__all__ = ["MARKER", "LocalBuilder"]

MARKER = "binderprogress.json"
"""The file that an environment has when it is whole."""

# Changes when environments are made in another way, so that old ones are not taken for new ones.
_LAYOUT = "1"


class LocalBuilder(GitResolver):
    """Makes a virtual environment for each commit, with what repo2docker would install by pip.

    It honours requirements.txt, pyproject.toml or setup.py, runtime.txt, postBuild and start, in
    the repository's root or its binder folder. Everything else that repo2docker knows needs a
    container engine, and is refused with a sentence that names the file.
    """

    typical: Mapping[Phase, float] = {
        Phase.WAITING: 0.5,
        Phase.FETCHING: 2.0,
        Phase.BUILDING: 10.0,
        Phase.LAUNCHING: 3.0,
    }

    first_start = 1.7
    """How much longer a server takes to start in a new environment: Python compiles what it
    imports."""

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

    def folder(self, target: Target) -> Path:
        """Return where the environment of a commit is kept."""
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        parts = [_LAYOUT, target.key, version, *self.base_packages]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        name = re.sub(r"[^a-z0-9]+", "-", target.title.lower()).strip("-")[:40]
        return Path(self.environments).expanduser() / f"{name}-{digest}"

    async def build(self, target: Target) -> AsyncGenerator[Record | Built, None]:
        """Make the environment, or find it; see `base.Builder.build`."""
        folder = self.folder(target)
        if (folder / MARKER).is_file():
            yield Built(str(folder), found=True)
            return
        task = {
            "repo_url": target.address,
            "commit": target.commit,
            "ref": target.spec.ref,
            "folder": str(folder),
            "base_packages": list(self.base_packages),
        }
        try:
            async for item in self._run(task, self.fetch_settings(target)):
                yield item
        finally:
            # Attack: builds that fail or are cancelled, one after the other, fill the disk.
            await asyncio.shield(asyncio.to_thread(_remove_unless_whole, folder))
        yield Built(str(folder))

    async def _run(
        self, task: Mapping[str, Any], settings: FetchSettings
    ) -> AsyncGenerator[Record, None]:
        program = "binderprogress.sources.localbuild"
        # -P: we may be run in a repository that has a json.py of its own.
        argv = [sys.executable, "-P", "-u", "-m", program, json.dumps(task)]
        # The interpreter's own variables would leak into the environment that is made; and
        # tokens are nothing for a repository's setup.py.
        hidden = (
            *("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX"),
            *("JUPYTERHUB_", "BINDERPROGRESS_TOKEN"),
        )
        env = git_environment(credentials=self.credentials)
        env = {name: value for name, value in env.items() if not name.startswith(hidden)}
        env |= settings.environment
        async with Process(argv, env=env) as process:
            async for line in process.lines():
                yield Record("repo2docker", line)
            check_exit(await process.wait())


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
