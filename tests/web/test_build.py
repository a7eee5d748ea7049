"""BinderHub's endpoint: what its clients know, and resumable."""

from __future__ import annotations

from pathlib import Path

import pytest
from traitlets.config import Config

from binderprogress.core.specs import Spec, parse
from binderprogress.launches import LaunchManager

from ..launches.parts import Feed, gen_test, local
from ..support.repositories import repository
from .clients import Api, sentence

END = b"retry: 3600000\n\n"


@gen_test
async def test_a_stream_with_binderhubs_fields_and_ids_that_name_the_launch(
    api: Api, tmp_path: Path, launches: LaunchManager
) -> None:
    async with Feed(tmp_path / "fed", status=1) as feed:
        async with api.watch(f"/build/{feed.spec}") as stream:
            assert stream.status == 200
            assert stream.headers["Content-Type"] == "text/event-stream"
            assert stream.headers["Cache-Control"] == "no-store, no-transform"
            assert stream.headers["X-Accel-Buffering"] == "no"
            build = await feed.build()
            await build.write("fed\n")
            await stream.until(b"fed\\n")
        # The connection is lost. As every EventSource does, with the id of the last one that came.
        seen = stream.ids
        async with api.watch(f"/build/{feed.spec}", Last_Event_ID=seen[-1]) as resumed:
            build.finish()
            await resumed.end()
        launch_ids = {i.rpartition(".")[0] for i in seen + resumed.ids}
        assert len(launch_ids) == 1
        numbers = [int(i.rpartition(".")[2]) for i in seen + resumed.ids]
        assert numbers == list(range(1, len(numbers) + 1))
        assert all("phase" in event for event in stream.events)
        end = resumed.events[-1]
        assert end["phase"] == "failed"
        assert end["message"].endswith("\n")
        assert resumed.raw.endswith(END)
        # After the end: the end, and no second launch.
        again = await api.whole(f"/build/{feed.spec}", Last_Event_ID=resumed.ids[-1])
        assert again.events == [end]
        assert again.ids == resumed.ids[-1:]
        assert sum(launches.ended.values()) == 1
        assert feed.waiting == 0
        # It is a launch as any other.
        assert (await api.fetch(f"/api/launches/{launch_ids.pop()}/log")).code == 200


@gen_test
async def test_without_an_id_each_request_is_a_launch_of_its_own(
    api: Api, launches: LaunchManager, failing: Spec
) -> None:
    first = await api.whole(f"/build/{failing}")
    second = await api.whole(f"/build/{failing}")
    assert set(first.ids).isdisjoint(second.ids)
    assert sum(launches.ended.values()) == 2


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nonsense", "'nonsense'"),
        ("swhid/10.5281/x/HEAD", "known are gh, gl, gist, git"),
        ("gh/a", "gh/<user>/<repository>/<ref>"),
        ("git/ext%3A%3Ash/HEAD", "https://"),
        ("gh/a/b/--upload-pack=sh", "branch"),
        ("gh/a/b/" + "x" * 3000, "longer"),
    ],
)
@gen_test
async def test_a_spec_that_is_not_understood_comes_as_a_failed_event(
    api: Api, launches: LaunchManager, path: str, says: str
) -> None:
    # BinderHub's clients show what comes as an event, and nothing else.
    stream = await api.whole(f"/build/{path}")
    assert stream.status == 200
    assert stream.headers["Content-Type"] == "text/event-stream"
    [event] = stream.events
    assert event["phase"] == "failed"
    assert says in event["message"]
    assert stream.raw.endswith(END)
    assert launches.running == 0


@pytest.mark.parametrize("last", ["nope.3", "nope", "3", ".", "nope.", "a.b.c"])
@gen_test
async def test_a_launch_that_is_forgotten_is_not_started_again(
    api: Api, launches: LaunchManager, failing: Spec, last: str
) -> None:
    # Who reconnects has seen how it began; a second server is not what they want.
    stream = await api.whole(f"/build/{failing}", Last_Event_ID=last)
    [event] = stream.events
    assert event["phase"] == "failed"
    assert "start a new one" in event["message"]
    assert launches.running == sum(launches.ended.values()) == 0


