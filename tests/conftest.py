"""Fixtures for real parts: the demo with its Hub, git repositories, a browser."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from playwright.sync_api import Browser, sync_playwright
from xdist.scheduler import LoadFileScheduling

from binderprogress.deploy.host_processes import HostProcess

from .support.durations import AT_LEAST, Durations, guessed
from .support.forked import start_host_process
from .support.packages import EXCLUDE, excluded, remove, uv_cache
from .support.processes import BIN, environment, program
from .support.repositories import repository

# What Chromium needs where it runs as root, and what keeps it from calling home.
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # These names are this machine. By such a name, plain http is not "potentially trustworthy": the
    # browser sends no `Sec-Fetch-*` there.
    "--host-resolver-rules=MAP *.example 127.0.0.1",
    # It would start a process ahead for each page.
    "--disable-features=SpareRendererForSitePerProcess",
]


# What is imported and collected stays; see `pytest_collection_finish`.
gc.disable()

# Without bytecode, each process that a test starts would compile what it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# jsonschema imports it for the format "iri", and each process would compile its grammar for two
# seconds; see `binderprogress.deploy.jupyterhub_program`.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment] # typeshed lacks None

os.environ["UV_CACHE_DIR"] = str(uv_cache())
os.environ[EXCLUDE] = str(excluded())

# The history of the one who runs the tests stays as it is; uv's Pythons are where they always are.
_pythons = subprocess.check_output([BIN / "uv", "python", "dir"], text=True).strip()
os.environ.setdefault("UV_PYTHON_INSTALL_DIR", _pythons)
_data = tempfile.TemporaryDirectory(prefix="binderprogress-data-", ignore_cleanup_errors=True)
os.environ["XDG_DATA_HOME"] = _data.name

# `make test` tries few examples of each property, `make test-long` many.
for _profile, _examples in {"tests": 30, "long": 1000}.items():
    hypothesis.settings.register_profile(
        _profile,
        parent=hypothesis.settings(),
        max_examples=_examples,
        # How long an example takes depends on what else runs on the machine.
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
hypothesis.settings.load_profile("tests")

# Where the real BinderHub is not installed, a double of its package stands in.
if importlib.util.find_spec("binderhub") is None:
    sys.path.append(str(Path(__file__).parent / "doubles"))


# Tests that share something that starts slowly: podman's images, a Kubernetes, the demo.
_TOGETHER = {
    "tests/podman/": "podman",
    "tests/kubernetes/": "kubernetes",
    "tests/e2e/test_demo.py": "demo",
    "tests/cli/test_check.py::test_the_examples": "demo",
    "tests/cli/test_launch.py::test_the_demo_says_one_line": "demo",
}


def _group(nodeid: str) -> str:
    """Return what one process runs as a whole: a file, or one of the above."""
    groups = (group for start, group in _TOGETHER.items() if nodeid.startswith(start))
    return next(groups, nodeid.partition("::")[0])


class Scheduling(LoadFileScheduling):
    """Like ``--dist=loadfile``, but some tests of several files run in one process."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    """Return the scheduler of ``--dist=loadfile``."""
    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_configure(config: pytest.Config) -> None:
    """Note how long tests take, for the next run."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Durations(config), "durations")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the longest groups first, so that no worker is left with one at the end."""
    if hasattr(config, "workerinput"):
        known = config.workerinput["durations"]
    else:
        known = config.pluginmanager.get_plugin("durations").known
    seconds: Counter[str] = Counter()
    for item in items:
        seconds[_group(item.nodeid)] += known.get(item.nodeid, guessed(item))
    if not known:
        seconds |= Counter(AT_LEAST)
    items.sort(key=lambda item: -seconds[_group(item.nodeid)])


def pytest_collection_finish() -> None:
    """Collect garbage from now on, except for what the collection of tests has made."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def forked_jupyterhubs() -> Iterator[None]:
    """A JupyterHub that is started in the process of a test is forked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HostProcess, "start", start_host_process)
        yield


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for everything that is kept between launches, empty at first."""
    folder = tmp_path_factory.mktemp("cache")
    yield folder
    remove(folder)


@pytest.fixture(scope="session")
def env(cache: Path) -> dict[str, str]:
    """The variables that our programs are started with."""
    return environment(cache)


@pytest.fixture
def make_repository(tmp_path: Path) -> Callable[..., Path]:
    """Make a git repository of a name and files."""

    def make(name: str = "repository", files: Mapping[str, str] | None = None) -> Path:
        return repository(tmp_path / name, files)

    return make


@pytest.fixture(scope="session")
def demo(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The real demo: its first line, as JSON."""
    env, log = environment(cache, jupyterlab=True), tmp_path_factory.mktemp("demo") / "log"
    arguments = ("binderprogress", "demo", "--port", "0", "--json")
    with program(*arguments, env=env, log=log, plain=True) as running:
        line = running.line(timeout=60)
        assert line, log.read_text()
        yield json.loads(line)


def chromium_path() -> str:
    """Return the path of Chromium: of the one without windows, which takes half of the time."""
    for name in ("chromium-headless-shell", "chromium", "chromium-browser"):
        if path := shutil.which(name):
            return path
    pytest.skip("chromium is not installed, and this user could not install it")


@pytest.fixture(scope="session")
def chromium() -> Iterator[tuple[Browser, asyncio.AbstractEventLoop]]:
    """A real Chromium, and the event loop that Playwright keeps running meanwhile."""
    path = chromium_path()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        loop = asyncio.get_running_loop()
        asyncio._set_running_loop(None)
        yield chromium, loop
        asyncio._set_running_loop(loop)
        chromium.close()


@pytest.fixture(scope="module")
def browser(chromium: tuple[Browser, asyncio.AbstractEventLoop]) -> Iterator[Browser]:
    """A real Chromium.

    To start it takes a second, so modules share it. Playwright keeps an event loop running in a
    greenlet of this thread. Tests of other modules have event loops of their own, and asyncio
    would refuse to run one in another.
    """
    browser, loop = chromium
    asyncio._set_running_loop(loop)
    yield browser
    asyncio._set_running_loop(None)
