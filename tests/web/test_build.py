"""BinderHub's endpoint ``/build/``: compatible, and resumable."""

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
async def test_binderhub_fields_and_resumable_ids(
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
        # The connection is lost. Every EventSource reconnects with the id of the last event.
        received = stream.ids
        async with api.watch(f"/build/{feed.spec}", Last_Event_ID=received[-1]) as resumed:
            build.finish()
            await resumed.end()
        launch_ids = {i.rpartition(".")[0] for i in received + resumed.ids}
        assert len(launch_ids) == 1
        numbers = [int(i.rpartition(".")[2]) for i in received + resumed.ids]
        assert numbers == list(range(1, len(numbers) + 1))
        assert all("phase" in event for event in stream.events)
        end = resumed.events[-1]
        assert end["phase"] == "failed"
        assert end["message"].endswith("\n")
        assert resumed.raw.endswith(END)
        # Reconnecting after the end yields the last event, and starts no second launch.
        again = await api.whole(f"/build/{feed.spec}", Last_Event_ID=resumed.ids[-1])
        assert again.events == [end]
        assert again.ids == resumed.ids[-1:]
        assert sum(launches.ended.values()) == 1
        assert feed.waiting == 0
        # The API knows the launch, too.
        assert (await api.fetch(f"/api/launches/{launch_ids.pop()}/log")).code == 200


@gen_test
async def test_each_request_without_an_id_starts_a_launch(
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
        ("swhid/10.5281/x/HEAD", "providers are gh, gl, gist, git"),
        ("gh/a", "gh/<user>/<repository>/<ref>"),
        ("git/ext%3A%3Ash/HEAD", "https://"),
        ("gh/a/b/--upload-pack=sh", "branch"),
        ("gh/a/b/" + "x" * 3000, "longer"),
    ],
)
@gen_test
async def test_an_invalid_spec_is_a_failed_event(
    api: Api, launches: LaunchManager, path: str, says: str
) -> None:
    # BinderHub's clients only show errors that are events.
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
async def test_an_expired_launch_is_not_started_again(
    api: Api, launches: LaunchManager, failing: Spec, last: str
) -> None:
    # A client that reconnects does not want a second server.
    stream = await api.whole(f"/build/{failing}", Last_Event_ID=last)
    [event] = stream.events
    assert event["phase"] == "failed"
    assert "start a new one" in event["message"]
    assert launches.running == sum(launches.ended.values()) == 0


@pytest.mark.parametrize("number", ["x", "-1", "1.5", "9" * 20])
@gen_test
async def test_an_invalid_event_id_is_a_failed_event(api: Api, failing: Spec, number: str) -> None:
    launch_id = (await api.whole(f"/build/{failing}")).ids[0].partition(".")[0]
    stream = await api.whole(f"/build/{failing}", Last_Event_ID=f"{launch_id}.{number}")
    # "1.5" is event 5 of an unknown launch.
    assert stream.events[0]["phase"] == "failed"
    assert len(stream.events) == 1


@gen_test
async def test_percent_encoded_characters_in_a_spec(api: Api, tmp_path: Path) -> None:
    folder = repository(tmp_path / "a b%2Fc#d?e")
    spec = local(folder, "feature/x-y")
    stream = await api.whole(f"/build/{spec}")
    end = stream.events[-1]
    # The repository was found, but not the branch.
    assert end["reason"] == "bad-ref"
    assert "'feature/x-y'" in end["message"]
    assert parse(str(spec)) == spec


class TestBelowAPathOfItsOwn:
    # A JupyterHub service may be named "build".
    @pytest.fixture
    def settings(self) -> Config:
        return Config({"Web": {"base_url": "services/build/v2"}})

    @gen_test
    async def test_the_spec_follows_the_base_url(self, api: Api, failing: Spec) -> None:
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
async def test_own_pages_may_start_a_launch(api: Api, failing: Spec, site: str) -> None:
    stream = await api.whole(f"/build/{failing}", Sec_Fetch_Site=site)
    assert stream.events[-1]["reason"] == "bad-ref"


@pytest.mark.parametrize("accept", ["text/event-stream", "Text/Event-Stream;q=0.9, */*;q=0.1"])
@gen_test
async def test_requests_for_an_event_stream(api: Api, failing: Spec, accept: str) -> None:
    stream = await api.whole(f"/build/{failing}", Accept=accept)
    assert stream.events[-1]["reason"] == "bad-ref"


@pytest.mark.parametrize("accept", [None, "*/*", "text/*", "text/html", "text/event-streams"])
@gen_test
async def test_other_requests_are_refused_with_advice(
    api: Api, failing: Spec, accept: str | None
) -> None:
    headers = {"Accept": accept} if accept else {}
    response = await api.fetch(f"/build/{failing}", headers=headers)
    assert response.code == 406
    assert "curl -N -H 'Accept: text/event-stream'" in sentence(response)


class TestAllowedOrigin:
    @pytest.fixture
    def settings(self) -> Config:
        return Config({"Web": {"allowed_origins": ["https://book.example"]}})

    @gen_test
    async def test_pages_of_allowed_sites_may_start_a_launch(self, api: Api, failing: Spec) -> None:
        stream = await api.whole(
            f"/build/{failing}", Origin="https://book.example", Sec_Fetch_Site="cross-site"
        )
        assert stream.headers["Access-Control-Allow-Origin"] == "https://book.example"
        assert stream.events[-1]["reason"] == "bad-ref"
