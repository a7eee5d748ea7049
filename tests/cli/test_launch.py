"""`binderprogress launch`, on a server that `binderprogress serve` runs."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from binderprogress.client import AsyncClient
from binderprogress.core.events import Event, decode
from binderprogress.core.phases import Phase
from binderprogress.errors import ServerUnreachableError

from ..support.archives import archives, certificates
from ..support.asynchronous import asynchronous
from ..support.forked import run
from ..support.gone import gone, within
from ..support.long import usually
from ..support.packages import small_jupyter
from ..support.processes import BIN, program
from ..support.repositories import repository
from ..support.terminal import in_terminal, in_words
from ..support.waiting import until
from .conftest import Server

pytestmark = pytest.mark.hub

Launch = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def launch(env: dict[str, str]) -> Launch:
    """Run the command until it exits."""

    def run_launch(
        *arguments: str, variables: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        variables = {**env, **(variables or {})}
        done = run("launch", *arguments, env=variables, timeout=150, folder=folder)
        assert "Traceback" not in done.stdout + done.stderr
        return done

    return run_launch


LAB = {"requirements.txt": "jupyterlab>=4\n"}
SMALL = {"requirements.txt": f"{small_jupyter()}\n"}


def make(server: Server, name: str, files: Mapping[str, str] | None = None) -> str:
    return str(repository(server.folder / name, files))


def events(stdout: str) -> list[Event]:
    """Parse the output of --json, and check the ids and the last event."""
    received = [decode(line) for line in stdout.splitlines()]
    assert [event.id for event in received] == list(range(1, len(received) + 1))
    assert [event.terminal for event in received] == [False] * (len(received) - 1) + [True]
    progress = [event.progress for event in received]
    assert progress == sorted(progress)
    return received


def sentences(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


# -- to a good end


def test_a_server_of_its_own(
    launch: Launch, server: Server, make_repository: Callable[..., Path]
) -> None:
    """Without --server, and with a proxy, which is not used for loopback."""
    folder = make_repository(files=LAB)
    config = server.folder / "config.py"
    # Only https is set, for the package index.
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy"), "http://127.0.0.1:9")
    done = launch(".", "--json", "-f", str(config), folder=folder, variables=proxies)
    assert done.returncode == 0, done.stderr
    received = events(done.stdout)
    assert received[-1].phase is Phase.READY
    assert received[-1].progress == 100
    assert received[-1].token
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", received[-1].url)
    assert received[-1].repo_url == folder.as_uri()
    phases = list(dict.fromkeys(event.phase.value for event in received))
    assert phases == ["waiting", "fetching", "building", "built", "launching", "ready"]
    assert done.stderr == ""
    assert not within(folder), "it is stopped with the command"


@pytest.mark.long
def test_a_doi_on_a_server_of_its_own(
    launch: Launch, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a record to a running server. The archive is simulated."""
    with archives(certificates(tmp_path), monkeypatch) as double:
        double.zenodo({f"penguins-1/{name}": text for name, text in SMALL.items()})
        names = ("HTTPS_PROXY", "https_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
        done = launch(
            "10.5281/zenodo.3242073",
            *("--json", "-f", str(server.folder / "config.py")),
            variables={name: os.environ[name] for name in names},
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [event.phase for event in events(done.stdout)][-1] is Phase.READY
    ready = json.loads(done.stdout.splitlines()[-1])
    assert ready["repo_url"] == "https://doi.org/10.5281/zenodo.3242073"
    # The version that was launched.
    assert ready["binder_ref_url"] == "https://doi.org/10.5281/zenodo.3242074"
    assert ready["binder_request"] == "v2/zenodo/10.5281/zenodo.3242073"
    assert ready["binder_persistent_request"] == "v2/zenodo/10.5281/zenodo.3242074"


def test_a_ckan_is_allowed_by_who_names_it(launch: Launch, server: Server) -> None:
    """Without --server. A running server refuses it, and names the setting."""
    spec = "ckan/http%3A%2F%2F127.0.0.1%3A9%2Fdataset%2Fpenguins"
    for arguments, reason, sentence in (
        ([], "host-unreachable", "127.0.0.1:9 did not respond: Connection refused."),
        (["--server", server.url], "refused", "c.Archives.ckan_sites"),
    ):
        done = launch(spec, "--json", *arguments)
        assert done.returncode == 1, done.stdout + done.stderr
        last = events(done.stdout)[-1]
        assert (last.phase, last.reason) == (Phase.FAILED, reason)
        assert sentence in last.message


def test_on_a_server_in_plain_text(launch: Launch, server: Server) -> None:
    """Without a terminal. The server keeps running after the command has exited."""
    folder = make(server, "good", SMALL)
    done = launch(folder, "--server", server.url, "--ref", "main", "--urlpath", "lab/tree/a.ipynb")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    labels = [line.split()[1] for line in lines if line.startswith("== ")]
    assert labels == ["Checking", "Fetching", "Building", "Built", "Launching", "Ready", "Where"]
    summary = lines[lines.index(next(line for line in lines if line.startswith("== Where"))) :]
    assert any(re.fullmatch(r"Building: \d+(\.\d)? s", line) for line in summary)
    assert "Looking up main of file://" in done.stdout
    assert "-- Starting the server" in lines
    opened = re.fullmatch(r"Open (http://\S+/)lab/tree/a\.ipynb\?token=(\S+)", lines[-1])
    assert opened is not None, lines[-1]
    status = f"{opened[1]}api/status"
    assert requests.get(status, params={"token": opened[2]}, timeout=60).status_code == 200
    assert requests.get(status, timeout=60).status_code == 403
    assert "\x1b" not in done.stdout
    assert "\r" not in done.stdout


# -- to a bad end, and what to do


def failing(server: Server) -> dict[str, tuple[list[str], str, str]]:
    good = make(server, "for-failing")
    bad = make(server, "bad", {"requirements.txt": "six==99.99\n"})
    apt = make(server, "apt", {"apt.txt": "gcc\n", "requirements.txt": "six\n"})
    outside = repository(server.folder.parent / "outside").as_uri()
    return {
        "a bad ref": ([good, "--ref", "mian"], "bad-ref", "Its branches are: main."),
        "an unreachable host": (
            ["http://127.0.0.1:9/a/b.git"],
            "host-unreachable",
            "Check the address",
        ),
        "a failing requirement": ([bad], "unsatisfiable-requirement", "in requirements.txt"),
        "what needs an engine": ([apt], "unsupported-file", "--engine docker"),
        "a folder that is not allowed": ([outside], "refused", "c.GitResolver.local_folders"),
        "a folder without git": (
            [str(server.folder / "environments")],
            "private-or-missing",
            "git init",
        ),
    }


def test_a_build_alone(env: dict[str, str], server: Server) -> None:
    folder = make(server, "built-only")
    for _ in range(2):
        done = subprocess.run(
            [BIN / "binderprogress", "build", folder, "--server", server.url],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert Path(done.stdout.splitlines()[-1]).is_dir()
        assert "Launching" not in done.stdout
    assert "Done! Found built image" in done.stdout


def test_failures_end_with_1_and_one_sentence(launch: Launch, server: Server) -> None:
    (server.folder / "environments").mkdir(exist_ok=True)
    for what, (arguments, reason, advice) in failing(server).items():
        done = launch(*arguments, "--server", server.url, "--json")
        assert done.returncode == 1, what
        last = events(done.stdout)[-1]
        assert (last.phase, last.reason) == (Phase.FAILED, reason), what
        assert last.progress < 100
        assert len(sentences(done.stderr)) == 1, done.stderr
        assert advice in done.stderr, what
        assert last.message.strip() in done.stderr


def test_a_failure_in_plain_text(launch: Launch, server: Server) -> None:
    bad = make(server, "bad-plain", {"requirements.txt": "six==99.99\n"})
    done = launch(bad, "--server", server.url)
    assert (done.returncode, done.stderr) == (1, "")
    assert "== Failed" not in done.stdout
    lines = done.stdout.splitlines()
    log = next(at for at, line in enumerate(lines) if line.startswith("The log of the build"))
    assert lines[log].startswith(f"The log of the build is kept at {server.url}builds/")
    why, what, *evidence, where, command, ending = lines[log + 1 :]
    assert why == "The requirement six==99.99 cannot be satisfied."
    assert what == "Correct the name or the version in requirements.txt."
    assert evidence
    assert all(re.match(r" *\d+  \S", line) for line in evidence)
    assert where.startswith("Building: ")
    assert command.startswith("Try: ${EDITOR:-vi} ")
    assert re.fullmatch(r"The launch failed after \d+(\.\d)? s\.", ending)


# -- no server


class NoBinder(BaseHTTPRequestHandler):
    """Respond to all requests with `content`, like an unrelated server."""

    content = b"<h1>Hello</h1>"
    status = 200

    def do_POST(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    do_GET = do_POST  # noqa: N815 - the base class names it

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def answering(status: int, content: bytes) -> Iterator[str]:
    handler = type("Handler", (NoBinder,), {"status": status, "content": content})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def check_unreachable(done: subprocess.CompletedProcess[str], address: str) -> None:
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert len(sentences(done.stderr)) == 1
    assert address in done.stderr


def test_nobody_listens(launch: Launch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        check_unreachable(launch("gh/a/b/c", "--server", address), address)
    check_unreachable(launch("gh/a/b/c", "--server", "no-address"), "no-address")


OTHERS = [
    (200, b"<h1>Hello</h1>"),
    (501, b"<h1>Unsupported method</h1>"),
    (200, b"[1, 2]"),
    (201, b'{"id": 1}'),
    (404, b'{"error": "not found"}'),
    (200, b"\xff\xfe"),
]


def test_what_answers_is_something_else(launch: Launch) -> None:
    with answering(*OTHERS[0]) as address:
        check_unreachable(launch("gh/a/b/c", "--server", address), address)


@pytest.mark.parametrize(("status", "content"), OTHERS)
@asynchronous(20)
async def test_what_answers_makes_no_sense(status: int, content: bytes) -> None:
    with answering(status, content) as address:
        for kind in (None, "binderprogress"):
            async with AsyncClient(address, kind=kind) as client:
                with pytest.raises(ServerUnreachableError, match=address):
                    await client.start("gh/a/b/c")


def test_a_server_that_answers_with_control_characters(launch: Launch) -> None:
    """Attack: an error message with control characters for the terminal."""
    content = json.dumps({"error": {"message": "No\x1b]0;evil\x07\x1b[2J\x9b2J.", "status": 403}})
    with answering(403, content.encode()) as address:
        done = launch("gh/a/b/c", "--server", address)
    assert (done.returncode, done.stderr) == (1, "No.\n")


# -- in a terminal

# What a repository can print: a window title, a cleared screen, in 7 and in 8 bits.
EVIL = "\033]0;owned\007before\033[2J\033[Hafter\302\2332J \033P1;2qdcs\033\\end\n"
SHOWY = (
    "#!/bin/sh\nprintf '"
    + EVIL.replace("\033", "\\033").replace("\007", "\\007")
    + "'\nprintf '10 percent\\r'\nuntil [ -e {go} ]; do sleep 0.1; done\necho done with it\n"
)
# What is shown of it: the time left, if there is any on this machine, and the line that ends in \r.
REMAINING = r"\d+ s · .*(left|longer than usual)"
UPDATED = r"10 percent +\d+ s"


def test_the_display_in_a_terminal(env: dict[str, str], server: Server) -> None:
    go = server.folder / "go"
    folder = make(server, "showy", {**SMALL, "postBuild": SHOWY.replace("{go}", str(go))})

    def shown(text: str) -> None:
        """Let postBuild end when all that is shown during the build was shown."""
        if all(re.search(pattern, text) for pattern in ("Running postBuild", REMAINING, UPDATED)):
            go.touch()

    arguments = ["launch", folder, "--server", server.url, "--no-open"]
    code, written = in_terminal(arguments, env, shown=shown)
    assert code == 0, written
    # Labels, steps, percent, elapsed and remaining time.
    text = in_words(written)
    # Not the first phases, which may be shorter than the refresh interval.
    for label in ("Building", "Launching", "Ready"):
        assert re.search(rf"^{label} .*\d+%$", text, re.MULTILINE), label
    assert "Running postBuild" in text
    assert re.search(REMAINING, text)
    assert "100%" in text
    assert "done with it" in text
    # Lines that end in \r are shown below the bar, and not in the log.
    assert re.search(UPDATED, text)
    assert not re.search(r"^10 percent$", text, re.MULTILINE)
    assert re.search(r"Open http://127\.0\.0\.1:\d+/user/\S+token=", text)
    # Attack: control characters in the log are removed.
    assert "before" in text
    assert "after" in text
    for sequence in ("\x1b]", "\x07", "\x1b[2J", "\x1b[H", "\x9b", "\x1bP", "owned"):
        assert sequence not in written, repr(sequence)


@pytest.mark.long
def test_a_failure_in_a_terminal(env: dict[str, str], server: Server) -> None:
    bad = make(server, "bad-terminal", {"requirements.txt": "six==99.99\n"})
    code, written = in_terminal(["launch", bad, "--server", server.url], env)
    text = in_words(written)
    assert code == 1
    assert "Correct the name or the version in requirements.txt" in " ".join(text.split())
    assert not re.search(r"Failed\s", text)
    assert text.count("six==99.99 cannot be satisfied") == 1
    assert re.search(r"The launch failed after \d+(\.\d)? s\.\s*$", text)
    assert "100%" not in text
    assert "Traceback" not in text


# -- interrupted

BLOCKING = {"postBuild": "#!/bin/sh\necho blocking\nsleep 600\n"}


def ended(server: Server, phase: str) -> int:
    text = requests.get(f"{server.url}metrics", timeout=60).text
    match = re.search(rf'launches_ended_total{{phase="{phase}"}} (\d+)', text)
    assert match is not None, text
    return int(match[1])


@contextmanager
def blocked(server: Server, name: str, env: dict[str, str], log: Path) -> Iterator[Any]:
    """Run a launch whose build never ends, and wait until the build has started."""
    folder = make(server, name, BLOCKING)
    arguments = ["binderprogress", "launch", folder, "--server", server.url, "--json"]
    with program(*arguments, env=env, log=log) as running:
        while decode(running.line(timeout=120)).message != "blocking\n":
            continue
        yield running


@pytest.mark.parametrize("number", usually([signal.SIGINT, signal.SIGTERM], signal.SIGINT))
def test_interrupted(
    number: signal.Signals, env: dict[str, str], server: Server, tmp_path: Path
) -> None:
    before = ended(server, "cancelled")
    name = f"blocking-{number.name}".lower()
    with blocked(server, name, env, tmp_path / "log") as running:
        (environment,) = (server.folder / "environments").glob(f"{name}-*[0-9a-f]")
        build = within(environment)
        assert build
        running.signal(number)
        assert running.wait(5) == 130
    assert gone(build), "the launch is cancelled on the server, and its build with it"
    assert (tmp_path / "log").read_text() == "Interrupted. The launch was cancelled.\n"
    until(lambda: ended(server, "cancelled") != before)


@pytest.mark.long
def test_interrupted_while_the_server_does_not_answer(
    env: dict[str, str], server: Server, tmp_path: Path
) -> None:
    with blocked(server, "blocking-stopped", env, tmp_path / "log") as running:
        server.running.signal(signal.SIGSTOP)
        try:
            running.signal(signal.SIGINT)
            assert running.wait(5) == 130
        finally:
            server.running.signal(signal.SIGCONT)
    said = (tmp_path / "log").read_text()
    assert said.startswith("Interrupted. The server does not respond."), said
    assert "Traceback" not in said


def test_interrupted_before_the_server_has_answered(env: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        arguments = ["binderprogress", "launch", "gh/a/b/c", "--server", address]
        with program(*arguments, env=env, log=tmp_path / "log") as running:
            connection, _ = silent.accept()
            with connection:
                running.signal(signal.SIGINT)
                assert running.wait(5) == 130
    assert (tmp_path / "log").read_text() == "Interrupted.\n"


SLOW_START = """\
import time
from pathlib import Path

def slowly():
    time.sleep(5)
    Path({done!r}).touch()
    raise OSError("This does not matter any more.")

c.Extensions.make_history = slowly
c.LocalBuilder.environments = {environments!r}
"""


@pytest.mark.long
def test_interrupted_while_its_own_server_starts(env: dict[str, str], tmp_path: Path) -> None:
    """At once, although what starts cannot be interrupted."""
    folder, done, config = tmp_path / "folder", tmp_path / "done", tmp_path / "config.py"
    repository(folder)
    config.write_text(
        SLOW_START.format(done=str(done), environments=str(tmp_path / "environments"))
    )
    said_at_once = []

    def shown(text: str) -> None:
        if "Interrupted." in text:
            said_at_once.append(not done.exists())

    arguments = ["launch", str(folder), "-f", str(config)]
    code, written = in_terminal(
        arguments, env, shown=shown, interrupt_at="Starting a server on this machine"
    )
    assert (code, said_at_once[0]) == (130, True)
    # Of what was done before, nothing is left: the cursor goes back, and the line is erased.
    *_, last = re.split(r"\x1b\[2K", written)
    assert last == "Interrupted.\r\n"


# -- the demo


def test_the_demo_says_one_line(demo: dict[str, Any]) -> None:
    assert list(demo) == ["url", "hub", "examples"]
    assert [set(example) for example in demo["examples"]] == [{"slug", "title", "spec"}] * 3
    for address in (demo["url"], f"{demo['hub']}hub/api/"):
        assert requests.get(address, timeout=60).status_code == 200
