"""`binderprogress check`, with real kernels in servers that a real JupyterHub starts."""

from __future__ import annotations

import json
import signal
import socket
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psutil
import pytest

from binderprogress.cli.check_report import Status
from binderprogress.cli.repository_check import RepositoryCheck
from binderprogress.client import AsyncClient
from binderprogress.client.kernel import Kernel
from binderprogress.core.specs import from_address
from binderprogress.errors import RunFailedError

from ..support.asynchronous import asynchronous
from ..support.gone import within
from ..support.packages import plain_jupyter
from ..support.processes import program
from ..support.replay import stage
from ..support.repositories import repository
from ..support.standalone import Running, running
from ..support.waiting import until
from .conftest import Check

pytestmark = pytest.mark.hub

# It creates a file to show that it has started.
WAITING = "import pathlib, time\npathlib.Path({path!r}).touch()\ntime.sleep(600)"


def notebook(
    *cells: str, kernel: str = "python3", tags: Mapping[int, list[str]] | None = None
) -> str:
    """Return the JSON of a notebook with a text cell and code cells."""
    text = {"cell_type": "markdown", "id": "text", "metadata": {}, "source": "# Hello"}
    code = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {"tags": (tags or {}).get(number, [])},
            "execution_count": None,
            "outputs": [],
            "source": cell,
        }
        for number, cell in enumerate(cells, 1)
    ]
    metadata = {"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}}
    notebook_json = {
        "cells": [text, *code],
        "metadata": metadata,
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook_json)


class Site(NamedTuple):
    """A server, and a repository with notebooks for it to launch."""

    server: Running
    folder: Path
    repository: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("check")
    files = {
        "good.ipynb": notebook("x = 1", "", "assert x == 1"),
        "deep/er/relative.ipynb": notebook("assert open('here.txt').read() == 'here\\n'"),
        "deep/er/here.txt": "here\n",
        "raises.ipynb": notebook("x = 1", "def f(): raise ValueError('b\\x07ad')", "f()", "0"),
        "may-raise.ipynb": notebook(
            "1/0", "skip me", tags={1: ["raises-exception"], 2: ["skip-execution"]}
        ),
        "dies.ipynb": notebook("import os", "os._exit(1)", "never = 1"),
        "asks.ipynb": notebook("input('Who?')"),
        "no-kernel.ipynb": notebook("0", kernel="nobody-has-this"),
        "takes-the-server.ipynb": notebook(
            "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"
        ),
        "waits.ipynb": notebook("0", WAITING.format(path=str(folder / "waits"))),
        "no-notebook.ipynb": "{",
    }
    path_to_repository = repository(folder / "notebooks", files)
    # JupyterHub polls to notice that a server has stopped.
    more = {"hub_config": {"Spawner": {"poll_interval": 1}}}
    packages = {"base_packages": [plain_jupyter(), "ipykernel"]}
    with running(folder, Standalone=more, LocalBuilder=packages) as server:
        server.call(server.standalone.hub.available())  # type: ignore[union-attr]
        yield Site(server, folder, path_to_repository)


def left(server: Running) -> list[str]:
    """List the users whose servers JupyterHub considers to be running."""
    return [user["name"] for user in server.hub("users") if user["servers"]]


@pytest.fixture
def nothing_left(site: Site) -> Iterator[None]:
    """The test leaves no server running in JupyterHub."""
    yield
    # JupyterHub polls once a second.
    until(lambda: not left(site.server), lambda: str(left(site.server)))


# -- the demo's examples


def servers(url: str) -> set[int]:
    """The Jupyter servers among the descendants of the process that listens at an address."""
    port = urlsplit(url).port
    listening = psutil.net_connections("tcp")
    (pid,) = {c.pid for c in listening if c.status == psutil.CONN_LISTEN and c.laddr.port == port}
    found = set()
    for process in psutil.Process(pid).children(recursive=True):
        try:
            if "--ServerApp.root_dir" in " ".join(process.cmdline()):
                found.add(process.pid)
        except psutil.Error:
            continue  # it has just stopped
    return found


@pytest.mark.long
def test_the_examples(check: Check, demo: dict[str, Any], tmp_path: Path) -> None:
    specs = {example["slug"]: example["spec"] for example in demo["examples"]}
    before = servers(demo["url"])
    for slug in ("notebook", "dashboard"):
        done = check(specs[slug], "--server", demo["url"], "--all-notebooks", "--json")
        assert (done.code, done.err) == (0, ""), done.out
        assert done.report["ok"]
        assert [case["status"] for case in done.report["cases"]] == ["passed"] * 3
        assert servers(demo["url"]) == before
    done = check(specs["failing"], "--server", demo["url"], "--all-notebooks", "--json")
    assert done.code == 1
    assert (done.report["ok"], done.report["kind"]) == (False, "build-failed")
    build = done.cases["build"]
    assert build["reason"] == "unsatisfiable-requirement"
    assert build["message"] == "The requirement six==99.99 cannot be satisfied."
    assert any("six==99.99" in line for line in build["evidence"])
    assert "status" not in done.cases["launch"], "skipped"
    assert servers(demo["url"]) == before


# -- what works


@pytest.mark.usefixtures("nothing_left")
def test_notebooks_that_run(check: Check, site: Site) -> None:
    names = ["./good.ipynb", "deep/er/relative.ipynb", "may-raise.ipynb"]
    named = [word for name in names for word in ("--notebook", name)]
    done = check(site.repository, "--server", site.server.url, *named)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line.partition(": ok (")[0] for line in lines if ": ok (" in line] == [
        "build",
        "launch",
        "good.ipynb",
        "deep/er/relative.ipynb",
        "may-raise.ipynb",
    ]
    assert any(line.startswith("good.ipynb: ok (2 cells, ") for line in lines)
    assert lines[-1].startswith("Check passed (")


