"""Servers that stand ready on a real node, in a JupyterHub with temporary users.

Once with our own builder, and once in a BinderHub.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from binderprogress.core.specs import from_address

from ..podman.podman_support import Repository
from ..support.asynchronous import asynchronous
from ..support.cluster import Namespace
from ..support.cluster_launches import BINDERHUB_PYTHON, NAMESPACE, Launching
from ..support.repositories import commit, git
from ..support.standing_checks import answers, check_standing, launched, numbers, took
from ..support.waiting import until
from .test_node import serving

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.podman,
    pytest.mark.hub,
    pytest.mark.timeout(1800),
]

COUNT = 2


@pytest.mark.parametrize("kind", ["ours", "binderhub"])
@asynchronous(240)
async def test_servers_stand_ready_on_a_node(node: Launching, tmp_path: Path, kind: str) -> None:
    if kind == "binderhub" and not BINDERHUB_PYTHON:
        pytest.skip("BINDERPROGRESS_BINDERHUB_PYTHON is not set; see tests/real/README.md")
    source = tmp_path / f"standing-{kind}"
    Repository(source)
    spec = str(from_address(node.publish(source)))
    make = node.server if kind == "ours" else node.binderhub
    replica = make(
        tmp_path,
        node.cluster.folder / "builder.kubeconfig",
        NAMESPACE,
        standby={"repositories": {spec: COUNT}, "resolve_every": 5.0, "starts": COUNT},
    )
    pushes = _pushes(node, source)
    async with serving(node, replica), node.cluster.admin() as admin:
        namespace = Namespace(admin, NAMESPACE)
        ends = await asyncio.to_thread(
            check_standing,
            replica.url,
            spec,
            count=COUNT,
            commit=pushes,
            said=lambda: replica.log,
        )
        await asyncio.to_thread(_stands_ready, replica.url)
        before = await _servers(namespace)
        assert len(before) == len(ends) + COUNT
        await replica.kill()
        replica.start()
        await asyncio.to_thread(_stands_ready, replica.url)
        # The same ones: none was started, stopped or lost.
        assert await _servers(namespace) == before
        assert numbers(replica.url)["started"] == 0
        events = await asyncio.to_thread(launched, replica.url, spec)
        assert took(events), events
        ends.append(events[-1])
        assert len({end["url"] for end in ends}) == len(ends)
        await asyncio.to_thread(_stands_ready, replica.url)
        await replica.stop()
        # Those of launches stay, and the others are stopped.
        users = {urlsplit(end["url"]).path.split("/")[2] for end in ends}
        while (left := await _servers(namespace)).keys() != users:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.2)
        assert all(map(answers, ends))
        for name in left.values():
            await admin.request("DELETE", f"{namespace.path}/pods/{name}")
        # Of the next test.
        await namespace.empty()


def _pushes(node: Launching, source: Path) -> Callable[[], str]:
    """Return what makes a commit, and has the git server serve it."""
    bare = node.files / f"{source.name}.git"

    def push() -> str:
        made = commit(source, {"README.md": "# Another one\n"})
        git(source, "push", "--quiet", str(bare), "main")
        git(bare, "update-server-info")
        return made

    return push


def _stands_ready(url: str) -> None:
    """Wait until as many servers stand ready as are wanted, and nothing else is done."""

    def is_done() -> bool:
        with suppress(requests.ConnectionError):
            counted = numbers(url)
            return (counted["ready"], counted["starting"], counted["stopping"]) == (COUNT, 0, 0)
        return False

    until(is_done, lambda: f"{numbers(url)}", within=240)


async def _servers(namespace: Namespace) -> dict[str, str]:
    """Return the pods of Jupyter servers that are not being deleted, by their users."""
    return {
        pod["metadata"]["annotations"]["hub.jupyter.org/username"]: pod["metadata"]["name"]
        for pod in await namespace.pods()
        if pod["metadata"]["labels"].get("component") == "singleuser-server"
        and "deletionTimestamp" not in pod["metadata"]
    }
