"""Addresses that people paste, wherever they can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from tornado.httpclient import HTTPResponse

from ..launches.parts import gen_test
from ..support.githttp import git_over_http
from ..support.repositories import commit, git, repository
from .clients import Api

FILE = "https://github.com/kim/demo/blob/main/notebooks/index.ipynb"
SECRET = "https://kim:s3cr3t@github.com/kim/demo"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A site with the repository ada/demo, which has a branch feature/x with a folder."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "ada").mkdir()
    demo = repository(folder / "ada" / "demo")
    git(demo, "switch", "--quiet", "--create", "feature/x")
    commit(demo, {"notes/a.ipynb": "{}"})
    with git_over_http(folder) as address:
        yield address


@pytest.mark.parametrize("field", ["repo", "spec"])
@gen_test
async def test_the_api_takes_the_address_of_a_page(api: Api, site: str, field: str) -> None:
    response = await api.post({field: f"{site}ada/demo/blob/main/notes/a.ipynb"})
    assert response.code == 201, response.body
    links = json.loads(response.body)
    spec = f"git/{quote(f'{site}ada/demo', safe='')}/main"
    assert (links["spec"], links["urlpath"]) == (spec, "lab/tree/notes/a.ipynb")
    page, _, key = links["page_url"].partition("#launch=")
    assert page == f"{api.url}/v2/{spec}?urlpath=lab/tree/notes/a.ipynb"
    assert key == links["id"]


@gen_test
async def test_a_spec_opens_nothing_by_itself(api: Api, site: str) -> None:
    assert "urlpath" not in await api.start(f"git/{quote(f'{site}ada/demo', safe='')}/main")


@pytest.mark.parametrize(
    ("page", "ref", "urlpath"),
    [
        ("tree/feature/x/notes", "feature/x", "lab/tree/notes"),
        ("tree/feature/x", "feature/x", None),
        ("blob/feature/x/notes/a.ipynb", "feature/x", "lab/tree/notes/a.ipynb"),
        # No such ref: the launch says so.
        ("tree/feature/y", "feature/y", None),
    ],
)
@gen_test
async def test_where_a_ref_ends_is_looked_up(
    api: Api, site: str, page: str, ref: str, urlpath: str | None
) -> None:
    address = f"{site}ada/demo/{page}"
    spec = f"git/{quote(f'{site}ada/demo', safe='')}/{ref}"
    links = json.loads((await api.post({"repo": address})).body)
    assert (links["spec"], links.get("urlpath")) == (spec, urlpath)
    query = f"?urlpath={urlpath}" if urlpath else ""
    answer = await api.fetch(f"/v2/{address}")
    assert answer.code == 302
    assert answer.headers["Location"] == f"/v2/{spec}{query}"
    made = (await api.fetch(f"/link?{urlencode({'repo': address})}")).body.decode()
    assert f"{api.url}/v2/{spec}{query}".replace("&", "&amp;") in made


@pytest.mark.parametrize(
    ("path", "location"),
    [
        (f"/v2/{FILE}", "/v2/gh/kim/demo/main?urlpath=lab/tree/notebooks/index.ipynb"),
        # As browsers and proxies make of it.
        ("/v2/https:/github.com/kim/demo", "/v2/gh/kim/demo/HEAD"),
        (f"/v2/{quote('https://github.com/kim/demo', safe='')}", "/v2/gh/kim/demo/HEAD"),
        (
            "/v2/https://dataverse.example.org/dataset.xhtml?persistentId=doi:10.34894/ABCDEF",
            "/v2/dataverse/10.34894/ABCDEF",
        ),
        ("/v2/doi:10.5281/zenodo.3242074", "/v2/zenodo/10.5281/zenodo.3242074"),
    ],
)
@gen_test
async def test_a_launch_link_to_an_address_leads_to_its_spec(
    api: Api, path: str, location: str
) -> None:
    answer = await api.fetch(path)
    assert (answer.code, answer.headers.get("Location")) == (302, location)
    page = await api.fetch(location)
    assert page.code == 200


@pytest.mark.parametrize(
    ("fields", "opened"),
    [
        ({"repo": FILE}, "lab/tree/notebooks/index.ipynb"),
        ({"repo": FILE, "app": "voila"}, "voila/render/notebooks/index.ipynb"),
        ({"repo": FILE, "urlpath": "b.ipynb", "app": "lab"}, "lab/tree/b.ipynb"),
        ({"repo": "https://mybinder.org/v2/gh/kim/demo/main?urlpath=tree"}, "tree"),
    ],
)
@gen_test
async def test_the_form_opens_what_the_address_shows(
    api: Api, fields: dict[str, str], opened: str
) -> None:
    made = (await api.fetch(f"/link?{urlencode(fields)}")).body.decode()
    assert f"{api.url}/v2/gh/kim/demo/main?urlpath={opened}" in made
    assert f"<code>{opened}</code>" in made


async def sent(api: Api, **fields: str) -> HTTPResponse:
    return await api.fetch("/link", method="POST", body=urlencode(fields), headers=FORM)


@gen_test
async def test_what_is_typed_is_checked_before_it_is_in_an_address(api: Api) -> None:
    answer = await sent(api, repo=FILE, ref="v1", urlpath="", app="lab")
    assert answer.code == 303
    location = urlsplit(answer.headers["Location"])
    assert location.path == "/link"
    assert parse_qs(location.query) == {"repo": [FILE], "ref": ["v1"], "app": ["lab"]}
    assert (await api.fetch(answer.headers["Location"])).code == 200


@gen_test
async def test_attack_a_password_in_an_address_reaches_no_other_page(api: Api) -> None:
    """It would stay in the browser's history, and in logs."""
    typed = await sent(api, repo=SECRET, app="lab")
    linked = await api.fetch(f"/link?{urlencode({'repo': SECRET})}")
    for answer in (typed, linked):
        assert answer.code == 400
        assert "Location" not in answer.headers
        assert b"password or token" in answer.body
        # Only the field has it, for whoever typed it.
        assert answer.body.count(b"s3cr3t") == 1
        assert answer.headers["Cache-Control"] == "no-store"
    for body in ({"repo": SECRET}, {"spec": SECRET}):
        refused = await api.post(body)
        assert refused.code == 400
        assert b"s3cr3t" not in refused.body
    page = await api.fetch(f"/v2/{SECRET}")
    assert page.code == 400
    assert b"s3cr3t" not in page.body


@gen_test
async def test_a_page_without_files_is_refused_with_what_would_work(api: Api) -> None:
    address = "https://github.com/kim/demo/issues/3"
    for answer in (await api.post({"repo": address}), await sent(api, repo=address)):
        assert answer.code == 400
        assert b"Use the address of the repository: https://github.com/kim/demo" in answer.body


@gen_test
async def test_a_page_that_names_an_address_may_watch_its_launch(api: Api, site: str) -> None:
    """And no other: somebody else's link may name any launch."""
    address = f"{site}ada/demo/tree/feature/x/notes"
    links = json.loads((await api.post({"spec": address})).body)
    watched = await api.whole(f"{links['events_url']}?{urlencode({'spec': address})}")
    assert watched.status == 200
    other = f"{site}ada/another/tree/feature/x/notes"
    refused = await api.fetch(f"{links['events_url']}?{urlencode({'spec': other})}")
    assert refused.code == 409
