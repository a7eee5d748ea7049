from __future__ import annotations

import subprocess
import sys

import pytest
from traitlets.config import Config

from binderprogress.ext.standalone import Standalone

# Each way of running needs only its own extra; what is blocked here is not installed there.
BLOCKED = """
import asyncio, sys
for name in {blocked!r}:
    sys.modules[name] = None
from traitlets.config import Config
from binderprogress.errors import ConfigError
from binderprogress.ext.standalone import Standalone
config = Config()
config.Standalone.port = 0
config.Standalone.engine = {engine!r}
config.HubSpawner.url = {hub!r}
config.Upstreams.urls = {upstreams!r}

async def main():
    standalone = Standalone(config=config)
    try:
        await standalone.start()
    finally:
        await standalone.stop()

try:
    asyncio.run(main())
    print("it runs")
except ConfigError as error:
    print(error)
"""

HUB = "http://127.0.0.1:1/"


@pytest.mark.parametrize(
    ("blocked", "engine", "hub", "expected"),
    [
        # In front of a Hub that is there already.
        (["jupyterhub", "psutil", "rich", "uv", "filelock"], "podman", HUB, "it runs"),
        (["jupyterhub", "psutil", "dockerspawner", "rich"], "local", HUB, "it runs"),
        (["uv", "filelock"], "local", HUB, "pip install 'binderprogress[local]'"),
        (["repo2docker"], "docker", HUB, "pip install 'binderprogress[repo2docker]'"),
        (["psutil"], "local", "", "pip install 'binderprogress[hub]'"),
        (["dockerspawner"], "podman", "", "pip install 'binderprogress[containers]'"),
    ],
)
def test_each_way_of_running_needs_only_its_own_extra(
    blocked: list[str], engine: str, hub: str, expected: str
) -> None:
    code = BLOCKED.format(blocked=blocked, engine=engine, hub=hub, upstreams=[])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert expected in done.stdout, done.stderr
    assert "Traceback" not in done.stderr


def test_in_front_of_binderhubs_it_needs_no_extra() -> None:
    blocked = ["jupyterhub", "psutil", "repo2docker", "rich", "uv", "filelock", "dockerspawner"]
    code = BLOCKED.format(blocked=blocked, engine="local", hub="", upstreams=[HUB])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "it runs" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("ip", "engine", "configured", "expected"),
    [
        ("127.0.0.1", "local", {}, (True, True)),
        ("::1", "podman", {}, (True, False)),
        ("0.0.0.0", "podman", {}, (False, False)),
        ("127.0.0.1", "local", {"local_only": False, "confirm_foreign": False}, (False, False)),
        ("0.0.0.0", "podman", {"local_only": True, "confirm_foreign": True}, (True, True)),
    ],
)
def test_guards_are_up_where_they_are_needed_unless_configured(
    ip: str, engine: str, configured: dict[str, bool], expected: tuple[bool, bool]
) -> None:
    config = Config({"Standalone": {"ip": ip, "engine": engine}, "Web": configured})
    web = Standalone(config=config).web
    assert (web.local_only, web.confirm_foreign) == expected
