"""A PostgreSQL of its own, on a free port, in a temporary folder."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

# It refuses to run as root.
_SERVANTS = ("postgres", "nobody")


def programs() -> Path | None:
    """The folder with `initdb` and `postgres`: Debian has them outside of the path."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: p.parts[-3])
    path = Path(found).resolve() if found else folders[-1] if folders else None
    return path.parent if path else None


class PostgreSQL:
    """A running server.

    Attributes
    ----------
    url : str
        Its URL for SQLAlchemy.
    """

    def __init__(self, url: str, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self.url = url
        self._start = start
        self._process = start()

    def restart(self) -> None:
        """Start it again after it was killed, with the data that it had."""
        self._process = self._start()

    def stop(self) -> None:
        """End it, whatever state it is in."""
        if self._process.poll() is None:
            self.resume()
        self._process.terminate()
        self._process.wait(30)

    def pause(self) -> None:
        """Stop all its processes. The system still accepts connections."""
        for process in self._family():
            with suppress(psutil.NoSuchProcess):  # that of a connection that is closed now
                process.suspend()

    def resume(self) -> None:
        """Let all its processes go on."""
        for process in self._family():
            with suppress(psutil.NoSuchProcess):  # that of a connection that is closed now
                process.resume()

    def kill(self) -> None:
        """Kill all its processes."""
        family = self._family()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(30)
        psutil.wait_procs(family, timeout=30)

    def cpu(self) -> float:
        """Return the seconds of CPU that all its processes have used, those that ended, too."""
        parent, *children = self._family()
        own = parent.cpu_times()
        total = own.user + own.system + own.children_user + own.children_system
        for child in children:
            with suppress(psutil.NoSuchProcess):  # that of a connection that is closed now
                times = child.cpu_times()
                total += times.user + times.system
        return float(total)

    def _family(self) -> list[psutil.Process]:
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]


@contextmanager
def postgresql() -> Iterator[str]:
    """Run one; yields its URL for SQLAlchemy."""
    with running_postgresql() as server:
        yield server.url


@contextmanager
def running_postgresql() -> Iterator[PostgreSQL]:
    """Run one that can be paused and killed."""
    folder_of_programs = programs()
    if folder_of_programs is None:
        pytest.skip("PostgreSQL is not installed, and this user could not install it")
    servant = pwd.getpwnam(next(filter(_exists, _SERVANTS))) if os.geteuid() == 0 else None
    user = {"user": servant.pw_uid, "group": servant.pw_gid} if servant else {}
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        if servant:
            os.chown(folder, servant.pw_uid, servant.pw_gid)
        data = Path(folder) / "data"
        initdb = [folder_of_programs / "initdb", "--auth=trust", "--username=test", "--no-sync"]
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        common = {"cwd": folder, "env": environment, **user}
        subprocess.run([*initdb, "-D", data], check=True, stdout=subprocess.DEVNULL, **common)  # type: ignore[call-overload]
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [folder_of_programs / "postgres", "-D", data, "-p", str(port), "-k", folder]
        # Nothing of it is to outlive the test, not even a crash of the machine.
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]

        def start() -> subprocess.Popen[bytes]:
            with (Path(folder) / "log").open("ab") as log:
                server = subprocess.Popen(command, stdout=log, stderr=log, **common)  # type: ignore[call-overload]
            try:
                _await(folder_of_programs, port, server)
            except BaseException:
                server.kill()
                server.wait(30)
                raise
            return server  # type: ignore[no-any-return]

        running = PostgreSQL(f"postgresql://test@127.0.0.1:{port}/postgres", start)
        try:
            yield running
        finally:
            running.stop()


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _await(folder: Path, port: int, server: subprocess.Popen[bytes]) -> None:
    ask = [folder / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    for _ in range(300):
        if subprocess.run(ask, check=False).returncode == 0:
            return
        assert server.poll() is None, "PostgreSQL ended"
        time.sleep(0.1)
    raise AssertionError("PostgreSQL does not answer")


@contextmanager
def empty_database(url: str) -> Iterator[str]:
    """Create an empty database in a server; yields its URL."""
    name = f"test_{secrets.token_hex(8)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        try:
            yield url.rpartition("/")[0] + f"/{name}"
        finally:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
