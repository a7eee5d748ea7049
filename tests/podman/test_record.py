"""A record of an archive, fetched by the real repo2docker and built with the real podman."""

from __future__ import annotations

from pathlib import Path

import pytest

from binderprogress.backends.base import BuildResult
from binderprogress.backends.repo2docker.builder import Repo2dockerBuilder
from binderprogress.core.specs import parse

from ..support.archives import archives, certificates
from ..support.asynchronous import asynchronous
from .podman_support import Podman, Repository

pytestmark = pytest.mark.podman

SPEC = parse("zenodo/10.5281/zenodo.3242073")


def contents(repository: Repository) -> dict[str, str | bytes]:
    """Return the files of a repository, as GitHub packs them."""
    folder = Path(repository.url.removeprefix("file://"))
    files = [path for path in folder.iterdir() if path.is_file()]
    return {f"penguins-1/{path.name}": path.read_bytes() for path in files}


@pytest.mark.long
@asynchronous(120)
async def test_a_record_becomes_an_image(
    podman: Podman, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in podman.env.items():
        monkeypatch.setenv(name, value)
    builder = Repo2dockerBuilder(engine="podman")
    with archives(certificates(tmp_path), monkeypatch) as double:
        double.zenodo(contents(repository))
        target = await builder.resolve(SPEC)
        results = []
        for _ in range(2):
            log = [item async for item in builder.build(target)]
            assert isinstance(log[-1], BuildResult), log
            results.append(log[-1])
    await builder.close()
    image = builder.image(target)
    assert image.endswith(":3242074")
    assert results == [BuildResult(image), BuildResult(image, found=True)]
    assert podman.exists("image", image)
    read = podman.run("run", "--rm", image, "cat", "README.md")
    assert read == "# Hello from the repository\n"
