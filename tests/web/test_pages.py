"""Pages: what they carry, what they keep out, and what they say when there is nothing."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from binderprogress.core.specs import Spec
from binderprogress.web.config import Web

from ..launches.parts import gen_test
from .clients import Api

XSS = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'{{7*7}}"


class Page(HTMLParser):
    """What a browser makes of a page, as far as these tests look."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data

    @property
    def element(self) -> dict[str, str | None]:
        """What the launch page tells its element."""
        [element] = [attributes for tag, attributes in self.tags if tag == "binder-progress"]
        return element


def check_nothing_runs(page: Page) -> None:
    """Only our own script is there, and no attribute is one."""
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert "style" not in attributes
        for value in attributes.values():
            assert not (value or "").lstrip().lower().startswith("javascript:")
        if tag == "script":
            assert re.fullmatch(r"/static/[\w.-]+\.js", attributes["src"] or "")


@pytest.mark.parametrize("path", ["/", "/v2/gh/a/b/HEAD", "/nothing/here"])
@gen_test
async def test_a_page_runs_only_what_comes_from_here(api: Api, path: str) -> None:
    response = await api.fetch(path)
    assert response.headers["Content-Type"].startswith("text/html")
    policy = {
        name: values
        for name, *values in map(str.split, response.headers["Content-Security-Policy"].split(";"))
    }
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == ["'self'"]
    assert policy["style-src"] == ["'self'"]
    assert policy["base-uri"] == ["'none'"]
    assert not [name for name, values in policy.items() if "'unsafe-inline'" in values]
    assert "*" not in response.headers["Content-Security-Policy"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    check_nothing_runs(Page(response.body))


@gen_test
async def test_everything_that_a_page_names_is_there(api: Api) -> None:
    for path in ("/", "/v2/gh/a/b/HEAD"):
        page = Page((await api.fetch(path)).body)
        ours = [
            address
            for tag, attributes in page.tags
            for address in (attributes.get("src"), attributes.get("href"))
            if address and address.startswith("/")
        ]
        assert len(ours) > 2
        for address in ours:
            assert (await api.fetch(address)).code == 200, address


@gen_test
async def test_the_launch_page_knows_what_to_launch(api: Api) -> None:
    response = await api.fetch("/v2/gl/group%2Fsub%2Fproject/feature/x?urlpath=lab/tree/a%20b")
    assert response.code == 200
    page = Page(response.body)
    assert page.element["spec"] == "gl/group%2Fsub%2Fproject/feature/x"
    assert page.element["urlpath"] == "lab/tree/a b"
    assert page.element["server"] == "/"
    assert "sub/project" in page.text
    assert "feature/x" in page.text


@gen_test
async def test_it_asks_only_where_that_is_wanted(api: Api, web: Web) -> None:
    for confirm in (True, False):
        web.confirm_foreign = confirm
        response = await api.fetch("/v2/gh/a/b/HEAD")
        assert ("ask" in Page(response.body).element) == confirm


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ""),
        ("urlpath=voila/render/x.ipynb", "voila/render/x.ipynb"),
        ("labpath=a/b.ipynb", "lab/tree/a/b.ipynb"),
        ("labpath=/a/b.ipynb", "lab/tree/a/b.ipynb"),
        ("filepath=a.ipynb", "tree/a.ipynb"),
        ("urlpath=first&labpath=second", "first"),
        ("labpath=first&filepath=second", "lab/tree/first"),
    ],
)
@gen_test
async def test_what_is_opened_when_it_is_ready(api: Api, query: str, expected: str) -> None:
    page = Page((await api.fetch(f"/v2/gh/a/b/HEAD?{query}")).body)
    assert page.element["urlpath"] == expected


def previewed(page: Page) -> dict[str, str]:
    """What a page says to search engines and social networks."""
    return {
        attributes.get("name") or attributes.get("property") or "": attributes.get("content") or ""
        for tag, attributes in page.tags
        if tag == "meta"
    }


@pytest.mark.parametrize("path", ["/", "/link", "/v2/gh/binder-examples/requirements/HEAD"])
@gen_test
async def test_a_link_to_a_page_has_a_preview(api: Api, path: str) -> None:
    said = previewed(Page((await api.fetch(path)).body))
    assert said["og:title"]
    assert said["og:description"] == said["description"] != ""
    assert said["og:url"] == api.url + path
    assert said["twitter:card"] == "summary_large_image"
    # Of nobody's own: those who read it are elsewhere.
    assert said["og:image"] == f"{api.url}/static/social.png"
    picture = await api.fetch(said["og:image"])
    assert picture.headers["Content-Type"] == "image/png"
    assert ("robots" in said) == path.startswith("/v2/")


@gen_test
async def test_the_preview_of_a_launch_says_what_is_launched(api: Api) -> None:
    path = "/v2/gh/binder-examples/requirements/HEAD?urlpath=lab/tree/a%20b"
    said = previewed(Page((await api.fetch(path)).body))
    assert said["og:title"] == "Launch binder-examples/requirements"
    assert said["og:url"] == f"{api.url}{path.replace('%20', '+')}"
    assert said["robots"] == "noindex"


