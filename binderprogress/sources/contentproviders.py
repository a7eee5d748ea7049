"""repo2docker's content providers, one for each provider of a spec.

It is chosen by the spec: repo2docker would ask one after the other, and most of them the internet,
whether they know an address.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from repo2docker import contentproviders
from repo2docker.contentproviders.base import ContentProviderException
from repo2docker.contentproviders.doi import DoiProvider
from repo2docker.utils import deep_get

__all__ = ["content_provider"]


class _Inside(DoiProvider):  # type: ignore[misc] # repo2docker has no types
    """Writes files into the folder that is meant for them only."""

    def fetch_file(
        self, file_ref: Any, host: Any, output_dir: str, unzip: bool = False
    ) -> Iterator[str]:
        # Attack: a record with a file that is called ../../.ssh/authorized_keys.
        name, folder = str(deep_get(file_ref, host["filename"])), Path(output_dir).resolve()
        if not (folder / name).resolve().is_relative_to(folder):
            raise ContentProviderException(f"The file {name!r} would lie outside of its folder.")
        yield from super().fetch_file(file_ref, host, output_dir, unzip)


class Zenodo(_Inside, contentproviders.Zenodo):  # type: ignore[misc]
    """A record of Zenodo."""


class Figshare(_Inside, contentproviders.Figshare):  # type: ignore[misc]
    """An article of Figshare."""


class Dataverse(_Inside, contentproviders.Dataverse):  # type: ignore[misc]
    """A dataset of a Dataverse."""


_RECORDS: dict[str, Any] = {
    "zenodo": Zenodo,
    "figshare": Figshare,
    "dataverse": Dataverse,
    "hydroshare": contentproviders.Hydroshare,
    "ckan": contentproviders.CKAN,
}


def content_provider(provider: str) -> Any:
    """Return the class of what fetches for a provider of a spec."""
    return _RECORDS.get(provider, contentproviders.Git)
