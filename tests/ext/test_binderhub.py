"""`install(c)` in the configuration of a BinderHub, which is the real one if it is installed."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from binderhub.app import BinderHub
from traitlets.config import Config

from binderprogress import __version__
from binderprogress.deploy.binderhub.app import BinderProgressHub, extend
from binderprogress.deploy.binderhub.supported import check_settings
from binderprogress.errors import ConfigError
from binderprogress.ext import binderhub
from binderprogress.ext.binderhub import install

from ..real.servers import events, free_ports, program
from ..support.long import usually

ROOT = Path(__file__).parents[2]

BINDER = """
from functools import partialmethod

import binderhub.app
from binderprogress.deploy.binderhub.names import image_name
from tests.support import inside
from tornado.httpserver import HTTPServer

class Named:
    def get_build_slug(self):
        return "a-b"

# BinderHub listens on all addresses.
HTTPServer.listen = partialmethod(HTTPServer.listen, address="127.0.0.1")
binderhub.app.Launcher = inside.PlayedLauncher
inside.PlayedRegistry.images = {{image_name(Named(), inside.COMMIT, "binder-")}}
c.BinderHub.port = {port}
c.BinderHub.repo_providers = {{"gh": inside.PlayedProvider}}
c.BinderHub.registry_class = inside.PlayedRegistry
c.BinderHub.launch_quota_class = inside.PlayedQuota
c.BinderHub.build_class = inside.PlayedBuild
c.BinderHub.builder_required = False
c.BinderHub.hub_url = "https://hub.example.org/"
c.BinderHub.image_prefix = "r/binder-"
c.BinderHub.build_token_secret = inside.SECRET.hex()
c.RateLimiter.limit = 0
c.Web.linger = 0.0
c.Storage.url = "memory"
"""

# As the configuration of BinderHub's Helm chart does with `extraConfig`.
SNIPPETS = """
for key, snippet in sorted({snippets!r}.items()):
    print(f"Loading extra config: {{key}}")
    exec(snippet)
"""

INSTALL = "from binderprogress.ext.binderhub import install\ninstall(c)\n"


def command(folder: Path, config: str, module: str = "binderhub") -> list[str]:
    """Write a configuration, and return the command that starts a BinderHub with it."""
    path = folder / "binderhub_config.py"
    path.write_text(config)
    return [sys.executable, "-m", module, "--config", str(path)]


def variables() -> dict[str, str]:
    found = importlib.util.find_spec("binderhub")
    assert found is not None and found.origin is not None
    # The real one, or its double.
    packages = Path(found.origin).parents[1]
    return {"PYTHONPATH": f"{ROOT}:{packages}"}


@contextmanager
def running(
    folder: Path, module: str = "binderhub", **snippets: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/"
    config = BINDER.format(port=port) + SNIPPETS.format(snippets=snippets)
    started = command(folder, config, module)
    with program(started, f"{url}versions", folder, variables()) as process:
        yield url, process


MODULES = ["binderhub", "binderprogress.deploy.binderhub"]


@pytest.mark.parametrize("module", usually(MODULES, "binderhub"))
def test_two_lines_of_extra_config_are_all_that_is_needed(tmp_path: Path, module: str) -> None:
    snippets = {
        "a": "c.BinderProgress.page = 'ours'\n",
        "b": INSTALL,
        "c": f"{INSTALL}c.BinderProgress.show_version = True\n",
    }
    with running(tmp_path, module, **snippets) as (url, process):
        assert requests.get(f"{url}versions", timeout=30).json()["binderprogress"] == __version__
        assert "<binder-progress" in requests.get(f"{url}v2/gh/a/b/HEAD", timeout=30).text
        stream = list(events(f"{url}build/gh/a/b/HEAD"))
        assert stream[-1]["phase"] == "ready"
        assert "binderprogress_launches" in requests.get(f"{url}metrics", timeout=30).text
        process.terminate()
        # As BinderHub ends.
        assert process.wait(30) == -signal.SIGTERM


def test_a_launch_that_runs_is_handed_over_when_binderhub_is_stopped(tmp_path: Path) -> None:
    with running(tmp_path, extra=INSTALL) as (url, process):
        started = requests.post(f"{url}api/launches", json={"spec": "gh/b/c/HEAD"}, timeout=30)
        assert started.status_code == 201
        stream = events(started.json()["events_url"])
        assert next(stream)["phase"] == "waiting"
        process.terminate()
        # The launch is in memory, so it ends; without us, the connection would break.
        assert list(stream)[-1]["reason"] == "shutdown"
        assert process.wait(30) == -signal.SIGTERM


@pytest.mark.long
def test_without_the_lines_it_is_binderhub_alone(tmp_path: Path) -> None:
    with running(tmp_path) as (url, _):
        assert "Binderprogress" not in requests.get(f"{url}versions", timeout=30).headers
        answer = requests.post(f"{url}api/launches", json={"spec": "gh/a/b/HEAD"}, timeout=30)
        assert answer.status_code in {404, 405}


ENDS = {
    "another version of BinderHub": (
        "import binderhub.builder\ndel binderhub.builder._safe_build_slug\n" + INSTALL,
        "binderprogress does not support BinderHub",
    ),
    "a dependency that is missing": (
        "import sys\nsys.modules['msgspec'] = None\n" + INSTALL,
        "binderprogress is not completely installed",
    ),
    "a store that cannot be opened": (
        BINDER.format(port=0) + INSTALL + "c.Storage.url = 'nonsense://'\n",
        "c.Storage.url",
    ),
}


@pytest.mark.parametrize("why", usually(ENDS, "a dependency that is missing"))
def test_it_ends_with_a_sentence_where_it_cannot_work(tmp_path: Path, why: str) -> None:
    """BinderHub would log an exception, and run without its configuration."""
    config, sentence = ENDS[why]
    done = subprocess.run(
        command(tmp_path, config),
        cwd=tmp_path,
        env=variables(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_that_a_version_lacks_are_named() -> None:
    with pytest.raises(ConfigError, match="which has no auth_enabled, badge_base_url,"):
        check_settings({"executor": None})


def test_it_is_for_configuration_files() -> None:
    with pytest.raises(TypeError, match="not 'dict'"):
        install({})  # type: ignore[arg-type] # what is refused
    with pytest.raises(SystemExit, match="python -m binderhub"):
        install(Config())


def test_a_hub_is_extended_once() -> None:
    hub = BinderHub()
    extend(hub)
    start = hub.start
    extend(hub)
    assert hub.start is start
    ours = BinderProgressHub()
    extend(ours)
    assert "start" not in vars(ours)


def test_its_name_is_public() -> None:
    assert binderhub.__all__ == ["install"]
