"""What is wrong with the settings of a config file."""

from __future__ import annotations

from pathlib import Path

import pytest
from traitlets import Int
from traitlets.config import Configurable
from traitlets.config.loader import Config

from binderprogress.deploy.options import place_of, unknown_setting


class Builder(Configurable):
    timeout = Int().tag(config=True)
    log = Int()


class LocalBuilder(Builder):
    folder = Int().tag(config=True)


@pytest.mark.parametrize(
    ("section", "trait", "suggestion"),
    [
        ("LocalBuilder", "foldr", " Did you mean c.LocalBuilder.folder?"),
        ("Builder", "tmeout", " Did you mean c.Builder.timeout?"),
        ("Builder", "nonsense", ""),
        # It is no setting.
        ("Builder", "log", ""),
        ("LocalBuildr", "timeout", " Did you mean c.LocalBuilder.timeout?"),
    ],
)
def test_settings_that_do_not_exist(section: str, trait: str, suggestion: str) -> None:
    config = Config({section: {trait: 1}})
    found = unknown_setting(config, [Builder, LocalBuilder])
    assert found == (f"{section}.{trait}", suggestion)


@pytest.mark.parametrize(
    "setting",
    [
        "LocalBuilder.timeout",
        # Set for a base class, and defined by one derived from it.
        "Builder.folder",
        # Of another command, or a class in the config file.
        "PrepullApp.dry_run",
        "MyBuilder.timeout",
    ],
)
def test_settings_that_may_exist(setting: str) -> None:
    section, trait = setting.split(".")
    assert unknown_setting(Config({section: {trait: 1}}), [Builder, LocalBuilder]) is None


def test_where_a_setting_is_written(tmp_path: Path) -> None:
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text("c.Builder.timeouts = 1\n")
    second.write_text("c = get_config()\nc.Builder.timeout = 1\n")
    files = [str(first), str(second)]
    assert place_of("Builder.timeout", files) == f"{second}, line 2"
    assert place_of("Builder.other", files) == ", ".join(files)
