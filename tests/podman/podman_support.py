"""A throw-away podman with a base image of its own; for a sandbox without an image registry.

Nothing here is a stand-in: podman, runc, Debian's packages and PyPI's are the real ones. What
podman keeps is in one temporary folder, so it neither sees nor touches the machine's images.

`CONTAINERS_CONF` is what a machine without container networking and without systemd needs:

- ``netns = "host"``: nothing to set up bridges with;
- ``runtime = "runc"``, ``cgroup_manager = "cgroupfs"``, ``events_logger = "file"``: no systemd, no
  journal;
- ``default_ulimits``: the built-in ones are above what root may have in some sandboxes;
- ``tmp_dir``, ``lock_type = "file"``: the machine's podman has its locks in shared memory, and a
  second one that starts afresh would release them.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from binderprogress.backends.processes import supervisor as supervisor_program
from binderprogress.backends.repo2docker.images import LABEL

from ..support.packages import kept_folder, remove

BASE_IMAGE = "localhost/binderprogress-test-base:1"

# Not in pytest's own folder: the path of a socket must be short.
_PREFIX = "binderprogress-podman-"
_OWNER = "owner.lock"
# Of whoever makes or removes such a folder.
_LOCK = kept_folder() / "podman.lock"

CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
netns = "host"

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "{folder}/libpod"
"""

STORAGE_CONF = """\
[storage]
driver = "overlay"
graphroot = "{folder}/images"
runroot = "{folder}/run"
"""

# libstdc++6 for pyzmq's wheel, passwd for useradd.
_DEBIAN = ["python3", "passwd", "libstdc++6"]
_PYPI = ["jupyterlab==4.6.6", "ipykernel==7.4.0"]
# Counts changes of how the tar file is made.
_RECIPE = 2


def why_not() -> str | None:
    """Say why no container can be built and run here; None if it can."""
    if sys.platform != "linux":
        return "containers need Linux"
    for command in ("podman", "runc", "mmdebstrap", "git"):
        if shutil.which(command) is None:
            return f"{command} is not installed"
    if _codename() is None:
        return "mmdebstrap needs a Debian or Ubuntu to take the packages of"
    if os.geteuid() != 0:
        # Rootless podman needs user namespaces, slirp4netns and a session: too much to guess.
        return "the throw-away podman is set up for root only"
    return None


class Podman:
    """A podman whose whole state is in one temporary folder.

    Attributes
    ----------
    env : dict of str to str
        The environment in which ``podman``, and what calls it, use that folder.
    """

    def __init__(self) -> None:
        with FileLock(_LOCK):
            _remove_abandoned()
            self._folder = folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
            # The kernel releases it when this process ends.
            self._owned = FileLock(folder / _OWNER)
            self._owned.acquire()
        (folder / "tmp").mkdir()
        files = {"containers.conf": CONTAINERS_CONF, "storage.conf": STORAGE_CONF}
        for name, text in files.items():
            (folder / name).write_text(text.format(folder=folder))
        self.env = {
            **os.environ,
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "TMPDIR": str(folder / "tmp"),
        }

    def run(self, *args: str, timeout: float = 60) -> str:
        """Run a podman command and return what it prints."""
        done = subprocess.run(
            ["podman", *args], env=self.env, capture_output=True, text=True, timeout=timeout
        )
        if done.returncode:
            raise RuntimeError(f"podman {args[0]}: {done.stderr}")
        return done.stdout

    def exists(self, kind: str, name: str) -> bool:
        """Say whether there is such an image or container."""
        command = ["podman", kind, "exists", "--", name]
        return subprocess.run(command, env=self.env, timeout=60).returncode == 0

    @contextlib.contextmanager
    def service(self, prefix: Sequence[str] = ()) -> Iterator[str]:
        """Run podman's Docker-compatible service; gives what ``DOCKER_HOST`` is to be.

        Parameters
        ----------
        prefix : sequence of str
            What starts it, such as in a network namespace.
        """
        path = self._folder / "podman.sock"
        log = self._folder / "service.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*prefix, "podman", "system", "service", "--time=0", f"unix://{path}"],
                env=self.env,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            await_unix_socket(path, process, timeout=20)
            yield f"unix://{path}"
        finally:
            process.terminate()
            process.wait(timeout=20)
            path.unlink(missing_ok=True)

    def processes(self) -> list[psutil.Process]:
        """All processes that run in our environment, such as the monitors of containers."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                ours = process.environ().get("CONTAINERS_CONF") == self.env["CONTAINERS_CONF"]
                if ours and process.pid != os.getpid():
                    found.append(process)
        return found

    def close(self) -> None:
        """Remove everything; what should not be running any more is ended, and told of."""
        self.run("rm", "--all", "--force", "--time=0")
        _, left = psutil.wait_procs(self.processes(), timeout=10)
        for process in left:
            process.kill()
        self._forget_killed_steps()
        with FileLock(_LOCK):
            _remove(self._folder)
            self._owned.release()
        if left:
            raise RuntimeError(f"These were left running: {left}")

    def _forget_killed_steps(self) -> None:
        # A build that was stopped leaves its step's entry in runc's list, which is the machine's.
        listed = subprocess.run(
            ["runc", "list", "--format", "json"], capture_output=True, text=True, timeout=20
        )
        for entry in json.loads(listed.stdout or "null") or []:
            if Path(entry["bundle"]).is_relative_to(self._folder):
                subprocess.run(["runc", "delete", "--force", entry["id"]], check=True, timeout=20)


def _remove_abandoned() -> None:
    """Remove what test runs that were killed have left.

    With the mounts of one such run, the start of each namespace takes several times as long.
    Processes in its containers may still use them.
    """
    for owner in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_OWNER}"):
        lock = FileLock(owner)
        with contextlib.suppress(Timeout), lock.acquire(blocking=False):
            _remove(owner.parent, "--lazy")


def _remove(folder: Path, *options: str) -> None:
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    # The innermost first.
    for mount in sorted((m for m in mounts if m.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", *options, "--", mount], check=True, timeout=20)
    remove(folder)


def await_unix_socket(path: Path, process: subprocess.Popen[bytes], *, timeout: float) -> None:
    """Wait until something listens; fails as soon as the process ends."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        client = socket.socket(socket.AF_UNIX)
        with client, contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            client.connect(str(path))
            return
        # There is no event for "listens"; the end of the process is one.
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise RuntimeError(f"{process.args!r} ended with {process.wait(timeout=0.05)}.")
    raise TimeoutError(f"Nothing listens at {path} after {timeout} s.")