@pytest.mark.long
def test_code_on_a_server_that_the_command_starts(check: Check, site: Site) -> None:
    config = site.folder / "config.py"
    config.write_text(
        f"c.LocalBuilder.environments = {str(site.folder / 'environments')!r}\n"
        f"c.LocalBuilder.base_packages = {[plain_jupyter(), 'ipykernel']!r}\n"
        "c.LocalBuilder.link_mode = 'hardlink'\n"
    )
    done = check(site.repository, "--json", "-f", config)
    assert (done.code, done.err) == (0, "")
    assert list(done.cases) == ["build", "launch", "kernel"]
    assert done.cases["kernel"]["cells"] == 1
    assert not within(site.repository), "the server is stopped"


# -- what does not


FAILING = {
    "raises.ipynb": ("cell-failed", "Cell 3 of 4: ValueError: bad"),
    "dies.ipynb": ("kernel-died", "Cell 2 of 3: The kernel died."),
    "asks.ipynb": ("cell-failed", "Cell 1 of 1: StdinNotImplementedError: "),
    "no-kernel.ipynb": ("no-kernel", "The kernel 'nobody-has-this' is not installed."),
    "no-notebook.ipynb": ("no-notebook", "'no-notebook.ipynb' is not a notebook."),
    "not/there.ipynb": ("no-notebook", "There is no notebook 'not/there.ipynb'."),
    # Nothing can be run after this.
    "takes-the-server.ipynb": ("server-lost", "Cell 1 of 1: The connection to the kernel was lost"),
    "good.ipynb": ("", ""),
}


