"""Our commands in a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable

from .processes import BIN


def in_terminal(
    arguments: list[str],
    env: dict[str, str],
    timeout: float = 150,
    *,
    shown: Callable[[str], object] = lambda _: None,
    interrupt_at: str = "",
) -> tuple[int, str]:
    """Run the command in a terminal of 100 columns, and return its exit code and output.

    `shown` is called with all that was written, each time there is more. Ctrl-C is pressed when
    `interrupt_at` was written.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    process = subprocess.Popen(
        [BIN / "binderprogress", *arguments],
        env={**env, "TERM": "xterm-256color", "BROWSER": "true", "COLUMNS": "100"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        # Ctrl-C is a signal only in the terminal that controls the session.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    written = b""
    deadline = time.monotonic() + timeout
    try:
        while time.monotonic() < deadline:
            if not select.select([master], [], [], 1)[0]:
                continue
            try:
                written += os.read(master, 65536)
            except OSError:
                break  # Linux says so when the other end is closed
            words = in_words(written.decode(errors="replace"))
            shown(words)
            if interrupt_at and interrupt_at in words:
                interrupt_at = ""
                os.write(master, b"\x03")
        return process.wait(10), written.decode()
    finally:
        process.kill()
        process.wait(10)
        os.close(master)


def in_words(written: str) -> str:
    """Remove escape sequences, and turn carriage returns into line breaks."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).replace("\r", "\n")
