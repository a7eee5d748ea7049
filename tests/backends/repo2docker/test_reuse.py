"""What an image that can be reused contains, and what replaces its files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from binderprogress.backends.fetch.options import FetchPlan, FetchSettings
from binderprogress.backends.fetch.size_limit import Limits
from binderprogress.backends.repo2docker.isolated_buildpack import BuildContext, isolated_buildpack
from binderprogress.backends.repo2docker.reuse import (
    Base,
    Reuse,
    make_reusable,
    take_reuse,
    thin_dockerfile,
    thin_labels,
)
from binderprogress.deploy.podman_engine import PodmanError

BASE = Base("localhost/binderprogress-penguins:old", 0.0)


def test_it_is_passed_to_a_build_and_to_nothing_that_the_build_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reuse = Reuse("repository", {"key": BASE})
    for name, value in reuse.environment.items():
        monkeypatch.setenv(name, value)
    before = len(os.environ)
    assert take_reuse() == reuse
    assert len(os.environ) == before - 1
    assert take_reuse() is None


def test_names_of_any_kind_are_noted_but_links_are_not_followed(tmp_path: Path) -> None:
    source = tmp_path / "src"
    (source / "a folder" / "-rf").mkdir(parents=True)
    (source / "a folder" / "two\nlines").write_text("")
    (source / "a folder" / "-rf" / "ünï").write_text("")
    (source / "link").symlink_to("a folder")
    (source / "missing").symlink_to("nowhere")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCMD []")
    make_reusable(tmp_path, "key", "repository")
    files = (tmp_path / "binderprogress-files").read_bytes().split(b"\0")
    assert files == [
        b"./a folder/-rf/\xc3\xbcn\xc3\xaf",
        b"./a folder/two\nlines",
        b"./link",
        b"./missing",
        b"",
    ]
    folders = (tmp_path / "binderprogress-folders").read_bytes().split(b"\0")
    assert folders == [b"./a folder/-rf", b"./a folder", b""]
    dockerfile = (tmp_path / "Dockerfile").read_text().splitlines()
    assert dockerfile[:2] == ["FROM scratch", "CMD []"]
    assert 'LABEL binderprogress.environment="key"' in dockerfile
    assert 'LABEL binderprogress.repository="repository"' in dockerfile


def test_an_image_that_reuses_another_is_not_reused_itself(tmp_path: Path) -> None:
    text = thin_dockerfile(tmp_path, BASE, "1000").read_text()
    assert text.startswith(f"FROM {BASE.image}\n")
    assert "COPY --chown=1000:1000 src/ ${REPO_DIR}/" in text
    labels = thin_labels({"repo2docker.ref": "new"}, BASE)
    assert labels["repo2docker.ref"] == "new"
    assert labels["binderprogress.environment"] == ""
    assert labels["binderprogress.reused"] == BASE.image
    assert "1970-01-01 00:00 UTC" in BASE.message


class Engine:
    """A container engine that notes what it is to build, and fails with the first Dockerfiles."""

    def __init__(self, failures: int = 0) -> None:
        self.built: list[tuple[str, dict[str, str]]] = []
        self._failures = failures

    def build(
        self, *, dockerfile: str, labels: dict[str, str], tag: str, **_: object
    ) -> Iterator[str]:
        assert tag == "image:new"
        self.built.append((Path(dockerfile).read_text(), labels))
        yield "building\n"
        if len(self.built) <= self._failures:
            raise PodmanError("podman build exited with code 125.")


def build(folder: Path, engine: Engine, reuse: Reuse | None, *, key: str = "key") -> list[str]:
    """Build a context of repo2docker, and return the log."""
    (folder / "src").mkdir()
    (folder / "Dockerfile").write_text("FROM buildpack-deps:jammy\n")
    plan = FetchPlan(FetchSettings("git", Limits(10, 10**6, 10)), {})
    buildpack = isolated_buildpack(plan, folder, reuse)("buildpack-deps:jammy")
    buildpack._context = BuildContext("Python", folder, folder / "Dockerfile", False, key)
    buildpack.labels = {"repo2docker.ref": "new"}
    return list(buildpack.build(engine, "image:new", 0, {"NB_UID": "1000"}, [], {}))


def test_the_environment_of_another_commit_is_reused(tmp_path: Path) -> None:
    engine = Engine()
    assert build(tmp_path, engine, Reuse("here", {"key": BASE})) == [BASE.message, "building\n"]
    ((dockerfile, labels),) = engine.built
    assert dockerfile.startswith(f"FROM {BASE.image}\n")
    assert labels["repo2docker.ref"] == "new"


def test_what_cannot_be_reused_is_built_and_can_be_reused_later(tmp_path: Path) -> None:
    engine = Engine(failures=1)
    log = build(tmp_path, engine, Reuse("here", {"key": BASE}))
    assert log[0] == BASE.message
    assert log[2] == "It cannot be reused: podman build exited with code 125.\n"
    (_, (dockerfile, labels)) = engine.built
    assert dockerfile.startswith("FROM buildpack-deps:jammy\n")
    assert 'LABEL binderprogress.environment="key"' in dockerfile
    # repo2docker's Dockerfile has the others.
    assert labels == {}


@pytest.mark.parametrize(
    ("reuse", "key", "is_marked"),
    [
        (None, "key", False),
        (Reuse("here", {"": BASE}), "", False),
        (Reuse("here", {"other": BASE}), "key", True),
    ],
)
def test_other_images_are_built_as_ever(
    tmp_path: Path, reuse: Reuse | None, key: str, is_marked: bool
) -> None:
    engine = Engine()
    assert build(tmp_path, engine, reuse, key=key) == ["building\n"]
    ((dockerfile, _),) = engine.built
    assert dockerfile.startswith("FROM buildpack-deps:jammy\n")
    assert ("LABEL" in dockerfile) == is_marked
