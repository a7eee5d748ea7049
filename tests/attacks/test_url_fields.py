"""An address that runs a script, or leads away, where a page links to it or opens it.

The attacker is whoever fills a field: an upstream, a repository's address, a link's `urlpath`, a
gallery. What runs in a page of ours may do what its visitor may.
"""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from traitlets.config import Config

from binderprogress.core.binderhub.stream import fields_of
from binderprogress.core.events import decode, is_http_url
from binderprogress.errors import BadRequestError, StreamError
from binderprogress.web.config import Web
from binderprogress.web.links import check_urlpath

from ..launches.parts import gen_test
from ..web.clients import Api
from ..web.test_pages import Page, check_nothing_runs

RUNS = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    "java\tscript:alert(1)",
    "java\nscript:alert(1)",
    "\x01javascript:alert(1)",
    "javascript://hub.example/%0aalert(1)",
    "vbscript:x",
    "data:text/html,<script>alert(1)</script>",
    "blob:https://hub.example/x",
    "filesystem:https://hub.example/x",
    "view-source:https://hub.example/",
]
LEADS_AWAY = [
    "//evil.example/",
    "/\\evil.example/",
    "\\\\evil.example/",
    "https://evil.example/",
    "/https://evil.example/",
    "%2F/evil.example/",
    "%2f%2Fevil.example/",
    "lab/../../eve/",
    "lab/%2e%2E/%2e./eve/",
    "lab/..%2f..%5Ceve",
    "lab/.\t./eve",
]


@pytest.mark.parametrize("url", [*RUNS, *LEADS_AWAY[:3]])
def test_attack_a_servers_address_is_opened_only_if_it_is_http(url: str) -> None:
    """An upstream says where the server is, and the page opens it."""
    assert not is_http_url(url)
    record = {"id": 1, "phase": "ready", "time": 0.0, "elapsed": 0.0, "progress": 100.0}
    decode(json.dumps({**record, "url": "https://hub.example/user/ada/"}))
    with pytest.raises(StreamError):
        decode(json.dumps({**record, "url": url}))


@pytest.mark.parametrize("name", ["repo_url", "binder_ref_url", "binder_launch_host"])
@pytest.mark.parametrize("url", RUNS)
def test_attack_no_field_of_an_upstream_runs_where_it_is_linked(name: str, url: str) -> None:
    """BinderHub's clients link to what these fields name."""
    assert fields_of({name: url, "image": url}, [name, "image"]) == {"image": url}


@pytest.mark.parametrize(
    "url", ["https://github.com/a/b", "git@host:a/b", "file:///a", "ssh://h/a"]
)
def test_what_does_not_run_is_passed_on(url: str) -> None:
    assert fields_of({"repo_url": url, "other": 1}, ["repo_url", "other"]) == {"repo_url": url}


@pytest.mark.parametrize("path", [*RUNS, *LEADS_AWAY])
@gen_test
async def test_attack_a_path_to_open_does_not_leave_the_server(api: Api, path: str) -> None:
    """The link that opens the server has its token."""
    with pytest.raises(BadRequestError):
        check_urlpath(path)
    answer = await api.fetch(f"/v2/gh/a/b/HEAD?urlpath={quote(path, safe='')}")
    assert answer.code == 400
    check_nothing_runs(Page(answer.body))


@pytest.mark.parametrize(
    "path",
    [
        "lab/tree/a b..c.ipynb",
        "/lab",
        "git-pull?repo=https%3A%2F%2Fx.example%2Fa&urlpath=lab%2F..%2Fb#top",
        "voila/render/x.ipynb?a=//b",
        "proxy/8080/..hidden/file",
    ],
)
def test_a_app_path_the_server_stays_as_it_is(path: str) -> None:
    assert check_urlpath(path) == path.lstrip("/")


@pytest.mark.parametrize("repo", ["javascript%3Aalert(1)", "javascript%3A%2F%2Fx%2F%250aalert(1)"])
@gen_test
async def test_attack_no_page_links_to_a_repository_that_runs(api: Api, repo: str) -> None:
    answer = await api.fetch(f"/v2/git/{repo}/HEAD")
    check_nothing_runs(Page(answer.body))
    form = Page((await api.fetch(f"/link?repo={repo}")).body)
    links = [attributes.get(name) for _, attributes in form.tags for name in ("href", "action")]
    assert not [link for link in links if "javascript" in (link or "")]


class TestConfiguredLinks:
    @pytest.fixture
    def settings(self) -> Config:
        return Config()

    @pytest.mark.parametrize("url", RUNS[:4])
    @gen_test
    async def test_attack_a_link_of_the_front_page_does_not_run(
        self, api: Api, web: Web, url: str
    ) -> None:
        """The JupyterHub's address comes from another program's configuration."""
        web.front_page["hub_url"] = url
        answer = await api.fetch("/")
        check_nothing_runs(Page(answer.body))
        assert b"JupyterHub</a>" not in answer.body
        web.front_page["hub_url"] = "https://hub.example/"
        assert b"JupyterHub</a>" in (await api.fetch("/")).body
