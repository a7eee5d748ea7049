"""The page about limits has all of them, with their defaults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from traitlets import HasTraits
from traitlets.config import Configurable

from binderprogress.backends.binderhub import upstreams
from binderprogress.backends.connection_errors import LONGEST_RESPONSE
from binderprogress.backends.fetch.git import GitResolver
from binderprogress.backends.jupyterhub import cleanups, progress
from binderprogress.backends.kubernetes import registry
from binderprogress.channels.config import Storage
from binderprogress.deploy import logs
from binderprogress.deploy.composition import CONFIGURABLES
from binderprogress.deploy.standalone import Standalone
from binderprogress.launches import log_lines
from binderprogress.launches.turns import MOST_AT_ONCE
from binderprogress.web import config as web_config
from binderprogress.web import log_turns, server

PAGE = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()

CLASSES = {cls.__name__: cls for cls in [*CONFIGURABLES, GitResolver, Standalone, Storage]}

ROWS = re.findall(r"^\| ([^|]+) \| `(\w+)\.(\w+)` \| ([^|]+) \| ([^|]*) ?\|$", PAGE, re.MULTILINE)

UNITS = {"": 1, "s": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def in_browser(path: str, name: str) -> int:
    """Return a constant of the browser's code."""
    text = (Path(__file__).parents[2] / "js" / "src" / path).read_text()
    found = re.search(rf"^const {name} = ([\d_]+);$", text, re.MULTILINE)
    assert found is not None
    return int(found[1])


FIXED = {
    "size of a request's body": server._MAX_BODY,
    "unread bytes of one client": server._READ_BUFFER,
    "connections that the system queues": server._BACKLOG,
    "queries of the history at the same time": web_config._MOST_QUERIES,
    "launches that ask for their servers at the same time after a restart": MOST_AT_ONCE,
    "repositories of a registry whose tokens are kept": registry._MOST_KEPT,
    "servers that are still to be removed from JupyterHub": cleanups._MOST,
    "progress events of one server": progress._MOST_EVENTS,
    "size of a response of another server": LONGEST_RESPONSE,
    "lines of a log that a page keeps": in_browser("element/view.ts", "HELD_LINES"),
    "… that it shows": in_browser("log/long-log.ts", "MAX_LINES"),
    "requests that read [parts of logs](api.md#parts-of-a-log) at once": log_turns._AT_ONCE,
    "… of one client, with those that wait": log_turns._MAX_WAITING,
    "time of a search in a log": log_lines._SECONDS,
    "log messages of one line of code": logs.RepeatFilter.__init__.__kwdefaults__["limit"],
}


def number(text: str) -> float:
    """Return the value of a default, such as 10 s or 256 MiB."""
    match = re.fullmatch(r"([\d,.]+) ?(\w*?)(?: a minute)?", text)
    assert match is not None, text
    return float(match[1].replace(",", "")) * UNITS[match[2]]


def default(cls: type[HasTraits], name: str) -> float:
    trait = cls.class_traits(config=True)[name]
    return float(trait.default_value)  # type: ignore[arg-type] # all of these are numbers


@pytest.mark.parametrize(("cls", "name", "said"), [row[1:4] for row in ROWS])
def test_defaults_are_those_of_the_settings(cls: str, name: str, said: str) -> None:
    assert number(said) == default(CLASSES[cls], name)


def test_bounds_that_cannot_be_set_are_those_of_the_code() -> None:
    section = PAGE.split("## What cannot be set\n", 1)[1].split("\n## ", 1)[0]
    said = re.findall(r"^\| ([^|]+) \| (\d[^|]*) \| ([^|]+) \|$", section, re.MULTILINE)
    assert {what: number(bound) for what, bound, _ in said} == FIXED


def test_no_bound_is_left_out() -> None:
    """Settings whose names say that they are a maximum or a budget."""
    named = {(row[1], row[2]) for row in ROWS}
    for cls in CLASSES.values():
        assert issubclass(cls, Configurable)
        for name in cls.class_own_traits(config=True):
            if name.startswith("max_") or name.endswith("budget"):
                owner = "LocalBuilder" if cls.__name__ == "Repo2dockerBuilder" else cls.__name__
                assert (owner, name) in named, f"{owner}.{name} is not in docs/limits.md"


def test_upstreams_have_no_limit_by_default() -> None:
    """The table says 0, which is no limit."""
    assert upstreams.Upstreams().max_running == 0
