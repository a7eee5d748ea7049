"""Specs of archive records, which have no ref."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.specs import (
    RECORDS,
    from_address,
    looks_like_address,
    looks_like_spec,
    parse,
)
from binderprogress.errors import SpecError

ID = "8f7c2f0341ef4180b0dbe97f59130756"
RESOURCE = f"https://www.hydroshare.org/resource/{ID}"
DATASET = "https://demo.ckan.org/dataset/my-sample-dataset-001"


def ckan(address: str) -> str:
    return f"ckan/{quote(address, safe='')}"


# What is written; how it is written again; the address of its page.
SPECS = [
    ("zenodo/10.5281/zenodo.3242074", "", "https://doi.org/10.5281/zenodo.3242074"),
    ("/zenodo/10.5281/zenodo.3242074/", "zenodo/10.5281/zenodo.3242074", ""),
    ("zenodo/10.5281%2Fzenodo.3242074", "zenodo/10.5281/zenodo.3242074", ""),
    # BinderHub asks doi.org for whatever stands there, and that takes these.
    ("zenodo/doi:10.5281/zenodo.3242074", "zenodo/10.5281/zenodo.3242074", ""),
    ("zenodo/https://doi.org/10.5281/zenodo.3242074", "zenodo/10.5281/zenodo.3242074", ""),
    # An archive of another name that Zenodo's software serves.
    ("zenodo/10.22002/D1.1160", "", "https://doi.org/10.22002/D1.1160"),
    ("figshare/10.6084/m9.figshare.9782777", "", ""),
    ("figshare/10.6084/m9.figshare.9782777.v1", "", ""),
    ("dataverse/10.7910/DVN/TJCLKP", "", "https://doi.org/10.7910/DVN/TJCLKP"),
    # A file of a dataset.
    ("dataverse/10.7910/DVN/6ZXAGT/3YRRYJ", "", ""),
    ("dataverse/10.1002/(SICI)1097;2-B%3C1%3E", "", ""),
    (f"hydroshare/{ID}", "", RESOURCE),
    (f"hydroshare/{quote(RESOURCE + '/', safe='')}", f"hydroshare/{ID}", RESOURCE),
    (f"hydroshare/resource/{ID}", f"hydroshare/{ID}", RESOURCE),
    (ckan(DATASET), "", DATASET),
    (ckan(f"{DATASET}/#top"), ckan(DATASET), DATASET),
    (f"ckan/{DATASET}", ckan(DATASET), DATASET),
    (ckan(f"{DATASET}?activity_id=1-a"), "", f"{DATASET}?activity_id=1-a"),
    (ckan("http://a.example/data/dataset/x/history/1-a"), "", ""),
]


@pytest.mark.parametrize(("text", "written", "page"), SPECS)
def test_parse(text: str, written: str, page: str) -> None:
    spec = parse(text)
    assert str(spec) == (written or text)
    assert spec.repo_url == (page or spec.repo_url)
    assert (spec.ref, spec.is_record, spec.is_local, spec.is_ssh) == ("", True, False, False)
    assert parse(str(spec)) == spec
    assert looks_like_spec(text.strip("/"))


ADDRESSES = {
    "https://doi.org/10.5281/zenodo.3242074": "zenodo/10.5281/zenodo.3242074",
    " http://dx.doi.org/10.5281/zenodo.3242074\n": "zenodo/10.5281/zenodo.3242074",
    "doi:10.5281/zenodo.3242074": "zenodo/10.5281/zenodo.3242074",
    "10.5281/zenodo.3242074": "zenodo/10.5281/zenodo.3242074",
    "https://zenodo.org/records/3242074": "zenodo/10.5281/zenodo.3242074",
    "https://zenodo.org/record/3242074?a=b": "zenodo/10.5281/zenodo.3242074",
    "https://doi.org/10.6084/m9.figshare.9782777.v2": "figshare/10.6084/m9.figshare.9782777.v2",
    "https://doi.org/10.7910/DVN/TJCLKP": "dataverse/10.7910/DVN/TJCLKP",
    f"https://doi.org/10.4211/hs.{ID}": f"hydroshare/{ID}",
    f"{RESOURCE}/": f"hydroshare/{ID}",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_from_address(address: str) -> None:
    assert str(from_address(address)) == ADDRESSES[address]
    assert looks_like_address(address)


@pytest.mark.parametrize("text", ["penguins", "10.5281", "zenodo.org/3242074", "./10/a"])
def test_what_does_not_look_like_an_address(text: str) -> None:
    assert not looks_like_address(text)


def test_a_doi_that_does_not_say_where_it_leads() -> None:
    with pytest.raises(SpecError, match="Name the archive: zenodo/<DOI>"):
        from_address("https://doi.org/10.1000/182")


TITLES = {
    "zenodo/10.5281/zenodo.3242074": "10.5281/zenodo.3242074",
    "dataverse/10.7910/DVN/TJCLKP": "DVN/TJCLKP",
    f"hydroshare/{ID}": f"resource/{ID}",
    ckan(f"{DATASET}?activity_id=a/b"): "dataset/my-sample-dataset-001",
}


@pytest.mark.parametrize("spec", TITLES)
def test_title(spec: str) -> None:
    assert parse(spec).title == TITLES[spec]


@pytest.mark.parametrize("text", [spec for spec, _, _ in SPECS])
def test_a_record_has_no_ref(text: str) -> None:
    spec = parse(text)
    assert spec.at("") == spec
    with pytest.raises(SpecError, match="no branches, tags or commits"):
        spec.at("main")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("zenodo/", "has the form zenodo/<DOI>, for example zenodo/10.5281/zenodo.3242074"),
        ("zenodo/3242074", "has the form zenodo/<DOI>"),
        ("figshare/9782777", "has the form figshare/<DOI>"),
        ("dataverse/10.7910", "has the form dataverse/<DOI>"),
        ("dataverse/https://dataverse.harvard.edu/x", "has the form dataverse/<DOI>"),
        ("hydroshare/8f7c", "the id has 32 hexadecimal digits"),
        (f"hydroshare/{ID.upper()}", "the id has 32 hexadecimal digits"),
        (ckan("https://demo.ckan.org/group/x"), "of a dataset"),
        (ckan("https://demo.ckan.org/dataset/"), "of a dataset"),
        (ckan("https://demo.ckan.org/dataset/a/dataset/b"), "of a dataset"),
    ],
)
def test_what_is_not_whole(text: str, match: str) -> None:
    with pytest.raises(SpecError, match=match):
        parse(text)


# Attacks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", ["10.1/../x", "10.1/x/..", "10.1/%2e%2e/x", "10.1/./x"])
def test_a_doi_that_leads_elsewhere(rest: str) -> None:
    # doi.org/10.1/../x is another page, and so is build/zenodo/10.1/../x of a BinderHub.
    with pytest.raises(SpecError, match=r"\. or \.\."):
        parse(f"zenodo/{rest}")


@pytest.mark.parametrize("part", ["%0a", "%00", "%1b", "%e2%80%ae", "%20", "\ud800"])
def test_a_doi_with_what_no_line_has(part: str) -> None:
    with pytest.raises(SpecError, match="has the form zenodo/<DOI>"):
        parse(f"zenodo/10.5281/zenodo.1{part}")


def test_what_ends_a_path_stays_quoted() -> None:
    # Else the rest would be a query of the BinderHub that it is forwarded to.
    assert str(parse("zenodo/10.1/a%3Fbuild_token=x%23b")) == "zenodo/10.1/a%3Fbuild_token%3Dx%23b"


@pytest.mark.parametrize(
    ("address", "match"),
    [
        ("file:///etc/dataset/x", "of a dataset"),
        ("ssh://a/dataset/x", "of a dataset"),
        ("git@a:b/dataset/x", "of a dataset"),
        ("https://a/dataset/..", "of a dataset"),
        ("https://a/dataset/-x", "of a dataset"),
        ("https://ada:secret@a/dataset/x", "password or token"),
        ("https:///dataset/x", "has no valid host"),
        ("ext::sh -c x/dataset/x", "not the address"),
        ("https://a/dataset/x\ny", "control characters"),
    ],
)
def test_a_dataset_that_is_none(address: str, match: str) -> None:
    with pytest.raises(SpecError, match=match):
        parse(ckan(address))


def test_an_endless_doi() -> None:
    with pytest.raises(SpecError, match="longer than 2048"):
        parse(f"zenodo/10.1/{'é' * 1900}")


@given(
    st.sampled_from(sorted(RECORDS)),
    st.text()
    | st.text("10./doi:zen%2Fé#? ", max_size=30).map("10.5281/".__add__)
    | st.text("/# ?a.%", max_size=20).map(f"{DATASET}".__add__),
    st.booleans(),
)
def test_any_text_is_read_back_or_refused(provider: str, text: str, quoted: bool) -> None:
    try:
        spec = parse(f"{provider}/{quote(text, safe='', errors='replace') if quoted else text}")
    except SpecError as error:
        assert str(error).endswith((".", ")."))
    else:
        assert parse(str(spec)) == spec
        assert str(spec).isascii()
        assert spec.repo_url.isprintable()
        assert spec.title
