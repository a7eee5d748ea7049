"""Attacks of a repository's author: what the server's processes hold, read by its builds.

A server has tokens in its environment, keys and logins in its user's home, and open files. Builds
run code of strangers, and git talks to hosts that strangers name.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from binderprogress.backends.fetch.git import GitResolver
from binderprogress.backends.fetch.options import FetchPlan, FetchSettings
from binderprogress.backends.fetch.size_limit import Limits
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.backends.local.detect_program import OURS, detect
from binderprogress.backends.local.jupyter_server import _start_script, copy_repository
from binderprogress.backends.processes.sandbox import sandboxed, why_no_sandbox
from binderprogress.core.log.diagnosis import diagnose
from binderprogress.core.log.reader import Record
from binderprogress.core.specs import from_address
from binderprogress.deploy.standalone import Standalone
from binderprogress.errors import ConfigError, LaunchFailedError

from ..support.asynchronous import asynchronous
from ..support.repositories import repository

SECRET = "f00dfeed"

needs_sandbox = pytest.mark.skipif(bool(why_no_sandbox()), reason="needs bubblewrap")


@pytest.fixture
def builder(tmp_path: Path) -> LocalBuilder:
    return LocalBuilder(
        local_folders=[str(tmp_path / "repository")],
        environments=str(tmp_path / "environments"),
        base_packages=[],
        link_mode="hardlink",
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of the server's user."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


async def build(builder: LocalBuilder, folder: Path) -> tuple[Path, list[str], str]:
    """Build; gives the environment's checkout, the log, and the reason of a failure."""
    target = await builder.resolve(from_address(folder.as_uri()))
    log: list[str] = []
    reason = ""
    try:
        async for item in builder.build(target):
            if isinstance(item, Record):
                line = json.loads(str(item.raw))
                log.append(line["message"])
    except LaunchFailedError as error:
        reason = diagnose(log, otherwise=error.reason).reason
    return builder.folder(target) / "repository", log, reason


async def told(builder: LocalBuilder, tmp_path: Path, command: str) -> str:
    """What a command prints that a postBuild runs."""
    script = f"#!/bin/sh\n{{ {command}\n}} > told 2>&1\n"
    checkout, log, reason = await build(
        builder, repository(tmp_path / "repository", {"postBuild": script})
    )
    assert not reason, log
    return (checkout / "told").read_text()


