"""A server that `binderprogress serve` runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ..support.forked import run
from ..support.packages import EXCLUDE, remove
from ..support.processes import Program, program


class Server(NamedTuple):
    url: str
    folder: Path
    """The folder of the repositories that it may launch."""
    running: Program
    log: Path


@pytest.fixture(scope="session")
def env(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment variables of all tests, without the user's settings."""
    return {**env, "JUPYTER_CONFIG_DIR": str(tmp_path_factory.mktemp("jupyter"))}


@pytest.fixture(scope="module")
def server(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("serve")
    config = folder / "config.py"
    config.write_text(
        f"c.LocalBuilder.local_folders = [{str(folder)!r}]\n"
        f"c.LocalBuilder.environments = {str(folder / 'environments')!r}\n"
        # Without Jupyter by default, to save time.
        "c.LocalBuilder.base_packages = []\n"
        "c.LocalBuilder.link_mode = 'hardlink'\n"
        f"c.LocalBuilder.pass_environment = [{EXCLUDE!r}]\n"
        "c.GitResolver.timeout = 5.0\n"
    )
    arguments = ["binderprogress", "serve", "--port", "0", "-f", str(config)]
    log = folder / "log"
    with program(*arguments, env=env, log=log) as running:
        line = running.line(timeout=120)
        prefix, _, url = line.strip().rpartition(" ")
        assert prefix == "binderprogress listens on", log.read_text()
        yield Server(url, folder, running, log)
    remove(folder / "environments")


class Checked(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The parsed output of `--json`."""
        (line,) = self.out.splitlines()
        report: dict[str, Any] = json.loads(line)
        return report

    @property
    def cases(self) -> dict[str, Any]:
        return {case["name"]: case for case in self.report["cases"]}


Check = Callable[..., Checked]


@pytest.fixture
def check(env: dict[str, str]) -> Check:
    """Run the command until it exits."""

    def run_check(*arguments: object) -> Checked:
        done = run("check", *map(str, arguments), env=env, timeout=120)
        assert "Traceback (most" not in done.stderr
        return Checked(done.returncode, done.stdout, done.stderr)

    return run_check
