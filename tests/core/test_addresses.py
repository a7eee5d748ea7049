"""Addresses that people paste: their specs, or the reason why they are rejected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from binderprogress.core.specs import looks_like_address, looks_like_spec, parse, read_address
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
