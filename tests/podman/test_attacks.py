"""Attacks of a repository's author on a server with the engine podman.

repo2docker reads a repository's files on the server, and podman copies them into an image that the
launch's user reads. Nothing from outside of the checkout may be in any event, log, image or error.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from zipfile import ZipFile, ZipInfo

import pytest
from websockets.sync.client import connect

from binderprogress.backends.base import BuildResult
from binderprogress.backends.repo2docker.builder import Repo2dockerBuilder
from binderprogress.core.specs import from_address, parse
from binderprogress.errors import LaunchFailedError

from ..support.archives import archives, certificates
from ..support.asynchronous import asynchronous
from ..support.hostile import KINDS, SECRET, hostile, outside
from ..support.long import usually
from ..support.processes import program
from ..support.standalone import post
from .podman_support import DOCKERFILE, Podman, Repository

pytestmark = [pytest.mark.podman, pytest.mark.hub]

# What repo2docker reads, and what podman would copy.
SOME = ("a Dockerfile", "a file in the binder folder", "a link into .git", "far below")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def server(podman: Podman, folder: Path) -> Iterator[tuple[str, Path]]:
    """The real server with --engine podman and a secret in its environment; and its log."""
    config, log = folder / "config.py", folder / "log"
    config.write_text(f"c.Repo2dockerBuilder.local_folders = [{str(folder)!r}]\n")
    arguments = ["serve", "--port", "0", "--engine", "podman", "--end-launches", "-f", str(config)]
    env = {**podman.env, "BINDERPROGRESS_TOKEN": SECRET, "AWS_SECRET_ACCESS_KEY": SECRET}
    with program("binderprogress", *arguments, env=env, log=log) as running:
        url = running.line().rpartition(" ")[2].strip()
        assert url.startswith("http://127.0.0.1:"), log.read_text()
        yield url, log


def launch(url: str, address: str) -> tuple[list[Any], str]:
    """Launch a repository until it is built; gives its events, and all that is said of it."""
    links = post(f"{url}api/launches", {"spec": str(from_address(address))})
    events = []
    with connect(links["socket_url"]) as watching:
        for message in watching:
            events.append(json.loads(message))
            if events[-1]["phase"] in ("built", "launching", "ready"):
                break
    said = [json.dumps(events)]
    for part in ("", "/log", "/trace"):
        with urlopen(f"{url}api/launches/{links['id']}{part}", timeout=30) as answer:
            said.append(answer.read().decode())
    return events, "\n".join(said)


@pytest.mark.parametrize("kind", usually(SOME, "a file in the binder folder"))
def test_links_that_lead_outside_are_refused(
    podman: Podman, server: tuple[str, Path], folder: Path, kind: str
) -> None:
    """A link fails with its path, before anything is read or an image is begun.

    `tests/attacks/test_checkout.py` has all kinds; the check is the same for each engine.
    """
    url, log = server
    before = podman.run("images", "--quiet")
    own = folder / str(SOME.index(kind))
    own.mkdir()
    repository = hostile(own / "repository", outside(own / "outside"), kind)
    events, said = launch(url, repository.as_uri())
    path, _ = KINDS[kind]
    failed = events[-1]
    assert failed["phase"] == "failed", failed
    assert failed["reason"] == "outside-link", failed
    assert failed["message"].startswith(f"{path} is a link that points outside"), failed
    assert SECRET not in said
    assert "repositoryformatversion" not in said
    assert SECRET not in log.read_text()
    assert podman.run("images", "--quiet") == before


@pytest.mark.long
def test_a_step_of_a_build_sees_nothing_of_the_servers_environment(
    server: tuple[str, Path], folder: Path
) -> None:
    """A Dockerfile can print what it finds, and its output is the launch's log."""
    url, _ = server
    last = "env; cat /proc/[0-9]*/environ | tr '\\\\0' '\\\\n'; echo all of it"
    events, said = launch(url, Repository(folder / "prints", last=last).url)
    assert events[-1]["phase"] == "built", events[-1]
    assert "all of it" in said
    assert SECRET not in said


@pytest.mark.long
@asynchronous(170)
async def test_a_link_in_an_archive_is_not_followed_into_an_image(
    podman: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ZIP file may hold symbolic links; what is behind one must not be in the image."""
    for name, value in podman.env.items():
        monkeypatch.setenv(name, value)
    key = tmp_path / "key"
    key.write_text(SECRET)
    packed = BytesIO()
    with ZipFile(packed, "w") as file:
        file.writestr("penguins-1/Dockerfile", f"{DOCKERFILE.split('RUN')[0]}COPY . /srv\n")
        link = ZipInfo("penguins-1/runtime.txt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, str(key))
    builder = Repo2dockerBuilder(engine="podman", image_prefix="localhost/binderprogress-attack-")
    said, image = "", ""
    with archives(certificates(tmp_path), monkeypatch) as double:
        double.zenodo({})
        content = "zenodo.org/api/records/3242074/files/penguins/content"
        double.put(content, packed.getvalue())
        target = await builder.resolve(parse("zenodo/10.5281/zenodo.3242073"))
        try:
            async for item in builder.build(target):
                said += str(item)
                image = item.image if isinstance(item, BuildResult) else ""
        except LaunchFailedError as error:
            said += str(error)
    await builder.close()
    assert SECRET not in said
    if image:
        assert SECRET not in podman.run("run", "--rm", image, "cat", "/srv/runtime.txt")
