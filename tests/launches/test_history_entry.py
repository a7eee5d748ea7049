"""The history entry of an ended launch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from binderprogress.backends.base import BuildResult, PairedBackend, ResolvedSpec, RunningServer
from binderprogress.core.log.reader import Record
from binderprogress.core.log.reasons import failure
from binderprogress.core.phases import Phase
from binderprogress.core.specs import Spec, parse
from binderprogress.core.timing import breakdown as trace_module
from binderprogress.core.timing.breakdown import Trace
from binderprogress.core.timing.spans import PastLaunch, Span, spans
from binderprogress.history.database import Database
from binderprogress.history.store import NoHistory
from binderprogress.launches import Caller, Launch, LaunchManager
from binderprogress.launches import launch as launch_module
from binderprogress.launches import outcomes as outcomes_module

from ..support.channels import SuspendingChannelStore
from ..support.replay import PlayedBuilder, PlayedLauncher
from .parts import WITHIN, events_of, said, until

SPEC = "gh/ada/penguins/main"


class Kept(NoHistory):
    """A history in memory."""

    def __init__(self) -> None:
        self.launches: list[PastLaunch] = []
        self.new: asyncio.Queue[PastLaunch] = asyncio.Queue()

    def add(self, past: PastLaunch) -> None:
        self.launches.append(past)
        self.new.put_nowait(past)


class Played:
    """A manager whose builds and spawns a test controls."""

    def __init__(self) -> None:
        self.builder, self.launcher = PlayedBuilder(), PlayedLauncher()
        self.manager = LaunchManager(
            channels=SuspendingChannelStore(), backend=PairedBackend(self.builder, self.launcher)
        )
        self.kept = Kept()
        self.manager.history = self.kept

    async def start(self, spec: str | Spec = SPEC, **caller: str) -> Launch:
        return await self.manager.start(
            parse(spec) if isinstance(spec, str) else spec, Caller(**caller)
        )

    async def past(self, launch: Launch) -> PastLaunch:
        """Watch a launch to its end, and return the next history entry."""
        await events_of(launch)
        return await asyncio.wait_for(self.kept.new.get(), WITHIN)


def played(test: Callable[[Played], Awaitable[None]]) -> Callable[[], None]:
    """Run a test in its own loop, with a manager that is closed at the end."""

    def run() -> None:
        async def main() -> None:
            stage = Played()
            try:
                await test(stage)
            finally:
                await stage.manager.close()

        asyncio.run(main())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


BUILD = [
    Record("repo2docker", '{"phase": "fetching", "message": "Cloning into x\\n"}\n'),
    Record("repo2docker", '{"phase": "building", "message": "Step 1/2 : FROM x\\n"}\n'),
]


@played
async def test_a_launch_that_is_ready(stage: Played) -> None:
    launch = await stage.start()
    for item in [*BUILD, BuildResult("registry.example.org/penguins:1")]:
        stage.builder.put(item)
    pulled = 'Successfully pulled image "x" in 3s. Image size: 123456789 bytes.'
    stage.launcher.put(Record("jupyterhub", {"progress": 50, "message": pulled}))
    stage.launcher.put(RunningServer("http://127.0.0.1/", "secret"))
    past = await stage.past(launch)
    assert (past.provider, past.repository) == ("gh", "https://github.com/ada/penguins")
    assert (past.ref, past.commit) == ("main", launch.state().commit)
    assert (past.outcome, past.reason, past.cold, past.joined) == (Phase.READY, "", True, False)
    assert (past.host, past.image) == ("", "registry.example.org/penguins:1")
    assert past.image_bytes == 123_456_789
    phases = [Phase.WAITING, Phase.FETCHING, Phase.BUILDING, Phase.BUILT, Phase.LAUNCHING]
    assert list(past.phase_seconds()) == phases
    assert past.began == launch.created


@played
async def test_one_whose_environment_was_there_is_warm(stage: Played) -> None:
    launch = await stage.start()
    stage.builder.put(BuildResult("/home/ada/environments/x", found=True))
    stage.launcher.put(RunningServer("http://127.0.0.1/", "secret"))
    past = await stage.past(launch)
    assert not past.cold
    assert past.image == ""  # a folder is not an image, and may contain the name of a user


@played
async def test_the_second_one_has_joined_the_build_of_the_first(stage: Played) -> None:
    first, second = await stage.start(), await stage.start()
    await until(first, said(""))
    for item in [*BUILD, BuildResult("image:1")]:
        stage.builder.put(item)
    for _ in range(2):
        stage.launcher.put(RunningServer("http://127.0.0.1/", "secret"))
    await stage.past(first)
    await stage.past(second)
    assert sorted(past.joined for past in stage.kept.launches) == [False, True]
    assert all(past.cold for past in stage.kept.launches)


@played
async def test_one_that_failed_says_why_and_how_far_it_came(stage: Played) -> None:
    launch = await stage.start()
    for item in [*BUILD, failure("build-failed")]:
        stage.builder.put(item)
    past = await stage.past(launch)
    assert past.outcome is Phase.FAILED
    assert past.reason == launch.last.reason != ""
    assert past.cold
    assert past.spans[-1].phase is Phase.BUILDING


@played
async def test_one_that_nobody_wanted_any_more(stage: Played) -> None:
    launch = await stage.start()
    stage.builder.put(BUILD[0])
    await until(launch, lambda event: event.phase is Phase.FETCHING)
    stage.manager.cancel(launch)
    past = await stage.past(launch)
    assert (past.outcome, past.reason) == (Phase.CANCELLED, "cancelled")
    assert past.spans[-1].phase is Phase.FETCHING


@played
async def test_one_that_was_cancelled_before_it_did_anything(stage: Played) -> None:
    launch = await stage.start()
    stage.manager.cancel(launch)
    past = await stage.past(launch)
    assert (past.outcome, past.cold, past.commit) == (Phase.CANCELLED, False, "")


@played
async def test_what_steps_did_is_not_kept(stage: Played) -> None:
    launch = await stage.start()
    line = '{"phase": "building", "message": "Step 1/2 : RUN pip install six\\n"}'
    stage.builder.put(Record("repo2docker", line))
    stage.builder.put(failure("build-failed"))
    past = await stage.past(launch)
    assert [span.command for span in launch.spans() if span.index] == ["pip install six"]
    assert [span.command for span in past.spans if span.index] == [""]


@played
async def test_what_runs_when_the_server_stops_is_kept_too(stage: Played) -> None:
    await stage.start()
    await stage.manager.close()
    assert [past.reason for past in stage.kept.launches] == ["shutdown"]


def test_what_cannot_be_kept_ends_as_any_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("an answer that nobody has seen before")

    monkeypatch.setattr(outcomes_module, "past_of", fail)

    async def run(stage: Played) -> None:
        over: asyncio.Queue[Trace] = asyncio.Queue()
        stage.manager.over.append(lambda _, trace: over.put_nowait(trace))
        launch = await stage.start()
        stage.builder.put(failure("build-failed", "The launch failed."))
        trace = await asyncio.wait_for(over.get(), WITHIN)
        assert (trace.phase, trace.reason) == (Phase.FAILED, "build-failed")
        assert stage.manager.ended == {Phase.FAILED: 1}
        assert stage.manager.running == 0
        assert stage.manager.get(launch.id) is launch
        assert stage.kept.launches == []

    played(run)()
    assert f"{SPEC} failed> could not be kept in the history" in caplog.text
    assert "an answer that nobody has seen before" in caplog.text


def test_where_the_time_went_is_made_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[Span]] = []

    def count(*arguments: Any, **named: Any) -> list[Span]:
        made.append(spans(*arguments, **named))
        return made[-1]

    for module in (launch_module, trace_module):
        monkeypatch.setattr(module, "spans", count)

    async def run(stage: Played) -> None:
        over: asyncio.Queue[Trace] = asyncio.Queue()
        stage.manager.over.append(lambda _, trace: over.put_nowait(trace))
        launch = await stage.start()
        stage.builder.put(failure("build-failed", "The launch failed."))
        past, trace = await stage.past(launch), await over.get()
        assert made == [past.spans]
        traced = [(span.phase, span.start, span.end) for span in trace.spans]
        assert traced == [(span.phase, span.start, span.end) for span in past.spans] != []

    played(run)()


@played
async def test_where_it_was(stage: Played) -> None:
    """The host that a source reports takes precedence over the configured one."""
    stage.manager.outcomes.host = "hub.example.org"
    for host in ("", "a.example.org"):
        launch = await stage.start()
        stage.builder.put(BuildResult("image:1"))
        stage.launcher.put(RunningServer("http://127.0.0.1/", "secret", {}, host))
        await stage.past(launch)
    assert [past.host for past in stage.kept.launches] == ["hub.example.org", "a.example.org"]


@played
async def test_what_only_a_binderhub_knows(stage: Played) -> None:
    commit = "0123456789" * 4
    fields = {"image": "theirs:1", "binder_persistent_request": f"v2/gh/ada/penguins/{commit}"}

    async def resolve(spec: Spec) -> ResolvedSpec:
        return ResolvedSpec(spec, "")

    stage.builder.resolve = resolve  # type: ignore[method-assign]
    launch = await stage.start()
    stage.builder.put(BuildResult("ours:1"))
    stage.launcher.put(RunningServer("http://127.0.0.1/", "secret", fields))
    past = await stage.past(launch)
    assert (past.image, past.commit) == ("theirs:1", commit)


# -- no personal data


PEOPLE = {
    "user": "grace-hopper",
    "ip": "203.0.113.77",
    "base_url": "https://hub.example.org/of-whom-it-is/",
}


def test_nothing_of_who_launches_gets_into_the_database(tmp_path: Path) -> None:
    """The file contains no IP address, user, token, or id of a launch."""
    file = tmp_path / "history.sqlite"
    secrets = [*PEOPLE.values(), "token-of-the-server", "/user/grace"]

    @played
    async def run(stage: Played) -> None:
        stage.manager.history = Database(f"sqlite:///{file}", log=logging.getLogger())
        launch = await stage.start(**PEOPLE)
        secrets.append(launch.id)
        with_login = Spec("git", "https://ada:pass-of-ada@git.example.org/x", "HEAD")
        other = await stage.start(with_login, **PEOPLE)
        secrets.append("pass-of-ada")
        for _ in range(2):
            for item in [*BUILD, BuildResult("image:1")]:
                stage.builder.put(item)
            stage.launcher.put(Record("jupyterhub", {"message": "Spawning for grace-hopper"}))
            url = "http://127.0.0.1/user/grace/?token=token-of-the-server"
            stage.launcher.put(RunningServer(url, "token-of-the-server"))
        await asyncio.gather(events_of(launch), events_of(other))
        await stage.manager.close()
        stage.manager.history.close()

    run()
    # The write-ahead log is merged at the end. Its file counts, too.
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"https://github.com/ada/penguins" in stored
    assert b"https://git.example.org/x" in stored
    assert [secret for secret in secrets if secret.encode() in stored] == []


@pytest.mark.parametrize("spec", ["git@example.org:ada/x", "ssh://git@example.org/x", "//[broken"])
def test_addresses_that_are_none_of_the_web_stay_as_they_are(spec: str) -> None:
    from binderprogress.launches.history_entry import address_of

    assert address_of(Spec("git", spec, "HEAD")) == spec
