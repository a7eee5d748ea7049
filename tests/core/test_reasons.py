from __future__ import annotations

import re
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.reasons import REASONS, Reason, diagnose, failure, plain

from . import recorded

KNOWN = [reason for reason in REASONS.values() if reason.pattern]


class Case(NamedTuple):
    reason: str
    message: str
    log: str


# What real programs print, and what is made of it.
CASES = {
    # git
    "repo2docker, a ref": Case(
        "bad-ref",
        "The branch, tag or commit nosuchref is not in the repository.",
        "Failed to check out ref nosuchref\n",
    ),
    "git clone --branch": Case(
        "bad-ref",
        "The branch, tag or commit nosuch is not in the repository.",
        "fatal: Remote branch nosuch not found in upstream origin\n",
    ),
    "git fetch of a branch": Case(
        "bad-ref",
        "The branch, tag or commit refs/heads/nosuch is not in the repository.",
        "fatal: couldn't find remote ref refs/heads/nosuch\n",
    ),
    "git fetch of a commit": Case(
        "bad-ref",
        "The branch, tag or commit 1a2b3c4d is not in the repository.",
        "fatal: remote error: upload-pack: not our ref 1a2b3c4d\n",
    ),
    "git checkout": Case(
        "bad-ref",
        "The branch, tag or commit nosuch is not in the repository.",
        "error: pathspec 'nosuch' did not match any file(s) known to git\n",
    ),
    "git checkout of a commit": Case(
        "bad-ref",
        "The branch, tag or commit 1a2b3c4d is not in the repository.",
        "fatal: reference is not a tree: 1a2b3c4d\n",
    ),
    "git checkout of a commit, older": Case(
        "bad-ref",
        "The branch, tag or commit 1a2b3c4d is not in the repository.",
        "fatal: unable to read tree (1a2b3c4d)\n",
    ),
    "git reset": Case(
        "bad-ref",
        "The branch, tag or commit 1a2b3c4d is not in the repository.",
        "fatal: Could not parse object '1a2b3c4d'.\n",
    ),
    "git over https, 404": Case(
        "private-or-missing",
        "The repository is not there, or it is private.",
        "remote: Repository not found.\n"
        "fatal: repository 'https://github.com/nobody/nothing/' not found\n",
    ),
    "git over https, a password is asked for": Case(
        "private-or-missing",
        "The repository is not there, or it is private.",
        "fatal: could not read Username for 'https://github.com': terminal prompts disabled\n",
    ),
    "git over https, wrong password": Case(
        "private-or-missing",
        "The repository is not there, or it is private.",
        "remote: HTTP Basic: Access denied\n"
        "fatal: Authentication failed for 'https://gitlab.example.org/a/b.git/'\n",
    ),
    "git over https, forbidden": Case(
        "private-or-missing",
        "The repository is not there, or it is private.",
        "fatal: unable to access 'https://git.example.org/a/': "
        "The requested URL returned error: 403\n",
    ),
    "git over ssh": Case(
        "private-or-missing",
        "The repository is not there, or it is private.",
        "git@github.com: Permission denied (publickey).\r\n"
        "fatal: Could not read from remote repository.\n",
    ),
    "git, a folder": Case(
        "private-or-missing",
        "The repository is not there, or it is private.",
        "fatal: repository '/srv/missing' does not exist\n",
    ),
    "git over https, no such host": Case(
        "host-unreachable",
        "The host nosuch.invalid cannot be reached.",
        "fatal: unable to access 'https://nosuch.invalid/x/': "
        "Could not resolve host: nosuch.invalid\n",
    ),
    "git over https, nobody there": Case(
        "host-unreachable",
        "The host 127.0.0.1 cannot be reached.",
        "fatal: unable to access 'http://127.0.0.1:1/x/': "
        "Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server\n",
    ),
    "git over ssh, no such host": Case(
        "host-unreachable",
        "The host nosuch.invalid cannot be reached.",
        "ssh: Could not resolve hostname nosuch.invalid: Name or service not known\n",
    ),
    "git over ssh, nobody there": Case(
        "host-unreachable",
        "The host git.example.org cannot be reached.",
        "ssh: connect to host git.example.org port 22: Connection refused\n",
    ),
    "git's own protocol, no such host": Case(
        "host-unreachable",
        "The host nosuch.invalid cannot be reached.",
        "fatal: unable to look up nosuch.invalid (port 9418) (Name or service not known)\n",
    ),
    "git's own protocol, nobody there": Case(
        "host-unreachable",
        "The host 127.0.0.1 cannot be reached.",
        "fatal: unable to connect to 127.0.0.1:\n"
        "127.0.0.1[0: 127.0.0.1]: errno=Connection refused\n",
    ),
    "a network that is down": Case(
        "host-unreachable",
        "A host cannot be reached.",
        "curl: (7) Couldn't connect to server: Network is unreachable\n",
    ),
    "pip without a network": Case(
        "host-unreachable",
        "The host pypi.org cannot be reached.",
        "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) "
        "after connection broken by 'NameResolutionError(\"Failed to resolve 'pypi.org' "
        "([Errno -2] Name or service not known)\")': /simple/six/\n"
        "ERROR: No matching distribution found for six\n",
    ),
    # The local builder
    "a file for an engine": Case(
        "unsupported-file",
        "The repository has binder/apt.txt, which cannot be honoured without a container engine.",
        "binder/apt.txt cannot be honoured without a container engine. Launch it with docker or "
        "podman (--engine docker), or ask for what it needs in requirements.txt.\n",
    ),
    "a buildpack for an engine": Case(
        "unsupported-file",
        "The repository asks for what cannot be honoured without a container engine.",
        "NixBuildPack cannot be honoured without a container engine.\n",
    ),
    "uv, no such Python": Case(
        "python-unavailable",
        "The Python that the repository asks for cannot be had here: Python 3.99.",
        "error: No interpreter found for Python 3.99 in managed installations or search path\n",
    ),
    "uv, no such Python to download": Case(
        "python-unavailable",
        "The Python that the repository asks for cannot be had here: "
        "cpython-3.99-linux-x86_64-gnu.",
        "error: No download found for request: cpython-3.99-linux-x86_64-gnu\n",
    ),
    "uv, a Python too old": Case(
        "python-unavailable",
        "The Python that the repository asks for cannot be had here: "
        "Python <3.6 is not supported but 2.7 was requested.",
        "error: Invalid version request: Python <3.6 is not supported but 2.7 was requested.\n",
    ),
    "repo2docker, runtime.txt": Case(
        "python-unavailable",
        "The Python that the repository asks for cannot be had here.",
        "Invalid runtime.txt: snake\n",
    ),
    "pyproject.toml": Case(
        "python-unavailable",
        "The Python that the repository asks for cannot be had here.",
        "pyproject.toml: requires-python 'three' is not understood.\n",
    ),
    # Requirements
    "pip, no such version": Case(
        "unsatisfiable-requirement",
        "The requirement six==99.99 cannot be satisfied.",
        "ERROR: Could not find a version that satisfies the requirement six==99.99 "
        "(from versions: 1.16.0, 1.17.0)\n"
        "ERROR: No matching distribution found for six==99.99\n",
    ),
    "pip, no such package": Case(
        "unsatisfiable-requirement",
        "The requirement nosuch cannot be satisfied.",
        "\x1b[31mERROR: No matching distribution found for nosuch\x1b[0m\x1b[31m\n",
    ),
    "pip, two that do not go together": Case(
        "unsatisfiable-requirement",
        "The requirements cannot all be satisfied.",
        "ERROR: Cannot install -r requirements.txt (line 1) and numpy==1.0 because these package "
        "versions have conflicting dependencies.\n"
        "ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/\n",
    ),
    "uv, no such version": Case(
        "unsatisfiable-requirement",
        "The requirement six==99.99 cannot be satisfied.",
        "error: No solution found when resolving dependencies\n"
        "  cause: Because there is no version of six==99.99 and you require six==99.99, we can "
        "conclude that your requirements are unsatisfiable.\n"
        "uv exited with status 1.\n",
    ),
    "uv, older, wrapped": Case(
        "unsatisfiable-requirement",
        "The requirement six==99.99 cannot be satisfied.",
        "  × No solution found when resolving dependencies:\n"
        "  ╰─▶ Because six==99.99 was not found in the package registry and you\n"
        "      require six==99.99, we can conclude that your requirements are\n"
        "      unsatisfiable.\n",
    ),
    "uv, a range": Case(
        "unsatisfiable-requirement",
        "The requirement six>=99,<100 cannot be satisfied.",
        "  × No solution found when resolving dependencies:\n"
        "  ╰─▶ Because only six<=1.17.0 is available and you require six>=99,<100, we can\n"
        "      conclude that your requirements are unsatisfiable.\n",
    ),
    "uv, a long way to it": Case(
        "unsatisfiable-requirement",
        "The requirement numpy==1.0 cannot be satisfied.",
        "error: No solution found when resolving dependencies\n"
        "  cause: Because pandas==2.0.0 depends on numpy>=1.21.0 and you require pandas==2.0.0, we "
        "can conclude that you require numpy>=1.21.0.\n"
        "         And because you require numpy==1.0, we can conclude that your requirements are "
        "unsatisfiable.\n",
    ),
    "uv, the same twice": Case(
        "unsatisfiable-requirement",
        "The requirements cannot all be satisfied.",
        "error: No solution found when resolving dependencies\n"
        "  cause: Because you require six==1.15 and six==1.16, we can conclude that your "
        "requirements are unsatisfiable.\n",
    ),
    "uv, a file it cannot read": Case(
        "bad-requirement-file",
        "requirements.txt is not understood.",
        "error: Couldn't parse requirement in `requirements.txt` at position 0\n"
        "  cause: Expected one of `@`, `(`, `<`, `=`, `>`, `~`, `!`, `;`, found `b`\n",
    ),
    "pip, a file it cannot read": Case(
        "bad-requirement-file",
        "requirements.txt is not understood.",
        "ERROR: Invalid requirement: 'foo bar' (from line 1 of requirements.txt)\n",
    ),
    "mamba, no such package": Case(
        "conda-conflict",
        "environment.yml asks for nosuch, which is not in its channels.",
        "error    libmamba Could not solve for environment specs\n"
        "    The following package could not be found\n"
        "    └─ nosuch 99.99**  does not exist (perhaps a typo or a missing channel).\n"
        "critical libmamba Could not solve for environment specs\n",
    ),
    "mamba, two that do not go together": Case(
        "conda-conflict",
        "The packages in environment.yml do not all exist, or cannot be installed together.",
        "error    libmamba Could not solve for environment specs\n"
        "    The following packages are incompatible\n"
        "    ├─ numpy 1.0**  is requested and can be installed;\n",
    ),
    "mamba, older": Case(
        "conda-conflict",
        "environment.yml asks for nosuch, which is not in its channels.",
        "Encountered problems while solving:\n  - nothing provides requested nosuch\n",
    ),
    "conda, no such package": Case(
        "conda-conflict",
        "environment.yml asks for nosuch==99, which is not in its channels.",
        "PackagesNotFoundError: The following packages are not available from current channels:\n"
        "\n  - nosuch==99\n  - nothing\n",
    ),
    "conda, older": Case(
        "conda-conflict",
        "environment.yml asks for nosuch==99, which is not in its channels.",
        "ResolvePackageNotFound: \n  - nosuch==99\n",
    ),
    "conda, two that do not go together": Case(
        "conda-conflict",
        "The packages in environment.yml do not all exist, or cannot be installed together.",
        "UnsatisfiableError: The following specifications were found to be incompatible:\n",
    ),
    "uv, a build": Case(
        "package-build-failed",
        "The package badpkg could not be built.",
        "error: Failed to build `badpkg @ file:///tmp/bad`\n"
        "  cause: The build backend returned an error\n",
    ),
    "pip, a wheel": Case(
        "package-build-failed",
        "The package mysqlclient could not be built.",
        "  ERROR: Failed building wheel for mysqlclient\nFailed to build mysqlclient\n",
    ),
    "pip, wheels": Case(
        "package-build-failed",
        "The package mysqlclient could not be built.",
        "ERROR: Could not build wheels for mysqlclient, which is required to install "
        "pyproject.toml-based projects\n",
    ),
    "pip, wheels, newer": Case(
        "package-build-failed",
        "The package mysqlclient could not be built.",
        "ERROR: Failed to build installable wheels for some pyproject.toml based projects "
        "(mysqlclient, lxml)\n",
    ),
    "pip, metadata": Case(
        "package-build-failed",
        "A package could not be built.",
        "error: subprocess-exited-with-error\nerror: metadata-generation-failed\n",
    ),
    # The machine
    "a step that is killed, docker": Case(
        "out-of-memory",
        "There was not enough memory.",
        "The command '/bin/sh -c mamba env update' returned a non-zero code: 137\n",
    ),
    "a step that is killed, buildx": Case(
        "out-of-memory",
        "There was not enough memory.",
        'ERROR: failed to solve: process "/bin/sh -c mamba env update" did not complete '
        "successfully: exit code: 137\n",
    ),
    "a step that is killed, podman": Case(
        "out-of-memory",
        "There was not enough memory.",
        'Error: building at STEP "RUN mamba env update": while running runtime: exit status 137\n',
    ),
    "a step that is killed, local": Case(
        "out-of-memory",
        "There was not enough memory.",
        "uv exited with status -9.\n",
    ),
    "a compiler that is killed": Case(
        "out-of-memory",
        "There was not enough memory.",
        "g++: fatal error: Killed signal terminated program cc1plus\n"
        "  ERROR: Failed building wheel for pystan\n",
    ),
    "Python without memory": Case(
        "out-of-memory",
        "There was not enough memory.",
        "OSError: [Errno 12] Cannot allocate memory\n",
    ),
    "a pod without memory": Case(
        "out-of-memory",
        "There was not enough memory.",
        "Container notebook was OOMKilled\n",
    ),
    "no space": Case(
        "disk-full",
        "The disk is full.",
        "OSError: [Errno 28] No space left on device\n"
        "ERROR: No matching distribution found for six\n",
    ),
    "no docker": Case(
        "no-engine",
        "The container engine does not answer.",
        "Docker client initialization error: Error while fetching server API version: "
        "('Connection aborted.', FileNotFoundError(2, 'No such file or directory'))\n"
        "Check if docker is running on the host.\n",
    ),
    "no daemon": Case(
        "no-engine",
        "The container engine does not answer.",
        "ERROR: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. "
        "Is the docker daemon running?\n",
    ),
    "no command": Case(
        "no-engine",
        "The container engine does not answer.",
        "The docker commandline client must be installed: [Errno 2] No such file or directory: "
        "'docker'\n",
    ),
    "no podman": Case(
        "no-engine",
        "The container engine does not answer.",
        "podman is not installed: there is no command 'podman'. Install podman 4 or later, or "
        "choose another engine.\n",
    ),
    "no podman machine": Case(
        "no-engine",
        "The container engine does not answer.",
        "Cannot connect to Podman. Please verify your connection to the Linux system\n"
        "Error: unable to connect to Podman socket: connection refused\n",
    ),
    # Images
    "an image that docker may not pull": Case(
        "image-pull-failed",
        "The image nosuch/image could not be found or pulled.",
        "pull access denied for nosuch/image, repository does not exist or may require "
        "'docker login'\n",
    ),
    "an image that buildx does not find": Case(
        "image-pull-failed",
        "The image docker.io/library/nosuch:1 could not be found or pulled.",
        "ERROR: failed to solve: nosuch:1: failed to resolve source metadata for "
        "docker.io/library/nosuch:1: not found\n",
    ),
    "an image that podman does not find": Case(
        "image-pull-failed",
        "The image localhost/nosuch:1 could not be found or pulled.",
        "Error: creating build container: initializing source docker://localhost/nosuch:1: "
        "pinging container registry localhost\n",
    ),
    "an image that a node does not get": Case(
        "image-pull-failed",
        "The image ok:1 could not be found or pulled.",
        'Back-off pulling image "ok:1"\nError: ImagePullBackOff\n',
    ),
    "an image that nobody names": Case(
        "image-pull-failed",
        "An image could not be found or pulled.",
        "Error: ErrImagePull\n",
    ),
    "an image without Jupyter": Case(
        "no-jupyter",
        "The image has no Jupyter that could be started.",
        'exec: "jupyterhub-singleuser": executable file not found in $PATH: unknown\n',
    ),
    # postBuild
    "postBuild, local": Case(
        "postbuild-failed",
        "The repository's postBuild script failed.",
        "postBuild exited with status 3.\n",
    ),
    "postBuild, docker": Case(
        "postbuild-failed",
        "The repository's postBuild script failed.",
        "The command '/bin/sh -c ./binder/postBuild' returned a non-zero code: 1\n",
    ),
    "postBuild, buildx": Case(
        "postbuild-failed",
        "The repository's postBuild script failed.",
        'ERROR: failed to solve: process "/bin/sh -c ./postBuild" did not complete successfully: '
        "exit code: 3\n",
    ),
    "postBuild, podman": Case(
        "postbuild-failed",
        "The repository's postBuild script failed.",
        'Error: building at STEP "RUN ./postBuild": while running runtime: exit status 3\n',
    ),
    # Servers
    "a server that is silent": Case(
        "server-did-not-answer",
        "The server was started but did not answer in time.",
        "Spawn failed: Server at http://127.0.0.1:8888/user/kim/api didn't respond in 30 seconds\n",
    ),
    "a server that waited for a node first": Case(
        "server-did-not-answer",
        "The server was started but did not answer in time.",
        "0/1 nodes are available: 1 Insufficient memory.\n"
        "Spawn failed: Server at http://127.0.0.1:8888/user/kim/api didn't respond in 30 seconds\n",
    ),
    "no room": Case(
        "no-node",
        "No machine had room for the server in time.",
        "0/3 nodes are available: 3 Insufficient memory.\n"
        "Spawn failed: pod default/jupyter-kim did not start in 300 seconds!\n",
    ),
    "a server that does not start": Case(
        "start-timeout",
        "The server did not start in time.",
        "Spawn failed: pod default/jupyter-kim did not start in 300 seconds!\n",
    ),
    "a Hub that gives up": Case(
        "start-timeout", "The server did not start in time.", "Spawn failed: Timeout\n"
    ),
    # The rest
    "a step, docker": Case(
        "build-step-failed",
        "A step of the build failed.",
        "The command '/bin/sh -c make' returned a non-zero code: 2\n",
    ),
    "a step, buildx": Case(
        "build-step-failed",
        "A step of the build failed.",
        'ERROR: failed to build: failed to solve: process "/bin/sh -c make" did not complete '
        "successfully: exit code: 2\n",
    ),
    "a step, podman": Case(
        "build-step-failed",
        "A step of the build failed.",
        'Error: building at STEP "RUN make": while running runtime: exit status 2\n',
    ),
    "a step, local": Case(
        "build-step-failed", "A step of the build failed.", "uv exited with status 1.\n"
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("split", [True, False], ids=["lines", "one message"])
def test_diagnose(case: Case, split: bool) -> None:
    before = ["Cloning into '/tmp/repo2docker'...\n", "STEP 3/11: RUN pip install six\n"]
    log = case.log.splitlines(keepends=True) if split else [case.log]
    found = diagnose([*before, *log], otherwise="build-failed")
    assert (found.reason, found.message) == (case.reason, case.message)
    assert found.advice == REASONS[case.reason].advice
    shown = {plain(line).strip() for line in re.split("[\r\n]+", case.log)}
    assert found.evidence
    assert set(found.evidence) <= shown


def test_every_reason_that_a_log_can_tell_has_a_case() -> None:
    assert {case.reason for case in CASES.values()} == {reason.key for reason in KNOWN}


# Stream -> reason where no line tells, reason, message.
STREAMS = {
    "repo2docker-badref.jsonl": (
        "bad-ref",
        "The branch, tag or commit nosuchref is not in the repository.",
    ),
    "repo2docker-norepo.jsonl": (
        "private-or-missing",
        "The repository is not there, or it is private.",
    ),
    "repo2docker-badbuild.jsonl": (
        "unsatisfiable-requirement",
        "The requirement six==99.99 cannot be satisfied.",
    ),
    "binderhub-build-real-badbuild.txt": (
        "unsatisfiable-requirement",
        "The requirement six==99.99 cannot be satisfied.",
    ),
    "repo2docker-run.jsonl": ("no-jupyter", "The image has no Jupyter that could be started."),
    "repo2docker-killed.jsonl": ("unknown", "It failed."),
    "hub-progress-exit1.txt": (
        "server-did-not-answer",
        "The server was started but did not answer in time.",
    ),
    "hub-progress-kubespawner-ok.txt": (
        "server-did-not-answer",
        "The server was started but did not answer in time.",
    ),
    "hub-progress-dockerspawner-noimage.txt": (
        "image-pull-failed",
        "The image localhost/nosuch:1 could not be found or pulled.",
    ),
    "hub-progress-slowbad.txt": (
        "image-pull-failed",
        "The image example:latest could not be found or pulled.",
    ),
    "hub-progress-bad.txt": ("unknown", "It failed."),
}


@pytest.mark.parametrize("name", STREAMS)
def test_recorded_failures(name: str) -> None:
    found = diagnose(note.message for note in recorded.notes(name))
    assert (found.reason, found.message) == STREAMS[name]


@pytest.mark.parametrize(
    "name", [n for n in [*recorded.REPO2DOCKER, *recorded.HUB, *recorded.BINDERHUB] if "ok" in n]
)
def test_a_log_that_ended_well_tells_no_reason(name: str) -> None:
    # Else it would be given for a failure that comes later. (A spawn did fail in one of them.)
    messages = [
        note.message for note in recorded.notes(name) if "didn't respond" not in note.message
    ]
    expected = "no-node" if "kubespawner" in name else "spawn-failed"
    assert diagnose(messages, otherwise="spawn-failed").reason == expected


# The evidence -------------------------------------------------------------------------------------


def test_what_went_wrong_first_comes_first() -> None:
    log = [
        "ERROR: No matching distribution found for six==99.99\n",
        'Error: building at STEP "RUN pip install six==99.99": exit status 1\n',
    ]
    for lines in (log, log[::-1]):
        found = diagnose(lines)
        assert found.reason == "unsatisfiable-requirement"
        assert found.evidence == ["ERROR: No matching distribution found for six==99.99"]


def test_a_wrapped_sentence_is_evidence_as_a_whole() -> None:
    found = diagnose([*CASES["uv, older, wrapped"].log.splitlines(), "uv exited with status 1."])
    assert found.evidence == [
        "× No solution found when resolving dependencies:",
        "╰─▶ Because six==99.99 was not found in the package registry and you",
        "require six==99.99, we can conclude that your requirements are",
    ]


def test_the_last_lines_are_the_evidence_where_none_tells() -> None:
    found = diagnose([f"line {count}\n" for count in range(20)], otherwise="build-failed")
    assert found.reason == "build-failed"
    assert found.message == "The build failed."
    assert found.evidence == [f"line {count}" for count in range(14, 20)]


def test_evidence_is_plain_and_short() -> None:
    log = [f"\x1b[31mno space left on device {count}\x1b[0m\r\n" for count in range(50)]
    assert diagnose(log).evidence == [f"no space left on device {count}" for count in range(6)]


def test_no_log_at_all() -> None:
    found = diagnose([])
    assert (found.reason, found.message, found.evidence) == ("unknown", "It failed.", [])
    assert diagnose(["\n", " \r\n", "\x1b[0m"]).evidence == []


@pytest.mark.parametrize("key", REASONS)
def test_failure(key: str) -> None:
    error = failure(key)
    assert (str(error), error.reason, error.advice) == (
        REASONS[key].sentence,
        key,
        REASONS[key].advice,
    )
    assert str(failure(key, "In other words.")) == "In other words."
    assert failure(key, "In other words.").advice == REASONS[key].advice


# The table ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS)
def test_every_reason_has_sentences(reason: Reason) -> None:
    named = reason.named.format("THIS")
    for text in (reason.sentence, reason.advice, named or "Nothing."):
        assert re.fullmatch(r"\S.*[^.]\.", text)
        assert not re.search(r"  | [,.;:]|[{}]", text)
        # What stands first may be the name of a file.
        assert text[0].isupper() or text.startswith(("requirements.txt", "environment.yml"))
    assert ("THIS" in named) == bool(re.search(r"(?<!\\)\((?!\?)", reason.pattern + reason.below))


# Attacks ------------------------------------------------------------------------------------------

# Pieces that the patterns begin with, or go round in.
PIECES = [
    "a",
    " ",
    "'",
    "0",
    "─ a",
    "\\",
    "-",
    "Failed to check out ref '",
    "fatal: repository '",
    "Could not resolve host",
    "Python ",
    "building at STEP postBuild ",
    "process postBuild",
    "The command ",
    "Timeout",
    "Timeout waiting for",
    "Failed to build ",
    "Failed to build installable wheels for (",
    "failed to find image a:",
    "initializing source docker://a:",
    "you require a,<",
    "you require a,",
    "NotFoundError: - ",
    "─ a does not exist ",
    "0/0 nodes",
    "image pull back-off: no such image",
]


@pytest.mark.parametrize("reason", KNOWN, ids=[reason.key for reason in KNOWN])
def test_a_hostile_line_does_not_hold_the_server(reason: Reason) -> None:
    # Whoever owns the repository writes the log. An expression that goes back exponentially would
    # stand still for years here, and the test would never end.
    for pattern in filter(None, [reason.pattern, reason.below]):
        expression = re.compile(pattern, re.IGNORECASE)
        for piece in PIECES:
            for tail in ("", "!", "\x00"):
                expression.search((piece * 2000)[:2000] + tail)


def test_a_hostile_log_does_not_hold_the_server() -> None:
    log = [(piece * 5000)[:100_000] for piece in PIECES] * 15
    assert diagnose(log, otherwise="build-failed").reason in REASONS


def test_a_name_from_a_log_is_cut_and_plain() -> None:
    # It stands in the page's own sentence.
    found = diagnose([f"No matching distribution found for {'A' * 1500}\n"])
    assert found.message == f"The requirement {'A' * 100}… cannot be satisfied."
    found = diagnose(["No matching distribution found for \x1b]8;;http://evil\x07{0}{x}\x1b[8m\n"])
    assert found.message == "The requirement {0}{x} cannot be satisfied."


def test_a_name_of_nothing_but_punctuation_is_left_out() -> None:
    found = diagnose(["No matching distribution found for ''.\n"])
    assert found.message == "The requirements cannot all be satisfied."


def test_what_stands_beyond_2000_characters_is_not_read() -> None:
    assert diagnose(["x" * 2000 + " No space left on device"]).reason == "unknown"


PLAIN = {
    "text": ("Collecting six é 😀", "Collecting six é 😀"),
    "tabs and line feeds": ("a\tb\nc", "a\tb\nc"),
    "colours": ("\x1b[1;31mred\x1b[0m \x1b[38;5;196mred\x1b[m", "red red"),
    "colours with colons": ("\x1b[38:2::255:0:0mred\x1b[0m", "red"),
    "moving and erasing": ("\x1b[2K\x1b[1Gdone\x1b[?25h", "done"),
    "a title": ("\x1b]0;title\x07a", "a"),
    "a link": ("\x1b]8;;http://x\x1b\\text\x1b]8;;\x1b\\", "text"),
    "a device control string": ("\x1bPq#0;2;0;0;0\x1b\\a", "a"),
    "a privacy message and two more": ("\x1b^x\x1b\\a\x1b_y\x1b\\b\x1bXz\x1b\\c", "abc"),
    "a character set": ("\x1b(Ba\x1b)0b", "ab"),
    "saving and restoring": ("\x1b7a\x1b8b\x1bcc\x1b=d\x1b>e", "abcde"),
    "one byte for two": ("\x9b31mred\x9b0m\x9d0;title\x9ca\x90q\x9cb", "redab"),
    "controls": ("a\x00\x07\x08\x0b\x0c\r\x7f\x85b", "ab"),
    "an escape at the end": ("a\x1b", "a"),
    "a sequence that is cut off": ("a\x1b[31", "a"),
    "a sequence with something else inside": ("\x1b[3\x1b[1mred", "red"),
    "a title that is cut off": ("a\x1b]0;title", "a"),
    "a title with an escape in it": ("\x1b]0;t\x1b[1ma", "a"),
}


@pytest.mark.parametrize(("given", "expected"), PLAIN.values(), ids=PLAIN)
def test_plain(given: str, expected: str) -> None:
    assert plain(given) == expected


@pytest.mark.parametrize("start", ["\x1b]0;", "\x1bP", "\x9d", "\x1b[", "\x1b"])
def test_what_is_never_finished_does_not_hide_the_next_line(start: str) -> None:
    # A hostile step could take the lines that follow out of the evidence.
    assert plain(f"{start}1\nERROR").endswith("\nERROR")


@given(st.text(st.sampled_from("\x1b\x9b\x9d[]P;01m\\\x07\x9c\n a") | st.characters()))
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    left = plain(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", left)
    assert plain(left) == left
    assert left.count("\n") == text.count("\n")


@given(st.text(st.characters(exclude_categories=["Cc"])))
def test_text_without_controls_is_kept(text: str) -> None:
    assert plain(text) == text


@given(st.lists(st.text() | st.sampled_from([case.log for case in CASES.values()])))
def test_any_log_is_diagnosed(lines: list[str]) -> None:
    found = diagnose(lines)
    assert found.reason in REASONS
    assert found.message.endswith(".")
    assert len(found.evidence) <= 6
