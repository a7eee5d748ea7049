"""Addresses that people paste: their specs, or the reason why they are rejected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from binderprogress.core.specs import (
    has_host,
    is_address,
    looks_like_address,
    looks_like_spec,
    parse,
    read_address,
)
from binderprogress.errors import SpecError

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "addresses.json").read_text()
)
READ = [case for case in CASES if "spec" in case]
REFUSED = [case for case in CASES if "refused" in case]


@pytest.mark.parametrize("case", READ, ids=lambda case: case["address"])
def test_what_an_address_means(case: dict[str, Any]) -> None:
    address = case["address"]
    target = read_address(address, case.get("ref", ""))
    assert str(target.spec) == case["spec"]
    assert target.urlpath == case.get("urlpath", "")
    assert target.refs == case.get("refs", [])
    assert parse(case["spec"]) == target.spec
    assert looks_like_address(address) or looks_like_spec(address)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["address"])
def test_an_address_is_refused_with_the_form_that_works(case: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as refused:
        read_address(case["address"])
    for words in case["refused"]:
        assert words in str(refused.value)
    # Nor is the secret repeated.
    assert "s3cr3t" not in str(refused.value)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("ref", "spec", "urlpath"),
    [
        ("feature/x/nb", "gh/kim/demo/feature/x/nb", ""),
        ("feature/x", "gh/kim/demo/feature/x", "lab/tree/nb"),
        ("feature", "gh/kim/demo/feature", "lab/tree/x/nb"),
    ],
)
def test_a_ref_with_slashes_is_read_as_the_ref_that_exists(
    ref: str, spec: str, urlpath: str
) -> None:
    target = read_address("https://github.com/kim/demo/tree/feature/x/nb")
    assert target.refs == ["feature/x/nb", "feature/x", "feature"]
    chosen = target.at(ref)
    assert (str(chosen.spec), chosen.urlpath, chosen.refs) == (spec, urlpath, [])


@pytest.mark.parametrize(
    ("text", "scheme", "host"),
    [
        ("https://github.com/kim/demo", True, True),
        (" <https://github.com/kim/demo>", True, True),
        ("github.com/kim/demo", False, True),
        ("zenodo.org/records/3242074", False, True),
        ("doi:10.5281/zenodo.3242074", True, False),
        ("10.5281/zenodo.3242074", False, False),
        ("kim/demo", False, False),
        ("gh/kim/demo/HEAD", False, False),
        # A spec of a provider that only a BinderHub knows.
        ("own/https%3A%2F%2Fgit.example.org%2Fa/HEAD", False, False),
    ],
)
def test_what_has_a_scheme_or_a_host(text: str, *, scheme: bool, host: bool) -> None:
    assert is_address(text) is scheme
    assert has_host(text) is host


@pytest.mark.parametrize(
    ("spec", "clone_url"),
    [
        ("gl/group%2Fdemo/HEAD", "https://gitlab.com/group/demo.git"),
        ("gh/kim/demo/HEAD", "https://github.com/kim/demo"),
        ("git/https%3A%2F%2Fgit.example.org%2Fa/HEAD", "https://git.example.org/a"),
    ],
)
def test_what_git_clones(spec: str, clone_url: str) -> None:
    assert parse(spec).clone_url == clone_url
