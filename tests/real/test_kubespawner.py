"""Servers that cannot start on a real Kubernetes: what a launch says about them.

See README.md for what it needs.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from traitlets.config import Config

from binderprogress.backends.base import BuildResult, PairedBackend
from binderprogress.backends.jupyterhub.launcher import HubLauncher
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.events import Event
from binderprogress.core.phases import Phase
from binderprogress.core.specs import parse
from binderprogress.launches import LaunchManager
from binderprogress.launches.launch import Caller

from ..launches.parts import follow
from ..support.processes import BIN
from ..support.replay import PlayedBuilder
from .servers import free_ports, program

PYTHON = os.environ.get("BINDERPROGRESS_KUBESPAWNER_PYTHON", "")
IMAGE = os.environ.get("BINDERPROGRESS_KUBERNETES_IMAGE", "busybox")
NAMESPACE = os.environ.get("BINDERPROGRESS_KUBERNETES_NAMESPACE", "default")
RECORDINGS = os.environ.get("BINDERPROGRESS_RECORDINGS", "")
START_TIMEOUT = 25

pytestmark = pytest.mark.skipif(
    not PYTHON, reason="BINDERPROGRESS_KUBESPAWNER_PYTHON names no Python with KubeSpawner"
)


class Failure(NamedTuple):
    """What a launch says: at its end and, if `early`, before."""

    reason: str
    subject: str = ""
    retry: bool = False
    early: bool = True


FAILURES = {
    # The image is looked for in a registry on the node, which does not answer.
    "no-image": Failure("image-pull-failed", "localhost/kim/nosuch:1", retry=True),
    "bad-image-name": Failure("image-name-invalid", "Kim/Lab:1"),
    "gpu": Failure("no-node", "nvidia.com/gpu", retry=True, early=False),
    "cpu": Failure("no-node", "cpu", retry=True, early=False),
    "selector": Failure("no-node"),
    "secret": Failure("storage", "etc-kim"),
    "claim": Failure("storage", "claim-kim"),
    "config-map": Failure("server-misconfigured", 'configmap "kim-settings" not found'),
    "crash": Failure("crash-loop"),
    "silent": Failure("server-did-not-answer", retry=True, early=False),
    "service-account": Failure(
        "server-misconfigured", "service account default/nosuch", early=False
    ),
}


class FoundBuilder(PlayedBuilder):
    """A builder whose images exist already: only the start of the server is tested."""

    async def build(self, target: Any) -> AsyncGenerator[Any, None]:
        yield BuildResult(IMAGE, found=True)


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubLauncher]:
    """A launcher of a JupyterHub with KubeSpawner."""
    folder = tmp_path_factory.mktemp("kubespawner")
    port, hub, proxy = free_ports(3)
    token = secrets.token_hex(16)
    env = {
        "BIND_URL": f"http://127.0.0.1:{port}",
        "HUB_URL": f"http://127.0.0.1:{hub}",
        "PROXY_API_URL": f"http://127.0.0.1:{proxy}",
        "PROXY": str(BIN / "configurable-http-proxy"),
        "TOKEN": token,
        "NAMESPACE": NAMESPACE,
        "IMAGE": IMAGE,
        "START_TIMEOUT": str(START_TIMEOUT),
    }
    url = f"http://127.0.0.1:{port}/"
    command = [PYTHON, "-m", "jupyterhub", "-f", str(Path(__file__).with_name("kube_config.py"))]
    with program(command, f"{url}hub/api", folder, env):
        yield HubLauncher(url=url, api_token=token, attempts=1, retry_delay=0.1)


@pytest.mark.parametrize("kind", FAILURES)
def test_a_launch_says_why_its_server_cannot_start(kind: str, launcher: HubLauncher) -> None:
    events = asyncio.run(launch(kind, launcher))
    if RECORDINGS:
        lines = [json.dumps(e.source | {"message": e.message}) for e in events if e.source]
        Path(RECORDINGS, f"kubespawner-{kind}.jsonl").write_text("\n".join(lines) + "\n")
    failure, last = FAILURES[kind], events[-1]
    assert (last.phase, last.reason) == (Phase.FAILED, failure.reason), last
    assert not failure.subject or last.subject == failure.subject
    assert last.retry is failure.retry
    assert last.evidence
    assert last.advice
    early = [event for event in events[:-1] if event.problem]
    assert bool(early) is failure.early
    for event in early:
        assert (event.reason, event.fault) == (last.reason, last.fault)
        # Not only when JupyterHub has given up.
        assert last.time - early[0].time > START_TIMEOUT / 4


async def launch(kind: str, launcher: HubLauncher) -> list[Event]:
    """Launch a repository and return its events."""
    manager = LaunchManager(
        backend=PairedBackend(FoundBuilder(), launcher),
        channels=MemoryChannelStore(),
        config=Config({"LaunchManager": {"stuck_after": 3.0}}),
    )
    try:
        launch = await manager.start(parse(f"gh/kim/{kind}/HEAD"), Caller())
        events = [event async for event in follow(launch)]
    finally:
        await manager.close()
        await launcher.close()
    return events