@pytest.mark.long
@pytest.mark.usefixtures("nothing_left")
def test_kinds_of_failures(check: Check, site: Site, tmp_path: Path) -> None:
    named = [word for name in FAILING for word in ("--notebook", name)]
    xml = tmp_path / "report.xml"
    done = check(site.repository, "--server", site.server.url, *named, "--json", "--junit", xml)
    assert done.code == 1
    assert done.err == "", "the server has already stopped"
    assert (done.report["case"], done.report["kind"]) == ("raises.ipynb", "cell-failed")
    for name, (kind, message) in FAILING.items():
        case = done.cases[name]
        assert case.get("kind", "") == kind, name
        assert case.get("message", "").startswith(message), case
    raised = done.cases["raises.ipynb"]
    assert (raised["exception"], raised["value"]) == ("ValueError", "bad")
    assert "def f()" in raised["traceback"]
    assert "\x1b" not in raised["traceback"]
    assert "memory" in done.cases["dies.ipynb"]["advice"]

    suite = ET.parse(xml).getroot().find("testsuite")  # noqa: S314 - our own document
    assert suite is not None
    counts = [suite.get(name) for name in ("tests", "failures", "errors", "skipped")]
    assert counts == ["10", "7", "0", "1"]
    failures = {case.get("name"): case.find("failure") for case in suite.iter("testcase")}
    assert failures["build"] is failures["launch"] is failures["good.ipynb"] is None
    died = failures["dies.ipynb"]
    assert died is not None
    assert died.get("type") == "kernel-died"


@pytest.mark.long
@pytest.mark.usefixtures("nothing_left")
def test_all_notebooks_and_a_cell_that_takes_too_long(check: Check, site: Site) -> None:
    folder = repository(
        site.folder / "slow",
        {"b.ipynb": notebook("import time; time.sleep(600)"), "a/c.ipynb": notebook("0")},
    )
    arguments = [folder, "--server", site.server.url, "--all-notebooks", "--cell-timeout", "1"]
    done = check(*arguments, "--json")
    assert done.code == 1
    assert list(done.cases) == ["build", "launch", "a/c.ipynb", "b.ipynb"]
    assert done.cases["a/c.ipynb"]["status"] == "passed"
    slow = done.cases["b.ipynb"]
    assert (slow["status"], slow["kind"]) == ("failed", "cell-timeout")
    assert slow["message"] == "Cell 1 of 1: Timed out after 1 s."


@pytest.mark.long
@pytest.mark.usefixtures("nothing_left")
def test_a_repository_without_notebooks(check: Check, site: Site) -> None:
    folder = repository(site.folder / "empty")
    done = check(folder, "--server", site.server.url, "--all-notebooks", "--json")
    assert (done.code, done.report["kind"]) == (1, "no-notebook")
    assert done.report["message"] == "The repository has no notebooks."


@pytest.mark.usefixtures("nothing_left")
def test_code_that_fails_as_text(check: Check, site: Site) -> None:
    done = check(site.repository, "--server", site.server.url, "--code", "1/0")
    assert done.code == 1
    assert "kernel: failed. Cell 1 of 1: ZeroDivisionError: division by zero\n" in done.out
    assert "    ZeroDivisionError: division by zero\n" in done.out
    assert done.err == ("Check failed: kernel: Cell 1 of 1: ZeroDivisionError: division by zero\n")


def test_a_server_that_does_not_start(check: Check) -> None:
    with stage() as server:
        server.built()
        server.fail_start("start-timeout")
        done = check("gh/ada/penguins/HEAD", "--server", server.url, "--json")
    assert (done.code, done.report["kind"]) == (1, "launch-failed")
    assert done.cases["build"]["status"] == "passed"
    launch = done.cases["launch"]
    assert (launch["status"], launch["reason"]) == ("failed", "start-timeout")
    assert "status" not in done.cases["kernel"]


def test_a_server_that_refuses(check: Check) -> None:
    with stage(LaunchManager={"max_launches": 0}) as server:
        done = check("gh/ada/penguins/HEAD", "--server", server.url, "--json")
    assert (done.code, done.report["kind"]) == (3, "refused")
    assert done.cases["build"]["status"] == "error"


