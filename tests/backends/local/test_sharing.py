"""Which commits and repositories have the same environment."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from uv import find_uv_bin

from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.backends.local.environments import Environments
from binderprogress.backends.local.marker import MARKER
from binderprogress.backends.local.sharing import _ARCHIVES, _PLAIN, environment_key
from binderprogress.backends.local.usage import shared_with, use

from ...support.asynchronous import asynchronous
from ...support.repositories import commit, repository
from .test_builder import Result, build, resolve

Make = Callable[..., Path]


@pytest.fixture
def builder(tmp_path: Path) -> LocalBuilder:
    return made(tmp_path)


def made(folder: Path, **more: object) -> LocalBuilder:
    settings = {
        "local_folders": [str(folder)],
        "environments": str(folder / "environments"),
        "base_packages": ["six"],
        "link_mode": "hardlink",
        **more,
    }
    return LocalBuilder(**settings)


async def build_head(builder: LocalBuilder, folder: Path) -> Result:
    return await build(builder, await resolve(builder, folder))


def installed(result: Result) -> list[str]:
    """Return what the environment has: names and versions."""
    code = """
from importlib.metadata import distributions
for each in distributions():
    print(each.name, each.version)
"""
    return sorted(result.python(code).splitlines())


def uninstall(venv: Path, name: str) -> None:
    command = [find_uv_bin(), "pip", "uninstall", "--quiet", "--python", str(venv), name]
    subprocess.run(command, check=True)


# -- with real environments


@asynchronous(120)
async def test_a_commit_that_changes_no_environment_file_has_the_same_environment(
    builder: LocalBuilder, make_repository: Make
) -> None:
    folder = make_repository(files={"requirements.txt": "toolz==0.12.1\n", "start": "#!/bin/sh\n"})
    first = await build_head(builder, folder)
    assert first.built is not None
    assert not first.built.found
    commit(folder, {"index.ipynb": "{}", "start": '#!/bin/sh\nexec "$@"\n'})
    second = await build_head(builder, folder)
    assert second.built is not None
    assert second.built.found
    assert "Reusing the environment of 20" in second.log
    assert second.steps[-1] == "reused"
    assert second.folder != first.folder
    assert (second.folder / "venv").readlink() == (first.folder / "venv").readlink()
    assert (second.folder / "repository" / "index.ipynb").is_file()
    assert "exec" in (second.folder / "repository" / "start").read_text()
    assert json.loads((second.folder / MARKER).read_text())["start"] == "start"
    assert "toolz 0.12.1" in installed(second)
    # Another repository with the same files has the same packages, too.
    other = make_repository("other", files={"requirements.txt": "toolz==0.12.1\n"})
    third = await build_head(builder, other)
    assert third.built is not None
    assert third.built.found
    assert (third.folder / "venv").readlink() == (first.folder / "venv").readlink()
    commit(folder, {"requirements.txt": "toolz==1.0.0\n"})
    fourth = await build_head(builder, folder)
    assert fourth.built is not None
    assert not fourth.built.found
    assert "toolz 1.0.0" in installed(fourth)
    assert "toolz 0.12.1" in installed(first)


@asynchronous(120)
async def test_what_a_notebook_has_changed_is_not_reused(
    builder: LocalBuilder, make_repository: Make
) -> None:
    folder = make_repository(files={"requirements.txt": "toolz==0.12.1\n"})
    first = await build_head(builder, folder)
    await asyncio.to_thread(uninstall, first.folder / "venv", "toolz")
    commit(folder, {"a": "b"})
    with use(first.folder):
        # Its server still runs.
        second = await build_head(builder, folder)
    assert second.built is not None
    assert not second.built.found
    assert shared_with(second.folder) is None
    assert "toolz 0.12.1" in installed(second)
    commit(folder, {"a": "c"})
    third = await build_head(builder, folder)
    assert third.built is not None
    assert not third.built.found
    assert shared_with(third.folder) == shared_with(first.folder)
    assert "toolz 0.12.1" in installed(third)


@pytest.mark.long
@asynchronous(120)
async def test_postbuild_belongs_to_its_commit_unless_it_is_said_otherwise(
    tmp_path: Path, make_repository: Make
) -> None:
    files = {"postBuild": "#!/bin/sh\ncat data > $VIRTUAL_ENV/data\n", "data": "1"}
    folder = make_repository(files=files)
    for ignore, expected in ((False, ("2", False)), (True, ("1", True))):
        builder = made(tmp_path, environments=str(tmp_path / f"{ignore}"), ignore_repository=ignore)
        commit(folder, {"data": "1"})
        await build_head(builder, folder)
        commit(folder, {"data": "2"})
        result = await build_head(builder, folder)
        assert result.built is not None
        assert ((result.folder / "venv" / "data").read_text(), result.built.found) == expected


@pytest.mark.long
@asynchronous(120)
async def test_without_reuse_each_build_makes_its_own(
    tmp_path: Path, make_repository: Make
) -> None:
    folder = make_repository()
    builder = made(tmp_path, reuse=False)
    first, second = [await build_head(builder, folder) for _ in range(2)]
    assert first.folder != second.folder
    assert not first.built.found  # type: ignore[union-attr]
    assert not second.built.found  # type: ignore[union-attr]
    assert await builder.find(await resolve(builder, folder)) is None


@asynchronous(60)
async def test_an_environment_without_its_packages_is_made_anew(
    builder: LocalBuilder, make_repository: Make
) -> None:
    folder = make_repository()
    first = await build_head(builder, folder)
    shared = shared_with(first.folder)
    assert shared is not None
    environments = Environments(Path(builder.environments))
    with use(first.folder):
        assert not environments.remove(shared, unused_for=0.0)
    assert environments.remove(shared, unused_for=0.0)
    with pytest.raises(FileNotFoundError), use(first.folder):
        pass
    assert await builder.find(await resolve(builder, folder)) is None
    second = await build_head(builder, folder)
    assert second.folder == first.folder
    assert "six" in " ".join(installed(second))


@asynchronous(60)
async def test_two_builds_of_the_same_files_at_once(
    builder: LocalBuilder, make_repository: Make
) -> None:
    folders = [make_repository(name) for name in ("one", "two")]
    results = await asyncio.gather(*(build_head(builder, folder) for folder in folders))
    found = [bool(each.built and each.built.found) for each in results]
    assert sorted(found) == [False, True]
    assert len({shared_with(each.folder) for each in results}) == 1


def test_a_link_to_somewhere_else_is_no_environment(tmp_path: Path) -> None:
    """Attack: a postBuild script replaces its virtual environment, and a file is made there."""
    environment = tmp_path / "environments" / f"a-{'0' * 32}"
    elsewhere = tmp_path / f"packages-{'1' * 32}"
    for folder in (environment, elsewhere):
        folder.mkdir(parents=True)
        (folder / MARKER).write_text("{}")
    (environment / "venv").symlink_to(elsewhere / "venv")
    assert shared_with(environment) is None
    with use(environment):
        assert [path.name for path in elsewhere.iterdir()] == [MARKER]


REQUIREMENTS = st.sampled_from(["", "toolz==0.12.1\n", "toolz\n", "-r more.txt\n", "./package\n"])
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "requirements.txt": REQUIREMENTS,
        "binder/requirements.txt": REQUIREMENTS,
        "more.txt": st.sampled_from(["", "toolz==1.0.0\n"]),
        "notebook.ipynb": st.sampled_from(["1", "2"]),
    },
)
PACKAGE = {
    "package/pyproject.toml": '[project]\nname = "mine"\nversion = "1"\n',
    "package/mine.py": "",
}


@pytest.mark.long
@given(history=st.lists(CHANGES, min_size=2, max_size=3))
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_is_reused_is_what_a_build_from_scratch_makes(
    history: list[Mapping[str, str]],
) -> None:
    async def compare(folder: Path) -> None:
        source = repository(folder / "repository", PACKAGE)
        keeping = made(folder)
        anew = made(folder, environments=str(folder / "anew"), reuse=False)
        for changes in history:
            commit(source, changes)
            result = await build_head(keeping, source)
            if result.built is not None and result.built.found:
                assert installed(result) == installed(await build_head(anew, source))

    with tempfile.TemporaryDirectory() as name:
        asyncio.run(compare(Path(name)))


# -- the key


def key(folder: Path, files: Mapping[str, str], *, ignore: bool = False) -> str:
    """Return the key of files in a new folder."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        for path, text in files.items():
            (Path(name) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(name) / path).write_text(text)
        return environment_key(Path(name), made_with=["3.11"], ignore_repository=ignore)


