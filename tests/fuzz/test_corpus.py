"""What was found or recorded before goes through all targets, also where atheris is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from .targets import LONGEST, TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus(name: str) -> None:
    seeds = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    assert seeds
    for seed in seeds:
        assert len(seed) <= LONGEST
        TARGETS[name](seed)


def test_every_seed_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*")) < 300_000


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_meant_for_another_target(name: str) -> None:
    for other in TARGETS:
        for path in sorted((CORPUS / other).iterdir())[:20]:
            TARGETS[name](path.read_bytes())