@pytest.mark.long
@pytest.mark.usefixtures("nothing_left")
@asynchronous(90)
async def test_a_lost_reply(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error, not a failure of the notebook, and the next notebook is run."""
    execute = Kernel.execute

    async def lose(kernel: Kernel, code: str, *, timeout: float) -> None:
        if code == "1/0":
            raise RunFailedError("It is lost.", kind="reply-lost")
        await execute(kernel, code, timeout=timeout)

    monkeypatch.setattr(Kernel, "execute", lose)
    async with AsyncClient(site.server.url) as client:
        checking = RepositoryCheck(
            client,
            str(from_address(site.repository.as_uri())),
            notebooks=["may-raise.ipynb", "good.ipynb"],
            code="",
            cell_timeout=30,
            timeout=60,
            on_event=lambda _: None,
            on_case=lambda _: None,
        )
        await checking.run()
        await checking.clean_up()
    report = checking.report()
    assert (report.case, report.kind) == ("may-raise.ipynb", "reply-lost")
    assert [case.status for case in report.cases[2:]] == [Status.ERROR, Status.PASSED]


# -- stopped early


@pytest.mark.long
@pytest.mark.usefixtures("nothing_left")
def test_a_check_that_takes_too_long(check: Check, site: Site) -> None:
    arguments = [site.repository, "--server", site.server.url, "--notebook", "waits.ipynb"]
    done = check(*arguments, "--json", "--timeout", "20")
    assert (done.code, done.report["kind"]) == (3, "timeout")
    case = done.cases["waits.ipynb"]
    assert case["status"] == "error"
    assert case["message"] == "Cell 2 of 2: The check timed out after 20 s."


@pytest.mark.usefixtures("nothing_left")
def test_interrupted_while_a_cell_runs(site: Site, env: dict[str, str], tmp_path: Path) -> None:
    begun = site.folder / "waits"
    begun.unlink(missing_ok=True)
    xml = tmp_path / "report.xml"
    arguments = [str(site.repository), "--server", site.server.url, "--notebook", "waits.ipynb"]
    log = tmp_path / "log"
    with program(
        "binderprogress", "check", *arguments, "--json", "--junit", str(xml), env=env, log=log
    ) as checking:
        until(begun.exists)
        checking.signal(signal.SIGINT)
        assert checking.wait(20) == 130
        report = json.loads(checking.line(5))
    assert log.read_text() == ""
    assert (report["ok"], report["kind"]) == (False, "interrupted")
    case = report["cases"][-1]
    assert (case["status"], case["message"]) == ("error", "Cell 2 of 2: Interrupted.")
    assert b'<error type="interrupted"' in xml.read_bytes()


@pytest.mark.long
@pytest.mark.usefixtures("nothing_left")
def test_interrupted_during_the_build(site: Site, env: dict[str, str], tmp_path: Path) -> None:
    folder = repository(site.folder / "blocking", {"postBuild": "#!/bin/sh\necho on\nsleep 600\n"})
    arguments = [str(folder), "--server", site.server.url]
    log = tmp_path / "log"
    command = ["binderprogress", "check", *arguments]
    with program(*command, env=env, log=log, plain=True) as checking:
        while checking.line() != "on\n":
            continue
        checking.signal(signal.SIGTERM)
        assert checking.wait(10) == 130
    assert log.read_text() == "Check failed: build: Interrupted.\n"
    # The server cleans up in the background.
    until(lambda: not site.server.standalone.launches.running)


# -- no server


def test_no_server(check: Check, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nothing listens there
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        xml = tmp_path / "report.xml"
        done = check("gh/a/b/c", "--server", address, "--json", "--junit", xml)
    assert (done.code, done.report["kind"]) == (3, "unreachable")
    assert address in done.cases["build"]["message"]
    assert b'<error type="unreachable"' in xml.read_bytes()


@pytest.mark.long
def test_a_report_that_cannot_be_written(check: Check, tmp_path: Path) -> None:
    """The result of the check is still printed, and decides the exit code."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nothing listens there
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = check("gh/a/b/c", "--server", address, "--json", "--junit", tmp_path)
    assert (done.code, done.report["kind"]) == (3, "unreachable")
    assert done.err == f"{tmp_path} could not be written: Is a directory.\n"
