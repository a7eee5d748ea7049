"""What other users of the machine may read.

The attacker has an account on the machine where the server runs, or code that runs as another user
there: they could read tokens, private repositories and who launched what.
"""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from binderprogress.backends.base import BuildResult, PairedBackend
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.backends.local.jupyter_server import copy_repository
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.specs import parse
from binderprogress.deploy.embedded_jupyterhub import EmbeddedJupyterHub
from binderprogress.history.config import History
from binderprogress.launches import LaunchManager

from ..support.asynchronous import asynchronous
from ..support.repositories import repository


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """What most systems have: everyone may read."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def open_to_others(*paths: Path) -> list[str]:
    """List what others may read or enter, as `ls` shows it."""
    return [
        f"{stat.filemode(path.lstat().st_mode)} {path}"
        for path in paths
        if not path.is_symlink() and path.lstat().st_mode & 0o077
    ]


def test_the_history_is_not_for_others(tmp_path: Path) -> None:
    """It says what was launched, private repositories too; and so do SQLite's files beside it."""
    store = History(url=f"sqlite:///{tmp_path}/data/more/history.sqlite").open()
    try:
        made = [tmp_path / "data", *(tmp_path / "data").rglob("*")]
        assert {path.name for path in made} >= {"history.sqlite", "history.sqlite-wal"}
        assert open_to_others(*made) == []
    finally:
        store.close()


def test_a_database_in_memory_has_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file would be made for every name that SQLite is given."""
    monkeypatch.chdir(tmp_path)
    History(url="sqlite:///:memory:").open().close()
    assert list(tmp_path.iterdir()) == []


def test_logs_are_not_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in a folder that everyone can list, and hold what a private build printed."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    manager = LaunchManager(
        channels=MemoryChannelStore(), backend=PairedBackend(LocalBuilder(), None)
    )
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1, "and its lock"
    assert open_to_others(*tmp_path.iterdir()) == []
    del manager


@asynchronous(60)
async def test_an_environment_and_its_checkout_are_not_for_others(tmp_path: Path) -> None:
    """With `GitResolver.credentials` it may be a private repository."""
    environments = tmp_path / "cache" / "binderprogress" / "environments"
    local = LocalBuilder(
        local_folders=[str(tmp_path)], environments=str(environments), base_packages=[]
    )
    folder = repository(tmp_path / "private", {"secret.txt": "a"})
    spec = parse(f"git/{folder.as_uri().replace('/', '%2F')}/HEAD")
    async for item in local.build(await local.resolve(spec)):
        if isinstance(item, BuildResult):
            environment = Path(item.image)
    assert (environment / "repository" / "secret.txt").is_file()
    made = [*environments.parents][:2]
    inside = [environment / name for name in ("repository", "repository/secret.txt", "venv")]
    marker = environment / "binderprogress.json"
    assert open_to_others(*made, environments, environment, *inside, marker) == []


def test_a_servers_copy_is_not_for_others(tmp_path: Path) -> None:
    """Also where the checkout was made by an earlier version, for everyone to read."""
    checkout = tmp_path / "checkout"
    checkout.mkdir(mode=0o755)
    (checkout / "notebook.ipynb").write_text("{}")
    home = tmp_path / "homes" / "ada" / "default"
    copy_repository(checkout, home)
    assert open_to_others(tmp_path / "homes", home.parent, home) == []


@pytest.mark.hub
@asynchronous(90)
async def test_the_hubs_files_are_not_for_others(tmp_path: Path) -> None:
    """Its config has the token that may start servers for anyone; its cookie secret makes logins.

    The folder here is open, as it never is in a server: each file has to be closed by itself.
    """
    folder = tmp_path / "hub"
    folder.mkdir(mode=0o755)
    hub = EmbeddedJupyterHub(folder, config={}, env={})
    await hub.start()
    try:
        await hub.available()
        made = [path for path in folder.rglob("*") if not path.is_socket()]
        names = {path.name for path in made}
        assert names >= {"jupyterhub_config.json", "jupyterhub.log"}
        assert open_to_others(*made) == []
    finally:
        await hub.stop()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [str(Path(sys.executable).with_name("binderprogress")), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def test_a_config_file_that_is_made_is_not_for_others(tmp_path: Path) -> None:
    """The Hub's token is going to be written into it."""
    config = tmp_path / "config.py"
    done = run("serve", "--generate-config", "-f", str(config))
    assert config.is_file(), done.stderr
    assert open_to_others(config) == []


@pytest.mark.long
def test_a_token_in_a_config_file_for_everyone_is_said(tmp_path: Path) -> None:
    """A file that the operator made is not changed, but is warned of."""
    config = tmp_path / "config.py"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config.write_text(
            "c.HubLauncher.url = 'http://127.0.0.1:1/'\nc.HubLauncher.api_token = 'secret'\n"
            f"c.Standalone.port = {port}\nc.History.url = ''\n"
        )
        said = {}
        for mode in (0o644, 0o600):
            config.chmod(mode)
            said[mode] = run("serve", "-f", str(config)).stderr
    assert f"chmod 600 {config}" in said[0o644]
    assert "chmod 600" not in said[0o600]
    assert "secret" not in said[0o644]


def test_a_token_from_the_environment_is_not_one_in_the_config_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.py"
    monkeypatch.setenv("TOKEN_OF_TEST", "secret")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.write_text(
            "import os\nc.HubLauncher.url = 'http://127.0.0.1:1/'\n"
            "c.HubLauncher.api_token = os.environ['TOKEN_OF_TEST']\n"
            f"c.Standalone.port = {taken.getsockname()[1]}\nc.History.url = ''\n"
        )
        config.chmod(0o644)
        done = run("serve", "-f", str(config))
    assert "Cannot listen" in done.stderr and "chmod 600" not in done.stderr
