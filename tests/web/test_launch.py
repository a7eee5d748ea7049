"""The state, log, trace and cancellation of a launch."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from binderprogress.core.specs import Spec
from binderprogress.launches import LaunchManager

from ..launches.parts import Feed, SilentHost, gen_test, said, until
from ..support.repositories import git
from .clients import Api, sentence


@gen_test
async def test_the_state_follows_the_launch(api: Api, launches: LaunchManager) -> None:
    async with SilentHost() as host:
        spec = host.spec
        links = await api.start(spec)
        response = await api.fetch(links["state_url"])
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["Cache-Control"] == "no-store"
        state = json.loads(response.body)
        assert links.items() <= state.items()
        assert (state["phase"], state["last"], state["viewers"], state["attempt"]) == (
            "waiting",
            1,
            0,
            1,
        )
        assert (state["repo_url"], state["ref"], state["commit"]) == (spec.repo_url, "HEAD", "")
        assert state["step"] == "Looking up HEAD"
        assert 0 <= state["progress"] < 100
        assert state["created"] <= state["now"]
        later = await api.state(links)
        assert later["now"] >= state["now"]
        # The bar moves between events.
        assert later["progress"] >= state["progress"]
        host.hang_up()
        end = (await api.whole(links["events_url"])).events[-1]
        state = await api.state(links)
        assert (state["phase"], state["last"], state["message"]) == (
            "failed",
            end["id"],
            end["message"],
        )


@gen_test
async def test_the_log_during_and_after_the_launch(
    api: Api, launches: LaunchManager, tmp_path: Path
) -> None:
    async with Feed(tmp_path / "fed", status=1) as feed:
        links = await api.start(feed.spec)
        launch = launches.get(links["id"])
        build = await feed.build()
        await build.write("Umlauts: äöü 👍\n10%\r20%\r\n")
        await until(launch, said("20%"))
        running = await api.fetch(links["log_url"])
        assert running.code == 200
        assert running.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert running.headers["Cache-Control"] == "no-store"
        assert running.headers["X-Content-Type-Options"] == "nosniff"
        assert running.body.startswith(b"Looking up HEAD of file://")
        # Carriage returns are kept.
        assert running.body.endswith("Umlauts: äöü 👍\n10%\r20%\n".encode())
        assert (await api.state(links))["commit"] == git(feed.folder, "rev-parse", "HEAD")

        await build.write(b"not \xff UTF-8\n<script>alert(1)</script>\n")
        build.finish()
        end = (await api.whole(links["events_url"])).events[-1]
        whole = (await api.fetch(links["log_url"])).body
        assert whole.startswith(running.body)
        assert "not \ufffd UTF-8\n<script>alert(1)</script>\n".encode() in whole
        assert whole.endswith(end["message"].encode())


@gen_test
async def test_cancelling_notifies_viewers_and_ends_the_build(api: Api, tmp_path: Path) -> None:
    async with Feed(tmp_path / "fed") as feed:
        links = await api.start(feed.spec)
        async with api.watch(links["events_url"]) as stream:
            build = await feed.build()
            assert build.process.is_running()
            response = await api.fetch(links["state_url"], method="DELETE")
            assert response.code == 202
            assert json.loads(response.body)["phase"] == "cancelled"
            await stream.end()
        end = stream.events[-1]
        assert (end["phase"], end["reason"], end["message"]) == (
            "cancelled",
            "cancelled",
            "Cancelled.\n",
        )
        assert "curve" not in end
        assert stream.ids == [str(number) for number in range(1, end["id"] + 1)]
        assert await build.gone()
        # Cancelling again changes nothing.
        again = await api.fetch(links["state_url"], method="DELETE")
        assert (again.code, json.loads(again.body)["last"]) == (202, end["id"])


@gen_test
async def test_other_launches_of_the_same_build_continue(api: Api, tmp_path: Path) -> None:
    async with Feed(tmp_path / "fed", status=1) as feed:
        leaves, stays = await api.start(feed.spec), await api.start(feed.spec)
        build = await feed.build()
        await api.fetch(leaves["state_url"], method="DELETE")
        assert (await api.whole(leaves["events_url"])).events[-1]["phase"] == "cancelled"
        async with api.watch(stays["events_url"]) as stream:
            await build.write("still here\n")
            await stream.until(b"still here")
            build.finish()
            await stream.end()
        assert stream.events[-1]["reason"] == "postbuild-failed"
        log = (await api.fetch(leaves["log_url"])).body
        assert log.endswith(b"\nCancelled.\n")
        assert b"still here" not in log
        assert feed.waiting == 0


@gen_test
async def test_cancelling_a_failed_launch_changes_nothing(api: Api, failing: Spec) -> None:
    links = await api.start(failing)
    await api.whole(links["events_url"])
    response = await api.fetch(links["state_url"], method="DELETE")
    assert (response.code, json.loads(response.body)["phase"]) == (202, "failed")


@gen_test
async def test_attack_launch_ids_are_not_logged(
    api: Api, failing: Spec, caplog: pytest.LogCaptureFixture
) -> None:
    # More people can read the log than may use the launch.
    caplog.set_level(logging.DEBUG)
    for name in ("tornado.access", "tornado.general", "traitlets"):
        caplog.set_level(logging.DEBUG, logger=name)
    links = await api.start(failing)
    await api.whole(links["events_url"])
    for url in (
        links["state_url"],
        links["log_url"],
        links["trace_url"],
        f"{links['events_url']}?after=x",
    ):
        await api.fetch(url)
    await api.fetch(links["state_url"], method="PUT", body="")
    await api.fetch(links["state_url"], method="DELETE")
    await api.fetch(links["socket_url"].replace("ws", "http", 1))
    assert f"/api/launches/{links['id'][:6]}…" in caplog.text
    assert links["id"] not in caplog.text


@gen_test
async def test_the_trace_during_and_after_the_launch(api: Api, tmp_path: Path) -> None:
    async with Feed(tmp_path / "fed", status=1) as feed:
        links = await api.start(feed.spec)
        build = await feed.build()
        running = json.loads((await api.fetch(links["trace_url"])).body)
        assert (running["id"], running["phase"]) == (links["id"], "building")
        assert running["spec"] == links["spec"]
        assert running["spans"][0]["kind"] == "check"
        assert running["spans"][-1]["step"] == "postbuild"
        build.finish()
        await api.whole(links["events_url"])
    over = await api.fetch(links["trace_url"])
    trace = json.loads(over.body)
    assert (trace["phase"], trace["reason"]) == ("failed", "postbuild-failed")
    assert trace["seconds"] >= running["seconds"]
    assert trace["totals"]["build"] > 0
    # The launch has ended, so its duration does not change.
    assert (await api.fetch(links["trace_url"])).body == over.body

    drawn = await api.fetch(f"{links['trace_url']}?format=chrome")
    assert drawn.headers["Content-Disposition"].startswith("attachment")
    events = json.loads(drawn.body)["traceEvents"]
    assert sum(e["dur"] for e in events if e["ph"] == "X" and e["tid"] == 2) == round(
        trace["seconds"] * 1e6
    )
    wrong = await api.fetch(f"{links['trace_url']}?format=svg")
    assert (wrong.code, sentence(wrong)) == (400, "`format` must be chrome, or left out.")
    missing = await api.fetch(links["trace_url"].replace(links["id"], "x" * 32))
    assert missing.code == 404
