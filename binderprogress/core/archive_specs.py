"""Records of archives: what specs of providers without a ref name.

An archive is asked for a DOI, an id or an address. Here they are read and written, and not looked
up: that is up to who fetches them.
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
"""The archives: what is there has no branches, tags or commits."""

_DOI_ORG = "https://doi.org/"
_HYDROSHARE = "https://www.hydroshare.org/resource/"

DOI = re.compile(
    r"((?:https?://)?(?:dx\.|www\.)?doi\.org/(?:doi:)?|(?:info:|urn:)?doi[:/]\s*)?"
    r"(10\.\d+(?:\.\d+)*/\S+)",
    re.ASCII | re.IGNORECASE,
)
"""What people write in front of a DOI, and the DOI itself."""

# BinderHub takes the last one, whatever stands around it.
_RESOURCE = re.compile(r".*([0-9a-f]{32})", re.DOTALL)
_DATASET = re.compile(r"(?!\.\.?$)[\w.][\w.-]*", re.ASCII)
_DOI_EXAMPLES = {
    "zenodo": "10.5281/zenodo.3242074",
    "figshare": "10.6084/m9.figshare.9782777.v1",
    "dataverse": "10.7910/DVN/TJCLKP",
}
# How the archives' own DOIs read; others name no archive.
_DOI_OF = {
    "zenodo": re.compile(r"10\.\d+/zenodo\.\d+", re.ASCII | re.IGNORECASE),
    "figshare": re.compile(r"10\.\d+/m9\.figshare\.\d+(?:\.v\d+)?", re.ASCII | re.IGNORECASE),
    "hydroshare": re.compile(r"10\.4211/hs\.[0-9a-f]{32}", re.ASCII),
    "dataverse": re.compile(r"10\.7910/DVN/[\w./-]+", re.ASCII | re.IGNORECASE),
}


def spec_of_doi(doi: str) -> str:
    """Return the spec of the record that a DOI names.

    Raises
    ------
    SpecError
        If the DOI does not say which archive it belongs to.
    """
    for provider, pattern in _DOI_OF.items():
        if pattern.fullmatch(doi.rstrip("/")):
            return f"{provider}/{quote(doi, safe='/')}"
    raise SpecError(
        f"The DOI {redact(doi)[:100]!r} does not say where it leads. Name its archive: "
        "zenodo/<DOI>, figshare/<DOI> or dataverse/<DOI>."
    )


def page_of(provider: str, text: str) -> str:
    """Return the address of a record's page.

    Parameters
    ----------
    provider : str
        A key of `RECORDS`.
    text : str
        What names the record, not quoted: a DOI, for HydroShare what has its id in it, for CKAN
        an address that was checked as any.

    Raises
    ------
    SpecError
        With a sentence that says what is right.
    """
    if provider == "hydroshare":
        resource = _RESOURCE.match(text)
        if not resource:
            raise SpecError(
                "A HydroShare spec reads hydroshare/<id>; the id has 32 digits, 0 to f."
            )
        return _HYDROSHARE + resource[1]
    if provider == "ckan":
        return _check_dataset(text)
    found = DOI.fullmatch(text)
    if not found or not text.isprintable():
        raise SpecError(
            f"A {RECORDS[provider]} spec reads {provider}/<DOI>, as "
            f"{provider}/{_DOI_EXAMPLES[provider]}."
        )
    if {".", ".."} & set(found[2].split("/")):
        # Browsers and proxies would take it for another address.
        raise SpecError("A DOI has no part that is . or .. only.")
    return _DOI_ORG + quote(found[2], safe="/:;(),")


def without_page(provider: str, page: str) -> str:
    """Return what a spec says of a record whose page is at an address."""
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
            "A CKAN spec reads ckan/<quoted address>, of a dataset: "
            "https://demo.ckan.org/dataset/my-sample-dataset-001."
        )
    return address
