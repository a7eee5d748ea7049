"""CORS, and requests with unexpected host names."""

from __future__ import annotations

import json

import pytest
from traitlets.config import Config

from binderprogress.core.specs import Spec
from binderprogress.launches import LaunchManager

from ..launches.parts import gen_test
from .clients import JSON, Api, sentence

OURS = "https://book.example"
EVIL = [
    "https://evil.example",
    "http://book.example",  # not what was allowed
    "https://book.example:8443",
    "https://book.example.evil.example",
    "https://evil.example/https://book.example",
    "null",
    "http://[",
    "",
]
PATHS = ["/api/openapi.json", "/health", "/versions", "/metrics", "/api/launches/x", "/build/gh"]


def test_no_other_site_is_allowed_unless_somebody_says_so(launches: LaunchManager) -> None:
    from binderprogress.web.config import Web

    assert Web(launches=launches).allowed_origins == []


class TestAllowList:
    @pytest.fixture
    def settings(self) -> Config:
        return Config({"Web": {"allowed_origins": [OURS, "https://other.example"]}})

    @gen_test
    async def test_a_page_of_an_allowed_site_starts_watches_and_cancels(
        self, api: Api, failing: Spec
    ) -> None:
        preflight = await api.fetch(
            "/api/launches",
            method="OPTIONS",
            headers={
                "Origin": OURS,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type",
            },
        )
        assert preflight.code == 204
        assert preflight.headers["Access-Control-Allow-Origin"] == OURS
        assert "Origin" in preflight.headers["Vary"]
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
        assert "DELETE" in preflight.headers["Access-Control-Allow-Methods"]
        allowed = preflight.headers["Access-Control-Allow-Headers"].lower()
        assert "content-type" in allowed
        assert "last-event-id" in allowed
        assert int(preflight.headers["Access-Control-Max-Age"]) > 0

        started = await api.post({"spec": str(failing)}, Origin=OURS)
        assert started.code == 201
        assert started.headers["Access-Control-Allow-Origin"] == OURS
        # Otherwise, pages could not read these headers.
        assert started.headers["Access-Control-Expose-Headers"] == "Location, Retry-After"
        links = json.loads(started.body)
        for url in (links["state_url"], links["log_url"], links["trace_url"]):
            response = await api.fetch(url, headers={"Origin": OURS})
            assert response.headers["Access-Control-Allow-Origin"] == OURS
            assert response.headers["Timing-Allow-Origin"] == OURS
        stream = await api.whole(links["events_url"], Origin=OURS)
        assert stream.headers["Access-Control-Allow-Origin"] == OURS
        preflight = await api.fetch(links["state_url"], method="OPTIONS", headers={"Origin": OURS})
        assert preflight.code == 204

    @gen_test
    async def test_errors_can_be_read_by_an_allowed_page_too(self, api: Api) -> None:
        # Otherwise, the page could not show the reason.
        for response, code in (
            (await api.post({"spec": "nonsense"}, Origin=OURS), 400),
            (await api.fetch("/api/launches/nope", headers={"Origin": OURS}), 404),
            (await api.fetch("/api/launches", headers={"Origin": OURS}), 405),
        ):
            assert response.code == code
            assert response.headers["Access-Control-Allow-Origin"] == OURS
            assert sentence(response)

    @pytest.mark.parametrize("origin", EVIL)
    @gen_test
    async def test_attack_pages_of_other_sites_are_refused(
        self, api: Api, launches: LaunchManager, failing: Spec, origin: str
    ) -> None:
        # Such requests have side effects even if the page cannot read the response.
        responses = [
            await api.fetch(
                "/api/launches",
                method="POST",
                body=json.dumps({"spec": str(failing)}),
                headers={**JSON, "Origin": origin},
            ),
            await api.fetch("/api/launches", method="OPTIONS", headers={"Origin": origin}),
            *[await api.fetch(path, headers={"Origin": origin}) for path in PATHS],
        ]
        for response in responses:
            assert response.code == 403
            assert "allowed_origins" in sentence(response)
            assert "Access-Control-Allow-Origin" not in response.headers
            assert "Timing-Allow-Origin" not in response.headers
            assert "Access-Control-Allow-Methods" not in response.headers
        assert launches.running == sum(launches.ended.values()) == 0

    @gen_test
    async def test_our_own_pages_are_always_allowed(self, api: Api, failing: Spec) -> None:
        response = await api.post({"spec": str(failing)}, Origin=api.url)
        assert response.code == 201
        assert response.headers["Access-Control-Allow-Origin"] == api.url

    @gen_test
    async def test_a_very_long_origin_is_not_repeated_in_full(self, api: Api) -> None:
        response = await api.fetch("/health", headers={"Origin": "https://" + "x" * 5000})
        assert response.code == 403
        assert len(response.body) < 500


class TestEveryone:
    @pytest.fixture
    def settings(self) -> Config:
        return Config({"Web": {"allowed_origins": ["*"]}})

    @pytest.mark.parametrize("origin", ["https://anybody.example", "null", "weird\tor\xe9gin"])
    @gen_test
    async def test_every_site_may_where_that_is_said(
        self, api: Api, failing: Spec, origin: str
    ) -> None:
        response = await api.post({"spec": str(failing)}, Origin=origin)
        assert response.code == 201
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        # Never with credentials.
        assert "Access-Control-Allow-Credentials" not in response.headers


class TestLocalOnly:
    @pytest.fixture
    def settings(self) -> Config:
        return Config({"Web": {"local_only": True}})

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
    @gen_test
    async def test_by_a_local_name(self, api: Api, host: str) -> None:
        port = api.url.rpartition(":")[2]
        for name in (host, f"{host}:{port}"):
            assert (await api.fetch("/", headers={"Host": name})).code == 200
            assert (await api.fetch("/health", headers={"Host": name})).code == 200

    @pytest.mark.parametrize(
        "host",
        [
            "evil.example",
            "evil.example:8585",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]",
        ],
    )
    @gen_test
    async def test_attack_a_name_that_was_made_to_point_here_is_refused(
        self, api: Api, launches: LaunchManager, failing: Spec, host: str
    ) -> None:
        # DNS rebinding: a page of evil.example whose name then resolves to 127.0.0.1 would be of
        # the same origin as this server, and could start what it likes on this machine.
        started = await api.post({"spec": str(failing)}, Host=host, Origin=f"http://{host}")
        assert started.code == 403
        assert "localhost" in sentence(started)
        for path in (*PATHS, "/", "/v2/gh/a/b/HEAD"):
            response = await api.fetch(path, headers={"Host": host})
            assert response.code == 403, path
            assert b"localhost" in response.body
        assert launches.running == sum(launches.ended.values()) == 0
