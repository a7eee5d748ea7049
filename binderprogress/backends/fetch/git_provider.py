"""repo2docker's content provider of git repositories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from repo2docker.contentproviders import git

from .options import FetchSettings
from .size_limit import watched

__all__ = ["Git"]


class Git(git.Git):  # type: ignore[misc] # repo2docker has no types
    """A git repository, with its submodules."""

    settings: FetchSettings

    def fetch(
        self, spec: Mapping[str, Any], output_dir: str, yield_output: bool = False
    ) -> Iterator[str]:
        """Clone a repository. git is ended if the repository becomes too large."""
        with watched(Path(output_dir), self.settings.limits):
            yield from super().fetch(spec, output_dir, yield_output=yield_output)
