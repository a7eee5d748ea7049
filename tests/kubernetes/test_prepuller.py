"""Pulls in advance on a real control plane, with the rights of the manifests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from binderprogress.backends.kubernetes import pulling
from binderprogress.backends.kubernetes.prepuller import Prepuller
from binderprogress.core.kubernetes.ranking import PastImage

from ..support.asynchronous import asynchronous
from ..support.cluster import USERS, Cluster
from ..support.cluster_scene import Scene, scene

pytestmark = pytest.mark.kubernetes

GROUP = "rbac.authorization.k8s.io"
ROLES: dict[str, list[dict[str, Any]]] = {
    each["kind"]: each["rules"]
    for each in yaml.safe_load_all(
        Path(__file__)
        .parents[2]
        .joinpath("share/binderprogress/kubernetes/components/prepull/role.yaml")
        .read_text()
    )
}


@asynccontextmanager
async def rights_for_nodes(there: Scene) -> AsyncIterator[None]:
    """Give the builder the rights of the ClusterRole."""
    name = f"prepull-{there.namespace.name}"
    path, request = f"/apis/{GROUP}/v1", there.namespace.admin.request
    role = {"metadata": {"name": name}, "rules": ROLES["ClusterRole"]}
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": USERS["builder"][0]}],
    }
    await request("POST", f"{path}/clusterroles", role)
    try:
        await request("POST", f"{path}/clusterrolebindings", binding)
        yield
        await request("DELETE", f"{path}/clusterrolebindings/{name}")
    finally:
        await request("DELETE", f"{path}/clusterroles/{name}")


def pulls(pod: dict[str, Any], image: str) -> bool:
    return bool(pod["spec"]["containers"][0]["image"] == image)


@asynchronous(90)
async def test_images_are_pulled_one_after_the_other(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "_PAUSE", 0.0)
    async with scene(cluster, rules=ROLES["Role"]) as there, rights_for_nodes(there):
        kubelet = there.kubelet
        await kubelet.add_node("node-1")
        builder = there.builders.builder(patience=2.0)
        images = [f"{builder.image_prefix}{name}:1" for name in ("a", "b")]

        async def past() -> list[PastImage]:
            return [
                PastImage(image=image, repository=image, ref="HEAD", last=1.0, score=score)
                for image, score in zip(images, (2.0, 1.0), strict=True)
            ]

        labels = {"kubernetes.io/hostname": kubelet.nodes[0]}
        prepuller = Prepuller(
            builder=builder, identity="one", past=past, node_selector=labels, max_pulls=1
        )
        prepuller.start()
        states = (
            {"waiting": {"reason": "RunContainerError", "message": "no /bin/true"}},
            {"terminated": {"exitCode": 0, "reason": "Completed"}},
        )
        try:
            report = prepuller.report()
            for number, (image, state) in enumerate(zip(images, states, strict=True), 1):
                pod = await there.namespace.until(lambda _, found, image=image: pulls(found, image))
                assert pod["metadata"]["name"] == "binderprogress-prepull-0"
                assert pod["spec"]["nodeName"] == kubelet.nodes[0]
                await kubelet.set("binderprogress-prepull-0", "Pending", state)
                while report.totals.pulled < number:
                    report = await prepuller.next_report()
            while report.running:
                report = await prepuller.next_report()
            assert [image.present for image in report.images] == [1, 1]
            await there.namespace.empty()
        finally:
            await prepuller.close()
        lease = await there.namespace.admin.request(
            "GET",
            f"/apis/coordination.k8s.io/v1/namespaces/{there.namespace.name}/leases/"
            "binderprogress-prepull",
        )
        assert lease["spec"].get("holderIdentity", "") == ""
