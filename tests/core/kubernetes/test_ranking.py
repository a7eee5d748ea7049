"""Which images past launches make popular."""

from __future__ import annotations

import json
from typing import Any

import pytest

from binderprogress.core.kubernetes.names import image_name
from binderprogress.core.kubernetes.prepull import RankedImage
from binderprogress.core.kubernetes.ranking import (
    EventCounter,
    PastImage,
    past_images,
    rank_images,
)
from binderprogress.core.specs import parse

DAY = 86400.0
# As mybinder.org has published them.
EVENT = {
    "timestamp": "2026-11-20T10:01:00+00:00",
    "version": 6,
    "schema": "binderhub.jupyter.org/launch",
    "provider": "GitHub",
    "spec": "ada/penguins/HEAD",
    "ref": "c0",
    "status": "success",
    "origin": "gke.mybinder.org",
}


def count(*changes: dict[str, Any]) -> EventCounter:
    counter = EventCounter()
    for change in changes:
        counter.add(json.dumps({**EVENT, **change}).encode())
    return counter


def test_the_last_commit_of_a_repository_has_all_launches() -> None:
    time = "2026-11-21T10:01:00Z"
    counter = count({}, {"ref": "c1", "timestamp": time}, {"ref": "c0"})
    (found,) = past_images(counter, prefix="r/x-", now=1_795_255_260.0 + 14 * DAY)
    spec = parse("gh/ada/penguins/HEAD")
    assert found.image == image_name(spec, "c1", prefix="r/x-")
    assert (found.repository, found.ref) == (spec.repo_url, "HEAD")
    assert found.score == pytest.approx(3 * 30 / 2, rel=0.01)


@pytest.mark.parametrize(
    ("provider", "spec", "parsed"),
    [
        ("GitLab", "group%2Fproject/HEAD", "gl/group%2Fproject/HEAD"),
        ("Gist", "ada/0123/HEAD", "gist/ada/0123/HEAD"),
        ("Git", "https%3A%2F%2Fgit.example.org%2Fx/c0", "git/https%3A%2F%2Fgit.example.org%2Fx/c0"),
    ],
)
def test_providers(provider: str, spec: str, parsed: str) -> None:
    assert list(count({"provider": provider, "spec": spec}).launches) == [parse(parsed)]


@pytest.mark.parametrize(
    "change",
    [
        {"provider": "Zenodo", "spec": "10.5281/zenodo.1"},
        {"spec": "nothing"},
        {"status": "failure"},
        {"ref": ""},
        {"version": 2},
        {"schema": "other"},
        {"timestamp": "yesterday"},
    ],
)
def test_what_is_skipped(change: dict[str, Any]) -> None:
    counter = count(change)
    assert (dict(counter.launches), counter.skipped) == ({}, 1)


def test_lines_that_are_no_events_and_times_without_a_zone() -> None:
    counter = count({"timestamp": "1970-01-01T00:01:00"})
    counter.add(b"{")
    counter.add(b'["x"]')
    assert counter.skipped == 2
    assert [each.last for each in counter.launches.values()] == [60.0]


def past(
    image: str, score: float, *, repository: str = "r", ref: str = "", last: float = 0.0
) -> Any:
    return PastImage(image=image, repository=repository, ref=ref, last=last, score=score)


def test_only_the_newest_image_of_a_ref_is_worth_pulling() -> None:
    ranking = rank_images(
        [
            past("h.org/old:1", 5, last=1.0),
            past("h.org/new:1", 1, last=2.0),
            past("h.org/old:0", 1, last=0.0),
            # The same commit, for another ref.
            past("h.org/new:1", 2, ref="v1", last=1.0),
            past("other:1", 3, repository="s"),
            past("h.org/rare:1", 1, repository="t"),
        ],
        most=2,
    )
    assert ranking == [
        RankedImage(name="h.org/new:1", score=9, size=0),
        RankedImage(name="docker.io/library/other:1", score=3, size=0),
    ]