def base_tar() -> Path:
    """Make the base image's tar file, or take it from the cache: Debian, Python and JupyterLab."""
    folder = kept_folder()
    parts = [_codename() or "", platform.machine(), *_DEBIAN, *_PYPI, str(_RECIPE)]
    cached = folder / (re.sub(r"[^a-z0-9.]+", "-", "base-" + "-".join(parts).lower()) + ".tar")
    # Tests run side by side: one that made it anew would take it from under another's import.
    with FileLock(folder / "base.lock"):
        if not cached.exists():
            _make_base(cached)
    return cached


def _make_base(cached: Path) -> None:
    folder = cached.parent
    work = folder / f"making-{os.getpid()}"
    work.mkdir()
    try:
        made = work / "base.tar"
        make_debian(made, _DEBIAN)
        add_pypi(made, work / "pypi", _PYPI)
        for old in folder.glob("base-*.tar"):
            old.unlink()
        made.replace(cached)
    finally:
        shutil.rmtree(work)


def _codename() -> str | None:
    release = platform.freedesktop_os_release()
    family = {release.get("ID"), *release.get("ID_LIKE", "").split()}
    return release.get("VERSION_CODENAME") if "debian" in family else None


def make_debian(path: Path, packages: Sequence[str]) -> None:
    """Write the file system of a Debian with some packages."""
    folder = Path("/etc/apt")
    names = ["sources.list", "sources.list.d/debian.sources", "sources.list.d/ubuntu.sources"]
    # The machine's own mirror; others' repositories, in other files, are not wanted. With none of
    # them, mmdebstrap knows where Debian is.
    sources = [str(folder / name) for name in names if (folder / name).exists()]
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "locale", "doc")]
    subprocess.run(
        [
            *("mmdebstrap", "--quiet", "--variant=essential", f"--include={','.join(packages)}"),
            *(*excluded, "--", str(_codename()), str(path), *sources),
        ],
        check=True,
        timeout=600,
    )


def add_pypi(path: Path, stage: Path, packages: Sequence[str]) -> None:
    """Append packages as ``pip install`` in the image would install them, but without its network.

    uv runs on the host, so the image needs neither pip nor the certificates of a proxy.
    """
    with tarfile.open(path) as tar:
        have = {name.removeprefix("./").rstrip("/") for name in tar.getnames()}
    libraries = sorted(name for name in have if re.fullmatch(r"usr/local/lib/python3\.\d+", name))
    site = f"{libraries[0]}/dist-packages"
    version = libraries[0].removeprefix("usr/local/lib/python")
    subprocess.run(
        [
            *(_uv(), "pip", "install", "--quiet", "--python-version", version),
            # For the image's Python, too, if it is the version that runs the tests. Without
            # bytecode, each container would compile JupyterLab.
            *("--compile-bytecode", "--python", sys.executable),
            *("--only-binary", ":all:", "--target", str(stage), "--", *packages),
        ],
        check=True,
        timeout=120,
    )
    with tarfile.open(path, "a") as tar:
        for file in sorted(stage.rglob("*")):
            relative = file.relative_to(stage)
            prefix = "usr/local" if relative.parts[0] in {"bin", "etc", "share"} else site
            name = f"{prefix}/{relative}"
            # Importing it compiles a grammar for two seconds, and JupyterLab does not need it.
            if name in have or relative.parts[0] == "rfc3987_syntax":
                continue
            if relative.parts[0] == "bin" and file.is_file():
                _, _, script = file.read_bytes().partition(b"\n")
                file.write_bytes(b"#!/usr/bin/python3\n" + script)
            tar.add(file, name, recursive=False, filter=_owned_by_root)


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise RuntimeError("uv is not installed; it is one of the package's test requirements.")
    return found