@asynchronous(60)
async def test_a_postbuild_that_reads_the_environment(
    builder: LocalBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables are passed by name: no list of those to hide is ever complete."""
    for name in (
        *("JUPYTERHUB_API_TOKEN", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "PGPASSWORD"),
        *("GOOGLE_APPLICATION_CREDENTIALS", "OTEL_EXPORTER_OTLP_HEADERS", "KUBECONFIG"),
        *("CONTAINER_ENGINE_REGISTRY_CREDENTIALS", "SSH_AUTH_SOCK", "UV_INDEX_OURS_PASSWORD"),
    ):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("http_proxy_user", SECRET)
    monkeypatch.setenv("LICENSE_SERVER", "27000@licenses")
    builder.pass_environment = ["LICENSE_*"]
    said = await told(builder, tmp_path, "env; echo of-the-builder; cat /proc/$PPID/environ")
    assert SECRET not in said
    said, _, _ = said.partition("of-the-builder")
    assert "LICENSE_SERVER=27000@licenses" in said
    assert "FETCH_PLAN" not in said


@pytest.mark.long
@asynchronous(60)
async def test_a_postbuild_that_reads_the_home(
    builder: LocalBuilder, tmp_path: Path, home: Path
) -> None:
    """Programs find keys by HOME, without having to be told where they are."""
    (home / ".netrc").write_text(SECRET)
    said = await told(builder, tmp_path, "cat ~/.netrc; ls -A ~; echo home: ~")
    assert SECRET not in said
    assert str(home) not in said
    assert "/binderprogress-home-" in said.rpartition("home: ")[2]


@pytest.mark.long
@asynchronous(60)
async def test_a_postbuild_that_lists_descriptors(builder: LocalBuilder, tmp_path: Path) -> None:
    """An open database or socket of the server can be used by who inherits it."""
    with (tmp_path / SECRET).open("w") as file:
        os.set_inheritable(file.fileno(), True)
        said = await told(builder, tmp_path, "ls -l /proc/self/fd")
    assert SECRET not in said
    # Input, output, errors, and the folder that is listed.
    assert [line.split()[8] for line in said.splitlines()[1:]] == ["0", "1", "2", "3"], said


@asynchronous(60)
async def test_a_postbuild_that_fills_the_disk_with_one_file(
    builder: LocalBuilder, tmp_path: Path
) -> None:
    """It ends at the limit, and the launch says that it was one."""
    builder.resource_limits = {"fsize": 8 * 2**20, "core": 0}
    script = f"#!/bin/sh\nhead -c 20000000 /dev/zero > {tmp_path}/zeros\n"
    folder = repository(tmp_path / "repository", {"postBuild": script})
    _, log, reason = await build(builder, folder)
    assert reason == "resource-limit", log
    assert (tmp_path / "zeros").stat().st_size <= 8 * 2**20


@asynchronous(60)
async def test_a_postbuild_that_raises_its_limits(builder: LocalBuilder, tmp_path: Path) -> None:
    """Limits that a process may raise again are none."""
    builder.resource_limits = {"core": 0, "nofile": 200}
    said = await told(builder, tmp_path, "ulimit -Hc; ulimit -Hn; ulimit -Sn")
    assert said.split() == ["0", "200", "200"]


@asynchronous(60)
async def test_a_hook_that_runs_while_a_repository_is_cloned(
    builder: LocalBuilder, tmp_path: Path, home: Path
) -> None:
    """Whatever puts a hook where git looks for it (CVE-2025-48384) must not have it run."""
    hooks = home / "template" / "hooks"
    hooks.mkdir(parents=True)
    for name in ("post-checkout", "post-index-change", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/ran\n")
        (hooks / name).chmod(0o755)
    (home / ".gitconfig").write_text(f"[init]\n\ttemplateDir = {home}/template\n")
    builder.credentials = True  # then git reads the user's settings
    _, log, reason = await build(builder, repository(tmp_path / "repository"))
    assert not reason, log
    assert not (tmp_path / "ran").exists()


class _Asking(BaseHTTPRequestHandler):
    """A git server that wants a password, and notes the ones that it is sent."""

    passwords: list[str]

    def do_GET(self) -> None:
        if sent := self.headers.get("Authorization"):
            self.passwords.append(b64decode(sent.split()[1]).decode())
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="all of them"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def asking() -> Iterator[tuple[str, list[str]]]:
    passwords: list[str] = []
    handler = type("Asking", (_Asking,), {"passwords": passwords})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/repository", passwords
        server.shutdown()


@asynchronous(60)
async def test_a_host_that_asks_for_a_password(builder: LocalBuilder, home: Path) -> None:
    """A .netrc with a default entry has curl, and so git, send its password to every host."""
    (home / ".netrc").write_text(f"default login ada password {SECRET}\n")
    (home / ".netrc").chmod(0o600)
    with asking() as (address, passwords):
        for spec in (from_address(address), from_address(address, "0" * 40)):
            with pytest.raises(LaunchFailedError):
                async for _ in builder.build(await builder.resolve(spec)):
                    pass
    assert passwords == []


# -- in a namespace


def inside(tmp_path: Path, code: str) -> str:
    """What Python code prints in a namespace."""
    work = tmp_path / "work"
    work.mkdir()
    command = sandboxed([sys.executable, "-c", code], writable=work, folder=work)
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_sandbox
def test_a_git_that_was_taken_over_sees_no_home_and_no_process(tmp_path: Path, home: Path) -> None:
    """Should a repository ever run code while it is cloned, it finds nothing to take."""
    (home / ".netrc").write_text(SECRET)
    (tmp_path / "other-checkout").mkdir()
    (tmp_path / "other-checkout" / "file").write_text(SECRET)
    hidden = [str(home), str(tmp_path / "other-checkout")]
    code = (
        "import glob, os\n"
        f"print([path for path in {hidden!r} if os.path.exists(path)])\n"
        "print(*glob.glob('/root/*'), *glob.glob('/home/*'), *glob.glob('/var/*'))\n"
        "print(len(glob.glob('/proc/[0-9]*')), os.getppid())\n"
    )
    lines = inside(tmp_path, code).splitlines()
    assert lines[0] == "[]"
    # Where Python itself is.
    assert all(sys.base_prefix.startswith(path) for path in lines[1].split()), lines
    # bwrap itself, and Python.
    assert lines[2] == "2 1"


@needs_sandbox
def test_a_git_that_was_taken_over_writes_nowhere_else(tmp_path: Path) -> None:
    """A file in another checkout, or on Python's path, would run the next time."""
    targets = [tmp_path, Path(sys.prefix), Path(__file__).parent, Path("/etc"), Path("/")]
    code = (
        "import os\n"
        f"for folder in {[str(path) for path in targets]!r}:\n"
        "    try:\n"
        "        open(os.path.join(folder, 'written-by-an-attack'), 'w').close()\n"
        "        print('written', folder)\n"
        "    except OSError: pass\n"
        "open('ours', 'w').close()\n"
    )
    assert inside(tmp_path, code) == ""
    assert (tmp_path / "work" / "ours").exists()
    assert not [path for path in targets if (path / "written-by-an-attack").exists()]


@needs_sandbox
@asynchronous(60)
async def test_git_runs_in_the_namespace(
    builder: LocalBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a real build, a git that looks around finds no file of the server's user."""
    key = tmp_path / "key"
    key.write_text(SECRET)
    bin_folder = tmp_path / "tools" / "bin"
    bin_folder.mkdir(parents=True)
    wrapper = bin_folder / "git"
    wrapper.write_text(
        f'#!/bin/sh\ncat {key} >&2\ncat /proc/*/environ >&2\nexec {shutil.which("git")} "$@"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("SECRET_OF_OURS", SECRET)
    folder = repository(tmp_path / "repository")
    target = await builder.resolve(from_address(folder.as_uri()))
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
    said = [str(getattr(item, "raw", "")) async for item in builder.build(target)]
    assert any("No such file" in line for line in said), said
    assert SECRET not in "".join(said)


@asynchronous(20)
async def test_a_server_that_is_to_have_a_namespace_does_not_start_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Otherwise an upgrade that loses bubblewrap loses the isolation, and nobody knows."""
    monkeypatch.setenv("PATH", str(tmp_path))
    server = Standalone(port=0)
    assert isinstance(server.builder, GitResolver)
    server.builder.sandbox = "on"
    with pytest.raises(ConfigError, match=r"GitResolver\.sandbox is 'on'.*bwrap"):
        await server.start()


# -- what the spawner of the engine local does with what a build has left


def test_a_start_script_elsewhere_is_not_made_executable(tmp_path: Path) -> None:
    """Its name is in a file that the build's code could write, and it may be a link."""
    home, key = tmp_path / "home", tmp_path / "key"
    home.mkdir()
    key.write_text(SECRET)
    key.chmod(0o600)
    (home / "start").symlink_to(key)
    for name in ("start", "../key", str(key)):
        with pytest.raises(ValueError, match="start script"):
            _start_script(home, name)
    assert key.stat().st_mode & 0o777 == 0o600
    (home / "binder").mkdir()
    (home / "binder" / "start").write_text("#!/bin/sh\n")
    assert os.access(_start_script(home, "binder/start"), os.X_OK)


def test_a_checkout_that_is_a_link_is_not_copied(tmp_path: Path) -> None:
    """A postBuild that puts a link to a home there would have it copied into a launch's files."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text(SECRET)
    (tmp_path / "repository").symlink_to(tmp_path / "secrets")
    with pytest.raises(ValueError, match="is a link"):
        copy_repository(tmp_path / "repository", tmp_path / "homes" / "ada" / "default")
    assert not (tmp_path / "homes").exists()


@needs_sandbox
def test_detection_reads_nothing_outside_even_of_a_link_that_comes_later(tmp_path: Path) -> None:
    """Somebody who can write into a checkout after it was checked puts a link there."""
    secret = tmp_path / "secret"
    secret.write_text("python-of-somebody-else\n")
    checkout = tmp_path / "build" / "repository"
    checkout.mkdir(parents=True)
    (checkout / "requirements.txt").touch()
    (checkout / "runtime.txt").symlink_to(secret)
    env = {"PATH": os.environ["PATH"]}
    plan = FetchPlan(FetchSettings("git", Limits(10, 10**6, 10)), env)
    # Without a namespace, the sentence that refuses the file would quote it.
    assert "of-somebody-else" in detect(plan, checkout).problem
    detected = detect(plan._replace(sandbox=True), checkout)
    assert (detected.python, detected.problem) == (OURS, "")
