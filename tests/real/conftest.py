"""Fixtures with a real BinderHub; see `local_binder`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..kubernetes.conftest import cluster, programs_folder
from ..podman.podman_support import BASE_IMAGE, Podman, base_tar
from .local_binder import LocalHub, jupyterhub, why_not

__all__ = ["cluster", "local_hub", "programs_folder"]


@pytest.fixture(scope="session")
def local_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    """A JupyterHub that starts containers, with a throw-away podman that has the base image."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    podman = Podman()
    try:
        podman.run("import", "--quiet", str(base_tar()), BASE_IMAGE, timeout=120)
        with (
            podman.service() as address,
            jupyterhub(tmp_path_factory.mktemp("hub"), podman, address) as hub,
        ):
            yield hub
    finally:
        podman.close()