@pytest.mark.parametrize(
    ("spec", "address"),
    [
        ("gh/ada/penguins/v1", "https://github.com/ada/penguins"),
        ("git/git%40example.org%3Aada%2Fpenguins/HEAD", ""),
    ],
)
@gen_test
async def test_without_javascript_the_launch_page_says_what_can_be_done(
    api: Api, spec: str, address: str
) -> None:
    response = await api.fetch(f"/v2/{spec}")
    _, _, notice = response.body.decode().partition("<noscript>")
    page = Page(notice.partition("</noscript>")[0].encode())
    assert "needs JavaScript" in page.text
    assert f"{api.url}/api/launches" in page.text
    assert json.dumps({"spec": spec}) in page.text
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == ([address] if address else [])


@pytest.mark.parametrize("argument", ["urlpath", "labpath", "filepath"])
@gen_test
async def test_attack_a_path_to_open_is_text(api: Api, argument: str) -> None:
    # A link is all that it takes to have somebody open a page with this in it.
    response = await api.fetch(f"/v2/gh/a/b/HEAD?{argument}={quote(XSS)}")
    assert response.code == 200
    assert b"<script>alert" not in response.body
    page = Page(response.body)
    check_nothing_runs(page)
    assert (page.element["urlpath"] or "").endswith(XSS)
    path = urlsplit(previewed(page)["og:url"]).query
    assert parse_qs(path)["urlpath"] == [page.element["urlpath"]]


@pytest.mark.parametrize(
    "spec",
    [
        "gh/a/b/" + quote("<script>alert(1)</script>"),
        "gh/a/b/" + quote('"><img/src=x/onerror=alert(1)>'),
        "git/" + quote('https://x.org/"><script>alert(1)</script>', safe="") + "/HEAD",
        "git/" + quote("https://x.org/{{7*7}}", safe="") + "/HEAD",
    ],
)
@gen_test
async def test_attack_a_spec_is_text(api: Api, spec: str) -> None:
    response = await api.fetch(f"/v2/{spec}")
    assert response.code in {200, 400}
    assert b"<script>alert" not in response.body
    assert b"<img" not in response.body
    assert b"x.org/49" not in response.body
    page = Page(response.body)
    check_nothing_runs(page)
    if response.code == 200:
        assert previewed(page)["og:title"].startswith("Launch ")
        assert previewed(page)["og:url"] == f"{api.url}/v2/{spec}"


@gen_test
async def test_attack_an_address_that_is_a_script_is_no_link(api: Api) -> None:
    response = await api.fetch(f"/v2/git/{quote('javascript:alert(1)', safe='')}/HEAD")
    assert response.code == 400
    check_nothing_runs(Page(response.body))


@pytest.mark.parametrize(
    "path", ["/v2/nonsense", "/v2/gh/a", "/v2/gh/a/b/--x", "/v2/git/%ff/HEAD", "/v2/%00/a/b"]
)
@gen_test
async def test_a_spec_that_is_not_understood_is_a_page_that_says_so(api: Api, path: str) -> None:
    response = await api.fetch(path)
    assert response.code == 400
    assert response.headers["Content-Type"].startswith("text/html")
    page = Page(response.body)
    check_nothing_runs(page)
    assert "The request failed" in page.text
    assert "Traceback" not in page.text
    assert "site-packages" not in page.text


@pytest.mark.parametrize("path", ["/nothing/here", "/v2/", "/api/nothing", "/api/launches/a.b"])
@gen_test
async def test_where_there_is_nothing_a_page_says_so(api: Api, path: str) -> None:
    response = await api.fetch(path)
    assert response.code == 404
    assert "There is nothing at this URL." in Page(response.body).text


@gen_test
async def test_a_page_takes_no_post(api: Api) -> None:
    response = await api.fetch("/", method="POST", body="x=1")
    assert response.code == 405
    assert "method is not allowed" in Page(response.body).text


@gen_test
async def test_static_files_and_nothing_beside_them(api: Api) -> None:
    response = await api.fetch("/static/launch.js")
    assert response.code == 200
    assert "javascript" in response.headers["Content-Type"]
    # They are public, and a page elsewhere embeds the element by its script.
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    for path in (
        "../templates/page.html",
        "%2e%2e/templates/page.html",
        "..%2ftemplates%2fpage.html",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "none.js",
    ):
        attack = await api.fetch(f"/static/{path}")
        assert attack.code in {403, 404}, path
        assert b"root:" not in attack.body
        assert b"{%" not in attack.body


@gen_test
async def test_the_page_of_a_launch_is_where_the_launch_says(api: Api, failing: Spec) -> None:
    links = await api.start(failing)
    path, _, key = links["page_url"].partition("#launch=")
    # The key is behind the #, which browsers send to no server.
    assert key == links["id"]
    page = await api.fetch(path)
    assert page.code == 200
    assert links["id"].encode() not in page.body


@gen_test
async def test_the_page_of_a_record_names_no_ref(api: Api) -> None:
    page = Page((await api.fetch("/v2/zenodo/10.5281/zenodo.3242074")).body)
    assert page.element["spec"] == "zenodo/10.5281/zenodo.3242074"
    links = [a.get("href") for tag, a in page.tags if tag == "a"]
    assert "https://doi.org/10.5281/zenodo.3242074" in links
    assert "Zenodo" in page.text
    assert not [a for _, a in page.tags if a.get("class") == "ref"]
