"""Renders the manifests that we ship, with the Kustomize that is part of kubectl."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

KUBERNETES = Path(__file__).parents[2] / "share/binderprogress/kubernetes"

Manifest = dict[str, Any]


def rendered(folder: Path) -> list[Manifest]:
    """Return the manifests of a folder with a kustomization."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(
        [kubectl, "kustomize", str(folder)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return list(yaml.safe_load_all(done.stdout))


def composed(folder: Path, components: Sequence[str]) -> list[Manifest]:
    """Return the manifests of the example with other components.

    Parameters
    ----------
    folder : Path
        An empty folder, to which everything is copied, as docs/z2jh.md says.
    components : sequence of str
        Names of folders.
    """
    shutil.copytree(KUBERNETES, folder, dirs_exist_ok=True)
    file = folder / "example/kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text())
    kustomization["components"] = [f"../components/{name}" for name in components]
    file.write_text(yaml.safe_dump(kustomization))
    return rendered(file.parent)


def only(manifests: Sequence[Manifest], kind: str, name: str = "") -> Manifest:
    """Return the only manifest of a kind, and of a name if there are several."""
    (found,) = [
        each
        for each in manifests
        if each["kind"] == kind and (not name or each["metadata"]["name"] == name)
    ]
    return found
