"""Real environments, created with uv from real repositories."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

import pytest

from binderprogress.backends.base import BuildResult, Record, ResolvedSpec, WaitForTurn
from binderprogress.backends.local import detect_program
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.backends.local.marker import MARKER
from binderprogress.core.log.diagnosis import Diagnosis, diagnose
from binderprogress.core.log.reader import LogReader
from binderprogress.core.phases import Phase
from binderprogress.core.specs import from_address
from binderprogress.errors import LaunchFailedError

from ...support.asynchronous import asynchronous
from ...support.githttp import git_over_http
from ...support.gone import gone, within
from ...support.repositories import commit, git, repository

Make = Callable[..., Path]


@pytest.fixture
def builder(tmp_path: Path) -> LocalBuilder:
    # Small: what these tests are about is the same with Jupyter, which takes longer.
    return LocalBuilder(
        local_folders=[str(tmp_path)],
        environments=str(tmp_path / "environments"),
        base_packages=["six"],
        link_mode="hardlink",
    )


class Result(NamedTuple):
    log: str
    phases: list[Phase]
    steps: list[str]
    built: BuildResult | None
    error: LaunchFailedError | None

    @property
    def diagnosis(self) -> Diagnosis:
        """What a launch makes of it."""
        assert self.error is not None, self.log
        return diagnose(self.log.splitlines(), otherwise=self.error.reason)

    @property
    def folder(self) -> Path:
        assert self.built is not None, self.log
        return Path(self.built.image)

    def python(self, code: str) -> str:
        """Run code in the environment."""
        program = str(self.folder / "venv" / "bin" / "python")
        return subprocess.check_output([program, "-I", "-c", code], text=True).strip()


async def resolve(builder: LocalBuilder, folder: Path, ref: str = "") -> ResolvedSpec:
    return await builder.resolve(from_address(folder.as_uri(), ref))


async def build(builder: LocalBuilder, target: ResolvedSpec) -> Result:
    reader = LogReader()
    log: list[str] = []
    phases: list[Phase] = []
    steps: list[str] = []
    built = error = None
    try:
        async for item in builder.build(target):
            assert built is None, "what was built comes last"
            if isinstance(item, BuildResult):
                built = item
                continue
            if isinstance(item, WaitForTurn):
                continue
            assert isinstance(item.raw, str)
            note = reader.read(item.raw)
            if note is None:
                continue
            log.append(note.message)
            if note.phase is not None and note.phase not in phases:
                phases.append(note.phase)
            if note.step is not None:
                steps.append(note.step.key)
    except LaunchFailedError as caught:
        error = caught
    assert (built is None) != (error is None)
    return Result("".join(log), phases, steps, built, error)


async def build_files(builder: LocalBuilder, make: Make, files: Mapping[str, str]) -> Result:
    return await build(builder, await resolve(builder, make(files=files)))


async def build_all(
    builder: LocalBuilder, make: Make, cases: Mapping[str, Mapping[str, str]]
) -> dict[str, Result]:
    """Build several repositories in parallel, which takes less time."""
    folders = [make(f"repository-{number}", files) for number, files in enumerate(cases.values())]
    targets = [await resolve(builder, folder) for folder in folders]
    results = await asyncio.gather(*(build(builder, target) for target in targets))
    return dict(zip(cases, results, strict=True))


def made(builder: LocalBuilder, name: str) -> list[Path]:
    """Return the files with a name in all environments."""
    return [path for path in Path(builder.environments).rglob(name) if path.is_file()]


# -- supported files


def test_the_process_of_a_build_imports_little() -> None:
    """With what it needs to install something, it would start in twice the time."""
    code = "import sys, binderprogress.backends.local.build_program; print(*sys.modules)"
    modules = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert not {"asyncio", "logging", "msgspec", "packaging", "traitlets"} & modules


@asynchronous(60)
async def test_requirements(builder: LocalBuilder, make_repository: Make) -> None:
    folder = make_repository(files={"requirements.txt": "toolz==0.12.1\n", "a.txt": "committed"})
    (folder / "a.txt").write_text("changed, but not committed")
    (folder / "b.txt").write_text("not even added")
    target = await resolve(builder, folder)
    result = await build(builder, target)
    assert result.built == BuildResult(str(builder.folder(target)), found=False)
    assert result.phases == [Phase.FETCHING, Phase.BUILDING]
    assert result.steps[:2] == ["found", "cloning"]
    assert result.steps.index("detected") < result.steps.index("environment")
    assert "Using PythonBuildPack builder" in result.log
    assert "toolz==0.12.1" in result.log
    code = "import toolz, six, sys; print(toolz.__version__, *sys.version_info[:2])"
    assert result.python(code) == f"0.12.1 {sys.version_info[0]} {sys.version_info[1]}"
    repository = result.folder / "repository"
    assert (repository / "a.txt").read_text() == "committed"
    assert not (repository / "b.txt").exists()
    assert git(repository, "rev-parse", "HEAD") == target.commit
    marker = json.loads((result.folder / MARKER).read_text())
    assert marker["commit"] == target.commit
    assert marker["start"] == ""


@asynchronous(60)
async def test_an_environment_is_reused_for_its_commit(
    builder: LocalBuilder, make_repository: Make
) -> None:
    folder = make_repository()
    target = await resolve(builder, folder)
    first = await build(builder, target)
    before = (first.folder / MARKER).stat().st_mtime_ns
    git(folder, "tag", "the-same")
    second = await build(builder, await resolve(builder, folder, "the-same"))
    assert second.built == BuildResult(str(first.folder), found=True)
    assert (second.log, (first.folder / MARKER).stat().st_mtime_ns) == ("", before)
    commit(folder, {"more": "more"})
    third = await build(builder, await resolve(builder, folder))
    assert third.folder != first.folder
    assert (third.folder / "repository" / "more").is_file()


def test_what_else_makes_another_environment(builder: LocalBuilder) -> None:
    target = ResolvedSpec(from_address("https://example.org/a"), "0" * 40)
    other = LocalBuilder(environments=builder.environments, base_packages=["six", "toolz"])
    elsewhere = ResolvedSpec(from_address("https://example.com/a"), "0" * 40)
    folders = {builder.folder(target), other.folder(target), builder.folder(elsewhere)}
    assert len(folders) == 3
    assert all(folder.parent == Path(builder.environments) for folder in folders)


@asynchronous(60)
async def test_an_environment_that_is_not_whole_is_made_anew(
    builder: LocalBuilder, make_repository: Make
) -> None:
    target = await resolve(builder, make_repository())
    folder = builder.folder(target)
    (folder / "venv" / "bin").mkdir(parents=True)
    (folder / "repository").mkdir()
    (folder / "repository" / "stale").write_text("from a build that was killed")
    result = await build(builder, target)
    assert result.built == BuildResult(str(folder), found=False)
    assert not (folder / "repository" / "stale").exists()
    assert result.python("import six; print(1)") == "1"


PYPROJECT = """
[build-system]
requires = ["setuptools>=64"]
build-backend = "setuptools.build_meta"
[project]
name = "mine"
version = "1.5"
requires-python = "{python}"
[tool.setuptools]
py-modules = ["mine"]
"""
PACKAGES = {
    "pyproject.toml": {"pyproject.toml": PYPROJECT.format(python=">=3.8")},
    "setup.py": {
        "setup.py": "from setuptools import setup\n"
        "setup(name='mine', version='1.5', py_modules=['mine'])\n"
    },
}


@asynchronous(90)
async def test_packages(builder: LocalBuilder, make_repository: Make) -> None:
    cases = {name: {**files, "mine.py": "ANSWER = 42\n"} for name, files in PACKAGES.items()}
    for result in (await build_all(builder, make_repository, cases)).values():
        assert "the package in the repository" in result.log
        code = "import mine, importlib.metadata as m; print(mine.ANSWER, m.version('mine'))"
        assert result.python(code) == "42 1.5"


def in_binder(binder: str) -> dict[str, str]:
    return {
        "requirements.txt": "no-such-package-of-binderprogress\n",
        "apt.txt": "not looked at\n",
        f"{binder}/requirements.txt": "toolz\n",
        f"{binder}/start": '#!/bin/sh\nexec "$@"\n',
        f"{binder}/postBuild": "#!/bin/sh\necho in $(basename $(pwd)) > seen\n",
    }


@asynchronous(60)
async def test_the_binder_folder_comes_first(builder: LocalBuilder, make_repository: Make) -> None:
    cases = {binder: in_binder(binder) for binder in ("binder", ".binder")}
    for binder, result in (await build_all(builder, make_repository, cases)).items():
        assert result.python("import toolz; print(1)") == "1"
        assert json.loads((result.folder / MARKER).read_text())["start"] == f"{binder}/start"
        assert (result.folder / "repository" / "seen").read_text() == "in repository\n"


@asynchronous(60)
async def test_nothing_to_install(builder: LocalBuilder, make_repository: Make) -> None:
    builder.base_packages = []
    result = await build_files(builder, make_repository, {"README.md": "hello"})
    assert result.python("print(1)") == "1"


def other_python() -> tuple[str, str]:
    """Return the version and the folder of another Python on this machine."""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    folders += Path.home().glob(".pyenv/versions/3.*/bin")
    for version in ("3.12", "3.13", "3.11", "3.10", "3.14"):
        for folder in folders:
            # pyenv's shims are there whether or not they lead anywhere.
            program = folder / f"python{version}"
            if version != here and folder.name == "bin" and program.is_file():
                return version, str(folder)
    pytest.skip("there is only one Python on this machine")


@pytest.mark.long
@asynchronous(60)
async def test_runtime_names_another_python(
    builder: LocalBuilder, make_repository: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, folder = other_python()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    result = await build_files(builder, make_repository, {"runtime.txt": f"python-{version}\n"})
    assert f"Creating an environment with Python {version}" in result.log
    assert result.python("import sys; print(*sys.version_info[:2], sep='.')") == version


@pytest.mark.long
@asynchronous(60)
async def test_a_package_that_needs_another_python_gets_it(
    builder: LocalBuilder, make_repository: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, folder = other_python()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    files = {"pyproject.toml": PYPROJECT.format(python=f"=={version}.*"), "mine.py": ""}
    result = await build_files(builder, make_repository, files)
    assert result.python("import mine, sys; print(*sys.version_info[:2], sep='.')") == version


NO_PYTHON = {
    "a version that nobody has": {"runtime.txt": "python-9.9\n"},
    "no version, but a program to run": {"runtime.txt": "python-sh\n"},
    "requires-python": {"pyproject.toml": PYPROJECT.format(python=">=9"), "mine.py": ""},
}


@pytest.mark.long
@asynchronous(60)
async def test_a_python_that_cannot_be_had(
    builder: LocalBuilder, make_repository: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    for result in (await build_all(builder, make_repository, NO_PYTHON)).values():
        assert result.diagnosis.reason == "python-unavailable", result.log
        assert "Python" in result.diagnosis.message
        assert "runtime.txt" in result.diagnosis.advice


# -- postBuild


@asynchronous(60)
async def test_postbuild_runs_in_the_environment(
    builder: LocalBuilder, make_repository: Make
) -> None:
    script = (
        "#!/bin/bash\nset -e\npython -c 'import six; print(\"six\", six.__version__)'\n"
        "printf '10%%\\r20%%\\r'; echo oops >&2; python -m pip --version > pip.txt\n"
    )
    result = await build_files(builder, make_repository, {"postBuild": script})
    assert "postbuild" in result.steps
    assert "\nsix 1." in result.log
    assert "10%\r20%\roops\n" in result.log
    assert str(result.folder / "venv") in (result.folder / "repository" / "pip.txt").read_text()


@pytest.mark.long
@asynchronous(60)
async def test_a_postbuild_without_a_first_line_is_for_the_shell(
    builder: LocalBuilder, make_repository: Make
) -> None:
    result = await build_files(builder, make_repository, {"postBuild": "echo plain > plain\n"})
    assert (result.folder / "repository" / "plain").read_text() == "plain\n"


@asynchronous(60)
async def test_a_postbuild_that_fails(builder: LocalBuilder, make_repository: Make) -> None:
    cases = {first: {"postBuild": f"{first}echo why; exit 3"} for first in ("#!/bin/sh\n", "")}
    for result in (await build_all(builder, make_repository, cases)).values():
        assert "\nwhy\n" in result.log
        assert "postBuild exited with status 3." in result.log
        assert result.diagnosis.reason == "postbuild-failed"
    assert not made(builder, MARKER)


@asynchronous(60)
async def test_a_postbuild_that_leaves_something_running(
    builder: LocalBuilder, make_repository: Make
) -> None:
    """It keeps the log open. The build ends nevertheless, and ends it."""
    script = "#!/bin/sh\nsleep 613 &\necho $! > pid\nprintf 'the last line'\n"
    result = await build_files(builder, make_repository, {"postBuild": script})
    assert result.log.endswith("the last line\n")
    pid = int((result.folder / "repository" / "pid").read_text())
    assert gone(process for process in within(Path("613")) if process.pid == pid)


@pytest.mark.long
@asynchronous(60)
async def test_a_postbuild_with_one_endless_line(
    builder: LocalBuilder, make_repository: Make
) -> None:
    """Attack: a line that is larger than the memory. Its parts are valid JSON."""
    script = "#!/bin/sh\nhead -c 3000000 /dev/zero | tr '\\0' '\\33'\necho; echo after\n"
    result = await build_files(builder, make_repository, {"postBuild": script})
    assert result.log.count("\33") == 3_000_000
    assert '"message"' not in result.log
    assert result.log.endswith("\nafter\n")


@asynchronous(60)
async def test_a_builds_secrets_are_its_own(
    builder: LocalBuilder, make_repository: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: a postBuild script reads the server's token for JupyterHub from its environment."""
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "f00dfeed")
    monkeypatch.setenv("PYTHONPATH", "/ours")
    result = await build_files(builder, make_repository, {"postBuild": "#!/bin/sh\nenv > env\n"})
    env = (result.folder / "repository" / "env").read_text()
    assert "f00dfeed" not in env
    assert "/ours" not in env


