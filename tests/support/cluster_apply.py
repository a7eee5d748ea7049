"""Creates manifests in a cluster, as `kubectl apply` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .cluster import Admin, Namespace
from .kustomize import Manifest

# What the API server of the tests is too old for.
_OLDER = {"policy/v1": "policy/v1beta1"}


async def apply(admin: Admin, namespace: Namespace, manifests: Sequence[Manifest]) -> None:
    """Create manifests in the namespace of a test, whatever namespace they name.

    Objects of the whole cluster are only checked, and not stored.
    """
    kinds: dict[str, dict[str, Any]] = {}
    # Accounts first: pods are not created without theirs.
    for manifest in sorted(manifests, key=lambda each: each["kind"] != "ServiceAccount"):
        version = _OLDER.get(manifest["apiVersion"], manifest["apiVersion"])
        group = f"apis/{version}" if "/" in version else f"api/{version}"
        if group not in kinds:
            listed = await admin.request("GET", f"/{group}")
            kinds[group] = {
                each["kind"]: each for each in listed["resources"] if "/" not in each["name"]
            }
        body = {**manifest, "apiVersion": version}
        body["metadata"] = {**manifest["metadata"], "namespace": namespace.name}
        if "subjects" in manifest:
            body["subjects"] = [
                {**subject, "namespace": namespace.name} for subject in manifest["subjects"]
            ]
        resource = kinds[group][manifest["kind"]]
        if resource["namespaced"]:
            await namespace.create(resource["name"], body, group=group)
        else:
            del body["metadata"]["namespace"]
            await admin.request("POST", f"/{group}/{resource['name']}?dryRun=All", body)
