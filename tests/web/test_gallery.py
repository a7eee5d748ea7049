"""The gallery, the short links, and the link page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from traitlets.config import Config

from binderprogress._share import share_path
from binderprogress.core import specs
from binderprogress.errors import ConfigError
from binderprogress.web.config import Web
from binderprogress.web.gallery import Gallery, read_gallery
from binderprogress.web.links import snippets

from ..launches.parts import gen_test
from .clients import Api
from .test_pages import XSS, Page, check_nothing_runs, previewed

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
PNG = b"\x89PNG\r\n\x1a\n not really"
GALLERY = """
- title: Requirements
  spec: gh/binder-examples/requirements/HEAD
  description: Numpy from a requirements.txt.
  kind: JupyterLab
  picture: pictures/numpy.svg
  urlpath: lab/tree/a b.ipynb
- title: Ça va?  Très bien!
  repo: https://gitlab.com/group/sub/project
  ref: feature/x
  picture: https://Pictures.example.org:8443/a;b.png
- title: The third
  slug: third
  spec: git/https%3A%2F%2Fexample.org%2Frepo/v1
  picture: photo.PNG
"""


def write(folder: Path, text: str) -> Path:
    (folder / "pictures").mkdir(exist_ok=True)
    (folder / "pictures" / "numpy.svg").write_bytes(SVG)
    (folder / "photo.PNG").write_bytes(PNG)
    (folder / "secret.svg").write_bytes(b"<svg>secret</svg>")
    path = folder / "gallery.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def text() -> str:
    """The file of the gallery. Tests may override it."""
    return GALLERY


@pytest.fixture
def settings(tmp_path: Path, text: str) -> Config:
    folder = tmp_path / "gallery"
    folder.mkdir()
    (tmp_path / "outside.svg").write_bytes(b"<svg>outside</svg>")
    return Config({"Web": {"gallery": str(write(folder, text)), "rate_limit": 0}})


# -- the file


def test_all_fields_of_an_entry_are_read(tmp_path: Path) -> None:
    gallery = read_gallery(write(tmp_path, GALLERY))
    assert list(gallery.items) == ["requirements", "ca-va-tres-bien", "third"]
    first, second, third = gallery.items.values()
    assert str(first.spec) == "gh/binder-examples/requirements/HEAD"
    assert (first.kind, first.urlpath) == ("JupyterLab", "lab/tree/a b.ipynb")
    assert first.origin == "github.com/binder-examples/requirements"
    assert str(second.spec) == "gl/group%2Fsub%2Fproject/feature/x"
    assert second.origin == "gitlab.com/group/sub/project @ feature/x"
    assert third.picture == "third.png"
    assert gallery.pictures.keys() == {"requirements.svg", "third.png"}
    assert gallery.picture_origins == ["https://pictures.example.org:8443"]


def test_a_gallery_may_be_empty(tmp_path: Path) -> None:
    assert read_gallery(write(tmp_path, "[]")) == Gallery()


def test_the_demo_gallery_is_complete() -> None:
    text = share_path("examples", "gallery.yaml").read_text()
    for folder in re.findall(r"repo: (\w+)", text):
        assert share_path("examples", folder).is_dir()
    for picture in re.findall(r"picture: (\S+)", text):
        assert share_path("examples", picture).stat().st_size < 20_000


BASE = "- title: A\n  spec: gh/a/b/HEAD\n"
BROKEN = {
    # The whole file.
    "- title: [": r"The gallery \S+ is not valid YAML: while parsing .*line \d, column \d\.",
    "- when: 2026-99-99": r"is not valid YAML: month must be in 1\.\.12.*",
    "- !!python/object/apply:os.system [ls]": r"is not valid YAML: could not determine a",
    "": r"is not a list\. Write a list of entries that start with `- title:`\.",
    "title: A": r"is not a list\.",
    # An entry.
    "- A": r"entry 1 is not a mapping\. It must start with `- title:`\.",
    "- spec: gh/a/b/HEAD": r"entry 1, title: It is missing\. Every entry needs one\.",
    "- title: ' '\n  spec: gh/a/b/HEAD": r"entry 1, title: It is empty\.",
    "- title: 7\n  spec: gh/a/b/HEAD": r"entry 1, title: This is a number, not text\. Put",
    "- title: 2026-01-01\n  spec: x": r"entry 1, title: This is a date, not text\.",
    f"{BASE}  1: x": r"entry 1 \(A\), 1: Field names must be text\.",
    f"{BASE}  titel: x": r"entry 1 \(A\), titel: This field does not exist\. The fields are title,",
    f"{BASE}  description:": r"entry 1 \(A\), description: It is empty\. Write some text, or omit",
    f"{BASE}  kind: [a]": r"entry 1 \(A\), kind: This is a list, not text\.",
    f"{BASE}- 7": r"entry 2 is not a mapping\.",
    # What to launch.
    "- title: A": r"\(A\), spec: It is missing\. Give either `spec` or `repo`\.",
    "- title: A\n  ref: main": r"\(A\), spec: It is missing\.",
    f"{BASE}  repo: https://x.org/a": r"\(A\), repo: The entry already has a spec\. Give",
    f"{BASE}  ref: main": r"\(A\), ref: The entry already has a spec\.",
    "- title: A\n  spec: nope/a/b": r"\(A\), spec: Unknown provider 'nope'\. The providers are",
    "- title: A\n  spec: gh/a": r"\(A\), spec: A GitHub spec has the form gh/<user>/<repository>",
    "- title: A\n  repo: nope": r"\(A\), repo: 'nope' is not the address of a repository",
    "- title: A\n  repo: ext::sh": r"\(A\), repo: 'ext::sh' is not the address",
    "- title: A\n  repo: https://x.org/a\n  ref: --x": r"\(A\), ref: '--x' is not a valid",
    # What to open.
    f"{BASE}  urlpath: https://evil.org": r"\(A\), urlpath: The path to open must be a path in",
    f"{BASE}  urlpath: //evil.org": r"\(A\), urlpath: The path to open must be a path in",
    f"{BASE}  urlpath: /javascript:alert(1)": r"\(A\), urlpath: The path to open must be a path",
    f'{BASE}  urlpath: "a\\nb"': r"\(A\), urlpath: The path to open must not contain",
    # The slug.
    f"{BASE}  slug: a/b": r"\(A\), slug: 'a/b' is not a slug\. Use lowercase letters",
    f"{BASE}  slug: ..": r"\(A\), slug: '\.\.' is not a slug\.",
    f"{BASE}  slug: A": r"\(A\), slug: 'A' is not a slug\.",
    f"{BASE}  slug: a--b": r"\(A\), slug: 'a--b' is not a slug\.",
    f"{BASE}  slug: {'a' * 65}": r"\(A\), slug: 'a+' is not a slug\. .* at most 64 characters\.",
    "- title: 北京\n  spec: gh/a/b/HEAD": r"\(北京\), slug: It cannot be derived from this title",
    f"{BASE}- title: a!\n  spec: gh/a/b/c": r"entry 2 \(a!\), slug: 'a' is already the slug of",
    # The picture.
    f"{BASE}  picture: 'javascript:alert(1)'": r"\(A\), picture: 'javascript:alert\(1\)' is",
    f"{BASE}  picture: data:image/png;base64,x": r"\(A\), picture: .* is not an http or https",
    f"{BASE}  picture: file:///etc/x.png": r"\(A\), picture: .* is not an http or https",
    f"{BASE}  picture: //x.org/a.png": r"\(A\), picture: .* is not an http or https",
    f"{BASE}  picture: https:///a.png": r"\(A\), picture: .* is not a plain URL\. Write it",
    f"{BASE}  picture: https://[::1/a.png": r"\(A\), picture: .* is not a valid URL\. Give",
    f"{BASE}  picture: https://u:p@x.org/a.png": r"\(A\), picture: .* is not a plain URL\.",
    f"{BASE}  picture: 'https://x.org;script-src */a.png'": r"\(A\), picture: .* not a plain URL",
    f"{BASE}  picture: https://*/a.png": r"\(A\), picture: .* is not a plain URL\.",
    f"{BASE}  picture: gallery.yaml": r"\(A\), picture: 'gallery.yaml' is not a picture\. File",
    f"{BASE}  picture: none.svg": r"\(A\), picture: 'none.svg' cannot be read: No such",
    f"{BASE}  picture: ../outside.svg": r"\(A\), picture: '../outside.svg' is outside of the",
    f"{BASE}  picture: link.svg": r"\(A\), picture: 'link.svg' is outside of the",
    f"{BASE}  picture: /etc/x.svg": r"\(A\), picture: '/etc/x.svg' is outside of the",
    f'{BASE}  picture: "a\\0.svg"': r"\(A\), picture: .* cannot be read: ",
    f"{BASE}  picture: empty.svg": r"\(A\), picture: 'empty.svg' has 0 bytes\. It must have",
    f"{BASE}  picture: big.svg": r"\(A\), picture: 'big.svg' has 1,048,577 bytes\.",
}


@pytest.mark.parametrize(("text", "sentence"), BROKEN.items(), ids=range(len(BROKEN)))
def test_error_messages_name_entry_and_field(tmp_path: Path, text: str, sentence: str) -> None:
    folder = tmp_path / "gallery"
    folder.mkdir()
    (tmp_path / "outside.svg").write_bytes(SVG)
    (folder / "link.svg").symlink_to(tmp_path / "outside.svg")
    (folder / "empty.svg").write_bytes(b"")
    (folder / "big.svg").write_bytes(b" " * ((1 << 20) + 1))
    path = write(folder, text)
    with pytest.raises(ConfigError, match=sentence) as caught:
        read_gallery(path)
    message = str(caught.value)
    assert message.startswith(f"The gallery {path}")
    assert message.endswith(".")
    assert "\n" not in message


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    with pytest.raises(ConfigError, match=r"none\.yaml cannot be read: No such file or directory"):
        read_gallery(path)


# -- the front page


def attribute_values(page: Page) -> set[str | None]:
    """The values of all attributes of a page."""
    return {value for _, attributes in page.tags for value in attributes.values()}


def policy(header: str) -> dict[str, list[str]]:
    return {name: values for name, *values in map(str.split, header.split(";"))}


@gen_test
async def test_the_front_page_is_the_gallery(api: Api) -> None:
    response = await api.fetch("/")
    page = Page(response.body)
    check_nothing_runs(page)
    for words in ("Requirements", "Numpy from a requirements.txt.", "Ça va?  Très bien!"):
        assert words in page.text
    links = [a["href"] or "" for tag, a in page.tags if tag == "a" and "href" in a]
    opened = "/v2/gh/binder-examples/requirements/HEAD?urlpath=lab/tree/a+b.ipynb"
    assert opened in links
    assert "/v2/gl/group%2Fsub%2Fproject/feature/x" in links
    assert "/link" in links
    for link in links:
        if link.startswith("/"):
            assert (await api.fetch(link)).code == 200, link
    launched = Page((await api.fetch(opened)).body)
    assert {"gh/binder-examples/requirements/HEAD", "lab/tree/a b.ipynb"} <= attribute_values(
        launched
    )


@gen_test
async def test_pictures_are_only_allowed_from_origins_in_the_gallery(api: Api) -> None:
    response = await api.fetch("/")
    pictures = [a["src"] for tag, a in Page(response.body).tags if tag == "img"]
    assert pictures == [
        "/gallery/requirements.svg",
        "https://Pictures.example.org:8443/a;b.png",
        "/gallery/third.png",
    ]
    parsed = policy(response.headers["Content-Security-Policy"])
    assert parsed["img-src"] == ["'self'", "data:", "https://pictures.example.org:8443"]
    assert parsed["script-src"] == ["'self'"]
    # Other pages do not allow pictures of other sites.
    for path in ("/link", "/v2/gh/a/b/HEAD", "/go/nothing"):
        other = (await api.fetch(path)).headers["Content-Security-Policy"]
        assert policy(other)["img-src"] == ["'self'", "data:"]


@gen_test
async def test_cards_have_the_spec_and_the_urlpath(api: Api) -> None:
    page = Page((await api.fetch("/")).body)
    cards = [a for tag, a in page.tags if tag == "li" and a.get("class") == "card"]
    assert [card["data-slug"] for card in cards] == ["requirements", "ca-va-tres-bien", "third"]
    assert cards[0]["data-spec"] == "gh/binder-examples/requirements/HEAD"
    assert cards[0]["data-urlpath"] == "lab/tree/a b.ipynb"
    assert cards[1]["data-spec"] == "gl/group%2Fsub%2Fproject/feature/x"
    assert page.element["server"] == "/"


# -- previews


@pytest.mark.parametrize(
    ("path", "title", "picture"),
    [
        # Social networks do not show SVG.
        ("gh/binder-examples/requirements/HEAD", "Requirements", "{api}/static/social.png"),
        (
            "gl/group%2Fsub%2Fproject/feature/x",
            "Ça va?  Très bien!",
            "https://Pictures.example.org:8443/a;b.png",
        ),
        ("git/https%3A%2F%2Fexample.org%2Frepo/v1", "The third", "{api}/gallery/third.png"),
    ],
)
@gen_test
async def test_the_link_preview_of_an_entry(api: Api, path: str, title: str, picture: str) -> None:
    parsed = previewed(Page((await api.fetch(f"/v2/{path}")).body))
    assert parsed["og:title"] == f"Launch {title}"
    assert parsed["og:image"] == picture.format(api=api.url)
    if title == "Requirements":
        assert parsed["og:description"] == "Numpy from a requirements.txt."
    assert parsed["og:description"]
    if picture.startswith("{api}"):
        assert (await api.fetch(parsed["og:image"])).headers["Content-Type"] == "image/png"


TWICE = """
- title: A notebook
  spec: gh/a/b/HEAD
  urlpath: lab
