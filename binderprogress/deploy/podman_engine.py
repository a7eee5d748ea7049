"""An engine of repo2docker that uses podman: ``repo2docker --engine binderprogress-podman``.

repo2docker's own engine uses docker with the buildx plugin. With podman, it would need
``buildx version``, ``--progress`` and ``--load``, which podman 4.3 (Debian 12) does not have. This
engine needs only the ``podman`` command, version 4 or later: no daemon, no socket, no plugin.

podman reads its settings from environment variables, which repo2docker passes on:

``CONTAINERS_CONF``, ``CONTAINERS_STORAGE_CONF``
    Files with the settings of podman and of its image storage. The program that runs the image (see
    `binderprogress.deploy.spawners.container`) must use the same storage.
``BUILDAH_ISOLATION``
    How the steps of a build are isolated. ``oci``, the default as root, runs each step in a
    container. ``chroot`` isolates less: steps see the processes and the network of the machine. It
    works on machines that cannot run containers.
``CONTAINER_ENGINE_REGISTRY_CREDENTIALS``
    A variable of repo2docker: a JSON object with ``registry``, ``username`` and ``password``, for
    pushing.
``TMPDIR``
    The folder for temporary files of a build. The default is ``/var/tmp``.

To stop a build, send SIGTERM to the process group of repo2docker, and wait a second. podman does
not stop the running step of a build, so the engine does. After SIGKILL, it cannot, and a step in a
container (``oci``) continues, unless repo2docker runs below a supervisor, as in our server.

A stopped build leaves its working containers and their mounts in the storage. ``podman ps --all
--external`` lists them as ``Storage``. Our server removes them when it starts, except for the first
one of each build. ``podman rm --force`` removes that. Do this only while nothing is being built.

This is the only file that imports repo2docker's engine classes.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any

from repo2docker.engine import ContainerEngine, ContainerEngineException, Image
from traitlets import List, Unicode

from .._temporary import OwnedFolder

__all__ = ["PodmanEngine", "PodmanError"]


class PodmanError(ContainerEngineException):
    """podman is not installed, or failed.

    It is not a ``BuildError`` or ``ImageLoadError``, because repo2docker swallows those. For any
    other exception, repo2docker logs a line of phase ``failed`` and exits with code 1.
    """


class PodmanEngine(ContainerEngine):
    """Builds, inspects and pushes images with the ``podman`` command.

    It does not run them, so use ``--no-run``. JupyterHub runs them.

    Parameters
    ----------
    parent : repo2docker.app.Repo2Docker
        The application, which also has the engine's configuration.

    Raises
    ------
    PodmanError
        If the command is not installed.
    """

    string_output = True

    command = Unicode("podman", help="The podman command: a name on PATH, or a path.", config=True)

    extra_build_args = List(
        Unicode(),
        help="Additional arguments for `podman build`, such as `--memory=2g` or `--network=host`.",
        config=True,
    )

    def __init__(self, *, parent: Any) -> None:
        super().__init__(parent=parent)
        if shutil.which(self.command) is None:
            raise PodmanError(
                f"podman is not installed: the command {self.command!r} was not found. "
                "Install podman 4 or later, or choose another engine."
            )

    def build(
        self,
        *,
        push: bool = False,
        load: bool = False,
        buildargs: Mapping[str, str] | None = None,
        cache_from: Sequence[str] | None = None,
        container_limits: Mapping[str, Any] | None = None,
        tag: str = "",
        custom_context: bool = False,
        dockerfile: str = "",
        fileobj: IO[bytes] | None = None,
        path: str = "",
        labels: Mapping[str, str] | None = None,
        platform: str | None = None,
        **kwargs: Any,
    ) -> Iterator[str]:
        """Build an image, and push it if requested.

        The parameters are repo2docker's. `load`, `cache_from`, `container_limits` and
        `custom_context` are ignored.

        Parameters
        ----------
        push : bool
            Whether to push the image. This requires a `tag`.
        buildargs, labels : mapping of str to str, optional
            Build arguments, and labels of the image.
        tag : str
            The image's name.
        dockerfile : str
            The Dockerfile, relative to the root of `fileobj` or to the working directory.
        fileobj, path : binary file or str
            The build context as an uncompressed tar file, or as a folder.
        platform : str, optional
            Such as ``linux/arm64``.
        **kwargs
            ``extra_build_kwargs`` of repo2docker, which are options of docker. They are rejected.

        Yields
        ------
        str
            podman's output, line by line, with the line ends.

        Raises
        ------
        PodmanError
            If podman failed or was stopped.
        """
        self._check_options(kwargs, cache_from)
        # Dockerfiles use SHELL and HEALTHCHECK, which podman's default format drops.
        args = ["build", "--format=docker"]
        args += [f"--build-arg={name}={value}" for name, value in (buildargs or {}).items()]
        args += [f"--label={name}={value}" for name, value in (labels or {}).items()]
        args += [f"--platform={platform}"] if platform else []
        args += [f"--tag={tag}"] if tag else []
        yield from self._build(args, fileobj=fileobj, path=path, dockerfile=dockerfile)
        if push and tag:
            yield from self._push(tag)

    def inspect_image(self, image: str) -> Image | None:
        """Return an image in podman's storage. Nothing is pulled.

        Parameters
        ----------
        image : str
            Its name.

        Returns
        -------
        repo2docker.engine.Image or None
            None if it does not exist.

        Raises
        ------
        PodmanError
            If podman itself does not work.
        """
        # "exists" returns 1 for a missing image and 125 if podman is broken. "inspect" returns 125
        # for both.
        exists = self._run(["image", "exists", "--", image])
        if exists.returncode == 1:
            return None
        inspected = exists if exists.returncode else self._run(["image", "inspect", "--", image])
        if inspected.returncode:
            raise PodmanError(f"podman does not work: {inspected.stderr.strip()}")
        details = json.loads(inspected.stdout)[0]
        # repo2docker requires WorkingDir. podman omits it if the image has none.
        return Image(tags=details["RepoTags"], config={"WorkingDir": "", **details["Config"]})

    def _check_options(
        self, docker_options: Mapping[str, Any], cache_from: Sequence[str] | None
    ) -> None:
        """Reject or ignore options that podman does not have."""
        if docker_options:
            raise PodmanError(
                f"podman build has no option {', '.join(sorted(docker_options))}. Remove it from "
                "Repo2Docker.extra_build_kwargs, or use PodmanEngine.extra_build_args."
            )
        if cache_from:
            # podman's own --cache-from takes repositories of layers, and rejects images with a tag.
            self.log.warning("Ignoring --cache-from: podman uses the layers in its storage.\n")

    def _build(
        self, args: list[str], *, fileobj: IO[bytes] | None, path: str, dockerfile: str
    ) -> Iterator[str]:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(OwnedFolder("podman")))
            image_id = folder / "image-id"
            if fileobj is not None:
                path = str(folder / "context")
                with tarfile.open(fileobj=fileobj) as tar:
                    # The filter "data" would reject absolute links, which repositories may contain.
                    tar.extractall(path, filter="tar")
                dockerfile = str(folder / "context" / (dockerfile or "Dockerfile"))
            args = [*args, f"--iidfile={image_id}"]
            args += [f"--file={dockerfile}"] if dockerfile else []
            yield from self._lines([*args, *self.extra_build_args, "--", path])
            # After SIGTERM, podman 4.3 exits with 0, but has not written the id.
            if not image_id.exists():
                raise PodmanError("podman build was stopped before the image was complete.")

    def _push(self, tag: str) -> Iterator[str]:
        with ExitStack() as stack:
            args = ["push"]
            if self.registry_credentials:
                # A separate file, so that the user's logins do not change.
                folder = Path(stack.enter_context(OwnedFolder("podman")))
                auth = f"--authfile={folder / 'auth.json'}"
                self._login(auth, **self.registry_credentials)
                args.append(auth)
            yield from self._lines([*args, "--", tag])

    def _login(self, auth: str, *, registry: str, username: str, password: str) -> None:
        user = f"--username={username}"
        login = self._run(["login", auth, user, "--password-stdin", "--", registry], stdin=password)
        if login.returncode:
            raise PodmanError(f"podman could not log in to {registry}: {login.stderr.strip()}")

    def _run(self, args: list[str], *, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.command, *args],
            env=_environment(),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def _lines(self, args: list[str]) -> Iterator[str]:
        with _sigterm_raises(), _adopting_orphans():
            process = subprocess.Popen(
                [self.command, *args],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            with process:
                try:
                    # "\r" ends a line, too. Line ends are not translated.
                    yield from io.TextIOWrapper(
                        _pipe(process.stdout), encoding="utf-8", errors="replace", newline=""
                    )
                except BaseException:
                    _kill_children()
                    raise
        if process.returncode:
            # Without the arguments, which may be confidential.
            raise PodmanError(f"podman {args[0]} exited with code {process.returncode}.")


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise PodmanError("podman has no output.")
    return stream


def _environment() -> dict[str, str]:
    """Return podman's environment, with the home that has its storage, settings and logins.

    repo2docker reads untrusted repositories, so it runs with an empty home.
    """
    home = os.environ.get("BINDERPROGRESS_ENGINE_HOME")
    return {**os.environ, **({"HOME": home} if home else {})}


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that `finally` blocks run."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield  # the application handles it
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # ignore further signals
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Become the parent of processes whose parent ends, instead of init."""
    if sys.platform != "linux":
        yield  # elsewhere, podman builds in a virtual machine
        return
    set_child_subreaper = 36  # linux/prctl.h
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(set_child_subreaper, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")
    try:
        yield
    finally:
        prctl(set_child_subreaper, 0, 0, 0, 0)


def _kill_children() -> None:
    """Kill all child processes, including those that are adopted meanwhile."""
    while children := _children():
        for pid in children:
            os.kill(pid, signal.SIGKILL)  # not waited for yet, so the id was not reused
            os.waitpid(pid, 0)


def _children() -> list[int]:
    children = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        # "pid (name) state parent …". The name may contain any character.
        if int(text.rpartition(")")[2].split()[1]) == os.getpid():
            children.append(int(stat.parent.name))
    return children
