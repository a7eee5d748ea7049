"""A real control plane takes our manifests, and makes pods of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ..support.asynchronous import asynchronous
from ..support.cluster import Admin, Cluster, Namespace
from ..support.cluster_apply import apply
from ..support.kustomize import composed, only
from ..support.pod_security import violations

pytestmark = pytest.mark.kubernetes


async def may(
    admin: Admin, account: Namespace, verb: str, resource: str, *, where: Namespace | None = None
) -> bool:
    """Say whether the account of our manifests has a right: in its own namespace, or elsewhere."""
    name, _, part = resource.partition("/")
    review = {
        "spec": {
            "user": f"system:serviceaccount:{account.name}:binderprogress",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {
                "namespace": (where or account).name,
                "verb": verb,
                "resource": name,
                "subresource": part,
            },
        }
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    answer = await admin.request("POST", path, review)
    return bool(answer["status"]["allowed"])


@pytest.mark.parametrize(
    "components",
    [(), ("replicas", "image-builder", "ingress-nginx", "public")],
    ids=["alone", "public"],
)
@asynchronous(90)
async def test_pods_are_made_of_them(
    cluster: Cluster, tmp_path: Path, components: tuple[str, ...]
) -> None:
    manifests = composed(tmp_path, components)
    wanted = only(manifests, "Deployment")["spec"]["replicas"]
    label = "app.kubernetes.io/name"
    async with cluster.admin() as admin, admin.namespace() as namespace:
        await apply(admin, namespace, manifests)
        names: set[str] = set()

        def is_all(_: str, pod: dict[str, Any]) -> bool:
            # The server's; those of the image builder wait for nodes.
            if pod["metadata"].get("labels", {}).get(label) == "binderprogress":
                # What the API server has added is restricted, too.
                assert not violations(pod)
                names.add(pod["metadata"]["name"])
            return len(names) == wanted

        await namespace.until(is_all)


@asynchronous(60)
async def test_the_account_has_the_rights_of_a_builder_and_no_others(
    cluster: Cluster, tmp_path: Path
) -> None:
    manifests = composed(tmp_path, ())
    async with (
        cluster.admin() as admin,
        admin.namespace() as namespace,
        admin.namespace() as other,
    ):
        await apply(admin, namespace, manifests)
        for verb in ("create", "delete", "get", "list", "watch"):
            assert await may(admin, namespace, verb, "pods")
            # Only in its own namespace.
            assert not await may(admin, namespace, verb, "pods", where=other)
        assert await may(admin, namespace, "get", "pods/log")
        for verb, resource in (
            ("get", "secrets"),
            ("list", "secrets"),
            ("create", "pods/exec"),
            ("get", "configmaps"),
            ("create", "deployments"),
            ("create", "serviceaccounts/token"),
            ("update", "pods"),
        ):
            assert not await may(admin, namespace, verb, resource), (verb, resource)