- title: A dashboard
  spec: gh/a/b/HEAD
  urlpath: voila
"""


@pytest.mark.parametrize("text", [TWICE])
@gen_test
async def test_the_entry_with_the_same_urlpath_is_preferred(api: Api, text: str) -> None:
    for query, title in (
        ("?urlpath=voila", "Launch A dashboard"),
        ("?urlpath=lab", "Launch A notebook"),
        ("", "Launch A notebook"),
    ):
        page = Page((await api.fetch(f"/v2/gh/a/b/HEAD{query}")).body)
        assert previewed(page)["og:title"] == title
    assert previewed(Page((await api.fetch("/v2/gh/a/b/x")).body))["og:title"] == "Launch a/b"


@pytest.mark.parametrize("text", ["[]"])
@gen_test
async def test_the_front_page_without_entries(api: Api, text: str) -> None:
    page = Page((await api.fetch("/")).body)
    assert "Gallery" not in page.text
    assert ("form", "post") in {(tag, values.get("method")) for tag, values in page.tags}
    assert "this server has no gallery" in Page((await api.fetch("/go/x")).body).text


# JSON is YAML.
ATTACK = json.dumps(
    [
        {
            **dict.fromkeys(["title", "kind", "description", "urlpath"], XSS),
            "slug": "attack",
            "spec": "gh/a/b/HEAD",
            "picture": "https://x.org/" + XSS.replace(" ", ""),
        }
    ]
)


@pytest.mark.parametrize("text", [ATTACK])
@gen_test
async def test_attack_html_in_the_gallery(api: Api, text: str) -> None:
    """The author of the file may not be the administrator."""
    for path in ("/", "/go/nothing", "/v2/gh/a/b/HEAD"):
        response = await api.fetch(path)
        assert b"<script>alert" not in response.body
        assert b"{{7*7}}" in response.body
        page = Page(response.body)
        check_nothing_runs(page)
        if path.startswith("/v2"):
            assert previewed(page)["og:title"] == f"Launch {XSS}"
            assert previewed(page)["og:description"] == XSS
        else:
            assert "<script>alert(1)</script>" in page.text


ATTACK_PICTURE = 'https://x.org/"><script>alert(1)</script>.png'


@pytest.mark.parametrize(
    "text", [json.dumps([{"title": "A", "spec": "gh/a/b/HEAD", "picture": ATTACK_PICTURE}])]
)
@gen_test
async def test_attack_html_in_the_url_of_a_preview_picture(api: Api, text: str) -> None:
    page = Page((await api.fetch("/v2/gh/a/b/HEAD")).body)
    check_nothing_runs(page)
    assert previewed(page)["og:image"] == ATTACK_PICTURE


# -- the pictures


@gen_test
async def test_pictures_have_their_content_type(api: Api) -> None:
    for name, kind, data in (
        ("requirements.svg", "image/svg+xml", SVG),
        ("third.png", "image/png", PNG),
    ):
        response = await api.fetch(f"/gallery/{name}")
        assert response.code == 200
        assert response.headers["Content-Type"] == kind
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.body == data
        # An SVG that is opened directly could run scripts.
        parsed = policy(response.headers["Content-Security-Policy"])
        assert parsed["default-src"] == ["'none'"]
        assert "script-src" not in parsed
        assert "sandbox" in parsed
        again = {"If-None-Match": response.headers["ETag"]}
        assert (await api.fetch(f"/gallery/{name}", headers=again)).code == 304


@pytest.mark.parametrize(
    "path",
    [
        "",
        "gallery.yaml",
        "secret.svg",
        "pictures/numpy.svg",
        "photo.PNG",
        "../outside.svg",
        "%2e%2e/outside.svg",
        "..%2foutside.svg",
        "requirements.svg/../secret.svg",
        "requirements.svg%2f..%2fgallery.yaml",
        "requirements.svg%00",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "%ff",
    ],
)
@gen_test
async def test_attack_no_other_file_of_the_folder_is_served(api: Api, path: str) -> None:
    response = await api.fetch(f"/gallery/{path}")
    assert response.code in {400, 404}
    for secret in (b"secret</svg>", b"outside</svg>", b"title:", b"root:"):
        assert secret not in response.body


# -- vanity addresses


@pytest.mark.parametrize(
    ("slug", "address"),
    [
        ("requirements", "/v2/gh/binder-examples/requirements/HEAD?urlpath=lab/tree/a+b.ipynb"),
        ("ca-va-tres-bien", "/v2/gl/group%2Fsub%2Fproject/feature/x"),
        ("third", "/v2/git/https%3A%2F%2Fexample.org%2Frepo/v1"),
    ],
)
@gen_test
async def test_short_links_redirect_to_the_launch_page(api: Api, slug: str, address: str) -> None:
    response = await api.fetch(f"/go/{slug}")
    assert response.code == 302
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Location"] == address
    assert (await api.fetch(address)).code == 200


@pytest.mark.parametrize(
    "slug",
    [
        "",
        "nothing",
        "requirements/",
        "requirements/more",
        "a/b",
        "/evil.org",
        "%2f%2fevil.org",
        "https:%2f%2fevil.org",
        "third%0d%0aLocation:%20https://evil.org",
        quote("<script>alert(1)</script>", safe=""),
    ],
)
@gen_test
async def test_attack_unknown_short_links_do_not_redirect(api: Api, slug: str) -> None:
    response = await api.fetch(f"/go/{slug}")
    assert response.code == 404
    assert "Location" not in response.headers
    assert response.headers["Cache-Control"] == "no-store"
    assert b"<script>alert" not in response.body
    page = Page(response.body)
    check_nothing_runs(page)
    links = [a["href"] for tag, a in page.tags if tag == "a"]
    assert {"/go/requirements", "/go/ca-va-tres-bien", "/go/third"} <= set(links)


# -- the page that makes links


def query(**fields: str) -> str:
    return f"/link?{urlencode(fields)}"


@gen_test
async def test_the_form_redirects_to_the_launch_page(api: Api) -> None:
    typed = {"repo": "gh/a/b", "ref": "dev", "app": "lab", "urlpath": "n.ipynb", "launch": "1"}
    response = await api.fetch(query(**typed))
    assert response.code == 303
    assert response.headers["Location"] == "/v2/gh/a/b/dev?urlpath=lab/tree/n.ipynb"
    # Invalid input does not redirect.
    response = await api.fetch(query(**typed | {"urlpath": "https://evil.example"}))
    assert response.code == 400


@gen_test
async def test_the_empty_form_shows_no_errors(api: Api) -> None:
    response = await api.fetch("/link")
    assert response.code == 200
    page = Page(response.body)
    check_nothing_runs(page)
    assert "Ready to copy" not in page.text
    assert not [a for _, a in page.tags if "aria-invalid" in a]


@pytest.mark.parametrize(
    ("repo", "ref", "spec"),
    [
        ("https://github.com/a/b", "", "gh/a/b/HEAD"),
        (" https://github.com/a/b/tree/dev ", "", "gh/a/b/dev"),
        ("https://github.com/a/b/tree/dev", "v1", "gh/a/b/v1"),
        ("gh/a/b/dev", "", "gh/a/b/dev"),
        ("gh/a/b", "feature/x", "gh/a/b/feature/x"),
        ("https://doi.org/10.5281/zenodo.1", "", "zenodo/10.5281/zenodo.1"),
        ("ckan/https%3A%2F%2Fa%2Fdataset%2Fx", "", "ckan/https%3A%2F%2Fa%2Fdataset%2Fx"),
        (
            "https://example.org/a b(1).git",
            "",
            "git/https%3A%2F%2Fexample.org%2Fa%20b%281%29.git/HEAD",
        ),
    ],
)
@gen_test
async def test_the_snippets_launch_the_repository(api: Api, repo: str, ref: str, spec: str) -> None:
    response = await api.fetch(query(repo=repo, ref=ref, urlpath="/lab/tree/ü&b.ipynb"))
    assert response.code == 200
    page = Page(response.body)
    check_nothing_runs(page)
    made = snippets(f"{api.url}/", specs.parse(spec), "lab/tree/ü&b.ipynb")
    for text in (made.link, made.markdown, made.rst, made.html, made.embed):
        assert text in page.text
    assert urlsplit(made.link).path == f"/v2/{spec}"
    assert parse_qs(urlsplit(made.link).query) == {"urlpath": ["lab/tree/ü&b.ipynb"]}
    launched = Page((await api.fetch(made.link)).body)
    assert {spec, "lab/tree/ü&b.ipynb"} <= attribute_values(launched)
    # In Markdown, a bracket would end the URL.
    assert not re.search(r"[()\s]", made.link)
    [(_, script), (_, element), (_, fallback)] = Page(made.embed.encode()).tags
    assert script["src"] == f"{api.url}/static/binder-progress.js"
    assert element["server"] == f"{api.url}/"
    assert (element["spec"], element["urlpath"]) == (spec, "lab/tree/ü&b.ipynb")
    assert fallback == {"href": made.link}
    assert made.embed.endswith(f">Launch {spec}</a></binder-progress>")
    assert len(made.embed.splitlines()) == 2
    [(_, plain), same, _] = Page(made.classic.encode()).tags
    assert plain == {"src": f"{api.url}/static/binder-progress.classic.js"}
    assert same[1] == element


@pytest.mark.parametrize(
    ("how", "typed", "opened"),
    [
        ("lab", "a/b.ipynb", "lab/tree/a/b.ipynb"),
        ("lab", "/lab/tree/a.ipynb", "lab/tree/a.ipynb"),
        ("lab", "50% #1?.md", "lab/tree/50%25 %231%3F.md"),
        ("lab", "", ""),
        ("voila", "a.ipynb", "voila/render/a.ipynb"),
        ("voila", "voila/render/a.ipynb", "voila/render/a.ipynb"),
        ("path", "rstudio/?x=1#y", "rstudio/?x=1#y"),
        ("", "tree", "tree"),
        ("nonsense", "tree", "tree"),
    ],
)
@gen_test
async def test_the_form_offers_apps(api: Api, how: str, typed: str, opened: str) -> None:
    page = Page((await api.fetch(query(repo="gh/a/b", app=how, urlpath=typed))).body)
    check_nothing_runs(page)
    made = snippets(f"{api.url}/", specs.parse("gh/a/b/HEAD"), opened)
    assert made.link in [a.get("href") for _, a in page.tags]
    assert made.classic in page.text
    chosen = [a["value"] for _, a in page.tags if a.get("type") == "radio" and "checked" in a]
    assert chosen == [how if how in {"lab", "voila"} else "path"]
    assert [a["value"] for tag, a in page.tags if a.get("name") == "urlpath"] == [typed]


@pytest.mark.parametrize(
    ("path", "chosen"), [("/link", "lab"), ("/link?repo=gh/a/b&urlpath=tree", "path")]
)
@gen_test
async def test_the_default_app_of_the_form(api: Api, path: str, chosen: str) -> None:
    page = Page((await api.fetch(path)).body)
    radios = {a["value"] for _, a in page.tags if a.get("type") == "radio" and "checked" in a}
    assert radios == {chosen}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"repo": "nonsense"}, {"repo": "'nonsense' is not the address of a repository"}),
        ({"repo": "gh/a/b/--x"}, {"repo": "'--x' is not a valid branch"}),
        ({"repo": "https://u:p@x.org/a"}, {"repo": "The address contains a password or token"}),
        ({"repo": "gh/a/b", "ref": "a..b"}, {"ref": "'a..b' is not a valid branch"}),
        ({"ref": "main"}, {"repo": "Enter a repository, such as https://"}),
        ({"repo": "gh/a/b", "urlpath": "//x.org"}, {"urlpath": "The path to open must be a path"}),
        (
            {"repo": "x", "urlpath": "data:text/html,x"},
            {"repo": "'x' is not the address", "urlpath": "The path to open must be a path in"},
        ),
    ],
)
@gen_test
async def test_errors_are_shown_next_to_their_field(
    api: Api, fields: dict[str, str], wrong: dict[str, str]
) -> None:
    response = await api.fetch(query(**fields))
    assert response.code == 400
    page = Page(response.body)
    check_nothing_runs(page)
    assert "Ready to copy" not in page.text
    inputs = {a["name"]: a for tag, a in page.tags if tag == "input"}
    assert {name for name, a in inputs.items() if "aria-invalid" in a} == set(wrong)
    for name, typed in fields.items():
        assert inputs[name or ""]["value"] == typed
    for name, sentence in wrong.items():
        assert sentence in page.text
        assert f"{name}-error" in (inputs[name]["aria-describedby"] or "").split()
        assert [a for _, a in page.tags if a.get("id") == f"{name}-error"]


@pytest.mark.parametrize("field", ["repo", "ref", "urlpath", "app"])
@gen_test
async def test_attack_html_in_the_form(api: Api, field: str) -> None:
    # A link can open the form with any values.
    response = await api.fetch(query(**{"repo": "gh/a/b/HEAD", field: XSS}))
    assert b"<script>alert" not in response.body
    page = Page(response.body)
    check_nothing_runs(page)
    assert [tag for tag, a in page.tags if tag == "img" and a["src"] != "/badge.svg"] == []
    typed = [a["value"] for tag, a in page.tags if a.get("name") == field]
    assert typed == (["lab", "voila", "path"] if field == "app" else [XSS])


@gen_test
async def test_the_badge_is_a_legible_svg(api: Api) -> None:
    response = await api.fetch("/badge.svg")
    assert response.code == 200
    assert response.headers["Content-Type"] == "image/svg+xml"
    svg = response.body.decode()
    assert "<script" not in svg
    assert "<title>launch</title>" in svg
    # The second background color is that of the text.
    text, ground = "#ffffff", re.findall(r'fill="(#[0-9a-f]{6})"', svg)[-1]
    assert contrast(text, ground) >= 4.5


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colors (WCAG 2.2)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


# -- below a base URL


@gen_test
async def test_all_links_are_under_the_base_url(api: Api, web: Web) -> None:
    # Set before the application is created, because it defines the routes.
    web.base_url = "/progress"
    page = Page((await api.fetch("/")).body)
    ours = [a.get("src") or a.get("href") or "" for _, a in page.tags]
    assert [address for address in ours if address.startswith("/")]
    for address in ours:
        assert not address.startswith("/") or address.startswith("/progress/"), address
    assert (await api.fetch("/go/third")).headers["Location"].startswith("/progress/v2/git/")


@gen_test
async def test_archive_records_have_no_ref(api: Api) -> None:
    response = await api.fetch(query(repo="https://doi.org/10.5281/zenodo.1", ref="main"))
    assert response.code == 400
    page = Page(response.body)
    assert [a["name"] for _, a in page.tags if "aria-invalid" in a] == ["ref"]
    assert "A Zenodo record has no branches, tags or commits" in page.text
