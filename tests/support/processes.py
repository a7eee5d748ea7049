"""Real processes of ours, found again whoever their parent is by then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from typing import IO

import psutil

from .forked import ForkedProcess, can_fork
from .packages import EXCLUDE, compile_jupyter, small_jupyter

MARK = "BINDERPROGRESS_TEST"
BIN = Path(sys.executable).parent


class Program:
    """A running command, with its output line by line."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        env: dict[str, str],
        log: IO[bytes],
        plain: bool = False,
    ) -> None:
        self.mark = uuid.uuid4().hex
        env = {**env, MARK: self.mark}
        reader, writer = os.pipe()
        self.process: subprocess.Popen[bytes] | ForkedProcess
        if can_fork(arguments, env) and not plain:
            self.process = ForkedProcess(
                arguments,
                env=env,
                stdout=writer,
                stderr=log.fileno(),
                folder=str(Path.cwd()),
            )
        else:
            self.process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=log,
                env=env,
                start_new_session=True,
            )
        os.close(writer)
        self._lines: Queue[str] = Queue()
        threading.Thread(target=self._read, args=[reader], daemon=True).start()

    def _read(self, output: int) -> None:
        with open(output) as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put("")

    def line(self, timeout: float = 60) -> str:
        """Await the next line of its output; empty at its end."""
        try:
            return self._lines.get(timeout=timeout)
        except Empty:
            raise AssertionError(f"no line within {timeout} s") from None

    def family(self) -> list[psutil.Process]:
        """List it and everything that it started, whoever is their parent now."""
        own = self.process.pid if self.process.poll() is None else None
        # The variables of a forked process are not its own.
        return [p for p in psutil.process_iter() if p.pid == own or _mark(p) == self.mark]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, as a terminal or a supervisor does."""
        self.process.send_signal(number)

    def wait(self, timeout: float) -> int:
        """Await its end and return its exit code."""
        return self.process.wait(timeout)


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return None


@contextmanager
def program(
    *arguments: str, env: dict[str, str], log: Path, plain: bool = False
) -> Iterator[Program]:
    """Run a command of the environment under test; end what is left of it.

    Parameters
    ----------
    arguments : str
    env : dict of str to str
    log : Path
        Gets what it writes to standard error.
    plain : bool
        Whether a command of ours starts as it does in a shell. Otherwise it is forked from a
        process that has imported it, which saves time; see `tests.support.forked`.
    """
    with log.open("ab") as file:
        command = [str(BIN / arguments[0]), *arguments[1:]]
        running = Program(command, env=env, log=file, plain=plain)
        try:
            yield running
        finally:
            if running.process.poll() is None:
                # On SIGTERM, a server of ours leaves its JupyterHub for the next one. On SIGINT, a
                # Jupyter server asks whether to stop.
                is_ours = arguments[0] == "binderprogress"
                running.signal(signal.SIGINT if is_ours else signal.SIGTERM)
                # What is left then is ended below.
                with suppress(subprocess.TimeoutExpired):
                    running.wait(10)
            for process in running.family():
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
            running.wait(10)


def environment(cache: Path, *, jupyterlab: bool = False) -> dict[str, str]:
    """Return variables under which our caches are empty, and uv's is that of the tests.

    Environments share files, to save time: none of the tests changes an installed package in them.
    Builds see the mark of their `Program`, too, so that its family is found whole.

    Parameters
    ----------
    cache : Path
        The folder of the caches.
    jupyterlab : bool
        Whether environments have all that they have by default. Without it, they only have a small
        server in place of JupyterLab, which starts much earlier.
    """
    config = cache / ("config-jupyterlab" if jupyterlab else "config") / "binderprogress_config.py"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(
        f"c.GitResolver.pass_environment = {[MARK, EXCLUDE]}\n"
        "c.LocalBuilder.link_mode = 'hardlink'\n"
        + ("" if jupyterlab else f"c.LocalBuilder.base_packages = {[small_jupyter()]}\n")
    )
    compile_jupyter()
    return {
        **os.environ,
        "XDG_CACHE_HOME": str(cache),
        "JUPYTER_CONFIG_PATH": str(config.parent),
    }
