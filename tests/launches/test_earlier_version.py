"""An earlier version is offered while the newest one is built."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.backends.base import Environment, PairedBackend, ResolvedSpec
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.backends.local.marker import MARKER
from binderprogress.core.events import Earlier, Event
from binderprogress.core.phases import Phase
from binderprogress.core.specs import Spec, parse
from binderprogress.core.timing.spans import PastLaunch
from binderprogress.errors import LaunchFailedError
from binderprogress.launches import Caller, Launch, LaunchManager, branches
from binderprogress.launches.branches import Branches, Seen
from binderprogress.launches.earlier_version import earlier_message, find_earlier

from ..support.repositories import commit, git, repository
from .parts import NOTHING, Feed, events_of, gen_test, local, log_of, until

Make = Callable[..., LaunchManager]

HERE = "https://github.com/ada/penguins"
OLD, MIDDLE, NEW = "a" * 40, "b" * 40, "c" * 40


def past(commit: str, began: float, ref: str = "HEAD", **fields: Any) -> PastLaunch:
    known = {"provider": "gh", "repository": HERE, "outcome": Phase.READY, **fields}
    return PastLaunch(began=began, ref=ref, commit=commit, **known)


def learned(*launches: PastLaunch) -> Branches:
    known = Branches()
    for launch in launches:
        known.add(launch)
    return known


def commits(*launches: PastLaunch, ref: str = "HEAD", commit: str = NEW) -> list[str]:
    return [seen.commit for seen in learned(*launches).before(HERE, ref, commit)]


# -- which commits a branch had


def test_the_commits_of_a_branch_come_newest_first() -> None:
    assert commits(past(OLD, 1), past(MIDDLE, 2), past(OLD, 3)) == [MIDDLE, OLD]


def test_only_launches_of_the_branch_that_were_ready_count() -> None:
    assert commits(past(OLD, 1, outcome=Phase.FAILED)) == []
    assert commits(past(OLD, 1, ref="main")) == []
    assert commits(past(OLD, 1, repository="https://github.com/kim/penguins")) == []
    # The version of a record, and a commit that somebody asked for.
    assert commits(past("v1", 1), past("", 2)) == []
    assert commits(past(OLD, 1, ref=OLD), ref=OLD) == []


def test_a_branch_that_is_reset_gets_no_later_version_as_an_earlier_one() -> None:
    assert commits(past(OLD, 1), past(MIDDLE, 2), commit=OLD) == []
    assert commits(past(OLD, 1), past(MIDDLE, 2), past(NEW, 3), commit=MIDDLE) == [OLD]


@given(st.permutations(range(6)))
def test_the_order_in_which_launches_are_learned_does_not_matter(order: list[int]) -> None:
    launches = [past(OLD, 1), past(MIDDLE, 2), past(OLD, 3), past(NEW, 4), past(MIDDLE, 5)]
    launches.append(past("d" * 40, 0))
    wanted = learned(*launches).before(HERE, "HEAD", NEW)
    assert learned(*(launches[index] for index in order)).before(HERE, "HEAD", NEW) == wanted
    assert wanted == [Seen(MIDDLE, 2, 5), Seen(OLD, 1, 3), Seen("d" * 40, 0, 0)]


def test_few_commits_and_branches_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branches, "_MOST_COMMITS", 2)
    monkeypatch.setattr(branches, "_MOST_BRANCHES", 2)
    assert commits(past(OLD, 1), past(MIDDLE, 2), past("d" * 40, 3)) == ["d" * 40, MIDDLE]
    known = learned(past(OLD, 1), past(OLD, 2, "a"), past(OLD, 3), past(OLD, 4, "b"))
    assert known.before(HERE, "a", NEW) == []
    assert known.before(HERE, "HEAD", NEW)
    assert known.before(HERE, "b", NEW)


# -- which environment is offered


class Known(LocalBuilder):
    """Knows environments by their commits, and counts the questions."""

    def __init__(self, **environments: Environment) -> None:
        super().__init__()
        self.known = environments
        self.asked: list[str] = []

    async def find(self, resolved: ResolvedSpec) -> Environment | None:
        assert resolved.commit == resolved.spec.ref
        self.asked.append(resolved.commit[0])
        return self.known.get(resolved.commit[0])


async def found(builder: LocalBuilder, *seen: str, spec: str = "gh/ada/penguins/HEAD") -> Any:
    backend: Any = PairedBackend(builder, None)  # type: ignore[arg-type] # nothing is launched
    known = [Seen(letter * 40, 5.0, 9.0) for letter in seen]
    return await find_earlier(backend, ResolvedSpec(parse(spec), NEW), known)


@gen_test
async def test_the_newest_environment_is_offered_with_the_best_date() -> None:
    spec, version = f"gh/ada/penguins/{OLD}", {"commit": OLD}
    committed = Known(a=Environment("image", "podman", 3.0, 2.0))
    assert await found(committed, "b", "a") == Earlier(
        spec=spec, date=2.0, date_of="commit", **version
    )
    assert committed.asked == ["b", "a"]
    built = Known(a=Environment("image", "podman", 3.0), d=Environment("image", "podman", 1.0))
    assert await found(built, "a", "d") == Earlier(spec=spec, date=3.0, date_of="build", **version)
    unknown = Known(a=Environment("image", "podman"))
    assert await found(unknown, "a") == Earlier(spec=spec, date=9.0, date_of="launch", **version)


@gen_test
async def test_few_commits_are_looked_for_and_records_have_none() -> None:
    builder = Known(a=Environment("image", "podman"))
    assert await found(builder, "d", "e", "f", "a") is None
    assert builder.asked == ["d", "e", "f"]
    assert await found(builder, "a", spec="zenodo/10.5281/zenodo.1") is None


def test_the_log_says_what_the_date_is_that_of() -> None:
    texts = {
        of: earlier_message(Earlier(spec="gh/a/b/c", commit=OLD, date=0.0, date_of=of))
        for of in ("commit", "build", "launch")
    }
    assert len(set(texts.values())) == 3
    for text in texts.values():
        assert "1970-01-01 00:00 UTC" in text
        assert text.endswith("launch gh/a/b/c\n")
        assert OLD[:8] in text


# -- with real builds


async def build(manager: LaunchManager, spec: Spec) -> Launch:
    return await manager.start(spec, Caller(ip="127.0.0.1", build_only=True))


def offered(event: Event) -> bool:
    return event.earlier is not None


@gen_test
async def test_the_version_before_can_be_launched_while_a_build_goes_on(
    make_manager: Make, tmp_path: Path
) -> None:
    manager = make_manager(offer_earlier=True)
    async with Feed(tmp_path / "feed") as feed:
        script = (feed.folder / "postBuild").read_text()
        (feed.folder / "postBuild").unlink()
        old = commit(feed.folder, {"README.md": "old"})
        made = float(git(feed.folder, "log", "-1", "--format=%ct"))
        first = await events_of(await build(manager, feed.spec))
        assert not [event for event in first if offered(event)]

        commit(feed.folder, {"postBuild": script})
        launch = await build(manager, feed.spec)
        running = await feed.build()
        event = await until(launch, offered)
        earlier = event.earlier
        assert earlier is not None
        assert (earlier.commit, earlier.date, earlier.date_of) == (old, made, "commit")
        assert event.message == earlier_message(earlier)
        assert event.phase not in (Phase.BUILT, Phase.READY)
        # It is an ordinary launch, which builds nothing.
        second = await events_of(await build(manager, parse(earlier.spec)))
        assert "Found the environment.\n" in [event.message for event in second]
        assert second[-1].phase is Phase.READY

        running.finish()
        events = await events_of(launch)
        assert events[-1].phase is Phase.READY
        assert len([event for event in events if offered(event)]) == 1
        assert earlier_message(earlier) in await log_of(launch)

        # Who asks for a commit is offered no other.
        newest = commit(feed.folder, {"README.md": "newest"})
        other = await build(manager, local(feed.folder, newest))
        (await feed.build()).finish()
        assert not [event for event in await events_of(other) if offered(event)]


@gen_test
async def test_nothing_is_offered_unless_the_operator_wants_it(
    make_manager: Make, tmp_path: Path
) -> None:
    manager = make_manager()
    repository(tmp_path / "small", NOTHING)
    await events_of(await build(manager, local(tmp_path / "small")))
    commit(tmp_path / "small", {"requirements.txt": "# changed\n"})
    events = await events_of(await build(manager, local(tmp_path / "small")))
    assert events[-1].phase is Phase.READY
    assert not [event for event in events if offered(event)]


@gen_test
async def test_a_look_up_that_fails_does_not_fail_the_build(
    make_manager: Make, builder: LocalBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: ResolvedSpec) -> None:
        raise LaunchFailedError("The registry is away.", reason="internal", advice="")

    monkeypatch.setattr(builder, "find", fail)
    manager = make_manager(offer_earlier=True)
    repository(tmp_path / "small", NOTHING)
    await events_of(await build(manager, local(tmp_path / "small")))
    commit(tmp_path / "small", {"requirements.txt": "# changed\n"})
    events = await events_of(await build(manager, local(tmp_path / "small")))
    assert events[-1].phase is Phase.READY
    assert not [event for event in events if offered(event)]


@gen_test
async def test_an_environment_of_an_earlier_version_of_ours_has_no_commit_date(
    builder: LocalBuilder, make_manager: Make, tmp_path: Path
) -> None:
    repository(tmp_path / "small", {"README.md": "# of this test\n"})
    events = await events_of(await build(make_manager(), local(tmp_path / "small")))
    folder = Path(next(event.imageName for event in events if event.imageName))
    resolved = await builder.resolve(local(tmp_path / "small"))
    known = await builder.find(resolved)
    assert known is not None
    assert known.committed == float(git(tmp_path / "small", "log", "-1", "--format=%ct"))
    marker = json.loads((folder / MARKER).read_text())
    del marker["committed"]
    (folder / MARKER).write_text(json.dumps(marker))
    known = await builder.find(resolved)
    assert known is not None
    assert known.committed is None
    shutil.rmtree(folder)
