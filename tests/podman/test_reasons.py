"""Launches that fail for many reasons, with repo2docker and podman: what their last event says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from binderprogress.client import Client
from binderprogress.errors import LaunchFailedError

from ..support.processes import program
from ..support.repositories import repository
from .podman_support import BASE_IMAGE, Podman

pytestmark = [pytest.mark.podman, pytest.mark.hub]

# Containers have no network of their own where this is tested.
CONFIG = """\
c.Repo2dockerBuilder.local_folders = [{folder!r}]
c.Standalone.hub_config = {{"ContainerSpawner": {{"host_network": True}}}}
c.HubLauncher.attempts = 1
"""


class Failure(NamedTuple):
    """The files of a repository, and what is said about its launch."""

    files: dict[str, str]
    reason: str
    subject: str = ""
    file: str = "Dockerfile"
    fault: str = "repository"
    retry: bool = False
    evidence: str = ""


def dockerfile(*lines: str) -> dict[str, str]:
    """Return the files of a repository whose Dockerfile continues the base image."""
    return {"Dockerfile": "\n".join([f"FROM {BASE_IMAGE}", *lines]) + "\n"}


FAILURES = {
    "a file that is not in the repository": Failure(
        dockerfile("COPY intro.ipynb /srv/"), "copy-missing", "intro.ipynb"
    ),
    "an instruction that does not exist": Failure(
        dockerfile("RUNN true"), "dockerfile-syntax", evidence="RUNN"
    ),
    "a registry that does not answer": Failure(
        {"Dockerfile": "FROM 127.0.0.1:1/kim/lab:1\n"},
        "host-unreachable",
        "127.0.0.1:1",
        file="",
        fault="network",
        retry=True,
    ),
    "a disk that is full": Failure(
        dockerfile("RUN head -c 200M /dev/zero > /dev/shm/large"),
        "disk-full",
        file="",
        fault="server",
        retry=True,
        evidence="No space left on device",
    ),
    "memory that does not suffice": Failure(
        dockerfile("RUN ulimit -v 400000; python3 -c 'bytearray(10**9)'"),
        "out-of-memory",
        file="",
        evidence="MemoryError",
    ),
    "a command that fails": Failure(
        dockerfile("RUN echo this is why >&2; exit 7"),
        "build-step-failed",
        evidence="this is why",
    ),
    "a program that the image lacks": Failure(
        dockerfile("RUN cargo build"), "program-missing", "cargo"
    ),
    "a script with the line ends of Windows": Failure(
        {
            **dockerfile("COPY setup.sh /srv/", "RUN chmod +x /srv/setup.sh && /srv/setup.sh"),
            "setup.sh": "#!/bin/sh\r\ntrue\r\n",
        },
        "program-missing",
        "/srv/setup.sh",
    ),
    "a user that the image lacks": Failure(dockerfile("USER kim", "RUN true"), "image-user", "kim"),
    "a file of conda that is no YAML": Failure(
        {"environment.yml": "dependencies: [python\n"},
        "bad-configuration-file",
        file="environment.yml",
    ),
    "an image without Jupyter": Failure(
        dockerfile("ENTRYPOINT []", "RUN rm /usr/local/bin/jupyter*"), "no-jupyter"
    ),
    "a server that ends at once": Failure(
        dockerfile('ENTRYPOINT ["sh", "-c", "echo my own start failed >&2; exit 3"]'),
        "crash-loop",
        file="",
        fault="unknown",
        evidence="my own start failed",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reasons")


@pytest.fixture(scope="module")
def url(podman: Podman, folder: Path) -> Iterator[str]:
    """The address of the real server with --engine podman."""
    config = folder / "config.py"
    config.write_text(CONFIG.format(folder=str(folder)))
    arguments = ["serve", "--port", "0", "--engine", "podman", "--end-launches", "-f", str(config)]
    with program("binderprogress", *arguments, env=podman.env, log=folder / "log") as running:
        url = running.line().rpartition(" ")[2].strip()
        assert url.startswith("http://127.0.0.1:"), (folder / "log").read_text()
        yield url


# `tests/core/log` reads all of these from recorded logs, and `test_engine` has a step that fails.
@pytest.mark.long
@pytest.mark.parametrize("name", FAILURES)
def test_a_launch_says_why_it_failed(name: str, url: str, folder: Path) -> None:
    failure = FAILURES[name]
    made = repository(folder / name.replace(" ", "-"), failure.files)
    with Client(url) as client, pytest.raises(LaunchFailedError) as raised:
        client.launch(made.as_uri())
    error = raised.value
    said = (error.reason, error.subject, error.file, error.fault, error.retry)
    subject = failure.subject or error.subject
    assert said == (failure.reason, subject, failure.file, failure.fault, failure.retry), (
        f"{error}\n{error.advice}\n" + "\n".join(error.evidence)
    )
    assert failure.evidence in "\n".join(error.evidence)
    assert error.advice
