"""Starting launches, and requests for unknown launches."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from binderprogress.core.specs import Spec
from binderprogress.launches import LaunchManager

from ..launches.parts import SilentHost, gen_test, local
from ..support.repositories import repository
from .clients import JSON, Api, events, sentence


@gen_test
async def test_starting_a_launch_returns_its_urls(api: Api, failing: Spec) -> None:
    response = await api.post({"spec": str(failing)})
    assert response.code == 201
    links = json.loads(response.body)
    state = f"{api.url}/api/launches/{links['id']}"
    assert links == {
        "id": links["id"],
        "spec": str(failing),
        "state_url": state,
        "events_url": f"{state}/events",
        "socket_url": f"{state}/socket".replace("http://", "ws://"),
        "log_url": f"{state}/log",
        "trace_url": f"{state}/trace",
        "page_url": f"{api.url}/v2/{failing}#launch={links['id']}",
    }
    assert response.headers["Location"] == state
    assert response.headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in response.headers
    assert "Server" not in response.headers
    assert (await api.whole(links["events_url"])).events[-1]["reason"] == "bad-ref"


@pytest.mark.parametrize(
    ("body", "spec"),
    [
        ({"repo": "https://github.com/a/b"}, "gh/a/b/HEAD"),
        ({"repo": "https://github.com/a/b.git", "ref": "v1/x"}, "gh/a/b/v1/x"),
        ({"repo": "https://gitlab.com/a/b/c", "ref": "main"}, "gl/a%2Fb%2Fc/main"),
        (
            {"repo": "https://git.example.org/x?y", "ref": "main"},
            "git/https%3A%2F%2Fgit.example.org%2Fx%3Fy/main",
        ),
    ],
)
@gen_test
async def test_a_url_with_or_without_a_ref(
    api: Api, launches: LaunchManager, body: dict[str, str], spec: str
) -> None:
    response = await api.post(body)
    assert response.code == 201
    links = json.loads(response.body)
    assert links["spec"] == spec
    # Tests must not access the network.
    launches.cancel(launches.get(links["id"]))


@gen_test
async def test_a_local_repository_by_its_url(api: Api, shared: Path) -> None:
    response = await api.post({"repo": (shared / "small").as_uri(), "ref": "nope"})
    links = json.loads(response.body)
    assert links["spec"] == str(local(shared / "small", "nope"))
    end = (await api.whole(links["events_url"])).events[-1]
    assert end["reason"] == "bad-ref"
    assert "'nope'" in end["message"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "Invalid request body"),
        (b"{", "Invalid request body"),
        (b"[]", "Invalid request body"),
        (b'"gh/a/b/HEAD"', "Invalid request body"),
        (b'{"spec": 7}', "Invalid request body"),
        (b'{"spec": "gh/a/b/HEAD", "more": 1}', "more"),
        (b'{"spec": "\xff\xfe"}', "Invalid request body"),
        (b'{"spec":' + b"[" * 100_000, "Invalid request body"),
        (b"{}", "either `spec`, or `repo`"),
        (b'{"ref": "main"}', "either `spec`, or `repo`"),
        (b'{"spec": "gh/a/b/HEAD", "repo": "https://x.org/y"}', "either `spec`, or `repo`"),
        (b'{"spec": "gh/a/b/HEAD", "ref": "main"}', "either `spec`, or `repo`"),
        (b'{"spec": "nonsense"}', "'nonsense'"),
        (b'{"spec": "swhid/10.5281/x/HEAD"}', "'swhid'"),
        (b'{"spec": "gh/a"}', "gh/<user>/<repository>/<ref>"),
        (b'{"spec": "git/ext%3A%3Ash/HEAD"}', "https://"),
        (b'{"repo": "--upload-pack=sh"}', "https://"),
        (b'{"repo": "https://x.org/y", "ref": "--upload-pack=sh"}', "branch"),
        (b'{"repo": "https://user:secret@x.org/y"}', "password"),
        (b'{"repo": "https://x.org/y\\u0000z"}', "control"),
    ],
)
@gen_test
async def test_invalid_requests_get_an_error_message(
    api: Api, launches: LaunchManager, body: bytes, says: str
) -> None:
    response = await api.fetch("/api/launches", method="POST", body=body, headers=JSON)
    assert response.code == 400
    assert says in sentence(response)
    assert "secret" not in response.body.decode()
    assert launches.running == 0


_FORM = '--x\r\nContent-Disposition: form-data; name="spec"\r\n\r\ngh/a/b/HEAD\r\n--x--\r\n'


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("", '{"spec": "gh/a/b/HEAD"}'),
        ("text/plain", '{"spec": "gh/a/b/HEAD"}'),
        ("text/json", '{"spec": "gh/a/b/HEAD"}'),
        ("application/x-www-form-urlencoded", "spec=gh/a/b/HEAD"),
        ("multipart/form-data; boundary=x", _FORM),
    ],
)
@gen_test
async def test_attack_forms_of_other_sites_start_nothing(
    api: Api, launches: LaunchManager, content_type: str, body: str
) -> None:
    # Any page can send forms without a CORS preflight, but not JSON.
    response = await api.fetch(
        "/api/launches",
        method="POST",
        body=body,
        headers={"Content-Type": content_type},
    )
    assert response.code == 400
    assert "application/json" in sentence(response)
    assert launches.running == 0


@gen_test
async def test_json_with_a_charset_is_json(api: Api, failing: Spec) -> None:
    response = await api.fetch(
        "/api/launches",
        method="POST",
        body=json.dumps({"spec": str(failing)}),
        headers={"Content-Type": "Application/JSON; charset=utf-8"},
    )
    assert response.code == 201


@gen_test
async def test_attack_folders_must_be_allowed(
    api: Api, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Otherwise, anyone could read the server's disk.
    private = repository(tmp_path_factory.mktemp("private") / "secret", {"password": "x"})
    links = await api.start(local(private))
    end = (await api.whole(links["events_url"])).events[-1]
    assert (end["phase"], end["reason"]) == ("failed", "refused")
    assert "local_folders" in end["message"]


@gen_test
async def test_attack_symbolic_links_out_of_an_allowed_folder(
    api: Api, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Otherwise, whoever can write to this folder could read all others.
    private = repository(tmp_path_factory.mktemp("private") / "secret", {"password": "x"})
    (tmp_path / "link").symlink_to(private)
    for address in ("link", "../" * 30 + str(private)[1:]):
        links = await api.start(local(tmp_path / address))
        end = (await api.whole(links["events_url"])).events[-1]
        assert end["reason"] == "refused", address


class TestRateLimit:
    @pytest.fixture
    def settings(self) -> Config:
        return Config({"Web": {"rate_limit": 2, "rate_period": 30.0}})

    @gen_test
    async def test_the_rate_limit_sends_retry_after(self, api: Api, failing: Spec) -> None:
        await api.start(failing)
        # Invalid requests are not counted.
        assert (await api.post({"spec": "nonsense"})).code == 400
        await api.start(failing)
        for _ in range(2):
            response = await api.post({"spec": str(failing)})
            assert response.code == 429
            assert 1 <= int(response.headers["Retry-After"]) <= 30
            assert "2 launches in 30 seconds" in sentence(response)
        # BinderHub's endpoint starts launches, too.
        stream = await api.whole(f"/build/{failing}")
        assert stream.events[0]["status_code"] == 429
        assert stream.headers["Retry-After"]
        # A look-up for a page counts as well. The page leads back to itself.
        page = await api.fetch("/v2/https://github.com/a/b/tree/x/y?lang=en")
        assert page.code == 429
        html = page.body.decode()
        assert "<h1>You started more than 2 launches in 30 seconds.</h1>" in html
        assert re.search(r'<p class="lead">Try again in \d+ seconds?\.</p>', html)
        assert '<a class="button primary" href="">Try again</a>' in html


class TestCap:
    @pytest.fixture
    def settings(self) -> Config:
        return Config({"LaunchManager": {"max_launches": 2}})

    @gen_test
    async def test_the_maximum_number_of_launches(self, api: Api) -> None:
        async with SilentHost() as host:
            links = [await api.start(host.spec) for _ in range(2)]
            response = await api.post({"spec": str(host.spec)})
            assert response.code == 429
            assert int(response.headers["Retry-After"]) > 0
            assert "busy with 2 launches" in sentence(response)
            full = await api.fetch("/health")
            assert full.code == 503
            health = json.loads(full.body)
            (check,) = health["checks"]
            assert (health["ok"], check["ok"]) == (False, False)
            assert (check["running"], check["capacity"], check["building"]) == (2, 2, 0)
            # Watching is not limited.
            assert (await api.fetch(links[0]["state_url"])).code == 200
            await api.fetch(links[0]["state_url"], method="DELETE")
            await api.whole(links[0]["events_url"])
            while (await api.fetch("/health")).code == 503:
                pass  # bounded by the test's own time: what was asked is being ended
            await api.start(host.spec)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@gen_test
async def test_an_unknown_launch_is_not_found(api: Api, method: str) -> None:
    for launch_id in ("nope", "a" * 32, "a" * 64):
        response = await api.fetch(f"/api/launches/{launch_id}", method=method)
        assert response.code == 404
        assert "start a new one" in sentence(response)


@pytest.mark.parametrize("what", ["events", "events?after=3", "socket", "log"])
@gen_test
async def test_urls_of_an_unknown_launch_are_not_found(api: Api, what: str) -> None:
    response = await api.fetch(f"/api/launches/nope/{what}")
    assert response.code == 404
    assert "start a new one" in sentence(response)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/launches"),
        ("PUT", "/api/launches"),
        ("POST", "/api/launches/x"),
        ("POST", "/api/launches/x/events"),
        ("DELETE", "/api/launches/x/log"),
        ("POST", "/build/gh/a/b/HEAD"),
        ("POST", "/health"),
        ("DELETE", "/metrics"),
    ],
)
@gen_test
async def test_other_methods_are_refused(api: Api, method: str, path: str) -> None:
    response = await api.fetch(path, method=method, body=b"{}" if method != "GET" else None)
    assert response.code == 405
    assert "method is not allowed" in sentence(response)


@gen_test
async def test_launch_ids_are_long_and_unique(api: Api, failing: Spec) -> None:
    ids: set[Any] = {(await api.start(failing))["id"] for _ in range(5)}
    assert len(ids) == 5
    assert all(len(launch_id) >= 32 for launch_id in ids)
    raw = (await api.whole(f"/build/{failing}")).raw
    assert not any(launch_id.encode() in raw for launch_id in ids)
    assert events(raw)