# -- unsupported files

UNSUPPORTED = {
    "apt.txt": "gcc\n",
    "environment.yml": "dependencies: [numpy]\n",
    "binder/environment.yml": "dependencies: [numpy]\n",
    "Dockerfile": "FROM scratch\n",
    ".binder/Dockerfile": "FROM scratch\n",
    "Project.toml": '[deps]\nIJulia = "7073ff75-c697-5162-941a-fcdaad2a7d2a"\n',
    "REQUIRE": "julia 1.0\n",
    "install.R": "install.packages('x')\n",
    "DESCRIPTION": "Package: x\n",
    "default.nix": "{}\n",
    "Pipfile": "[packages]\n",
    "Pipfile.lock": '{"default": {}, "_meta": {"requires": {}}}\n',
}
# What has to stand beside it, for repo2docker to look at it.
BESIDE = {
    "apt.txt": {"requirements.txt": "six\n"},
    "install.R": {"runtime.txt": "r-4.2-2023-05-01\n"},
    "DESCRIPTION": {"runtime.txt": "r-4.2-2023-05-01\n"},
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_files_that_need_an_engine_are_detected(
    name: str, make_repository: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {name: UNSUPPORTED[name], **BESIDE.get(name, {})}
    monkeypatch.chdir(make_repository(files=files))
    problem = detect_program._detect().problem
    assert f"{name} is not supported" in problem
    found = diagnose([problem])
    assert found.reason == "unsupported-file"
    assert name.removeprefix(".") in found.message


@pytest.mark.parametrize(
    "files",
    [
        {"README.md": ""},
        {"requirements.txt": "six\n", "start": ""},
        {"binder/requirements.txt": "six\n"},
        {".binder/notes.txt": "six\n", "requirements.txt": "six\n"},
        *({name: text, **BESIDE.get(name, {})} for name, text in UNSUPPORTED.items()),
        {"runtime.txt": "python-3.11\n"},
        {"binder/postBuild": "#!/bin/sh\n"},
        {"requirements.txt": "six\n", "postBuild": "#!/bin/sh\n"},
        {"binder/postBuild": "#!/bin/sh\n", "runtime.txt": "python-3.11\n"},
        {"binder/postBuild": "#!/bin/sh\n", "apt.txt": "git\n"},
        {"setup.py": "from setuptools import setup\nsetup()\n"},
    ],
)
def test_what_is_plain_is_what_repo2docker_detects(
    files: dict[str, str], make_repository: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_repository(files=files)
    monkeypatch.chdir(folder)
    plain = detect_program._plain(folder)
    is_plain = {Path(name).name for name in files} <= {
        *("README.md", "notes.txt"),
        *("requirements.txt", "postBuild", "start"),
    }
    assert plain == (detect_program._detect() if is_plain else None)


@pytest.mark.long
@asynchronous(60)
async def test_files_that_need_an_engine(builder: LocalBuilder, make_repository: Make) -> None:
    names = ("apt.txt", ".binder/Dockerfile")
    cases = {name: {name: UNSUPPORTED[name], **BESIDE.get(name, {})} for name in names}
    for name, result in (await build_all(builder, make_repository, cases)).items():
        found = result.diagnosis
        assert found.reason == "unsupported-file", result.log
        assert f"{name} is not supported" in result.log
        assert name.removeprefix(".") in found.message
        assert "--engine docker" in found.advice
        assert "requirements.txt" in found.advice
        assert "environment" not in result.steps, "it is refused before anything is made"


FAILING = {
    "six==99.99\n": ("unsatisfiable-requirement", "six==99.99"),
    "this is no requirement\n": ("bad-requirement-file", "requirements.txt"),
}


@asynchronous(60)
async def test_requirements_that_fail(builder: LocalBuilder, make_repository: Make) -> None:
    cases = {text: {"requirements.txt": text} for text in FAILING}
    for text, result in (await build_all(builder, make_repository, cases)).items():
        reason, named = FAILING[text]
        assert result.diagnosis.reason == reason, result.log
        assert named in result.diagnosis.message
        assert result.diagnosis.advice
        assert "Traceback" not in result.log


BROKEN = {
    "pyproject.toml": {"pyproject.toml": "[[["},
    "requires-python": {"pyproject.toml": PYPROJECT.format(python="what?"), "mine.py": ""},
    "runtime.txt": {"runtime.txt": "whatever\n"},
}


@asynchronous(60)
async def test_files_that_are_broken_are_no_traceback(
    builder: LocalBuilder, make_repository: Make
) -> None:
    for result in (await build_all(builder, make_repository, BROKEN)).values():
        assert result.error is not None
        assert "Traceback" not in result.log
        assert result.log.splitlines()[-1], "the last line says why"


@asynchronous(60)
async def test_a_commit_that_is_not_there(builder: LocalBuilder, make_repository: Make) -> None:
    result = await build(builder, await resolve(builder, make_repository(), "0" * 40))
    assert result.diagnosis.reason == "bad-ref", result.log
    assert "0" * 40 in result.diagnosis.message


@asynchronous(60)
async def test_over_http_a_submodule_of_a_local_folder_is_refused(
    builder: LocalBuilder, tmp_path: Path
) -> None:
    """Attack: a submodule at file:///… reads what local_folders does not allow."""
    secret = repository(tmp_path / "secret", {"key": "secret"})
    outer = repository(tmp_path / "served" / "outer")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "--quiet", secret.as_uri())
    commit(outer, {})
    with git_over_http(tmp_path / "served") as address:
        target = await builder.resolve(from_address(f"{address}outer/.git"))
        result = await build(builder, target)
    assert "transport 'file' not allowed" in result.log
    assert result.error is not None
    assert not made(builder, "key")


# -- parallel and cancelled builds

# Says where it is, once; then it waits.
WAITING = "#!/bin/sh\necho built >> {count}\necho waiting\n[ -e {go} ] || sleep 600\n"


@pytest.mark.long
@asynchronous(90)
async def test_two_builders_at_once_build_it_once(
    builder: LocalBuilder, make_repository: Make, tmp_path: Path
) -> None:
    count, go = tmp_path / "count", tmp_path / "go"
    folder = make_repository(files={"postBuild": f"#!/bin/sh\necho built >> {count}\nsleep 0.5\n"})
    target = await resolve(builder, folder)
    results = await asyncio.gather(*(build(builder, target) for _ in range(2)))
    assert [result.built for result in results] == [BuildResult(str(builder.folder(target)))] * 2
    assert count.read_text() == "built\n"
    logs = sorted((result.log for result in results), key=len)
    assert logs[0] == "Waiting for another process that builds the same environment.\n"
    assert not go.exists()


@asynchronous(90)
async def test_cancel_leaves_no_process_and_no_environment(
    builder: LocalBuilder, make_repository: Make, tmp_path: Path
) -> None:
    count, go = tmp_path / "count", tmp_path / "go"
    script = WAITING.format(count=count, go=go)
    target = await resolve(builder, make_repository(files={"postBuild": script}))
    running = asyncio.Event()

    async def work() -> None:
        async with aclosing(builder.build(target)) as items:
            async for item in items:
                if isinstance(item, Record) and "waiting" in item.raw:
                    running.set()

    task = asyncio.create_task(work())
    await asyncio.wait({task, asyncio.create_task(running.wait())}, return_when="FIRST_COMPLETED")
    family = within(builder.folder(target))
    assert len(family) >= 2, "the builder and postBuild"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gone(family)
    assert not within(builder.folder(target))
    assert not (builder.folder(target) / MARKER).exists()
    # The lock went with the process; the next one makes it whole.
    go.touch()
    result = await build(builder, target)
    assert result.built == BuildResult(str(builder.folder(target)), found=False)
    assert count.read_text() == "built\n" * 2


@asynchronous(90)
async def test_closing_a_build_ends_its_processes_first(
    builder: LocalBuilder, make_repository: Make, tmp_path: Path
) -> None:
    script = WAITING.format(count=tmp_path / "count", go=tmp_path / "go")
    target = await resolve(builder, make_repository(files={"postBuild": script}))
    items = builder.build(target)
    async for item in items:
        if isinstance(item, Record) and "waiting" in item.raw:
            break
    assert len(within(builder.folder(target))) >= 2, "the builder and postBuild"
    await items.aclose()
    assert not within(builder.folder(target))
    assert not builder.folder(target).exists()


@pytest.mark.long
@asynchronous(60)
async def test_run_in_a_repository_with_modules_of_its_own(
    builder: LocalBuilder, make_repository: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack, or bad luck: `binderprogress launch .` in a folder with a json.py."""
    folder = make_repository(files={"json.py": "raise SystemExit('not this one')\n"})
    monkeypatch.chdir(folder)
    result = await build(builder, await resolve(builder, folder))
    assert result.built is not None, result.log
