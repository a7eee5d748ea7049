"""Looking up refs in git repositories, local and remote."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from traitlets import Float, List, Unicode
from traitlets.config import LoggingConfigurable

from ..core.reasons import diagnose, failure
from ..core.specs import Spec
from ..errors import LaunchFailedError, RefusedError
from .base import Target
from .process import run

__all__ = ["GitResolver", "git_environment"]

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def git_environment() -> dict[str, str]:
    """Return the environment in which git never asks a person and speaks only safe protocols."""
    return {
        **os.environ,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=10",
        "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
        "LC_ALL": "C.UTF-8",
    }


class GitResolver(LoggingConfigurable):
    """Finds out which commit a ref is, with ``git ls-remote``."""

    local_folders = List(
        Unicode(),
        help="""
        Folders below which local repositories (file:// addresses) may be launched.

        None by default: a server does not let strangers read its disk.
        """,
    ).tag(config=True)

    timeout = Float(30.0, help="Seconds that a look-up may take.").tag(config=True)

    async def resolve(self, spec: Spec) -> Target:
        """Look up what commit a ref is; see `base.Builder.resolve`."""
        if spec.is_local:
            self._check_local(spec)
        if _COMMIT.fullmatch(spec.ref):
            # Servers do not list commits; whether it is there shows when it is fetched.
            return Target(spec, spec.ref)
        # "^{}" is the commit behind an annotated tag.
        refs = await self._ls_remote(spec, spec.ref, spec.ref + "^{}")
        commit = _choose(refs, spec.ref)
        if commit is None:
            raise await self._no_such_ref(spec)
        return Target(spec, commit)

    def _check_local(self, spec: Spec) -> None:
        # Resolved, so that a link inside an allowed folder leads nowhere else.
        path = Path(unquote(urlsplit(spec.repo_url).path)).resolve()
        allowed = [Path(folder).expanduser().resolve() for folder in self.local_folders]
        if not any(path.is_relative_to(folder) for folder in allowed):
            raise RefusedError(
                "This server does not launch local repositories from that folder. Whoever runs it "
                "can allow it with c.GitResolver.local_folders."
            )
        if not path.is_dir():
            raise failure("private-or-missing", f"There is no folder {path}.")

    async def _ls_remote(self, spec: Spec, *patterns: str) -> dict[str, str]:
        output = await self._git(spec, ["ls-remote", "--", spec.repo_url, *patterns])
        rows = (line.split("\t", 1) for line in output.splitlines() if "\t" in line)
        return {name.strip(): commit for commit, name in rows if _COMMIT.fullmatch(commit)}

    async def _git(self, spec: Spec, arguments: Sequence[str]) -> str:
        try:
            code, output = await run(
                ["git", *arguments], env=git_environment(), timeout=self.timeout
            )
        except TimeoutError:
            raise failure(
                "host-unreachable",
                f"The host of {spec.repo_url} did not answer within {self.timeout:g} seconds.",
            ) from None
        except FileNotFoundError as error:
            raise LaunchFailedError(
                "git is not installed on the server.",
                reason="internal",
                advice="Whoever runs it should install git.",
            ) from error
        if code:
            self.log.warning("git %s failed: %s", arguments[0], output.strip())
            found = diagnose(output.splitlines(), otherwise="private-or-missing")
            raise LaunchFailedError(
                f"{found.message} ({spec.repo_url})", reason=found.reason, advice=found.advice
            )
        return output

    async def _no_such_ref(self, spec: Spec) -> LaunchFailedError:
        if spec.ref == "HEAD":
            return LaunchFailedError(
                f"The repository {spec.repo_url} is empty: it has no commit yet.",
                reason="bad-ref",
                advice="Commit and push something, and try again.",
            )
        heads = await self._ls_remote(spec, "refs/heads/*")
        names = sorted(name.removeprefix("refs/heads/") for name in heads)
        listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        return LaunchFailedError(
            f"There is no branch, tag or commit {spec.ref!r} in {spec.repo_url}.",
            reason="bad-ref",
            advice=f"Its branches are: {listed}. A commit is named by all of its 40 digits."
            if names
            else "A commit is named by all of its 40 digits.",
        )


def _choose(refs: dict[str, str], ref: str) -> str | None:
    """Pick, as git does, a tag before a branch, and the full name before either."""
    for name in (ref, f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}"):
        if name in refs:
            return refs[name]
    return None
