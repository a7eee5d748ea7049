"""The fields of archives' responses that `archives` reads."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

__all__ = [
    "Ckan",
    "Dataverse",
    "FigshareArticle",
    "FigshareVersion",
    "Handle",
    "HydroShareElements",
    "Installations",
    "ZenodoFiles",
]


class _HandleData(msgspec.Struct):
    value: Any


class _HandleValue(msgspec.Struct):
    type: str
    data: _HandleData


class Handle(msgspec.Struct):
    """``doi.org/api/handles/<DOI>``."""

    values: list[_HandleValue] = []


class ZenodoFiles(msgspec.Struct):
    """``zenodo.org/api/records/<id>/files``."""

    entries: list[Any] = []


class FigshareVersion(msgspec.Struct):
    """One of ``api.figshare.com/v2/articles/<id>/versions``."""

    version: int


class _FigshareFile(msgspec.Struct):
    is_link_only: bool = False


class FigshareArticle(msgspec.Struct):
    """``api.figshare.com/v2/articles/<id>/versions/<version>``."""

    doi: str
    files: list[_FigshareFile] = []


class _Installation(msgspec.Struct):
    hostname: str


class Installations(msgspec.Struct):
    """The list of all Dataverse installations."""

    installations: list[_Installation]


class _DataverseFile(msgspec.Struct):
    restricted: bool = False


class _DatasetVersion(msgspec.Struct, rename="camel"):
    version_number: int
    version_minor_number: int
    files: list[_DataverseFile] = []


class _Dataset(msgspec.Struct, rename="camel"):
    id: int
    latest_version: _DatasetVersion


class Dataverse(msgspec.Struct):
    """``<dataverse>/api/datasets/:persistentId``."""

    data: _Dataset


class _HydroShareDate(msgspec.Struct):
    type: str
    # It is a time only for some types.
    start_date: Any = None


class HydroShareElements(msgspec.Struct):
    """``hydroshare.org/hsapi/resource/<id>/scimeta/elements``."""

    dates: list[_HydroShareDate]


class _Resource(msgspec.Struct):
    url: str | None = None


class _Package(msgspec.Struct):
    metadata_modified: datetime
    resources: list[_Resource] = []


class Ckan(msgspec.Struct):
    """``<ckan>/api/3/action/package_show`` and ``…/activity_data_show``."""

    result: _Package
