"""The reference is complete, and Sphinx builds all pages without a warning."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from traitlets.config import Configurable

import binderprogress
from binderprogress.channels.config import Storage
from binderprogress.cli.app import BinderProgressApp
from binderprogress.cli.check import CheckApp
from binderprogress.cli.demo import DemoApp
from binderprogress.cli.launch import LaunchApp
from binderprogress.deploy.jupyterhub_service import JupyterHubService
from binderprogress.deploy.spawners.container import ContainerSpawner
from binderprogress.deploy.spawners.environment import EnvironmentSpawner
from binderprogress.deploy.standalone import CONFIGURABLES, Standalone

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
CLASSES = [
    Standalone,
    Storage,
    JupyterHubService,
    *CONFIGURABLES,
    *(ContainerSpawner, EnvironmentSpawner, LaunchApp, CheckApp, DemoApp),
]
# On a busy machine, Sphinx takes minutes.
pytestmark = pytest.mark.timeout(600)
ENTRY = re.compile(r'<dt[^>]*id="configtrait-([\w.]+)">.*?</dt>\s*<dd>(.*?)</dd>', re.DOTALL)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the HTML pages."""
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*command, "-d", str(folder / "doctrees"), str(DOCS), str(folder / "html")],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.mark.long
def test_sphinx_builds_every_page(pages: Path) -> None:
    built = {path.relative_to(pages).with_suffix("") for path in pages.rglob("*.html")}
    assert {path.relative_to(DOCS).with_suffix("") for path in DOCS.rglob("*.md")} <= built


@pytest.mark.long
def test_every_setting_is_in_the_reference_with_its_help_and_default(pages: Path) -> None:
    entries = dict(ENTRY.findall((pages / "reference/configuration.html").read_text()))
    for cls in CLASSES:
        for name, trait in cls.class_own_traits(config=True).items():
            text = text_of(entries[f"{cls.__name__}.{name}"])
            explanation, _, default = text.rpartition("Type: ")
            assert len(explanation) > 5, name
            assert default.strip().endswith(f"Default: {spaced(trait.default_value_repr())}"), name


def test_the_python_reference_is_exactly_the_public_api() -> None:
    source = (REFERENCE / "python.md").read_text()
    documented = re.findall(r"^\.\. auto\w+:: binderprogress\.(\w+)$", source, re.MULTILINE)
    assert sorted(documented) == sorted(set(binderprogress.__all__) - {"__version__"})


@pytest.mark.long
def test_every_command_is_in_the_reference(pages: Path) -> None:
    source = (REFERENCE / "cli.md").read_text()
    text = text_of((pages / "reference/cli.html").read_text())
    assert "Traceback" not in text
    for command in BinderProgressApp.subcommands:
        assert f"binderprogress {command}" in source
    for cls in (LaunchApp, CheckApp, DemoApp):
        for alias in set(cls.aliases) - {"f"}:
            assert f"--{alias} " in text


@pytest.mark.parametrize("cls", CLASSES)
def test_every_setting_has_a_help(cls: type[Configurable]) -> None:
    assert not [name for name, trait in cls.class_traits(config=True).items() if not trait.help]


def text_of(markup: str) -> str:
    return spaced(html.unescape(re.sub(r"<[^>]+>", "", markup)))


def spaced(text: str) -> str:
    return re.sub(r"\s+", " ", text)