@given(st.from_regex(_PLAIN, fullmatch=True))
def test_plain_requirements_are_requirements_of_an_index(requirement: str) -> None:
    """They are not parsed by packaging, which would take longer than to fetch a repository."""
    parsed = Requirement(requirement)
    assert parsed.url is None
    assert not parsed.name.lower().endswith(_ARCHIVES)


@pytest.mark.parametrize(
    "requirements",
    [
        "six\n# -r more.txt\n\n",
        f"six==1.16.0 \\\n    --hash=sha256:{'8a' * 32}\n",
        "--index-url https://packages.example.org/simple\n--pre\nsix; python_version > '3'",
        "mine @ git+https://git.example.org/mine@v1",
    ],
)
def test_requirements_of_an_index_can_be_shared(tmp_path: Path, requirements: str) -> None:
    files = {"requirements.txt": requirements, "runtime.txt": "python-3.11"}
    assert len(key(tmp_path, files)) == 32
    assert key(tmp_path, files) == key(tmp_path, {**files, "start": "", "a/requirements.txt": "x"})
    assert key(tmp_path, files) != key(tmp_path, {**files, "runtime.txt": "python-3.12"})
    assert key(tmp_path, files) != key(tmp_path, {**files, "binder/notes.txt": ""})


@pytest.mark.parametrize(
    "files",
    [
        {"requirements.txt": "-r more.txt"},
        {"requirements.txt": "--constraint=more.txt"},
        {"requirements.txt": "-e ."},
        {"requirements.txt": "./package"},
        {"requirements.txt": "package.whl"},
        {"requirements.txt": "mine @ file:///mine"},
        {"requirements.txt": "--find-links wheels"},
        {"requirements.txt": "--index-url file:///wheels"},
        {"requirements.txt": "mine @ https://${TOKEN}@example.org/mine.whl"},
        {"binder/requirements.txt": "."},
        {"postBuild": "#!/bin/sh"},
        {".binder/postBuild": "#!/bin/sh"},
        {"setup.py": ""},
        {"pyproject.toml": ""},
        {"uv.toml": ""},
        {"apt.txt": ""},
        {"environment.yml": ""},
    ],
)
def test_what_reads_the_repository_cannot(tmp_path: Path, files: dict[str, str]) -> None:
    assert key(tmp_path, files) == ""


def test_the_repository_may_be_ignored_but_not_its_environment_files(tmp_path: Path) -> None:
    one = key(tmp_path, {"postBuild": "1", "a": "1"}, ignore=True)
    assert one
    assert one == key(tmp_path, {"postBuild": "1", "a": "2"}, ignore=True)
    assert one != key(tmp_path, {"postBuild": "2", "a": "1"}, ignore=True)
    assert key(tmp_path, {"requirements.txt": "-r more.txt"}, ignore=True) == ""
