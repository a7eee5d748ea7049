"""Reads DOIs and addresses of pages of archives, as people copy them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

import msgspec

from ..errors import SpecError
from .archive_specs import DOI, spec_of_doi

__all__ = ["Record", "looks_like_record", "read_record"]

_ZENODO_PAGE = re.compile(
    r"/(?:api/)?records?/(\d+)(?:/(?:files|preview)/([^/]+)(?:/content)?|/.*)?",
    re.ASCII,
)
_HYDROSHARE_PAGE = re.compile(
    r"/(?:hsapi/)?resource/([0-9a-f]{32})(?:/data/contents/(.+)|/.*)?", re.ASCII
)
_FIGSHARE_PAGE = re.compile(r"(?:/account)?/articles/(?:[^/]+/){0,2}(\d+)(?:/(\d+))?/?", re.ASCII)
_DATAVERSE_PAGE = re.compile(r"/(?:dataset|file|dataverse)\.xhtml$|/api/access/datafile/")
_DATAVERSE_FILE = re.compile(r"(10\.\d+/[^/]+/[0-9A-Z]{6})/[0-9A-Z]{6}", re.ASCII)
_CKAN_PAGE = re.compile(r"/dataset/[^/]")
# If a record consists of one archive file, it is unpacked, so there is no such file to open.
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz")


class Record(msgspec.Struct, frozen=True):
    """The record that a page shows.

    Attributes
    ----------
    spec : str
        The spec of the record.
    path : str
        A file of the record. Empty for the record itself.
    """

    spec: str
    path: str = ""


def looks_like_record(text: str) -> bool:
    """Whether `text` is a DOI, or the address of a record's page without its scheme."""
    if DOI.fullmatch(text):
        return True
    try:
        record = _read_page(urlsplit(f"https://{text}"))
    except (SpecError, ValueError):
        return False
    return record is not None and record.spec.partition("/")[0] != "ckan"


def read_record(address: str) -> Record | None:
    """Read a DOI, or the address of a record's page; None if it is something else.

    Raises
    ------
    SpecError
        If the page shows no record, or the archive of the DOI is not known.
    """
    doi = DOI.fullmatch(address)
    if doi:
        prefix, name = doi.groups()
        if prefix and "/" in prefix:
            # In an address, the DOI is percent-encoded, and may be followed by a query.
            name = unquote(re.split(r"[?#]", name, maxsplit=1)[0])
        return Record(spec_of_doi(name.rstrip(".,;")))
    try:
        return _read_page(urlsplit(address))
    except ValueError:
        return None  # not an address; the caller rejects it


def _read_page(parts: SplitResult) -> Record | None:
    if parts.scheme.lower() not in {"http", "https"}:
        return None
    host = (parts.hostname or "").removeprefix("www.")
    path = unquote(parts.path)
    query = dict(parse_qsl(parts.query, errors="replace"))
    if host in {"doi.org", "dx.doi.org"}:
        return _doi(path.strip("/"))
    if host == "zenodo.org":
        return _zenodo(path)
    if host == "figshare.com" or host.endswith(".figshare.com"):
        return _figshare(host, path)
    if host == "hydroshare.org":
        return _hydroshare(path)
    if host == "sandbox.zenodo.org":
        raise SpecError(
            "Records of Zenodo's sandbox cannot be launched. Use a record of https://zenodo.org."
        )
    if "persistentId" in query or _DATAVERSE_PAGE.search(path):
        return _dataverse(query)
    if _CKAN_PAGE.search(path) and not path.endswith(".git"):
        return _ckan(parts)
    return None


def _doi(path: str) -> Record:
    match = DOI.fullmatch(path)
    if match is None:
        raise SpecError(
            "This is not the address of a DOI. Use an address such as "
            "https://doi.org/10.5281/zenodo.3242074."
        )
    return Record(spec_of_doi(match[2]))


def _zenodo(path: str) -> Record:
    match = _ZENODO_PAGE.fullmatch(path)
    if match:
        number, file = match[1], match[2] or ""
        return Record(
            f"zenodo/10.5281/zenodo.{number}", "" if file.lower().endswith(_ARCHIVES) else file
        )
    doi = re.search(r"/(10\.\d+/zenodo\.\d+)", path, re.ASCII)
    if doi:
        return Record(f"zenodo/{doi[1]}")
    raise SpecError(
        "This is not the address of a record of Zenodo. Use https://zenodo.org/records/<number>."
    )


def _figshare(host: str, path: str) -> Record:
    match = _FIGSHARE_PAGE.fullmatch(path)
    if match is None or host != "figshare.com":
        raise SpecError(
            "This is not the address of an article of Figshare that can be launched. Use the "
            "article's DOI: figshare/<DOI>, such as figshare/10.6084/m9.figshare.9782777.v1."
        )
    article, version = match.groups()
    return Record(f"figshare/10.6084/m9.figshare.{article}" + (f".v{version}" if version else ""))


def _hydroshare(path: str) -> Record:
    match = _HYDROSHARE_PAGE.fullmatch(path)
    if match is None:
        raise SpecError(
            "This is not the address of a resource of HydroShare. Use "
            "https://www.hydroshare.org/resource/<id>. The id has 32 hexadecimal digits."
        )
    return Record(f"hydroshare/{match[1]}", (match[2] or "").strip("/"))


def _dataverse(query: Mapping[str, str]) -> Record:
    match = DOI.fullmatch(query.get("persistentId", ""))
    if match is None:
        raise SpecError(
            "This address has no DOI of a dataset of a Dataverse. Use the DOI of the dataset: "
            "dataverse/<DOI>, such as dataverse/10.7910/DVN/TJCLKP."
        )
    # The DOI of a file is that of its dataset, followed by another name.
    doi = _DATAVERSE_FILE.sub(r"\1", match[2].rstrip("/"))
    return Record(f"dataverse/{quote(doi, safe='/')}")


def _ckan(parts: SplitResult) -> Record:
    # The page of a file, or a page about the dataset.
    path = re.sub(r"/dataset/(?:activity|groups|showcases)/", "/dataset/", parts.path)
    path = re.sub(r"(/dataset/[^/]+)/(?!history/).*", r"\1", path).rstrip("/")
    query = {name: value for name, value in parse_qsl(parts.query) if name == "activity_id"}
    address = parts._replace(path=path, query=urlencode(query), fragment="").geturl()
    return Record(f"ckan/{quote(address, safe='')}")
