"""Attack: a repository's file exploits a parser that repo2docker reads it with.

With a container engine, that code would run in the process that talks to the engine, which is as
good as being root. Examining a repository therefore runs in a namespace, and a build context that
comes out of it is checked like a checkout.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from binderprogress.backends.fetch.checkout import UnsafeCheckoutError
from binderprogress.backends.fetch.options import FetchPlan, FetchSettings
from binderprogress.backends.fetch.size_limit import Limits
from binderprogress.backends.processes.messages import ProgramError
from binderprogress.backends.processes.sandbox import why_no_sandbox
from binderprogress.backends.repo2docker import render_program
from binderprogress.backends.repo2docker.builder import Repo2dockerBuilder
from binderprogress.backends.repo2docker.isolated_buildpack import BuildContext, render
from binderprogress.backends.repo2docker.render_program import (
    CONTEXT,
    RESULT,
    Rendered,
    RenderTask,
)
from binderprogress.core.specs import from_address

from ..support.asynchronous import asynchronous
from ..support.hostile import SECRET
from ..support.repositories import repository

needs_sandbox = pytest.mark.skipif(bool(why_no_sandbox()), reason="needs bubblewrap")
TASK = RenderTask("docker.io/library/buildpack-deps:jammy", "linux/amd64", "", {}, {})

# Python imports a module with this code in each process, as if an exploit ran it there.
EXPLOIT = """\
import glob, json, os, sys
lines = [f"{name}={value}" for name, value in os.environ.items()]
for path in [SECRET, *glob.glob("/proc/[0-9]*/environ")]:
    try:
        lines.append(open(path, errors="replace").read())
    except OSError as error:
        lines.append(f"{path}: {error.strerror}")
try:
    open(WRITTEN, "w").close()
except OSError as error:
    lines.append(f"{WRITTEN}: {error.strerror}")
said = {
    "program": " ".join(sys.orig_argv),
    "namespaces": [os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "mnt", "ipc")],
    "lines": lines,
}
print("EXPLOIT " + json.dumps(said).replace("message", ""), flush=True)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "build" / "checkout"
    folder.mkdir(parents=True)
    return folder


def plan(*, sandbox: bool) -> FetchPlan:
    return FetchPlan(FetchSettings("git", Limits(10, 10**6, 10)), {}, sandbox=sandbox)


def rendered(checkout: Path, *, sandbox: bool) -> tuple[list[str], BuildContext]:
    """Examine a repository; return the messages and the context."""
    folder = checkout.with_name(f"rendered-{sandbox}")
    *said, context = render(
        plan(sandbox=sandbox), TASK, source=checkout, checkout=checkout, folder=folder
    )
    assert isinstance(context, BuildContext)
    return [str(line) for line in said], context


@needs_sandbox
@asynchronous(120)
async def test_an_exploited_parser_sees_neither_the_engine_nor_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a real build, code in the examining process sees no key, variable or other process."""
    key, written = tmp_path / "key", tmp_path / "written"
    key.write_text(SECRET)
    code = EXPLOIT.replace("SECRET", repr(str(key))).replace("WRITTEN", repr(str(written)))
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tools))
    monkeypatch.setenv("DOCKER_HOST", f"unix:///run/{SECRET}.sock")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", SECRET)
    folder = repository(tmp_path / "repository")
    builder = Repo2dockerBuilder(
        extra_args=["--no-build"],
        pass_environment=["PYTHONPATH"],
        local_folders=[str(tmp_path)],
        sandbox="on",
    )
    target = await builder.resolve(from_address(folder.as_uri()))
    said = "".join([str(getattr(item, "raw", "")) async for item in builder.build(target)])
    programs = {}
    for line in said.splitlines():
        text = message(line)
        if text.startswith("EXPLOIT "):
            found = json.loads(text.removeprefix("EXPLOIT "))
            programs[found["program"]] = found
    (examining,) = (each for name, each in programs.items() if "render_program" in name)
    assert f"{key}: No such file or directory" in examining["lines"]
    assert f"{written}: Read-only file system" in examining["lines"]
    assert SECRET not in json.dumps(examining)
    # The exploit itself works: outside the namespace, it sees the engine's address.
    (outside,) = (each for name, each in programs.items() if "-m repo2docker" in name)
    assert SECRET in json.dumps(outside)
    assert set(outside["namespaces"]).isdisjoint(examining["namespaces"])


def message(line: str) -> str:
    """Return the message in a line of a build's log."""
    try:
        return str(json.loads(line)["message"])
    except (ValueError, TypeError, KeyError):
        return line


@needs_sandbox
def test_examining_follows_no_link_that_comes_later(checkout: Path, tmp_path: Path) -> None:
    """An attacker who can write into a checked checkout adds a link."""
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    (checkout / "apt.txt").symlink_to(secret)
    # Keeps the link itself out of the context, where it would be refused.
    (checkout / ".dockerignore").write_text("apt.txt\n")
    # Without a namespace, the link is followed, and its target ends up in the Dockerfile.
    _, context = rendered(checkout, sandbox=False)
    assert SECRET in contents(context.path)
    said, context = rendered(checkout, sandbox=True)
    assert SECRET not in "".join(said) + contents(context.path)