DOCKERFILE = f"""\
FROM {BASE_IMAGE}
ARG NB_USER
ARG NB_UID
ENV USER=${{NB_USER}} HOME=/home/${{NB_USER}}
RUN useradd --create-home --uid ${{NB_UID}} ${{NB_USER}}
COPY greeting-1.0-py3-none-any.whl /tmp/
RUN python3 -m zipfile -e /tmp/greeting-1.0-py3-none-any.whl /usr/lib/python3/dist-packages
RUN python3 -c "import greeting; print(greeting.TEXT)"
COPY --chown=${{NB_UID}} . ${{HOME}}/
WORKDIR ${{HOME}}
USER ${{NB_UID}}
"""


class Repository:
    """A git repository with a Dockerfile, and a requirement that needs no network.

    Parameters
    ----------
    folder : Path
        Made here.
    last : str
        The last step of the Dockerfile.

    Attributes
    ----------
    url, commit : str
        What to build.
    """

    def __init__(
        self, folder: Path, *, last: str = "test $(id -u) = 1000 && cat README.md"
    ) -> None:
        folder.mkdir()
        self._folder = folder
        self.url = folder.as_uri()
        (folder / "README.md").write_text("# Hello from the repository\n")
        (folder / "Dockerfile").write_text(f"{DOCKERFILE}RUN {last}\n")
        _write_wheel(folder / "greeting-1.0-py3-none-any.whl")
        self._git("init", "--quiet", "--initial-branch=main")
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message=A repository to build")
        self.commit = self._git("rev-parse", "HEAD").strip()

    def _git(self, *args: str) -> str:
        who = {"NAME": "Test", "EMAIL": "test@example.org"}
        env = {f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in who.items()}
        env |= {"GIT_CONFIG_GLOBAL": os.devnull, "PATH": os.environ["PATH"]}
        command = ["git", "-C", str(self._folder), *args]
        return subprocess.run(
            command, env=env, check=True, capture_output=True, text=True, timeout=20
        ).stdout


def _write_wheel(path: Path) -> None:
    info = "greeting-1.0.dist-info"
    files = {
        "greeting.py": 'TEXT = "Hello from a wheel"\n',
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            # A fixed date: the same file each time, so that layers are found again.
            wheel.writestr(zipfile.ZipInfo(name), text)


class Build:
    """The real ``jupyter-repo2docker``, in a process group of its own."""

    def __init__(
        self,
        podman: Podman,
        repository: Repository,
        image: str,
        *,
        supervised: bool = False,
        labelled: bool = False,
        **env: str,
    ) -> None:
        config = Path(podman.env["TMPDIR"]) / "repo2docker_config.py"
        labels = {LABEL: "yes"} if labelled else {}
        supervisor = [sys.executable, "-I", "-S", supervisor_program.__file__, "2", "all", ""]
        # The others ask the internet whether an address is theirs.
        config.write_text(
            "from repo2docker.contentproviders import Git\n"
            "c.Repo2Docker.content_providers = [Git]\n"
            f"c.Repo2Docker.labels = {labels!r}\n"
        )
        self.process = subprocess.Popen(
            [
                *(supervisor if supervised else []),
                str(Path(sys.executable).with_name("jupyter-repo2docker")),
                *("--engine", "binderprogress-podman", "--config", str(config)),
                *("--no-run", "--json-logs", "--image-name", image, "--ref", repository.commit),
                *("--user-id", "1000", "--user-name", "jovyan", "--", repository.url),
            ],
            env={**podman.env, **env},
            stdin=subprocess.PIPE if supervised else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def records(self) -> Iterator[dict[str, object]]:
        """Yield what is logged, as it comes; a line that is no JSON fails."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)

    def finish(self) -> tuple[int, list[dict[str, object]]]:
        """Wait for the end; gives the exit code and what was logged."""
        with self.process:
            records = list(self.records())
            return self.process.wait(timeout=20), records

    def kill(self, number: signal.Signals) -> list[psutil.Process]:
        """Signal the group; gives those that live on 10 s later, having ended them."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        with self.process:
            os.killpg(self.process.pid, number)
            self.process.wait(timeout=20)
        _, alive = psutil.wait_procs(family, timeout=10)
        for process in alive:
            process.kill()
        return alive
