"""Whether the environment of a repository is built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..launches.parts import Feed, gen_test, local
from ..support.repositories import git
from .clients import Api, sentence


async def image(api: Api, spec: object) -> dict[str, Any]:
    response = await api.fetch(f"/api/images/{spec}")
    assert response.code == 200, response.body
    found: dict[str, Any] = json.loads(response.body)
    return found


@gen_test
async def test_before_during_and_after_a_build(api: Api, tmp_path: Path) -> None:
    async with Feed(tmp_path / "fed") as feed:
        before = await image(api, feed.spec)
        assert before == {
            "spec": str(feed.spec),
            "commit": git(feed.folder, "rev-parse", "HEAD"),
            "exists": False,
            "building": False,
            "image": "",
            "where": "",
            "built": None,
        }
        links = await api.start(feed.spec)
        build = await feed.build()
        assert await image(api, feed.spec) == {**before, "building": True}
        build.finish()
        events = (await api.whole(links["events_url"])).events
        after = await image(api, feed.spec)
    (built,) = [event["time"] for event in events if event["phase"] == "built"]
    assert abs(after.pop("built") - built) < 60.0
    # The folder is not told.
    assert after == {
        **{name: before[name] for name in ("spec", "commit", "building", "image")},
        "exists": True,
        "where": "local",
    }


@gen_test
async def test_whatever_is_wrong_the_answer_is_the_same(api: Api, tmp_path: Path) -> None:
    """Attack: somebody wants to know which private repositories exist."""
    async with Feed(tmp_path / "fed") as feed:
        answers = set()
        for spec in (local(tmp_path / "missing"), local(feed.folder, "no-such-branch")):
            response = await api.fetch(f"/api/images/{spec}")
            answers.add((response.code, sentence(response)))
    assert answers == {
        (
            404,
            "The repository does not exist or is private, or it has no such branch, tag or commit.",
        )
    }
    assert (await api.fetch("/api/images/gh/a")).code == 400
