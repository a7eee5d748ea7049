"""What a browser, a cache or another page may do with our answers is said in every one of them.

The attacker is a page that opens ours, embeds our files or waits for what a shared cache kept; or
somebody on the network, who makes a visitor come by plain http.
"""

from __future__ import annotations

import pytest
from tornado.httpclient import HTTPResponse
from traitlets.config import Config

from binderprogress.core.specs import Spec
from binderprogress.web.config import Web
from binderprogress.web.static_names import hashed_name

from ..launches.parts import gen_test
from ..web.clients import Api

PAGES = ["/", "/link", "/v2/gh/a/b/HEAD", "/stats", "/nothing", "/go/nothing", "/v2/nonsense"]
ANSWERS = ["/health", "/versions", "/metrics", "/api/launches/x", "/api/openapi.json", "/build/gh"]
FILES = [
    "/static/binder-progress.js",
    f"/static/{hashed_name('base.css')}",
    "/badge.svg",
    "/static/favicon.svg",
]


async def all_of(api: Api, spec: Spec) -> dict[str, HTTPResponse]:
    """Ask for something of every kind."""
    links = await api.start(spec)
    own = [links["state_url"], links["log_url"], links["trace_url"], links["events_url"]]
    found = {path: await api.fetch(path) for path in [*PAGES, *ANSWERS, *FILES, *own]}
    found["start"] = await api.post({"spec": str(spec)})
    return found


@gen_test
async def test_attack_no_answer_is_guessed_kept_or_told_to_others(api: Api, failing: Spec) -> None:
    """A cache in between would show one person's launch, with its token, to the next."""
    for path, answer in (await all_of(api, failing)).items():
        headers = answer.headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Referrer-Policy"] == "same-origin", path
        assert "Server" not in headers, path
        if path not in FILES:
            assert "no-store" in headers["Cache-Control"], path
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin", path


@gen_test
async def test_attack_a_page_that_opens_ours_gets_no_hold_of_it(api: Api, failing: Spec) -> None:
    """An opener of another origin could lead our page elsewhere, or count its frames."""
    for path, answer in (await all_of(api, failing)).items():
        headers = answer.headers
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin", path
        for feature in ("camera", "microphone", "geolocation", "payment", "usb"):
            assert f"{feature}=()" in headers["Permissions-Policy"], path


@gen_test
async def test_attack_a_file_that_is_opened_by_itself_runs_nothing(api: Api) -> None:
    """An SVG is a document. Pages of other sites may use these files all the same."""
    for path in FILES:
        headers = (await api.fetch(path)).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "sandbox" in headers["Content-Security-Policy"]
        assert "script-src" not in headers["Content-Security-Policy"]
        assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert headers["Access-Control-Allow-Origin"] == "*"


class TestHttps:
    @pytest.fixture
    def settings(self) -> Config:
        return Config({"Web": {"trust_proxy": True}})

    @pytest.mark.parametrize(
        ("host", "proto", "said"),
        [
            ("hub.example", "https", True),
            ("hub.example:8443", "https,http", True),
            ("hub.example", "http", False),
            ("hub.example", "http,https", False),
            ("hub.example", "gopher", False),
            # It would hold for all that runs there.
            ("localhost", "https", False),
            ("10.0.0.1", "https", False),
            ("[::1]:8585", "https", False),
        ],
    )
    @gen_test
    async def test_attack_a_visitor_who_came_by_https_is_not_led_back_to_http(
        self, api: Api, web: Web, host: str, proto: str, said: bool
    ) -> None:
        """Somebody on the network answers the first request by http, as they like."""
        headers = {"Host": host, "X-Forwarded-Proto": proto}
        for path in ("/", "/health", "/badge.svg", "/nothing"):
            found = (await api.fetch(path, headers=headers)).headers
            expected = "max-age=2592000" if said else None
            assert found.get("Strict-Transport-Security") == expected
        web.hsts_max_age = 0
        found = (await api.fetch("/", headers=headers)).headers
        assert "Strict-Transport-Security" not in found


@gen_test
async def test_attack_https_that_only_the_client_speaks_of_locks_nobody_out(api: Api) -> None:
    """Without Web.trust_proxy nobody's word counts."""
    for headers in ({"X-Forwarded-Proto": "https"}, {"X-Scheme": "https"}):
        answer = await api.fetch("/", headers={"Host": "hub.example", **headers})
        assert "Strict-Transport-Security" not in answer.headers
        # By plain http a browser ignores it, and complains.
        assert "Cross-Origin-Opener-Policy" not in answer.headers
