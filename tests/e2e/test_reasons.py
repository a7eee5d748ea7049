"""Launches that fail for many reasons, with a real builder: what their last event says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from binderprogress.client import Client
from binderprogress.errors import LaunchFailedError

from ..support.long import usually
from ..support.repositories import repository
from ..support.standalone import Running, running


class Failure(NamedTuple):
    """The files of a repository, and what is said about its launch."""

    files: dict[str, str]
    reason: str
    subject: str = ""
    file: str = ""
    retry: bool = False


REQUIREMENTS = "requirements.txt"
NO_HASH = "--hash=sha256:" + "0" * 64
FAILURES = {
    "a package that does not exist": Failure(
        {REQUIREMENTS: "binderprogress-no-such-package==1.0\n"},
        "unsatisfiable-requirement",
        "binderprogress-no-such-package==1.0",
        REQUIREMENTS,
    ),
    "two versions of a package": Failure(
        {REQUIREMENTS: "six==1.16.0\nsix==1.17.0\n"},
        "unsatisfiable-requirement",
        file=REQUIREMENTS,
    ),
    "a line that is no requirement": Failure(
        {REQUIREMENTS: "foo bar\n"}, "bad-requirement-file", file=REQUIREMENTS
    ),
    "a file of requirements that is missing": Failure(
        {REQUIREMENTS: "-r other.txt\n"}, "file-missing", "other.txt"
    ),
    "an archive that is not there": Failure(
        {REQUIREMENTS: "six @ {site}/nosuch.tar.gz\n"},
        "requirement-missing",
        "{site}/nosuch.tar.gz",
        REQUIREMENTS,
    ),
    "a git requirement that is not there": Failure(
        {REQUIREMENTS: "tools @ git+{site}/tools.git\n"},
        "requirement-missing",
        "git+{site}/tools.git",
        REQUIREMENTS,
    ),
    "a hash that is not right": Failure(
        {REQUIREMENTS: f"six==1.16.0 {NO_HASH}\n"}, "hash-mismatch", "six==1.16.0", REQUIREMENTS
    ),
    "a package that cannot be built": Failure(
        {
            REQUIREMENTS: "./broken\n",
            "broken/setup.py": "raise SystemExit('no compiler here')\n",
        },
        "package-build-failed",
        file=REQUIREMENTS,
    ),
    "a host that does not exist": Failure(
        {REQUIREMENTS: "six @ http://nosuch.invalid/six-1.0.tar.gz\n"},
        "host-unreachable",
        "nosuch.invalid",
        retry=True,
    ),
    "a postBuild that fails": Failure(
        {"postBuild": "#!/bin/sh\ngit checkout nosuchbranch\n"},
        "postbuild-failed",
        file="postBuild",
    ),
    "a Python that is not available": Failure(
        {"runtime.txt": "python-3.99\n"}, "python-unavailable", "3.99", "runtime.txt"
    ),
    "a file that needs a container engine": Failure(
        {"apt.txt": "git\n"}, "unsupported-file", "apt.txt"
    ),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A web server that has nothing."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path_factory.mktemp("site")))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(10)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Running]]:
    folder = tmp_path_factory.mktemp("reasons")
    with running(folder, hub=False) as server:
        yield folder, server


# `tests/core/log` reads all of these from recorded logs.
USUAL = (
    "a package that does not exist",
    "a postBuild that fails",
    "a file that needs a container engine",
)


@pytest.mark.parametrize("name", usually(FAILURES, *USUAL))
def test_a_launch_says_why_it_failed(name: str, server: tuple[Path, Running], site: str) -> None:
    folder, process = server
    failure = FAILURES[name]
    files = {path: text.replace("{site}", site) for path, text in failure.files.items()}
    made = repository(folder / name.replace(" ", "-"), files)
    with Client(process.url) as client, pytest.raises(LaunchFailedError) as raised:
        client.launch(made.as_uri())
    error = raised.value
    assert (error.reason, error.file) == (failure.reason, failure.file), error.evidence
    subject = failure.subject.replace("{site}", site)
    assert error.subject == subject or not subject
    assert error.fault == ("network" if failure.retry else "repository")
    assert error.retry is failure.retry
    assert error.evidence
    assert error.advice
