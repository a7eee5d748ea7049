"""The content provider of git repositories, with the interface of repo2docker's."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..processes.output import output
from .commit_date import note_commit_date
from .options import FetchSettings
from .size_limit import watched

__all__ = ["Git"]


class Git:
    """A git repository, with its submodules.

    repo2docker's own provider looks for the commit among branches, too, and for submodules where
    there are none. That, and importing it, takes longer than to clone a small repository.
    """

    settings: FetchSettings

    def detect(self, source: str, ref: str) -> dict[str, str]:
        """Return what `fetch` needs: all git repositories are supported."""
        return {"repo": source, "ref": ref}

    def fetch(
        self, spec: Mapping[str, Any], output_dir: str, yield_output: bool = True
    ) -> Iterator[str]:
        """Clone a repository. git is ended if the repository becomes too large.

        Parameters
        ----------
        spec : mapping of str to str
            The ``repo`` to clone, and its commit, ``ref``.
        output_dir : str
        yield_output : bool
            True: the lines of git's output are always yielded.

        Raises
        ------
        subprocess.CalledProcessError
            If git fails.
        TooLargeError
        """
        folder = Path(output_dir)
        with watched(folder, self.settings.limits):
            # Not the default branch, whose submodules may be others.
            yield from output(["git", "clone", "--no-checkout", spec["repo"], output_dir])
            yield from output(["git", "reset", "--hard", spec["ref"]], cwd=folder)
            if (folder / ".gitmodules").exists():
                update = ["git", "submodule", "update", "--init", "--recursive"]
                yield from output(update, cwd=folder)
        command = ["git", "log", "-1", "--format=%ct"]
        date = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        note_commit_date(folder, date.stdout.strip())
