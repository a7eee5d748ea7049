"""Fixtures with a real podman; see `podman_support`. They end with the last test of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .podman_support import BASE_IMAGE, Build, Podman, Repository, base_tar, why_not


@pytest.fixture(scope="package")
def podman() -> Iterator[Podman]:
    """A throw-away podman that has the base image."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    environment = Podman()
    try:
        environment.run("import", "--quiet", str(base_tar()), BASE_IMAGE, timeout=120)
        yield environment
    finally:
        environment.close()


@pytest.fixture(scope="package")
def podman_service(podman: Podman) -> Iterator[str]:
    """The address of podman's service, for DOCKER_HOST."""
    with podman.service() as address:
        yield address


@pytest.fixture(scope="package")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("repository") / "good")


@pytest.fixture(scope="package")
def failing_repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    last = 'python3 -c "import no_such_module"'
    return Repository(tmp_path_factory.mktemp("repository") / "failing", last=last)


@pytest.fixture(scope="package")
def image(podman: Podman, repository: Repository) -> str:
    """The name of the image of `repository`, built."""
    name = f"localhost/binderprogress-test:{repository.commit}"
    code, records = Build(podman, repository, name).finish()
    assert code == 0, records
    return name
