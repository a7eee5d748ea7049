"""Rendezvous hashing is stable, even, and moves as few keys as possible."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.rendezvous import ranked

HUBS = [f"https://hub-{number}.example.org/" for number in range(5)]
KEYS = [f"https://github.com/ada/repository-{number}" for number in range(5000)]


def test_it_is_the_same_on_all_machines() -> None:
    assert ranked("https://github.com/ada/penguins", HUBS[:3]) == [HUBS[0], HUBS[2], HUBS[1]]


def test_all_take_about_the_same() -> None:
    counts = Counter(ranked(key, HUBS)[0] for key in KEYS)
    assert set(counts) == set(HUBS)
    assert all(abs(count - 1000) < 150 for count in counts.values())


def test_only_what_was_its_own_goes_to_others_when_one_goes() -> None:
    left = [hub for hub in HUBS if hub != HUBS[2]]
    heirs: Counter[str] = Counter()
    for key in KEYS:
        first, second, *_ = ranked(key, HUBS)
        now = ranked(key, left)[0]
        if first == HUBS[2]:
            assert now == second
            heirs[now] += 1
        else:
            assert now == first
    # And to all of them alike, so that no other one falls.
    assert all(abs(heirs[hub] - 250) < 75 for hub in left)


def test_a_new_one_takes_its_part_and_nothing_else_moves() -> None:
    new = "https://new.example.org/"
    moved = 0
    for key in KEYS:
        before, now = ranked(key, HUBS)[0], ranked(key, [*HUBS, new])[0]
        assert now in {before, new}
        moved += now == new
    assert abs(moved - 5000 / 6) < 150


def test_shares_are_proportional_to_weights() -> None:
    weights = dict(zip(HUBS, (1.0, 1.0, 2.0, 4.0, 0.001), strict=True))
    counts = Counter(ranked(key, HUBS, weights)[0] for key in KEYS)
    for hub, share in zip(HUBS, (625, 625, 1250, 2500, 1), strict=True):
        assert abs(counts[hub] - share) < 150


def test_equal_weights_change_nothing() -> None:
    weights = dict.fromkeys(HUBS, 3.0)
    assert all(ranked(key, HUBS, weights) == ranked(key, HUBS) for key in KEYS)


def test_a_larger_weight_only_takes_keys_from_others() -> None:
    for key in KEYS:
        before = ranked(key, HUBS, dict.fromkeys(HUBS, 1.0))[0]
        now = ranked(key, HUBS, {**dict.fromkeys(HUBS, 1.0), HUBS[1]: 3.0})[0]
        assert now in {before, HUBS[1]}


@given(st.text(), st.lists(st.text(alphabet=st.characters(codec="utf-8")), unique=True))
def test_the_order_of_the_names_does_not_matter(key: str, names: list[str]) -> None:
    key = key.encode("utf-8", "replace").decode()
    order = ranked(key, names)
    assert sorted(order) == sorted(names)
    assert order == ranked(key, reversed(names))
