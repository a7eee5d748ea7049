"""Scenario files, and what is said if they are wrong."""

from __future__ import annotations

import tomllib

import pytest

from binderprogress.errors import ConfigError
from binderprogress.whatif.policy import Policy, changed, read_policy


def read(text: str) -> Policy:
    return read_policy(tomllib.loads(text), name="week.toml")


def test_a_file_is_read() -> None:
    policy = read(
        "currency = '€'\n[nodes]\nmost = 4\nprice = 1\n[[classes]]\nstudents = 30\n"
        "days = ['Monday']\n"
    )
    assert (policy.currency, policy.nodes.most, policy.nodes.price) == ("€", 4, 1.0)
    assert policy.classes[0].students == 30
    assert policy.nodes.least == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[node]\nmost = 4", "week.toml: unknown key node. Did you mean nodes?"),
        ("[nodes]\nmots = 4", "week.toml: unknown key nodes.mots. Did you mean nodes.most?"),
        ("[builds]\nxyz = 4", "week.toml: unknown key builds.xyz. Known: slots."),
        ("[nodes]\nmost = 'many'", "week.toml: nodes.most is invalid: Expected `int`, got `str`."),
        ("[nodes]\nmost = 0", "week.toml: nodes.most is invalid: Expected `int` >= 1."),
        ("nodes = 4", "week.toml: nodes is invalid: Expected `object`, got `int`."),
        (
            "[[classes]]\nstudents = 3\nday = ['Monday']",
            "week.toml: unknown key classes[0].day. Did you mean classes[0].days?",
        ),
        (
            "[nodes]\nmemory_gb = 1",
            (
                "week.toml: no server fits on a node. Raise nodes.memory_gb (1) or lower "
                "servers.memory_gb (2)."
            ),
        ),
        (
            "[nodes]\nleast = 5\nmost = 2",
            "week.toml: nodes.most (2) is less than nodes.least (5).",
        ),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value) == message


def test_a_setting_is_changed() -> None:
    policy = changed(Policy(), "nodes.packing=emptiest", name="--set")
    assert policy.nodes.packing == "emptiest"
    assert changed(policy, "standby = 7", name="--set").standby.servers == 7
    assert changed(policy, 'standby.names=["a/b"]', name="--set").standby.names == ["a/b"]
    assert changed(policy, "nodes.most=3", name="--set").nodes.packing == "emptiest"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("nodes.most", "--set: 'nodes.most' is no setting such as standby.servers=40."),
        ("nodes.most=", "--set: 'nodes.most=' is no setting such as standby.servers=40."),
        ("currency=x", "--set: 'currency=x' is no setting such as standby.servers=40."),
        ("nodes.mst=3", "--set: unknown key nodes.mst. Did you mean nodes.most?"),
        ("classes.at=3", "--set: classes is invalid: Expected `array`, got `object`."),
    ],
)
def test_a_wrong_change_is_explained(setting: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        changed(Policy(), setting, name="--set")
    assert str(caught.value) == message
