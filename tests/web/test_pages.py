"""The pages: content, link previews, hostile input, and errors."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from tornado.web import HTTPError

from binderprogress.core.specs import Spec
from binderprogress.errors import RefusedError
from binderprogress.web.config import Web
from binderprogress.web.explanations import FORM_REFUSED, is_form_refused
from binderprogress.web.languages import catalog_path
from binderprogress.web.static_names import hashed_name

from ..launches.parts import gen_test
from .clients import Api

XSS = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'{{7*7}}"


class Page(HTMLParser):
    """A parsed page."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Record text."""
        self.text += data

    @property
    def element(self) -> dict[str, str | None]:
        """The attributes of the element on the launch page."""
        [element] = [attributes for tag, attributes in self.tags if tag == "binder-progress"]
        return element


def check_nothing_runs(page: Page) -> None:
    """Check that the page only has our scripts, and no inline scripts."""
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert "style" not in attributes
        for value in attributes.values():
            assert not (value or "").lstrip().lower().startswith("javascript:")
        if tag == "script":
            assert re.fullmatch(r"/static/assets/[\w.-]+\.js", attributes["src"] or "")


@pytest.mark.parametrize("path", ["/", "/v2/gh/a/b/HEAD", "/nothing/here"])
@gen_test
async def test_pages_only_run_our_scripts(api: Api, path: str) -> None:
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
async def test_all_links_of_the_pages_work(api: Api) -> None:
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
async def test_the_launch_page_has_the_spec(api: Api) -> None:
    response = await api.fetch("/v2/gl/group%2Fsub%2Fproject/feature/x?urlpath=lab/tree/a%20b")
    assert response.code == 200
    page = Page(response.body)
    assert page.element["spec"] == "gl/group%2Fsub%2Fproject/feature/x"
    assert page.element["urlpath"] == "lab/tree/a b"
    assert page.element["server"] == "/"
    assert "sub/project" in page.text
    assert "feature/x" in page.text


@gen_test
async def test_confirmation_is_optional(api: Api, web: Web) -> None:
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
async def test_the_path_to_open(api: Api, query: str, expected: str) -> None:
    page = Page((await api.fetch(f"/v2/gh/a/b/HEAD?{query}")).body)
    assert page.element["urlpath"] == expected


def previewed(page: Page) -> dict[str, str]:
    """Return the metadata for search engines and social networks."""
    return {
        attributes.get("name") or attributes.get("property") or "": attributes.get("content") or ""
        for tag, attributes in page.tags
        if tag == "meta"
    }


@pytest.mark.parametrize("path", ["/", "/link", "/v2/gh/binder-examples/requirements/HEAD"])
@gen_test
async def test_pages_have_link_previews(api: Api, path: str) -> None:
    preview = previewed(Page((await api.fetch(path)).body))
    assert preview["og:title"]
    assert preview["og:description"] == preview["description"] != ""
    assert preview["og:url"] == api.url + path
    assert preview["twitter:card"] == "summary_large_image"
    # Absolute URLs, because they are read on other sites.
    assert preview["og:image"] == f"{api.url}/static/social.png"
    picture = await api.fetch(preview["og:image"])
    assert picture.headers["Content-Type"] == "image/png"
    assert ("robots" in preview) == path.startswith("/v2/")


@gen_test
async def test_the_link_preview_of_a_launch_page(api: Api) -> None:
    path = "/v2/gh/binder-examples/requirements/HEAD?urlpath=lab/tree/a%20b"
    preview = previewed(Page((await api.fetch(path)).body))
    assert preview["og:title"] == "Launch binder-examples/requirements"
    assert preview["og:url"] == f"{api.url}{path.replace('%20', '+')}"
    assert preview["robots"] == "noindex"


