"""repo2docker's content providers of records, one for each provider of a spec.

The spec determines the provider. repo2docker itself tries one after the other, and most of them
send requests to find out whether they support an address.

repo2docker's own providers write files with any name that an archive gives, and unpack everything.
The providers here write with `safe_files`. They run in the process of a build, with the settings
that the server put into its environment.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zipfile import is_zipfile

from repo2docker import contentproviders
from repo2docker.contentproviders.base import ContentProviderException
from repo2docker.utils import deep_get

from .options import FetchSettings
from .safe_files import SafeFolder, checked_path
from .size_limit import TooLargeError

__all__ = ["RECORDS"]

_CHUNK = 2**16
_LONGEST_RESPONSE = 32 * 2**20
"""Maximum size of an archive's response about a record, in bytes."""
_BAG_INTERVAL, _BAG_TIMEOUT = 10, 120
"""Seconds. HydroShare creates an archive on request."""


class _Record:
    """Base class of the providers of records: limited responses, and files below one folder."""

    settings: FetchSettings
    session: Any
    _folder: SafeFolder | None = None

    def _request(self, url: str, **kwargs: Any) -> Any:
        stream = kwargs.pop("stream", False)
        # Attack: a compressed response may be a thousand times larger after decompression.
        headers = {"Accept-Encoding": "identity", **(kwargs.pop("headers", None) or {})}
        response = self.session.get(url, stream=True, headers=headers, **kwargs)
        if not stream:
            # The only way to make json() of requests use this body.
            response._content = _body(response.iter_content(_CHUNK))
        return response

    urlopen = _request

    def fetch_file(
        self, file_ref: Any, host: Mapping[str, str], output_dir: str, unzip: bool = False
    ) -> Iterator[str]:
        """Fetch one file of a record; see `DoiProvider.fetch_file`."""
        url = str(deep_get(file_ref, host["download"]))
        name = str(deep_get(file_ref, host["filename"]))
        yield from self._save(url, name, output_dir, unzip=unzip)

    def _save(self, url: str, name: str, output_dir: str, *, unzip: bool = False) -> Iterator[str]:
        """Fetch a file into the folder. With `unzip`, unpack it if it is a ZIP file."""
        if self._folder is None:
            self._folder = SafeFolder(Path(output_dir), self.settings.limits)
        checked_path(name)
        yield f"Requesting {url}\n"
        response = self._request(url, stream=True)
        response.raise_for_status()
        yield f"Fetching {name}\n"
        if not unzip:
            self._folder.save(name, response.iter_content(_CHUNK))
            return
        with tempfile.TemporaryDirectory(dir=".") as aside:
            download = SafeFolder(Path(aside), self.settings.limits)
            download.save("download", response.iter_content(_CHUNK))
            archive = Path(aside, "download")
            if is_zipfile(archive):
                yield f"Extracting {name}\n"
                self._folder.unzip(archive)
            else:
                with archive.open("rb") as file:
                    self._folder.save(name, iter(lambda: file.read(_CHUNK), b""))


class Zenodo(_Record, contentproviders.Zenodo):  # type: ignore[misc] # repo2docker has no types
    """A record of Zenodo."""


class Figshare(_Record, contentproviders.Figshare):  # type: ignore[misc] # as above
    """An article of Figshare."""


class Dataverse(_Record, contentproviders.Dataverse):  # type: ignore[misc] # as above
    """A dataset of a Dataverse."""


class Hydroshare(_Record, contentproviders.Hydroshare):  # type: ignore[misc] # as above
    """A resource of HydroShare."""

    def fetch(
        self, spec: Mapping[str, Any], output_dir: str, yield_output: bool = False
    ) -> Iterator[str]:
        """Fetch a resource and keep its contents."""
        resource = str(spec["resource"])
        url = f"{spec['host']['django_s3']}{resource}.zip"
        yield f"Downloading {url}.\n"
        yield from self._prepared(url, f"https://s3.hydroshare.org/bags/{resource}.zip")
        with tempfile.TemporaryDirectory(dir=".") as aside:
            response = self._request(url, stream=True)
            response.raise_for_status()
            download = SafeFolder(Path(aside), self.settings.limits)
            download.save("bag.zip", response.iter_content(_CHUNK))
            yield "Downloaded, unpacking contents.\n"
            folder = SafeFolder(Path(output_dir), self.settings.limits)
            folder.unzip(Path(aside, "bag.zip"), below=f"{resource}/data/contents/")
        yield "Finished, cleaning up.\n"

    def _prepared(self, url: str, ready: str) -> Iterator[str]:
        """Wait until HydroShare has created the archive and redirects to it."""
        for _ in range(_BAG_TIMEOUT // _BAG_INTERVAL):
            with self._request(url, stream=True) as response:
                if response.status_code != 200:
                    raise ContentProviderException(
                        f"Failed to download bag. status code {response.status_code}."
                    )
                if response.url.startswith(ready):
                    return
            yield f"Bag is being prepared, requesting again in {_BAG_INTERVAL} seconds.\n"
            time.sleep(_BAG_INTERVAL)
        raise ContentProviderException(
            "Bag taking too long to prepare, exiting now, try again later."
        )


class CKAN(_Record, contentproviders.CKAN):  # type: ignore[misc] # as above
    """A dataset of a CKAN."""

    def fetch(
        self, spec: Mapping[str, Any], output_dir: str, yield_output: bool = False
    ) -> Iterator[str]:
        """Fetch a dataset."""
        yield f"Fetching CKAN dataset {spec['dataset_id']}.\n"
        if spec["activity_id"]:
            query = {"id": spec["activity_id"], "object_type": "package"}
            url = f"{spec['api_url']}activity_data_show?{urlencode(query)}"
        else:
            url = f"{spec['api_url']}package_show?{urlencode({'id': spec['dataset_id']})}"
        dataset = self._request(url, headers={"accept": "application/json"}).json()
        yield "Fetching CKAN resources.\n"
        for resource in dataset["result"]["resources"]:
            if resource["url"]:
                name = str(resource["url"].rpartition("/")[2] or resource["id"])
                yield from self._save(str(resource["url"]), name, output_dir)


RECORDS: dict[str, Any] = {
    "zenodo": Zenodo,
    "figshare": Figshare,
    "dataverse": Dataverse,
    "hydroshare": Hydroshare,
    "ckan": CKAN,
}


def _body(chunks: Iterable[bytes]) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > _LONGEST_RESPONSE:
            raise TooLargeError("Too large for this server: a list of files that is too long.")
    return bytes(body)
