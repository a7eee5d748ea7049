"""Attack: a repository, or a server that somebody was told to use, writes to the user's terminal.

Escape sequences in a log can change the window's title, put a command into the clipboard (OSC 52),
make a link that looks like another one (OSC 8), erase what stands above, or ask the terminal to
answer, as if the user had typed that.
"""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import msgspec
import pytest
from rich.console import Console

from binderprogress.cli.display import JsonDisplay, PlainDisplay, TerminalDisplay
from binderprogress.cli.summary import TraceRecorder, print_rows, summarize
from binderprogress.core.events import Event
from binderprogress.core.phases import Phase

from ..support.processes import BIN

PAYLOADS = [
    pytest.param("\x1b]0;owned\x07", id="title"),
    pytest.param("\x1b]52;c;cm0gLXJmIH4K\x07", id="clipboard"),
    pytest.param("\x1b]8;;https://evil.example\x1b\\safe\x1b]8;;\x1b\\", id="link"),
    pytest.param("\x1b[2J\x1b[H", id="erase"),
    pytest.param("\x1b[5A\x1b[2K", id="lines above"),
    pytest.param("\x1b[6n\x1b[c", id="questions"),
    pytest.param("\x1bP+q544e\x1b\\", id="device control"),
    pytest.param("\x1b_Gi=1;AAAA\x1b\\", id="picture"),
    pytest.param("\x1bc\x1b#8", id="reset"),
    pytest.param("\x9b2J\x9d0;owned\x9c", id="C1"),
    pytest.param("a\rb\x08\x08\x08c\x0b\x0c", id="overwriting"),
    pytest.param("\u202etxt.exe\u202c\u2066", id="directions"),
    pytest.param("\u2028== Ready\u2029", id="lines of Unicode"),
    pytest.param("\x1b]0;never ended", id="unfinished"),
    pytest.param("\x1b\x1b[31m\x1b", id="twice"),
    pytest.param("\ud800\udfff", id="surrogates"),
    pytest.param("\x00\x7f", id="null and delete"),
]
# What must not come out, whatever went in. Line feeds and tabs are harmless.
UNSAFE = re.compile("[\x00-\x08\x0b-\x0d\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# What rich writes itself: colours, and what draws the bar anew.
RICH = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A|\r")


def event(text: str, phase: Phase = Phase.BUILDING, end: str = "\n") -> Event:
    return Event(
        id=1,
        phase=phase,
        time=0.0,
        elapsed=1.0,
        progress=10.0,
        message=f"before {text} after{end}",
        step=f"step {text}",
        advice=f"advice {text}",
        reason="unknown" if phase is Phase.FAILED else "",
    )


@pytest.mark.parametrize("text", PAYLOADS)
@pytest.mark.parametrize("phase", [Phase.BUILDING, Phase.FAILED])
def test_a_log_in_a_file_or_pipe(text: str, phase: Phase) -> None:
    """Who looks at it later does so in a terminal."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="\n")
    with PlainDisplay(out) as display:
        display.show(event(text, phase))
    out.seek(0)
    shown = out.read()
    assert "before" in shown
    assert not UNSAFE.search(shown), repr(shown)


@pytest.mark.parametrize("text", PAYLOADS)
@pytest.mark.parametrize("phase", [Phase.BUILDING, Phase.FAILED])
@pytest.mark.parametrize("end", ["\n", "\r"])
def test_a_log_in_a_terminal(text: str, phase: Phase, end: str) -> None:
    """The bar is drawn with escape sequences; none of them comes from a repository."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="\n")
    console = Console(file=out, force_terminal=True, color_system="standard", width=100)
    with TerminalDisplay(console) as display:
        display.show(event(text, phase, end))
    out.seek(0)
    left = RICH.sub("", out.read())
    assert "before" in left
    assert not UNSAFE.search(left), repr(left)


@pytest.mark.parametrize("text", PAYLOADS)
@pytest.mark.parametrize("phase", [Phase.BUILDING, Phase.FAILED])
def test_a_log_as_json(text: str, phase: Phase, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON itself lets C1 controls and directions through."""
    text = text.encode("utf-8", "replace").decode()
    with JsonDisplay() as display:
        display.show(event(text, phase))
    shown = capsys.readouterr()
    assert json.loads(shown.out)["message"] == f"before {text} after\n"
    assert not UNSAFE.search(shown.out + shown.err), repr(shown)


@pytest.mark.parametrize("text", PAYLOADS)
def test_the_summary(text: str) -> None:
    """A step is named by a line of the log."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="\n")
    seen = TraceRecorder()
    for number, step in enumerate([f"step {text}", "other", "other"], 1):
        at = msgspec.structs.replace(
            event(text), id=number, time=9.0 * number, step=step, step_key=f"key-{number}"
        )
        seen.add(at)
    seen.add(msgspec.structs.replace(at, phase=Phase.READY, time=30.0))
    print_rows(summarize(seen.trace()), out=out)
    out.seek(0)
    shown = out.read()
    assert "step" in shown, shown
    assert not UNSAFE.search(shown), repr(shown)


# -- a server that answers what it likes


class Hostile(BaseHTTPRequestHandler):
    """Refuses every launch, with a sentence of the attacker's choice."""

    text = ""

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        body = json.dumps({"error": {"message": f"Sorry {self.text}.", "status": 403}}).encode()
        self.send_response(403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815 - the base class names it

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def hostile(text: str) -> Iterator[str]:
    handler = type("Handler", (Hostile,), {"text": text})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def in_terminal(*command: str, env: dict[str, str]) -> str:
    """Run a command in a terminal, and return all that it writes there."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [str(BIN / command[0]), *command[1:]],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=env,
    )
    os.close(follower)
    written = b""
    try:
        while chunk := os.read(leader, 65536):
            written += chunk
    except OSError:
        pass  # how Linux tells that the other side is closed
    finally:
        os.close(leader)
        process.wait(60)
    return written.decode()


EVERYTHING = "".join(str(payload.values[0]) for payload in PAYLOADS)


@pytest.mark.parametrize("command", ["launch", "check"])
def test_what_a_server_refuses_with(command: str, env: dict[str, str]) -> None:
    """Somebody is told to launch at a server, which answers with more than a sentence."""
    with hostile(EVERYTHING) as address:
        written = in_terminal(
            "binderprogress", command, "gh/a/b/c", "--server", address, env={**env, "TERM": "xterm"}
        )
    assert "Sorry" in written
    assert "Traceback" not in written
    left = RICH.sub("", written)
    assert not UNSAFE.search(left), repr(left)
