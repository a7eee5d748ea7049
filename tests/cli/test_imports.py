"""Commands only import what they need, and report missing extras."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from binderprogress.cli.commands import COMMANDS

_RUN = """\
import json, sys
from binderprogress.cli import main
try:
    main()
except SystemExit as end:
    assert end.code in {None, 0, 2}, end.code
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""

# What only some installations have or use, each for something of its own.
OPTIONAL = {
    "alembic",  # a history
    "binderhub",
    "docker",
    "dockerspawner",
    "jupyter_server",
    "jupyterhub",
    "junitparser",  # check --junit
    "openapi_spec_validator",
    "opentelemetry",  # traces, where they are sent
    "psutil",  # a Hub of our own
    "psycopg",
    "repo2docker",
    "sqlalchemy",  # a history
}
SERVER = {"aiohttp", "jinja2", "prometheus_client", "tornado"}

NOTHING = OPTIONAL | SERVER | {"asyncio", "jupyter_core", "msgspec", "rich", "traitlets"}

NOT_IMPORTED = {
    "--version": NOTHING,
    # Help responds at once, because nothing of the commands is imported.
    **dict.fromkeys(["--help", *(f"{name} --help" for name in COMMANDS)], NOTHING),
    "history": OPTIONAL | SERVER | {"rich", "binderprogress.launches"},
    "completion bash": OPTIONAL | SERVER | {"msgspec", "rich", "binderprogress.launches"},
    "serve --generate-config": OPTIONAL | {"jinja2", "rich", "websockets", "binderprogress.client"},
    # It imports JupyterHub, which uses SQLAlchemy.
    "hub-service --generate-config": (OPTIONAL - {"alembic", "jupyterhub", "sqlalchemy"})
    | {"rich", "websockets", "binderprogress.client"},
    "launch --generate-config": OPTIONAL | {"jinja2", "websockets"},
    "check --generate-config": OPTIONAL | {"jinja2", "websockets"},
    "demo --generate-config": OPTIONAL | {"jinja2", "rich", "websockets"},
}


def modules(code: str, *arguments: str) -> set[str]:
    """Return the modules that a process has imported."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("command", NOT_IMPORTED)
def test_a_command_imports_what_it_uses(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    imported = modules(_RUN, *command.split())
    assert "binderprogress.cli" in imported
    assert imported & NOT_IMPORTED[command] == set()


_SERVE = """\
import asyncio, json, sys
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from traitlets.config import Config
from binderprogress.deploy.standalone import Standalone

async def main():
    # Nothing listens there, so /health reports a failure.
    hub = {"url": "http://127.0.0.1:9/", "api_token": "none"}
    config = {"Standalone": {"port": 0}, "History": {"url": ""}, "HubLauncher": hub}
    config["Storage"] = {"url": "memory"}
    server = Standalone(config=Config(config))
    await server.start()
    try:
        answer = await AsyncHTTPClient().fetch(f"{server.url}health", raise_error=False)
        assert answer.code == 503, answer.code
    finally:
        await server.stop()

asyncio.run(main())
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def test_a_server_without_a_history_answers_without_what_it_does_not_use() -> None:
    imported = modules(_SERVE)
    assert "binderprogress.web.health" in imported
    assert imported & (OPTIONAL | {"jinja2", "rich", "websockets"}) == set()


_WITHOUT = """\
import sys
sys.modules[sys.argv.pop(1)] = None  # as if it were not installed
from binderprogress.cli import main
main()
"""


@pytest.mark.parametrize(
    ("module", "command", "extra"),
    [
        ("rich", "launch", "cli"),
        ("rich", "check", "cli"),
        ("websockets", "check", "check"),
        ("junitparser", "check", "check"),
        ("shtab", "completion bash", "cli"),
    ],
)
def test_a_command_names_the_extra_that_is_missing(module: str, command: str, extra: str) -> None:
    arguments = [] if " " in command else ["gh/ada/penguins/HEAD"]
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, module, *command.split(), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"This command needs {module}, which is not installed. "
        f"Install it with: pip install 'binderprogress[{extra}]'\n"
    )