@pytest.mark.parametrize("number", ["x", "-1", "1.5", "9" * 20])
@gen_test
async def test_a_number_that_is_none_comes_as_a_failed_event(
    api: Api, failing: Spec, number: str
) -> None:
    launch_id = (await api.whole(f"/build/{failing}")).ids[0].partition(".")[0]
    stream = await api.whole(f"/build/{failing}", Last_Event_ID=f"{launch_id}.{number}")
    # "1.5" is number 5 of a launch that nobody knows.
    assert stream.events[0]["phase"] == "failed"
    assert len(stream.events) == 1


@gen_test
async def test_slashes_and_signs_that_are_quoted_stay_part_of_what_they_are_in(
    api: Api, tmp_path: Path
) -> None:
    folder = repository(tmp_path / "a b%2Fc#d?e")
    spec = local(folder, "feature/x-y")
    stream = await api.whole(f"/build/{spec}")
    end = stream.events[-1]
    # It was found; only the branch is not there.
    assert end["reason"] == "bad-ref"
    assert "'feature/x-y'" in end["message"]
    assert parse(str(spec)) == spec


class TestBelowAPathOfItsOwn:
    # A service of a Hub may well be called "build".
    @pytest.fixture
    def settings(self) -> Config:
        return Config({"Web": {"base_url": "services/build/v2"}})

    @gen_test
    async def test_the_spec_is_what_comes_after_it(self, api: Api, failing: Spec) -> None:
        stream = await api.whole(f"/services/build/v2/build/{failing}")
        assert stream.events[-1]["reason"] == "bad-ref"
        page = await api.fetch(f"/services/build/v2/v2/{failing}")
        assert page.code == 200
        assert f' spec="{failing}"'.encode() in page.body
        started = await api.fetch(
            "/services/build/v2/api/launches",
            method="POST",
            body=f'{{"spec": "{failing}"}}',
            headers={"Content-Type": "application/json"},
        )
        assert started.headers["Location"].startswith(f"{api.url}/services/build/v2/api/launches/")
        assert (await api.fetch(started.headers["Location"])).code == 200
        assert (await api.fetch(f"/build/{failing}")).code == 404
        assert (await api.fetch("/services/buildXv2/health")).code == 404


@pytest.mark.parametrize("site", ["same-origin", "none"])
@gen_test
async def test_our_own_pages_start_it(api: Api, failing: Spec, site: str) -> None:
    stream = await api.whole(f"/build/{failing}", Sec_Fetch_Site=site)
    assert stream.events[-1]["reason"] == "bad-ref"


@pytest.mark.parametrize("accept", ["text/event-stream", "Text/Event-Stream;q=0.9, */*;q=0.1"])
@gen_test
async def test_who_asks_for_a_stream_gets_one(api: Api, failing: Spec, accept: str) -> None:
    stream = await api.whole(f"/build/{failing}", Accept=accept)
    assert stream.events[-1]["reason"] == "bad-ref"


@pytest.mark.parametrize("accept", [None, "*/*", "text/*", "text/html", "text/event-streams"])
@gen_test
async def test_who_does_not_is_told_how(api: Api, failing: Spec, accept: str | None) -> None:
    headers = {"Accept": accept} if accept else {}
    response = await api.fetch(f"/build/{failing}", headers=headers)
    assert response.code == 406
    assert "curl -N -H 'Accept: text/event-stream'" in sentence(response)


class TestAllowedOrigin:
    @pytest.fixture
    def settings(self) -> Config:
        return Config({"Web": {"allowed_origins": ["https://book.example"]}})

    @gen_test
    async def test_a_page_of_an_allowed_site_starts_and_reads_it(
        self, api: Api, failing: Spec
    ) -> None:
        stream = await api.whole(
            f"/build/{failing}", Origin="https://book.example", Sec_Fetch_Site="cross-site"
        )
        assert stream.headers["Access-Control-Allow-Origin"] == "https://book.example"
        assert stream.events[-1]["reason"] == "bad-ref"
