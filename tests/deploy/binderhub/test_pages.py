"""Our front page and the link form, in BinderHub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from traitlets import TraitError

from binderprogress.web.static_names import hashed_name

from ...support.inside import PlayedProvider, inside


class PlayedArchive(PlayedProvider):
    """A provider whose specs are a DOI without a ref."""

    display_config = {  # noqa: RUF012 - as in BinderHub
        "displayName": "Archive",
        "id": "archive",
        "repo": {"urlEncode": False},
        "ref": {"enabled": False},
    }

    def __init__(self, **kwargs: Any) -> None:
        kwargs["spec"] += "//"
        super().__init__(**kwargs)


class PlayedHost(PlayedProvider):
    """A provider whose specs are a percent-encoded address."""

    display_config = {"displayName": "Host", "repo": {"urlEncode": True}}  # noqa: RUF012

    def __init__(self, **kwargs: Any) -> None:
        kwargs["spec"] += "/x"
        super().__init__(**kwargs)


PAGES: dict[str, Any] = {
    "BinderHub": {
        "repo_providers": {"gh": PlayedProvider, "doi": PlayedArchive, "host": PlayedHost}
    },
    "BinderProgress": {"page": "ours"},
}

ADDITIONS = {
    "banner_message": "<b>Maintenance</b> on Monday",
    "default_opengraph_title": "Our Binder",
    "extra_header_html": {"2": '<meta name="second">', "1": '<meta name="first">'},
    "extra_footer_scripts": {"stats": 'document.body.dataset.counted = "yes";'},
}
"""What an operator of BinderHub adds to its pages."""


@pytest.mark.parametrize(
    ("provider", "repo", "ref", "spec"),
    [
        ("", "https://github.com/a/b", "", "gh/a/b/HEAD"),
        ("gh", "a/b", "", "gh/a/b/HEAD"),
        ("gh", " a/b/ ", "feature/one #2", "gh/a/b/feature/one%20%232"),
        ("gh", "https://github.com/a/b/tree/dev", "", "gh/a/b/dev"),
        ("doi", "10.5281/archive.1", "", "doi/10.5281/archive.1"),
        ("doi", "https://doi.org/10.5281/archive.1", "", "doi/10.5281/archive.1"),
        ("host", "data.example.org/set", "v1", "host/data.example.org%2Fset/v1"),
        ("host", "http://x.org/a?b=1", "", "host/http%3A%2F%2Fx.org%2Fa%3Fb%3D1/HEAD"),
    ],
)
def test_the_link_form_takes_what_binderhubs_providers_take(
    provider: str, repo: str, ref: str, spec: str
) -> None:
    with inside(**PAGES) as server:
        typed = {"provider": provider, "repo": repo, "ref": ref, "app": "lab"}
        typed["urlpath"] = "n.ipynb"
        page = server.get("link", params=typed)
        assert page.status_code == 200
        assert f"{server.url}v2/{spec}?urlpath=lab/tree/n.ipynb</code>" in page.text
        launched = server.get("link", params={**typed, "launch": "1"}, allow_redirects=False)
        assert launched.status_code == 303
        assert launched.headers["Location"] == f"/v2/{spec}?urlpath=lab/tree/n.ipynb"
        # Our page and BinderHub's providers accept the spec.
        assert server.get(launched.headers["Location"][1:]).status_code == 200


def test_the_link_form_says_what_binderhub_does_not_take() -> None:
    with inside(**PAGES, PlayedProvider={"banned_specs": ["^evil/.*"]}) as server:
        for repo, sentence in (
            ("https://gitlab.com/a/b", "No provider found for prefix gl"),
            ("a", "Spec is not of the form"),
            ("evil/b", "is not allowed to launch"),
            ("", "Enter a repository"),
        ):
            page = server.get("link", params={"repo": repo, "ref": "main", "launch": "1"})
            assert page.status_code == 400
            assert sentence in page.text


def test_the_pages_name_only_files_that_are_there() -> None:
    with inside(**PAGES) as server:
        front = server.get("")
        # The gallery is empty.
        assert front.url == f"{server.url}link"
        assert '<option value="doi">Archive</option>' in front.text
        made = server.get("link", params={"repo": "a/b"}).text
        assert "c.BinderHub.cors_allow_origin" in made
        names = set(re.findall(r"binderprogress/static/[\w./-]+", made))
        assert {name.removeprefix("binderprogress/static/") for name in names} >= {
            *("badge.svg", "binder-progress.js", "binder-progress.classic.js", "social.png"),
            *(hashed_name("link.js"), hashed_name("link.css")),
        }
        for name in names:
            assert server.get(name).status_code == 200, name
        assert f"{server.url}static/" not in made


def test_the_pages_have_what_the_operator_adds_to_binderhubs() -> None:
    ours = {"page": "ours", "page_origins": ["https://stats.example.org/"]}
    with inside(BinderHub={**PAGES["BinderHub"], **ADDITIONS}, BinderProgress=ours) as server:
        page = server.get("link")
        assert "<b>Maintenance</b> on Monday</aside>" in page.text
        assert page.text.index('name="first"') < page.text.index('name="second"')
        assert '<meta property="og:title" content="Our Binder">' in page.text
        assert '<script>document.body.dataset.counted = "yes";</script>' in page.text
        policy = page.headers["Content-Security-Policy"]
        assert re.search(r"script-src 'self' 'sha256-[^' ]+' https://stats.example.org;", policy)
        launch = server.get("v2/gh/a/b/HEAD").text
        assert '<meta property="og:title" content="Launch a/b">' in launch
        assert "<b>Maintenance</b>" in launch
    for origin in ("stats.example.org", "https://stats.example.org/js", "https://*"):
        with (
            pytest.raises(TraitError, match="is no origin"),
            inside(BinderProgress={"page_origins": [origin]}),
        ):
            pytest.fail("It was started.")


def test_the_front_page_has_a_gallery_where_there_is_one(tmp_path: Path) -> None:
    gallery = tmp_path / "gallery.yaml"
    gallery.write_text("- title: An example\n  slug: one\n  spec: gh/a/b/HEAD\n")
    with inside(**PAGES, Web={"gallery": str(gallery)}) as server:
        assert "An example" in server.get("").text
        assert server.get("go/one").url == f"{server.url}v2/gh/a/b/HEAD"


def test_binderhubs_front_page_stays_with_its_page() -> None:
    with inside() as server:
        for path in ("", "link"):
            assert "binderprogress/static" not in server.get(path).text
    with inside(
        BinderProgress={"page": "ours"}, BinderHub={"enable_api_only_mode": True}
    ) as server:
        for path in ("", "link", "v2/gh/a/b/HEAD"):
            assert server.get(path).status_code == 404
