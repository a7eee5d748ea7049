"""Specs of archive records, which have no ref: a DOI, an id or an address.

They are parsed and written here. `backends.fetch.archives` resolves them.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from ..errors import SpecError
from .redact import redact

__all__ = ["DOI", "RECORDS", "page_of", "spec_of_doi", "without_page"]

RECORDS = {
    "zenodo": "Zenodo",
    "figshare": "Figshare",
    "hydroshare": "HydroShare",
    "dataverse": "Dataverse",
    "ckan": "CKAN",
}
"""The providers that are archives. Their records have no branches, tags or commits."""

_DOI_ORG = "https://doi.org/"
_HYDROSHARE = "https://www.hydroshare.org/resource/"

DOI = re.compile(
    r"((?:https?://)?(?:dx\.|www\.)?doi\.org/(?:doi:)?|(?:info:|urn:)?doi[:/]\s*)?"
    r"(10\.\d+(?:\.\d+)*/\S+)",
    re.ASCII | re.IGNORECASE,
)
"""An optional prefix, and the DOI itself."""

# BinderHub uses the last id in the text.
_RESOURCE = re.compile(r".*([0-9a-f]{32})", re.DOTALL)
_DATASET = re.compile(r"(?!\.\.?$)[\w.][\w.-]*", re.ASCII)
_DOI_EXAMPLES = {
    "zenodo": "10.5281/zenodo.3242074",
    "figshare": "10.6084/m9.figshare.9782777.v1",
    "dataverse": "10.7910/DVN/TJCLKP",
}
# The DOIs that each archive assigns. Other DOIs do not identify an archive.
_DOI_OF = {
    "zenodo": re.compile(r"10\.\d+/zenodo\.\d+", re.ASCII | re.IGNORECASE),
    "figshare": re.compile(r"10\.\d+/m9\.figshare\.\d+(?:\.v\d+)?", re.ASCII | re.IGNORECASE),
    "hydroshare": re.compile(r"10\.4211/hs\.[0-9a-f]{32}", re.ASCII),
    "dataverse": re.compile(r"10\.7910/DVN/[\w./-]+", re.ASCII | re.IGNORECASE),
}


def spec_of_doi(doi: str) -> str:
    """Return the spec of the record with a DOI.

    Raises
    ------
    SpecError
        If the DOI does not identify an archive.
    """
    for provider, pattern in _DOI_OF.items():
        if pattern.fullmatch(doi.rstrip("/")):
            return f"{provider}/{quote(doi, safe='/')}"
    raise SpecError(
        f"The DOI {redact(doi)[:100]!r} does not identify its archive. Name the archive: "
        "zenodo/<DOI>, figshare/<DOI> or dataverse/<DOI>."
    )


def page_of(provider: str, text: str) -> str:
    """Return the address of a record's page.

    Parameters
    ----------
    provider : str
        A key of `RECORDS`.
    text : str
        The record, not percent-encoded: a DOI; for HydroShare, text that contains its id; for
        CKAN, a valid address.

    Raises
    ------
    SpecError
        If the text does not name a record. The message says what is expected.
    """
    if provider == "hydroshare":
        resource = _RESOURCE.match(text)
        if not resource:
            raise SpecError(
                "A HydroShare spec has the form hydroshare/<id>; the id has 32 hexadecimal digits."
            )
        return _HYDROSHARE + resource[1]
    if provider == "ckan":
        return _check_dataset(text)
    match = DOI.fullmatch(text)
    if not match or not text.isprintable():
        raise SpecError(
            f"A {RECORDS[provider]} spec has the form {provider}/<DOI>, for example "
            f"{provider}/{_DOI_EXAMPLES[provider]}."
        )
    if {".", ".."} & set(match[2].split("/")):
        # Browsers and proxies would change the path.
        raise SpecError("A part of a DOI must not be . or ..")
    return _DOI_ORG + quote(match[2], safe="/:;(),")


def without_page(provider: str, page: str) -> str:
    """Return the part of a spec after the provider, from the address of the record's page."""
    if provider == "ckan":
        return quote(page, safe="")
    return page.removeprefix(_HYDROSHARE if provider == "hydroshare" else _DOI_ORG)


def _check_dataset(address: str) -> str:
    parts = urlsplit(address)
    _, _, dataset = parts.path.partition("/dataset/")
    if (
        parts.scheme not in {"http", "https"}
        or parts.path.count("/dataset/") != 1
        or not _DATASET.fullmatch(dataset.partition("/")[0])
    ):
        raise SpecError(
            "A CKAN spec has the form ckan/<quoted address>, with the address of a dataset such as "
            "https://demo.ckan.org/dataset/my-sample-dataset-001."
        )
    return address
