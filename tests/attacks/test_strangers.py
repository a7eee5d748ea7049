"""A server that strangers reach runs no code of theirs as its own user."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from traitlets.config import Config

from binderprogress.deploy.standalone import Standalone
from binderprogress.errors import ConfigError

from ..support.processes import BIN

REFUSED = "The engine 'local' runs a repository's code as this user"


def start(config: Config) -> None:
    """Start a server and stop it again."""
    config.Standalone.port = 0
    # A JupyterHub that is not there: none has to be started.
    config.HubLauncher.url = "http://127.0.0.1:1/"
    config.History.url = ""

    async def main() -> None:
        standalone = Standalone(config=config)
        try:
            await standalone.start()
        finally:
            await standalone.stop()

    asyncio.run(main())


@pytest.mark.parametrize("ip", ["0.0.0.0", "::", "", "192.0.2.1", "binder.example.org"])
def test_a_stranger_on_the_network_launches_code_that_runs_as_the_server(ip: str) -> None:
    """Whoever reaches the port could read all that the server's user can read."""
    with pytest.raises(ConfigError, match=REFUSED):
        start(Config({"Standalone": {"ip": ip}}))


def test_a_stranger_behind_a_reverse_proxy_launches_code_that_runs_as_the_server() -> None:
    """The server listens on loopback, and the proxy lets everyone in."""
    with pytest.raises(ConfigError, match=REFUSED):
        start(Config({"Web": {"local_only": False}}))


def test_a_command_line_that_opens_the_server_to_strangers_ends_with_what_to_do(
    tmp_path: Path,
) -> None:
    """An operator who tries --ip=0.0.0.0 is told, and no JupyterHub is left running."""
    command = [BIN / "binderprogress", "serve", "--ip=0.0.0.0", "--port=0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 1
    assert REFUSED in done.stderr
    assert "c.Standalone.trust_visitors = True" in done.stderr
    assert "Traceback" not in done.stderr
    assert "listens" not in done.stdout


@pytest.mark.parametrize(
    "settings",
    [
        {"Standalone": {"trust_visitors": True}, "Web": {"local_only": False}},
        {"Standalone": {"engine": "podman"}, "Web": {"local_only": False}},
        {"Upstreams": {"urls": ["http://127.0.0.1:1/"]}, "Web": {"local_only": False}},
        {},
    ],
)
def test_a_server_starts_where_no_stranger_runs_code_as_its_user(
    settings: dict[str, dict[str, object]],
) -> None:
    """Isolation, trust, somebody else's machines, or nobody but people on this machine."""
    start(Config(settings))
