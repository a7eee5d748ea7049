"""A backend that builds nothing: it clones a repository and serves its files."""

import asyncio
import json
import re
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from binderprogress import (
    BackendProfile,
    BuildResult,
    LaunchFailedError,
    LaunchRequest,
    Phase,
    Record,
    ResolvedSpec,
    RunningServer,
    Spec,
)


class StaticBackend:
    """Clones repositories with git, and serves each with Python's http.server."""

    # How long phases usually take. It is the starting point of the estimates.
    profile = BackendProfile(
        typical={Phase.FETCHING: 2.0, Phase.LAUNCHING: 1.0},
        # Nothing is built or pushed.
        phases=(Phase.WAITING, Phase.FETCHING, Phase.BUILT, Phase.LAUNCHING, Phase.READY),
    )

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers: dict[str, Process] = {}

    async def resolve(self, spec: Spec) -> ResolvedSpec:
        """Look up the commit. Launches of the same commit share a build."""
        git = await asyncio.create_subprocess_exec(
            "git", "ls-remote", "--", spec.repo_url, spec.ref, stdout=PIPE
        )
        output, _ = await git.communicate()
        if not output:
            raise LaunchFailedError(
                f"{spec.repo_url} has no {spec.ref}.",
                reason="bad-ref",
                subject=spec.ref,
                advice="Check the name of the branch or tag.",
            )
        return ResolvedSpec(spec, output.split()[0].decode())

    async def build(self, resolved: ResolvedSpec) -> AsyncGenerator[Record | BuildResult, None]:
        """Yield the lines of the log, then the result."""
        target = self.folder / resolved.commit
        if target.exists():
            yield BuildResult(str(target), found=True)
            return
        git = await asyncio.create_subprocess_exec(
            *("git", "clone", "--progress", "--", resolved.spec.repo_url, str(target)),
            stdout=PIPE,
            stderr=STDOUT,
        )
        try:
            async for line in git.stdout:
                # A line of a log is written as repo2docker writes it: as JSON with its phase.
                message = {"phase": "fetching", "message": line.decode(errors="replace")}
                yield Record("repo2docker", json.dumps(message))
            if await git.wait() != 0:
                raise LaunchFailedError("git could not clone it.", reason="private-or-missing")
        finally:
            # If nobody waits for the build any more, this generator is closed.
            await stop(git)
        yield BuildResult(str(target))

    async def launch(
        self, request: LaunchRequest[Any, Any]
    ) -> AsyncGenerator[Record | RunningServer, None]:
        """Yield progress as JupyterHub reports it, then the running server."""
        yield Record("jupyterhub", {"progress": 0, "message": "Starting http.server"})
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1"),
            *("--directory", request.image, "0"),
            stdout=PIPE,
        )
        self.servers[request.key] = server
        line = (await server.stdout.readline()).decode()
        if match := re.search(r"\((http://[^)]+)\)", line):
            yield RunningServer(match[1], token="")
        else:
            await self.stop(request)
            raise LaunchFailedError("http.server did not start.", reason="spawn-failed")

    async def stop(self, request: LaunchRequest[Any, Any]) -> None:
        """Stop the server of a launch that was cancelled or failed."""
        if server := self.servers.pop(request.key, None):
            await stop(server)

    async def close(self) -> None:
        """Stop all servers."""
        while self.servers:
            await stop(self.servers.popitem()[1])


async def stop(process: Process) -> None:
    """Terminate a process, unless it has ended."""
    if process.returncode is None:
        process.terminate()
        await process.wait()
