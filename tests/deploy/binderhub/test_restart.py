"""Launches inside a BinderHub go on after it was restarted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from ...support.inside import Inside, PlayedBuild, inside


def config(folder: Path) -> dict[str, Any]:
    return {
        "Storage": {
            "url": f"sqlite:///{folder}/launches.sqlite",
            "log_folder": str(folder / "logs"),
        }
    }


def read_until(server: Inside, launch: str, text: str) -> list[dict[str, Any]]:
    events = []
    for _, event in server.stream(f"api/launches/{launch}/events"):
        events.append(event)
        if text in event.get("message", ""):
            return events
    raise AssertionError(f"{text!r} did not come: {events[-1]}")


def say(build: PlayedBuild, lines: list[str]) -> None:
    for line in lines:
        build.say(line)


def test_a_build_that_went_on_is_joined_and_nothing_is_told_twice(tmp_path: Path) -> None:
    lines = [f"Step {number}/4 : RUN {number}\n" for number in range(1, 5)]
    with inside(**config(tmp_path)) as server:
        launch = server.start().json()["id"]
        say(server.build(), lines[:2])
        seen = read_until(server, launch, lines[1])
        server.hand_over = True
    with inside(**config(tmp_path)) as server:
        # Kubernetes sends the whole log of the pod again.
        build = server.build()
        say(build, lines)
        build.end()
        events = [event for _, event in server.stream(f"api/launches/{launch}/events")]
    assert events[: len(seen)] == seen
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    told = [e["message"] for e in events if e.get("message", "").startswith("Step")]
    assert told == lines
    assert events[-1]["phase"] == "ready"
    assert {event.get("attempt", 1) for event in events} == {1}


def test_viewers_are_told_when_to_reconnect(tmp_path: Path) -> None:
    with inside(**config(tmp_path)) as server:
        launch = server.start().json()["id"]
        say(server.build(), ["Step 1/4 : RUN 1\n"])
        viewer = server.get(f"api/launches/{launch}/events", stream=True)
        lines = viewer.iter_lines(decode_unicode=True)
        while "Step 1/4" not in next(lines):
            pass
        server.hand_over = True
    # The response has a proper end; otherwise, this would raise an exception.
    rest = [line for line in lines if line]
    retry = rest[-1].removeprefix("retry: ")
    assert 250 <= int(retry) <= 1250


def test_a_server_that_was_starting_is_stopped_and_another_one_is_started(tmp_path: Path) -> None:
    with inside(**config(tmp_path)) as server:
        server.call(lambda: setattr(server.launcher, "hold", asyncio.Event()))
        launch = server.start().json()["id"]
        server.build().end()
        read_until(server, launch, "Pulling image")
        (first,) = server.launcher.launched
        server.hand_over = True
    with inside(**config(tmp_path)) as server:
        events = [event for _, event in server.stream(f"api/launches/{launch}/events")]
        (second,) = server.launcher.launched
        deleted = server.launcher.deleted
    assert first["username"] != second["username"]
    assert f"users/{first['username']}" in " ".join(deleted)
    assert events[-1]["phase"] == "ready"
    assert any("BinderHub was restarted" in event.get("message", "") for event in events)
