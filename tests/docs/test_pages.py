"""The documentation and the code agree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tornado.web import RequestHandler
from traitlets.config import Configurable

from binderprogress.backends.fetch.git import GitResolver
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.backends.repo2docker.builder import Repo2dockerBuilder
from binderprogress.channels.config import Storage
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.cli.check import CheckApp
from binderprogress.cli.launch import LaunchApp
from binderprogress.core.events import Event
from binderprogress.core.log.reasons import REASONS, failure
from binderprogress.core.phases import TRANSITIONS, Phase
from binderprogress.core.specs import parse
from binderprogress.core.timing.estimator import TYPICAL
from binderprogress.deploy.standalone import CONFIGURABLES, Standalone
from binderprogress.errors import NotFoundError, SpecError
from binderprogress.launches import LaunchManager
from binderprogress.web.access import Everyone
from binderprogress.web.api import ApiNotFoundHandler
from binderprogress.web.app import handlers
from binderprogress.web.config import Web

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))

CODE = re.compile(r"`([^`]+)`")
SETTING = re.compile(r"\b([A-Z]\w+)\.([a-z]\w+)\b")
ENDPOINT = re.compile(r"(GET|POST|DELETE) (/\S*)")
CLASSES: dict[str, type[Configurable]] = {
    cls.__name__: cls
    for cls in [Standalone, GitResolver, Storage, LaunchApp, CheckApp, *CONFIGURABLES]
}


def section(page: str, heading: str) -> str:
    """The text below a heading, down to the next of its level or above."""
    _, found, after = (DOCS / page).read_text().partition(f"\n{heading}\n")
    assert found, f"{page} has no {heading!r}"
    level = len(heading.partition(" ")[0])
    return re.split(rf"^#{{1,{level}}} ", after, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> Iterator[list[str]]:
    """The rows of all tables, without their heads."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        is_head = number + 1 < len(lines) and lines[number + 1].startswith("|---")
        if line.startswith("|") and not line.startswith("|---") and not is_head:
            yield [cell.strip() for cell in line.strip("|").split("|")]


def test_no_conflict_of_a_merge_is_left() -> None:
    marker = re.compile(r"^(<{7}|={7}|>{7})( |$)", flags=re.MULTILINE)
    pages = [*PAGES, ROOT / "README.md", ROOT / "CHANGELOG.md"]
    assert not [page for page in pages if marker.search(page.read_text())]


# -- settings


def settings() -> Iterator[tuple[str, str, str]]:
    for page in PAGES:
        for name, trait in SETTING.findall(page.read_text()):
            if name in CLASSES:
                yield page.name, name, trait


def test_every_setting_that_is_named_exists() -> None:
    found = list(settings())
    assert len(found) > 50
    missing = [
        f"{page}: {name}.{trait}"
        for page, name, trait in found
        if not CLASSES[name].class_traits(config=True).get(trait)
    ]
    assert not missing


# -- the API


class Addresses(Web):
    """As much of the web as its addresses need."""

    def __init__(self) -> None:
        Configurable.__init__(self)
        self.access = Everyone()
        # Those that there are only with users, too.
        self.access.lists = True


def test_endpoints_are_those_of_the_application() -> None:
    cells = [row[0].strip("`") for row in rows((DOCS / "api.md").read_text())]
    said = {(found[1], found[2]) for cell in cells if (found := ENDPOINT.fullmatch(cell))}
    there = set()
    for pattern, handler, *_ in handlers(Addresses()):
        if handler is ApiNotFoundHandler:
            continue
        paths = {path for _, path in said if re.fullmatch(pattern, re.sub(r"{\w+}", "x", path))}
        assert len(paths) == 1, f"{pattern}: {paths}"
        there |= {(method, path) for method in methods(handler) for path in paths}
    assert said == there


def methods(handler: type[RequestHandler]) -> list[str]:
    return [
        method
        for method in ("GET", "POST", "DELETE")
        if getattr(handler, method.lower()) is not getattr(RequestHandler, method.lower())
    ]


# -- events


def test_fields_are_those_of_an_event() -> None:
    cells = [row[0] for row in rows(section("events.md", "## Fields"))]
    said = [name for cell in cells for name in CODE.findall(cell)]
    assert sorted(said) == sorted(field.encode_name for field in msgspec.structs.fields(Event))


def test_phases_and_what_may_follow_them() -> None:
    said: dict[str | None, set[str]] = {}
    names = []
    for first, second, *_ in rows(section("events.md", "## Phases")):
        name = first.strip("`") if first != "(nothing)" else None
        following = set(CODE.findall(second))
        if following or second == "(nothing)":
            said[name] = following
        else:
            names.append(name)
    assert names == [phase.value for phase in Phase]
    assert said == {
        before.value if before else None: {phase.value for phase in after}
        for before, after in TRANSITIONS.items()
    }


def test_steps_are_those_of_the_code() -> None:
    said = {(row[0].strip("`"), row[1]) for row in rows(section("events.md", "## Steps"))}
    assert said == set(steps())


def steps() -> Iterator[tuple[str, str]]:
    """All steps that the package makes: keys and labels, with … for what varies."""
    for path in (ROOT / "binderprogress").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id == "Step" and len(node.args) >= 2:
                key, label = map(text_of, node.args[:2])
                if key:  # else it stands for none
                    yield key, label


def text_of(node: ast.expr) -> str:
    parts: list[Any] = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in parts)


def test_reasons_are_those_of_the_code() -> None:
    said = [
        (row[0].strip("`"), row[1], row[2]) for row in rows(section("events.md", "## Failures"))
    ]
    assert said == [(key, str(failure(key)), failure(key).advice) for key in REASONS]


def test_typical_times_are_the_builders() -> None:
    engine = Repo2dockerBuilder(engine="podman").profile.typical
    for name, *told in rows(section("estimator.md", "## Without a history")):
        phase = Phase(name.strip("`"))
        for text, typical in zip(
            told, (LocalBuilder().profile.typical, engine, TYPICAL), strict=True
        ):
            first, _, after = text.partition(", after a build ")
            assert first == (f"{typical[phase]:g}" if phase in typical else "not expected")
            if after:
                assert float(after) == pytest.approx(
                    typical[phase] * LocalBuilder().profile.first_start
                )


# -- examples


def test_output_of_launch_has_steps_of_the_code() -> None:
    labels = [re.escape(label).replace("…", ".*") for _, label in steps()]
    shown = re.findall(r"^-- (.*)$", (DOCS / "launching.md").read_text(), re.MULTILINE)
    assert len(shown) > 10
    assert not [label for label in shown if not re.fullmatch("|".join(labels), label)]


def test_errors_are_those_of_the_code() -> None:
    page = (DOCS / "api.md").read_text()
    with pytest.raises(SpecError) as caught:
        parse("swhid/x")
    assert str(caught.value) in page
    with pytest.raises(NotFoundError) as missing:
        LaunchManager(backend=LocalBuilder(), channels=MemoryChannelStore()).get("nope")
    assert str(missing.value) in page


# -- all pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_tells_of_the_machine_it_was_written_on(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"/tmp/|/root\b|/work/", text)
    assert set(re.findall(r"/home/(\w+)", text)) <= {"ada"}
