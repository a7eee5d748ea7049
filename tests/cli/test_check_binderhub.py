"""`binderprogress check` at a plain BinderHub: interrupts, and errors that are not failures."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from ..support.binderhub import FULL, binderhub_in_thread, recorded
from ..support.processes import program
from ..support.waiting import until
from .conftest import Check

SPEC = "gh/binder-examples/requirements/HEAD"
LAUNCHING = [event.get("phase") for event in recorded("ok")].index("launching")
BANNED = "Sorry, binder-examples/requirements is not allowed to launch.\n"
FORBIDDEN = {"phase": "failed", "status_code": 403, "message": "Forbidden\n"}


def test_interrupted_during_the_launch(env: dict[str, str], tmp_path: Path) -> None:
    """BinderHub starts the server anyway, so the command waits for it and stops it."""
    log = tmp_path / "log"
    with binderhub_in_thread() as hub:
        hub.gate["ready"] = asyncio.Event()
        arguments = ["binderprogress", "check", SPEC, "--server", hub.url]
        with program(*arguments, env=env, log=log) as checking:
            while "Spawning server" not in checking.line(20):
                continue
            checking.signal(signal.SIGTERM)
            until(lambda: "Waiting for the server" in log.read_text())
            assert hub.stopped == []
            hub.release("ready")
            assert checking.wait(20) == 130
        assert hub.stopped == ["/binder/user/someone/"]
        assert hub.launches == 1
    assert log.read_text().splitlines()[1:] == ["Check failed: launch: Interrupted."]


def test_interrupted_during_the_build(env: dict[str, str], tmp_path: Path) -> None:
    """BinderHub starts no server for a client that left during the build."""
    log = tmp_path / "log"
    with binderhub_in_thread() as hub:
        hub.gate["built"] = asyncio.Event()
        arguments = ["binderprogress", "check", SPEC, "--server", hub.url]
        with program(*arguments, env=env, log=log) as checking:
            while "STEP" not in checking.line(20):
                continue
            checking.signal(signal.SIGTERM)
            assert checking.wait(20) == 130
        hub.release("built")
        # BinderHub runs in another thread.
        until(lambda: not hub.open)
        assert (hub.launches, hub.stopped) == (0, [])
    assert log.read_text() == "Check failed: build: Interrupted.\n"


@pytest.mark.parametrize(
    ("refusal", "instead", "cuts", "case", "reason"),
    [
        pytest.param(FORBIDDEN, {}, {}, "build", "refused", id="refused"),
        pytest.param(
            {"phase": "failed", "message": BANNED}, {}, {}, "build", "banned", id="banned"
        ),
        pytest.param(None, {"launching": FULL}, {}, "launch", "quota", id="quota"),
        pytest.param(
            {"phase": "failed", "message": "Rate limit exceeded. Try again in 60 minutes.\n"},
            *({}, {}, "build", "rate-limited"),
            id="rate-limited",
        ),
        pytest.param(None, {}, {1: LAUNCHING + 1}, "launch", "connection-lost", id="cut"),
    ],
)
def test_errors_that_are_not_failures_of_the_repository(
    check: Check,
    refusal: dict[str, Any] | None,
    instead: dict[str, dict[str, Any]],
    cuts: dict[int, int],
    case: str,
    reason: str,
) -> None:
    with binderhub_in_thread(cuts=cuts) as hub:
        hub.refusal = refusal
        hub.instead = instead
        done = check(SPEC, "--server", hub.url, "--json")
    kind = "unreachable" if reason == "connection-lost" else "refused"
    assert (done.code, done.report["case"], done.report["kind"]) == (3, case, kind)
    assert (done.cases[case]["status"], done.cases[case]["reason"]) == ("error", reason)


def test_a_build_that_fails_is_a_failure(check: Check) -> None:
    with binderhub_in_thread("badbuild") as hub:
        done = check(SPEC, "--server", hub.url, "--json")
    assert (done.code, done.report["kind"]) == (1, "build-failed")


@pytest.mark.parametrize("command", ["check", "launch"])
def test_a_token(env: dict[str, str], tmp_path: Path, command: str) -> None:
    typed = ["--token", "typed"]
    with binderhub_in_thread("badbuild") as hub:
        for more in ([], typed):
            arguments = ["binderprogress", command, SPEC, "--server", hub.url, *more]
            variables = {**env, "BINDERPROGRESS_TOKEN": "held"}
            with program(*arguments, env=variables, log=tmp_path / "log") as running:
                assert running.wait(20) == 1
        assert hub.tokens == ["token held", "token typed"]
