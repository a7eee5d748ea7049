"""A page of another site uses a server in its visitor's name (CSRF): what requests look like.

The same in a real browser is in `test_cross_site.py`.
"""

from __future__ import annotations

import pytest
from traitlets.config import Config

from binderprogress.core.specs import Spec
from binderprogress.launches import LaunchManager

from ..launches.parts import gen_test
from ..web.clients import Api, sentence

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0"
STREAM = "text/event-stream"


def started(launches: LaunchManager) -> int:
    """How many launches were started."""
    return launches.running + sum(launches.ended.values())


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Mode": "no-cors", "User-Agent": CHROME},
        {"User-Agent": CHROME},
        {"User-Agent": CHROME, "Referer": "http://evil.example/"},
        {"User-Agent": CHROME, "Referer": "https://127.0.0.1/"},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
    ],
)
@gen_test
async def test_attack_a_browser_that_asks_for_a_stream_starts_nothing(
    api: Api, launches: LaunchManager, failing: Spec, headers: dict[str, str]
) -> None:
    """A browser that does not say that our own page asks is not trusted."""
    response = await api.fetch(f"/build/{failing}", headers={"Accept": STREAM, **headers})
    assert response.code == 403
    assert "ages of" in sentence(response)
    assert started(launches) == 0


@gen_test
async def test_programs_need_no_origin(api: Api, failing: Spec) -> None:
    for agent in ("curl/8.5.0", "python-requests/2.32", "node", ""):
        stream = await api.whole(f"/build/{failing}", User_Agent=agent)
        assert stream.events[-1]["reason"] == "bad-ref"
    # Node.js has a browser's `fetch`, but no page that asks.
    stream = await api.whole(f"/build/{failing}", User_Agent="node", Sec_Fetch_Mode="cors")
    assert stream.events[-1]["reason"] == "bad-ref"


class TestSameOrigin:
    """Attack: somebody on the network speaks for http://host, and attacks https://host."""

    @pytest.fixture
    def settings(self) -> Config:
        return Config({"Web": {"trust_proxy": True}})

    @pytest.mark.parametrize(
        ("origin", "host", "proto", "same"),
        [
            ("https://hub.example", "hub.example", "https", True),
            ("https://hub.example", "hub.example:443", "https", True),
            ("https://hub.example", "HUB.example", "https", True),
            ("https://hub.example", "hub.example", "https,http", True),
            ("http://hub.example", "hub.example", "https", False),
            ("http://hub.example:443", "hub.example:443", "https", False),
            ("https://hub.example", "hub.example", "http", False),
            ("https://hub.example:8443", "hub.example", "https", False),
            ("https://hub.example", "hub.example:8443", "https", False),
            ("https://hub.example.", "hub.example", "https", False),
            ("null", "hub.example", "https", False),
            ("ftp://hub.example", "hub.example", "https", False),
            ("://hub.example", "hub.example", "https", False),
            ("https://hub.example:x", "hub.example", "https", False),
        ],
    )
    @gen_test
    async def test_attack_the_same_host_by_another_scheme_is_another_site(
        self,
        api: Api,
        launches: LaunchManager,
        failing: Spec,
        origin: str,
        host: str,
        proto: str,
        same: bool,
    ) -> None:
        answer = await api.post(
            {"spec": str(failing)},
            **{"Origin": origin, "Host": host, "X-Forwarded-Proto": proto},
        )
        assert answer.code == (201 if same else 403)
        assert started(launches) == int(same)


@gen_test
async def test_behind_https_that_is_not_told_of_it_says_what_to_set(
    api: Api, failing: Spec
) -> None:
    answer = await api.post(
        {"spec": str(failing)}, Origin="https://hub.example", Host="hub.example"
    )
    assert answer.code == 403
    assert "c.Web.trust_proxy" in sentence(answer)
