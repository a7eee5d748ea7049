"""Builds in pods while rights are missing, and after their node was lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from binderprogress.backends.kubernetes import build_pod
from binderprogress.backends.kubernetes.api import KubeApi, KubeError

from ...support.asynchronous import asynchronous
from .test_build_pod import NAME, cluster


@pytest.mark.parametrize(
    ("status", "message", "is_of_rights"),
    [
        (401, "Unauthorized", True),
        (403, 'pods is forbidden: User "x" cannot list resource "pods"', True),
        (403, 'pods "x" is forbidden: exceeded quota: q', False),
        (500, "the server cannot complete this", False),
    ],
)
def test_what_is_about_rights(status: int, message: str, is_of_rights: bool) -> None:
    assert KubeError(status, message=message).is_of_rights is is_of_rights


@asynchronous(20)
async def test_an_api_server_that_has_not_read_the_roles_yet(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        server = there.server
        run = await there.running()
        server.write(NAME, "one")
        await run.until(lambda: len(run.lines) == 1)
        server.log_status = 401
        server.cut()
        asked = server.requests["GET log"]
        while server.requests["GET log"] < asked + 2:
            await server.next_request()
        server.log_status = 0
        server.write(NAME, "two")
        server.exit(NAME)
        await run.task
        assert run.lines == ["one\n", "two\n"]


@asynchronous(20)
async def test_a_log_that_may_not_be_read_ends_the_build_and_not_its_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KubeApi, "rights_patience", 0.5)
    async with cluster(tmp_path) as there:
        there.server.log_status = 401
        run = await there.running()
        assert "does not let this server build" in str(await run.fails())
        assert NAME in there.server.pods


@asynchronous(20)
async def test_a_pod_whose_node_is_lost_is_deleted_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_pod, "_KUBELET_GRACE", 0.2)
    async with cluster(tmp_path) as there:
        run = await there.running()
        there.server.lose(NAME)
        error = await run.fails()
        assert error.reason == "evicted"
        assert str(error) == "The machine that it ran on does not respond any more."
        assert there.server.pods == {}