@pytest.mark.parametrize(
    ("spec", "address"),
    [
        ("gh/ada/penguins/v1", "https://github.com/ada/penguins"),
        ("git/git%40example.org%3Aada%2Fpenguins/HEAD", ""),
    ],
)
@gen_test
async def test_the_launch_page_without_javascript(api: Api, spec: str, address: str) -> None:
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
async def test_attack_html_in_the_path_to_open(api: Api, argument: str) -> None:
    # A link can open the page with any values.
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
async def test_attack_html_in_the_spec(api: Api, spec: str) -> None:
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
async def test_attack_javascript_urls_are_not_links(api: Api) -> None:
    response = await api.fetch(f"/v2/git/{quote('javascript:alert(1)', safe='')}/HEAD")
    assert response.code == 400
    check_nothing_runs(Page(response.body))


@pytest.mark.parametrize(
    "path", ["/v2/nonsense", "/v2/gh/a", "/v2/gh/a/b/--x", "/v2/git/%ff/HEAD", "/v2/%00/a/b"]
)
@gen_test
async def test_the_error_page_for_an_invalid_spec(api: Api, path: str) -> None:
    response = await api.fetch(path)
    assert response.code == 400
    assert response.headers["Content-Type"].startswith("text/html")
    page = Page(response.body)
    check_nothing_runs(page)
    # It leads with what is wrong, and to a form that can launch something else.
    assert (
        page.text.split("400")[1]
        .strip()
        .startswith(
            ("Unknown provider", "A GitHub spec", "'--x' is not", "The address contains bytes")
        )
    )
    assert "launch a repository here:" in page.text
    assert "Traceback" not in page.text
    assert "site-packages" not in page.text


@pytest.mark.parametrize(
    ("error", "is_form"),
    [
        (HTTPError(403, "'_xsrf' argument missing from %s", "POST"), True),
        (HTTPError(403, "XSRF cookie does not match %s argument", "POST"), True),
        (HTTPError(403, "Bots not allowed"), False),
        (HTTPError(400, "'_xsrf'"), False),
        (RefusedError("_xsrf"), False),
        (None, False),
    ],
)
def test_a_form_that_tornado_refuses_is_explained(error: Exception | None, is_form: bool) -> None:
    assert is_form_refused((type(error), error, None)) == is_form
    assert not is_form_refused(None)
    assert FORM_REFUSED in json.loads(catalog_path("en").read_text()).values()


@pytest.mark.parametrize("path", ["/nothing/here", "/v2/", "/api/nothing", "/api/launches/a.b"])
@gen_test
async def test_not_found(api: Api, path: str) -> None:
    response = await api.fetch(path)
    assert response.code == 404
    assert "There is nothing at this URL." in Page(response.body).text


@gen_test
async def test_pages_do_not_allow_post(api: Api) -> None:
    response = await api.fetch("/", method="POST", body="x=1")
    assert response.code == 405
    assert "method is not allowed" in Page(response.body).text


@gen_test
async def test_static_files(api: Api) -> None:
    response = await api.fetch(f"/static/{hashed_name('launch.js')}")
    assert response.code == 200
    assert "javascript" in response.headers["Content-Type"]
    # Pages of other sites may embed the element.
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
async def test_the_page_url_of_a_launch_works(api: Api, failing: Spec) -> None:
    links = await api.start(failing)
    path, _, key = links["page_url"].partition("#launch=")
    # The id is in the fragment, which browsers do not send.
    assert key == links["id"]
    page = await api.fetch(path)
    assert page.code == 200
    assert links["id"].encode() not in page.body


@gen_test
async def test_the_launch_page_of_an_archive_record_has_no_ref(api: Api) -> None:
    page = Page((await api.fetch("/v2/zenodo/10.5281/zenodo.3242074")).body)
    assert page.element["spec"] == "zenodo/10.5281/zenodo.3242074"
    links = [a.get("href") for tag, a in page.tags if tag == "a"]
    assert "https://doi.org/10.5281/zenodo.3242074" in links
    assert "Zenodo" in page.text
    assert not [a for _, a in page.tags if a.get("class") == "ref"]
