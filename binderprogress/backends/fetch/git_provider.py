"""Fetches git repositories."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..processes.output import output
from .commit_date import note_commit_date
from .options import FetchSettings
from .size_limit import Limits, watched

__all__ = ["Git", "clone"]


def clone(
    address: str,
    commit: str,
    folder: Path,
    limits: Limits,
    *,
    env: Mapping[str, str] | None = None,
    aside: Path | None = None,
) -> Iterator[str]:
    """Clone a repository with its submodules. git is ended if it becomes too large.

    repo2docker's own provider looks for the commit among branches, too, and for submodules where
    there are none. That, and importing it, takes longer than to clone a small repository.

    Parameters
    ----------
    address, commit : str
    folder : Path
        Empty.
    limits : Limits
    env : mapping of str to str, optional
        All environment variables of git. The default are those of this process.
    aside : Path, optional
        The current folder of git before there is a repository.

    Yields
    ------
    str
        The lines of git's output.

    Raises
    ------
    subprocess.CalledProcessError
        If git fails.
    TooLargeError
    """
    with watched(folder, limits):
        # Not the default branch, whose submodules may be others.
        command = ["git", "clone", "--no-checkout", address, str(folder)]
        yield from output(command, env, cwd=aside)
        yield from output(["git", "reset", "--hard", commit], env, cwd=folder)
        if (folder / ".gitmodules").exists():
            update = ["git", "submodule", "update", "--init", "--recursive"]
            yield from output(update, env, cwd=folder)
    command = ["git", "log", "-1", "--format=%ct"]
    date = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=True)
    note_commit_date(folder, date.stdout.strip())


class Git:
    """A git repository, with the interface of repo2docker's providers."""

    settings: FetchSettings

    def detect(self, source: str, ref: str) -> dict[str, str]:
        """Return what `fetch` needs: all git repositories are supported."""
        return {"repo": source, "ref": ref}

    def fetch(
        self, spec: Mapping[str, Any], output_dir: str, yield_output: bool = True
    ) -> Iterator[str]:
        """Clone a repository at a commit, ``ref``; see `clone`.

        `yield_output` is ignored: the lines of git's output are always yielded.
        """
        return clone(spec["repo"], spec["ref"], Path(output_dir), self.settings.limits)
