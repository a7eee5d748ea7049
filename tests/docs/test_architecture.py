"""Paths that the documentation names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
]
PATH = re.compile(r"`((?:binderprogress|js|tests|docs|share|benchmarks)/[\w./-]+)`")
LINK = re.compile(r"\]\(((?!https?:|#)[^)\s]*)\)")
# Made by `make` or by the fuzzers, and names of the npm package or of Kubernetes.
OTHERS = {
    *("docs/_build/html", "share/binderprogress/static", "js/dist", "tests/fuzz/found"),
    *("binderprogress/define", "binderprogress/event.schema.json"),
    "binderprogress/installation",
}


def paths(page: Path) -> set[str]:
    """The paths of the repository that a page names in code."""
    return set(PATH.findall(page.read_text())) - OTHERS


def test_architecture_names_every_package() -> None:
    named = paths(ROOT / "docs/architecture.md")
    packages = {
        path.parent.relative_to(ROOT).as_posix()
        for path in (ROOT / "binderprogress").rglob("__init__.py")
        if path.parent.name not in {"binderprogress", "migrations", "versions"}
    }
    assert packages <= named
    assert len(named) > 60


@pytest.mark.parametrize("page", FILES, ids=lambda page: page.name)
def test_paths_exist(page: Path) -> None:
    assert not {path for path in paths(page) if not (ROOT / path).exists()}


@pytest.mark.parametrize("page", FILES, ids=lambda page: page.name)
def test_links_between_pages_lead_to_a_heading(page: Path) -> None:
    """Sphinx checks the links within `docs`; this also checks those that lead there."""
    for link in LINK.findall(page.read_text()):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    texts = [re.sub(r"[`*]|\[|\]\(.*?\)", "", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}
