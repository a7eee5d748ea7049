"""Which commits can have the same image but for their files; with repo2docker's own buildpacks.

Those of R and Julia are missing, because they ask the internet for versions.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from binderprogress.backends.buildpacks import pick_buildpack
from binderprogress.backends.fetch.checkout import CONFIGURATION
from binderprogress.backends.repo2docker.environment_key import environment_key

ARGUMENTS = {"NB_USER": "jovyan", "NB_UID": "1000"}
COPIED = "\nCOPY --chown=1000:1000 src/ ${REPO_DIR}/\n"
"""The line of repo2docker's Dockerfiles after which commands see the whole repository."""

VARIANTS = {
    "apt.txt": ["less\n", "tree\n"],
    "environment.yml": [
        "dependencies: [numpy]\n",
        "dependencies: [python=3.11]\n",
        "dependencies: [pip, {pip: [six]}]\n",
        "dependencies: [pip, {pip: ['-e .']}]\n",
        "dependencies: [pip, {pip: ['-r more.txt']}]\n",
    ],
    "requirements.txt": ["six\n", "six==1.17\n", "-e .\n", "./package\n", "-r more.txt\n"],
    "runtime.txt": ["python-3.11\n", "python-3.12\n"],
    "Pipfile": ["[packages]\nsix = '*'\n"],
    "pyproject.toml": [
        "[project]\nname = 'a'\nrequires-python = '>=3.10'\n",
        "[project]\nname = 'a'\n[build-system]\nrequires = []\n",
    ],
    "setup.py": ["from setuptools import setup\n"],
    "default.nix": ["{}\n"],
    "Dockerfile": ["FROM scratch\n"],
    "postBuild": ["#!/bin/sh\n"],
    "start": ["#!/bin/sh\n"],
    # These do not matter.
    "README.md": ["old\n", "new\n"],
    "more.txt": ["numpy\n", "pandas\n"],
    "package/setup.py": ["old\n", "new\n"],
}


@st.composite
def checkouts(draw: st.DrawFn) -> dict[str, str]:
    """Return the files of a commit, in the root or in a binder folder."""
    folder = draw(st.sampled_from(["", "", "binder/", ".binder/"]))
    names = draw(st.sets(st.sampled_from(sorted(VARIANTS)), max_size=4))
    return {
        f"{folder if name in CONFIGURATION else ''}{name}": draw(st.sampled_from(VARIANTS[name]))
        for name in sorted(names)
    }


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[str, str], dict[str, str]]:
    """Return the files of two commits, which often differ in one file only."""
    before = draw(checkouts())
    if draw(st.booleans()):
        return before, draw(checkouts())
    name = draw(st.sampled_from(sorted({*before, "README.md", "more.txt", "package/setup.py"})))
    variants = VARIANTS[name.removeprefix(".").removeprefix("binder/")]
    changed = draw(st.sampled_from([*variants, None]))
    rest = {other: text for other, text in before.items() if other != name}
    return before, rest if changed is None else {**rest, name: changed}


def examined(files: Mapping[str, str], commit: str) -> tuple[str, str, dict[str, str]]:
    """Return the key, the Dockerfile, and the files that it copies before the repository."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for name, text in files.items():
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text(text)
        try:
            buildpack: Any = pick_buildpack("docker.io/library/buildpack-deps:jammy")
            buildpack.platform = "linux/amd64"
            buildpack.labels["repo2docker.ref"] = commit
            dockerfile = buildpack.render(ARGUMENTS)
        except (ValueError, RuntimeError):
            assume(False)  # repo2docker refuses it
        key = environment_key(buildpack, ARGUMENTS)
        assert buildpack.labels == {"repo2docker.ref": commit}
        before, _, _ = dockerfile.partition(COPIED)
        copied = re.findall(r"^COPY --chown=1000:1000 src/(\S+)", before, re.MULTILINE)
        return key, dockerfile, {name: files[name] for name in copied}


def from_scratch(dockerfile: str, copied: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """Return all that an environment is made from if nothing but `copied` is read."""
    return re.sub(r"(?m)^LABEL .*\n", "", dockerfile), copied


@settings(max_examples=40, deadline=None)
@given(histories())
def test_the_same_key_means_that_the_same_would_be_built(
    commits: tuple[dict[str, str], dict[str, str]],
) -> None:
    (key, dockerfile, copied), (other, other_dockerfile, other_copied) = (
        examined(files, commit) for files, commit in zip(commits, ("old", "new"), strict=True)
    )
    is_same = from_scratch(dockerfile, copied) == from_scratch(other_dockerfile, other_copied)
    event(f"reused: {bool(key) and key == other}")
    if key:
        _, _, after = dockerfile.partition(COPIED)
        assert not re.search(r"(?m)^RUN |R2D_ENTRYPOINT", after)
        assert (key == other) == is_same
    elif other:
        assert not is_same


@pytest.mark.parametrize(
    "name",
    ["Dockerfile", "postBuild", "start", "setup.py", "Pipfile", "default.nix"],
)
def test_what_may_read_the_repository_is_never_reused(name: str) -> None:
    assert examined({name: VARIANTS[name][0]}, "old")[0] == ""
    assert examined({"README.md": "old\n"}, "old")[0]


def test_the_arguments_of_a_build_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    buildpack: Any = pick_buildpack("docker.io/library/buildpack-deps:jammy")
    buildpack.platform = "linux/amd64"
    keys = {environment_key(buildpack, {**ARGUMENTS, "NB_USER": name}) for name in ("a", "b")}
    assert len(keys) == 2
