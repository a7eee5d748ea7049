"""Plain podman as an engine of repo2docker: ``repo2docker --engine binderprogress-podman``.

repo2docker's own engine speaks to docker with its buildx plugin. It can be pointed at podman, but
asks for ``buildx version``, ``--progress`` and ``--load``, which podman 4.3 (Debian 12) does not
have. This engine needs the ``podman`` command, version 4 or later, and nothing else: no daemon, no
socket, no plugin.

podman reads its settings from the environment, which repo2docker hands on as it is:

``CONTAINERS_CONF``, ``CONTAINERS_STORAGE_CONF``
    Files with podman's settings and with where images are kept. Whoever runs the image (see
    `binderprogress.deploy.spawners.container`) must use the same storage.
``BUILDAH_ISOLATION``
    How the steps of a build are kept apart from the machine. ``oci``, the default as root, runs
    each in a container. ``chroot`` isolates less (a step sees the machine's processes and network)
    and works where containers do not.
``CONTAINER_ENGINE_REGISTRY_CREDENTIALS``
    repo2docker's own: a JSON object with ``registry``, ``username`` and ``password``, for pushing.
``TMPDIR``
    Where podman keeps a build's temporary files (``/var/tmp`` otherwise).

To stop a build, send SIGTERM to the process group of repo2docker, and leave it a second: podman
itself would end and leave the running step behind, so the engine ends that too. After SIGKILL it
cannot, and a step in a container (``oci``) goes on.

A stopped build leaves its working containers and their mounts in the storage. While nothing is
being built, ``podman rm --force`` removes what ``podman ps --all --external`` lists as ``Storage``.

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
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any

from repo2docker.engine import ContainerEngine, ContainerEngineException, Image
from traitlets import List, Unicode

__all__ = ["PodmanEngine", "PodmanError"]


class PodmanError(ContainerEngineException):
    """podman is missing, or ended with an error.

    It is none of repo2docker's ``BuildError`` and ``ImageLoadError``, which it swallows: any other
    exception ends its log with a line of phase ``failed``, and the process with exit code 1.
    """


class PodmanEngine(ContainerEngine):
    """Builds, inspects and pushes images with the ``podman`` command.

    It does not run them (use ``--no-run``): a Hub does.

    Parameters
    ----------
    parent : repo2docker.app.Repo2Docker
        The application; its configuration is ours.

    Raises
    ------
    PodmanError
        There is no such command.
    """

    string_output = True

    command = Unicode("podman", help="The podman command: a name on PATH, or a path.", config=True)

    extra_build_args = List(
        Unicode(),
        help="More arguments for `podman build`, such as `--memory=2g` or `--network=host`.",
        config=True,
    )

    def __init__(self, *, parent: Any) -> None:
        super().__init__(parent=parent)
        if shutil.which(self.command) is None:
            raise PodmanError(
                f"podman is not installed: there is no command {self.command!r}. "
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
        """Build an image, and push it if asked to.

        Parameters
        ----------
        push : bool
            Push the image when it is built; needs a `tag`.
        load : bool
            Without meaning here: what podman builds is in its storage.
        buildargs, labels : mapping of str to str, optional
            Build arguments, and labels of the image.
        cache_from : sequence of str, optional
            Not used; see the notes.
        container_limits : mapping, optional
            Not used: repo2docker refuses to set any. Use `extra_build_args`.
        tag : str
            The image's name.
        custom_context : bool
            Without meaning here: `fileobj` always is the context.
        dockerfile : str
            The Dockerfile, relative to the working directory; of `fileobj`, the one at its root.
        fileobj : binary file, optional
            The build context as an uncompressed tar file.
        path : str
            The build context as a folder; used without `fileobj`.
        platform : str, optional
            Such as ``linux/arm64``.
        **kwargs
            ``extra_build_kwargs`` of repo2docker, in the words of docker's API: refused.

        Yields
        ------
        str
            podman's output, line by line, with the line ends.

        Raises
        ------
        PodmanError
            podman failed, or was stopped.

        Notes
        -----
        podman finds the layers of earlier builds in its storage by itself. Its ``--cache-from``
        takes repositories of layers, not images, and refuses a tag; so repo2docker's names cannot
        be handed on.
        """
        if kwargs:
            raise PodmanError(
                f"podman build has no {', '.join(sorted(kwargs))}; "
                "remove it from Repo2Docker.extra_build_kwargs, or use "
                "PodmanEngine.extra_build_args."
            )
        if cache_from:
            self.log.warning(
                "Ignoring --cache-from: podman takes the layers from its own storage.\n"
            )
        # Dockerfiles use SHELL and HEALTHCHECK, which podman's default format drops.
        args = ["build", "--format=docker"]
        args += [f"--build-arg={name}={value}" for name, value in (buildargs or {}).items()]
        args += [f"--label={name}={value}" for name, value in (labels or {}).items()]
        args += [f"--platform={platform}"] if platform else []
        args += [f"--tag={tag}"] if tag else []

        with ExitStack() as stack:
            folder = Path(stack.enter_context(_temporary_folder()))
            built = folder / "image-id"
            args.append(f"--iidfile={built}")
            if fileobj is not None:
                path = str(folder / "context")
                with tarfile.open(fileobj=fileobj) as tar:
                    # "data" would refuse the absolute links that a repository may well contain.
                    tar.extractall(path, filter="tar")
                dockerfile = str(folder / "context" / (dockerfile or "Dockerfile"))
            args += [f"--file={dockerfile}"] if dockerfile else []
            yield from self._lines([*args, *self.extra_build_args, "--", path])
            # Stopped by SIGTERM, podman 4.3 exits with 0, but then it has written no id.
            if not built.exists():
                raise PodmanError("podman build was stopped before the image was complete.")
        if push and tag:
            yield from self._push(tag)

    def inspect_image(self, image: str) -> Image | None:
        """Look an image up in podman's storage; nothing is pulled.

        Parameters
        ----------
        image : str
            Its name.

        Returns
        -------
        repo2docker.engine.Image or None
            `None` if it is not there.

        Raises
        ------
        PodmanError
            podman itself does not work.
        """
        # "exists" tells "no" (1) from "podman is broken" (125); "inspect" says 125 to both.
        exists = self._run(["image", "exists", "--", image])
        if exists.returncode == 1:
            return None
        inspected = exists if exists.returncode else self._run(["image", "inspect", "--", image])
        if inspected.returncode:
            raise PodmanError(f"podman does not work: {inspected.stderr.strip()}")
        found = json.loads(inspected.stdout)[0]
        # repo2docker reads WorkingDir; podman leaves it out where the image has none.
        return Image(tags=found["RepoTags"], config={"WorkingDir": "", **found["Config"]})

    def _push(self, tag: str) -> Iterator[str]:
        with ExitStack() as stack:
            args = ["push"]
            if self.registry_credentials:
                # A file of our own: the user's logins stay as they are, and no password is on a
                # command line.
                folder = Path(stack.enter_context(_temporary_folder()))
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
                    # A "\r" ends a line too, and line ends are left as they are.
                    yield from io.TextIOWrapper(
                        _pipe(process.stdout), encoding="utf-8", errors="replace", newline=""
                    )
                except BaseException:
                    _end_children()
                    raise
        if process.returncode:
            # No arguments in the message: those of the build may be nobody's business.
            raise PodmanError(f"podman {args[0]} ended with {process.returncode}.")


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise PodmanError("podman has no output.")
    return stream


def _environment() -> dict[str, str]:
    """Return podman's environment: its storage, settings and logins are in its user's home.

    repo2docker, which reads what repositories contain, is given an empty one.
    """
    home = os.environ.get("BINDERPROGRESS_ENGINE_HOME")
    return {**os.environ, **({"HOME": home} if home else {})}


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="binderprogress-")


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Let SIGTERM end us by an exception, so that what is in `finally` happens."""
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield  # it is not ours to handle
        return

    def end(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # once is enough
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Become the parent of what podman leaves behind, in place of the machine's first process."""
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


def _end_children() -> None:
    """End the processes that we are the parent of, and those that we become the parent of by it."""
    while children := _children():
        for pid in children:
            os.kill(pid, signal.SIGKILL)  # not reaped yet, so it is still the one we mean
            os.waitpid(pid, 0)


def _children() -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        # "pid (name) state parent …"; a name may have anything in it.
        if int(text.rpartition(")")[2].split()[1]) == os.getpid():
            found.append(int(stat.parent.name))
    return found