def contents(folder: Path) -> str:
    """Return what a container engine would copy."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return "".join(path.read_text(errors="replace") for path in files)


# -- an exploit that forges the result


def _result_elsewhere(folder: Path, secret: Path) -> None:
    (folder / RESULT).symlink_to(secret / "result.json")


def _context_elsewhere(folder: Path, secret: Path) -> None:
    (folder / CONTEXT).symlink_to(secret)


def _dockerfile_elsewhere(folder: Path, secret: Path) -> None:
    (folder / CONTEXT).mkdir()
    (folder / CONTEXT / "Dockerfile").symlink_to(secret / "Dockerfile")


def _file_elsewhere(folder: Path, secret: Path) -> None:
    (folder / CONTEXT / "src").mkdir(parents=True)
    (folder / CONTEXT / "Dockerfile").write_text("FROM scratch\nCOPY src /\n")
    (folder / CONTEXT / "src" / "data").symlink_to(f"../../../../{secret.name}/Dockerfile")


def _hard_link(folder: Path, secret: Path) -> None:
    (folder / CONTEXT / "src").mkdir(parents=True)
    (folder / CONTEXT / "Dockerfile").write_text("FROM scratch\nCOPY src /\n")
    os.link(secret / "Dockerfile", folder / CONTEXT / "src" / "data")


def _pipe(folder: Path, secret: Path) -> None:
    # Opening it would block.
    os.mkfifo(folder / CONTEXT)


def _own_dockerfile_elsewhere(folder: Path, secret: Path) -> None:
    result = Rendered("DockerBuildPack", str(secret / "Dockerfile"))
    (folder / RESULT).write_bytes(msgspec.json.encode(result))


def _own_dockerfile_above(folder: Path, secret: Path) -> None:
    result = Rendered("DockerBuildPack", f"../../{secret.name}/Dockerfile")
    (folder / RESULT).write_bytes(msgspec.json.encode(result))


def _endless_result(folder: Path, secret: Path) -> None:
    result = Rendered("A" * 10**6, "")
    (folder / RESULT).write_bytes(msgspec.json.encode(result))


def _no_result(folder: Path, secret: Path) -> None:
    (folder / RESULT).write_text("[" * 1000)


ANSWERS = [
    _result_elsewhere,
    _context_elsewhere,
    _dockerfile_elsewhere,
    _file_elsewhere,
    _hard_link,
    _pipe,
    _own_dockerfile_elsewhere,
    _own_dockerfile_above,
    _endless_result,
    _no_result,
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_engine_gets_no_context_that_leads_outside(
    checkout: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[Path, Path], None],
) -> None:
    """Through links in the result, files of the host would be copied into an image."""
    secret = tmp_path / "build" / "secret"
    secret.mkdir()
    for name in ("Dockerfile", "result.json"):
        (secret / name).write_text(SECRET)

    def exploited(argv: list[str], **_: object) -> list[str]:
        folder = Path(argv[-1])
        (folder / RESULT).write_bytes(msgspec.json.encode(Rendered("PythonBuildPack", "")))
        if answer in (_result_elsewhere, _own_dockerfile_elsewhere, _own_dockerfile_above):
            (folder / RESULT).unlink()
        answer(folder, secret)
        return []

    module = "binderprogress.backends.repo2docker.isolated_buildpack"
    monkeypatch.setattr(f"{module}.limited", lambda argv, limits: argv)
    monkeypatch.setattr(f"{module}.program_messages", exploited)
    with pytest.raises((UnsafeCheckoutError, ProgramError)) as refused:
        list(
            render(
                plan(sandbox=False),
                TASK,
                source=checkout,
                checkout=checkout,
                folder=checkout.with_name("rendered"),
            )
        )
    assert SECRET not in str(refused.value)


@needs_sandbox
def test_what_an_honest_repository_needs_gets_through(checkout: Path) -> None:
    """Executable files stay executable, and links within the repository stay links."""
    (checkout / "requirements.txt").write_text("numpy\n")
    (checkout / "postBuild").write_text("#!/bin/sh\n")
    (checkout / "postBuild").chmod(0o755)
    (checkout / "data").mkdir()
    (checkout / "data" / "link").symlink_to("../requirements.txt")
    said, context = rendered(checkout, sandbox=True)
    assert context.buildpack == "PythonBuildPack"
    assert context.path.name == CONTEXT
    assert "FROM docker.io/library/buildpack-deps:jammy" in context.dockerfile.read_text()
    source = context.path / "src"
    assert os.access(source / "postBuild", os.X_OK)
    assert os.access(context.path / "repo2docker-entrypoint", os.X_OK)
    assert (source / "data" / "link").readlink() == Path("../requirements.txt")
    assert render_program.__name__ not in "".join(said)


@needs_sandbox
def test_an_own_dockerfile_is_built_where_it_is(checkout: Path) -> None:
    (checkout / "binder").mkdir()
    (checkout / "binder" / "Dockerfile").write_text("FROM scratch\n")
    _, context = rendered(checkout, sandbox=True)
    assert (context.path, context.dockerfile) == (checkout, checkout / "binder" / "Dockerfile")
    assert context.is_own


@needs_sandbox
def test_a_repository_that_cannot_be_built_says_why(checkout: Path) -> None:
    (checkout / "apt.txt").write_text("; rm -rf /\n")
    with pytest.raises(ProgramError, match=r"Found invalid package name ; rm -rf / in apt\.txt"):
        rendered(checkout, sandbox=True)
