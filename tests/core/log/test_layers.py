from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.log.layers import LINES, MOST, PULLING, PUSHING, LayerReader, in_record

# What real builders print is in `tests/data/steps.json`; `test_steps` reads it.

NAMES = [f"{number:012x}" for number in range(12)]
lines = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([line for line, _, _ in LINES])))


@given(lines)
def test_numbers_never_go_back(said: list[tuple[str, str]]) -> None:
    reader = LayerReader()
    found = [reader.docker(f"{name}: {line}") for name, line in said]
    for key in (PULLING, PUSHING):
        told = [layers for layers in found if layers is not None and layers.key == key]
        for before, after in pairwise(told):
            assert all(one <= other for one, other in zip(before[1:], after[1:], strict=True))
        for layers in told:
            assert 0 <= layers.existing <= layers.done <= layers.total <= len(NAMES)


def test_pulls_and_pushes_are_counted_apart() -> None:
    reader = LayerReader()
    assert reader.docker("4f50a35f1c79: Pull complete") == (PULLING, 1, 1, 0)
    assert reader.docker("4f50a35f1c79: Preparing") == (PUSHING, 1, 0, 0)


def test_a_layer_is_done_once() -> None:
    reader = LayerReader()
    for line in ("Preparing", "Pushed", "Pushed", "Preparing"):
        told = reader.docker(f"4f50a35f1c79: {line}")
    assert told == (PUSHING, 1, 1, 0)


def test_podman_is_done_with_all_once_it_copies_the_configuration() -> None:
    reader = LayerReader()
    assert reader.podman(f"Copying blob sha256:{'a' * 64}\n", PUSHING) == (PUSHING, 1, 0, 0)
    assert reader.podman(f"Copying blob sha256:{'b' * 64} done\n", PUSHING) == (PUSHING, 2, 1, 0)
    assert reader.podman(f"Copying blob {'c' * 12} skipped: already exists\r", PUSHING) == (
        *(PUSHING, 3, 2, 1),
    )
    assert reader.podman("Copying config sha256:00\n", PUSHING) == (PUSHING, 3, 3, 1)
    assert reader.podman(f"Copying blob sha256:{'a' * 64} done\n", PUSHING) == (PUSHING, 3, 3, 1)


@pytest.mark.parametrize("key", ["docker", "podman", "buildx"])
def test_attack_a_log_that_names_ever_new_layers(key: str) -> None:
    reader = LayerReader()
    line = {"docker": "{}: Pushed", "podman": "Copying blob {} done"}.get(
        key, "#9 pushing layer sha256:{}"
    )
    read = {"docker": reader.docker, "buildx": reader.buildx}.get(
        key, lambda line: reader.podman(line, PUSHING)
    )
    told = [read(line.format(f"{number:012x}")) for number in range(3 * MOST)]
    assert [layers.total for layers in told if layers is not None] == list(range(1, MOST + 1))


def test_attack_a_record_of_ever_so_many_layers() -> None:
    found = in_record({str(number): {"status": "Pushed"} for number in range(3 * MOST)})
    assert found == (PUSHING, MOST, MOST, 0)
