"""Pulls in advance, against the strict double of the API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from binderprogress.backends.kubernetes import leader as leader_module
from binderprogress.backends.kubernetes import prepuller as prepuller_module
from binderprogress.backends.kubernetes import pulling as pulling_module
from binderprogress.backends.kubernetes.builder import KubernetesBuilder
from binderprogress.backends.kubernetes.prepuller import Prepuller
from binderprogress.core.kubernetes.prepull_report import PrepullReport
from binderprogress.core.kubernetes.ranking import PastImage
from binderprogress.errors import ConfigError

from ...support.apinodes import NodeApiServer
from ...support.apiserver import NAMESPACE, api_server
from ...support.asynchronous import asynchronous

PREFIX = "127.0.0.1:9/x-"
GIB = 2**30


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling_module, "_PAUSE", 0.0)
    monkeypatch.setattr(leader_module, "_EVERY", 0.1)
    # Nothing listens there.
    monkeypatch.setattr(prepuller_module, "_MOST_FAILURES", 1)


def image(name: str) -> str:
    return f"{PREFIX}{name}:1"


def past(*names: str) -> list[PastImage]:
    """Return images that were launched, the most popular ones first."""
    return [
        PastImage(image=image(name), repository=name, ref="HEAD", last=1.0, score=100.0 - number)
        for number, name in enumerate(names)
    ]


async def reported(
    prepuller: Prepuller, condition: Callable[[PrepullReport], bool]
) -> PrepullReport:
    """Return the next report for which a condition holds."""
    report = prepuller.report()
    while not condition(report):
        report = await prepuller.next_report()
    return report


class Scene:
    """The double, and prepullers that use it."""

    def __init__(self, server: NodeApiServer, config: Path) -> None:
        self.server = server
        self._config = config
        self._open: list[Prepuller | KubernetesBuilder] = []
        self.images = past("a", "b", "c")

    def prepuller(self, identity: str = "one", **settings: Any) -> Prepuller:
        builder = KubernetesBuilder(
            kubeconfig=str(self._config),
            namespace=NAMESPACE,
            image_prefix=PREFIX,
            patience=2.0,
            request_timeout=2.0,
        )

        async def launched() -> list[PastImage]:
            return self.images

        options = {"budget": 10 * GIB, "max_pulls": 2, "unknown_size": 4 * GIB, **settings}
        made = Prepuller(builder=builder, identity=identity, past=launched, **options)
        self._open += [made, builder]
        return made

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self.server.next_request()

    async def pulls(self, *expected: tuple[str, str]) -> None:
        """Wait until exactly these images are being pulled."""
        wanted = sorted((node, image(name)) for node, name in expected)
        await self.until(lambda: sorted(self.server.pulls.values()) == wanted)

    def end(self, node: str, state: dict[str, Any]) -> None:
        """Have a kubelet say what has become of its pull."""
        (name,) = [name for name, pull in self.server.pulls.items() if pull[0] == node]
        self.server.set(name, "Pending", state)

    async def close(self) -> None:
        for each in self._open:
            await each.close()


STARTED = {"running": {}}


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    async with api_server(folder, NodeApiServer) as (server, config):
        there = Scene(server, config)
        try:
            yield there
        finally:
            await there.close()


@asynchronous(20)
async def test_images_are_pulled_one_after_the_other_within_the_budget(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        server = there.server
        server.set_node("old", created="2026-11-01T00:00:00Z")
        server.set_node("new", created="2026-11-02T00:00:00Z")
        server.set_node("oldest", created="2026-10-01T00:00:00Z")
        prepuller = there.prepuller()
        prepuller.start()
        await there.pulls(("new", "a"), ("old", "a"))
        there.end("new", STARTED)
        await there.pulls(("new", "b"), ("old", "a"))
        # A container that cannot be started has been pulled, too. There is no room for "c".
        there.end("new", {"waiting": {"reason": "RunContainerError", "message": "no /bin/true"}})
        await there.pulls(("oldest", "a"), ("old", "a"))
        there.end("old", STARTED)
        there.end("oldest", STARTED)
        await there.pulls(("oldest", "b"), ("old", "b"))
        there.end("old", STARTED)
        there.end("oldest", STARTED)
        await there.pulls()
        assert server.most_pods == 2
        report = await reported(prepuller, lambda report: not report.running)
        assert (report.totals.pulled, report.totals.pulled_bytes) == (6, 24 * GIB)
        assert [node.used for node in report.nodes] == [8 * GIB] * 3
        assert [(each.name, each.present, each.no_room) for each in report.images] == [
            (image("a"), 3, 0),
            (image("b"), 3, 0),
            (image("c"), 0, 3),
        ]


@asynchronous(20)
async def test_pods_have_the_least_rights(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        there.server.set_node("n")
        there.prepuller(image_pull_secrets=["key"]).start()
        await there.pulls(("n", "a"))
        ((name, pod),) = there.server.pods.items()
        assert name == "binderprogress-prepull-0"
        spec = pod["spec"]
        assert (spec["nodeName"], spec["automountServiceAccountToken"]) == ("n", False)
        assert spec["imagePullSecrets"] == [{"name": "key"}]
        assert spec["containers"][0]["imagePullPolicy"] == "IfNotPresent"


@asynchronous(20)
async def test_a_pull_is_given_up_if_a_user_waits_for_another_image(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        server = there.server
        server.set_node("n", images={image("here"): GIB})
        prepuller = there.prepuller()
        prepuller.start()
        await there.pulls(("n", "a"))
        # This one need not wait.
        server.add_user("jupyter-1", "n", image("here"))
        server.add_user("jupyter-2", "n", image("other"))
        await there.pulls()
        report = await reported(prepuller, lambda report: not report.running)
        assert (report.totals.given_up, report.totals.failed) == (1, 0)
        assert report.nodes[0].obstacle == "user-pull"
        server.remove("jupyter-2")
        await there.pulls(("n", "a"))


@asynchronous(20)
async def test_nodes_that_may_not_pull_do_not(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        server = there.server
        pressure = [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "True"}]
        server.set_node("n")
        server.set_node("full", conditions=pressure)
        server.set_node("cordoned", unschedulable=True)
        # All images may take 60 GiB of its 100.
        server.set_node("large", images={image("x"): 57 * GIB})
        # This one reports what it has downloaded.
        server.set_node("packed", images={image("x"): 19 * GIB}, runtime="containerd://1.7.2")
        prepuller = there.prepuller(max_pulls=5, unpacked_factor=3.0)
        prepuller.start()
        await there.pulls(("n", "a"))
        report = await reported(prepuller, lambda report: len(report.nodes) == 5)
        assert {node.name: node.obstacle for node in report.nodes} == {
            "n": "",
            "full": "disk-pressure",
            "cordoned": "cordoned",
            "large": "",
            "packed": "",
        }
        server.set_node("n", conditions=pressure)
        await there.pulls()


@asynchronous(20)
async def test_what_cannot_be_pulled_is_not_tried_again_at_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        there.server.set_node("n", created="2026-11-01T00:00:00Z")
        there.server.set_node("other", created="2026-10-01T00:00:00Z")
        prepuller = there.prepuller(max_pulls=1)
        prepuller.start()
        await there.pulls(("n", "a"))
        there.end("n", {"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}})
        # Neither the image nor the node is tried.
        await there.pulls(("other", "b"))
        report = await reported(prepuller, lambda report: report.totals.failed == 1)
        assert report.images[0].problem == "ErrImagePull: manifest unknown"
        assert {node.name: node.obstacle for node in report.nodes} == {
            "n": "failed-lately",
            "other": "",
        }


@asynchronous(20)
async def test_a_pull_that_takes_too_long_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling_module, "_EVERY", 0.1)
    async with scene(tmp_path) as there:
        there.server.set_node("n")
        prepuller = there.prepuller(pull_timeout=1.0)
        prepuller.start()
        await there.pulls(("n", "a"))
        await there.pulls()
        report = await reported(prepuller, lambda report: not report.running)
        assert "no image after 1 s" in report.images[0].problem


@asynchronous(20)
async def test_one_process_pulls_and_another_takes_its_pods_up(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        server = there.server
        server.set_node("n")
        first, second = there.prepuller("first"), there.prepuller("second")
        first.start()
        await there.pulls(("n", "a"))
        second.start()
        report = await reported(second, lambda report: report.leader == "first")
        assert not report.is_leader
        await first.close()
        await reported(second, lambda report: report.is_leader)
        there.end("n", STARTED)
        await there.pulls(("n", "b"))
        await reported(second, lambda report: report.nodes[0].used == 8 * GIB)
        assert server.most_pods == 1


@asynchronous(20)
async def test_the_bound_holds_even_if_two_processes_lead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader_module.Leader, "is_leader", True)
    async with scene(tmp_path) as there:
        for number in range(6):
            there.server.set_node(f"n{number}")
        for name in ("first", "second"):
            there.prepuller(name).start()
        posted = there.server.requests
        while posted["POST pods"] < 12:
            await there.until(lambda: len(there.server.pulls) == 2)
            node = next(iter(there.server.pulls.values()))[0]
            there.end(node, STARTED)
            await there.until(lambda node=node: node not in dict(there.server.pulls.values()))
        assert there.server.most_pods == 2


@asynchronous(20)
async def test_watches_that_are_cut_go_on_and_forgotten_versions_are_listed_again(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as there:
        server = there.server
        server.set_node("n")
        there.prepuller().start()
        await there.pulls(("n", "a"))
        server.cut()
        there.end("n", STARTED)
        await there.pulls(("n", "b"))
        server.set_node("m")
        server.compact()
        server.cut()
        await there.pulls(("n", "b"), ("m", "a"))


@asynchronous(20)
async def test_nodes_that_leave_take_their_pulls_with_them(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        server = there.server
        server.holds_deleted = True
        server.set_node("n", created="2026-11-01T00:00:00Z")
        server.set_node("m", created="2026-10-01T00:00:00Z")
        there.prepuller(max_pulls=1).start()
        await there.pulls(("n", "a"))
        server.remove_node("n")
        await there.pulls(("m", "a"))


@asynchronous(20)
async def test_looking_changes_nothing_and_pulling_once_ends(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        server = there.server
        server.set_node("n")
        server.set_node("away", unschedulable=True)
        there.images = [*past("a"), *(each for each in past("b") if each.image != image("a"))]
        there.images.append(PastImage(image="other/x:1", repository="", ref="", last=0, score=9))
        prepuller = there.prepuller()
        report = await prepuller.look()
        assert [(node.name, node.next) for node in report.nodes] == [
            ("away", image("a")),
            ("n", image("a")),
        ]
        assert [each.name for each in report.images] == [image("a"), image("b")]
        assert not server.pods
        pulling = asyncio.create_task(prepuller.pull_once())
        for name in ("a", "b"):
            await there.pulls(("n", name))
            there.end("n", STARTED)
        report = await pulling
        assert report.totals.pulled == 2
        assert not server.pods


@asynchronous(20)
async def test_a_cluster_that_does_not_answer_is_said(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        there.server.answers = [
            (403, b'{"reason": "Forbidden", "message": "nodes is forbidden"}', {})
        ]
        with pytest.raises(ConfigError, match="nodes is forbidden"):
            await there.prepuller().look()
        with pytest.raises(ConfigError, match="no room for images"):
            there.prepuller(disk_reserve=0.9)
