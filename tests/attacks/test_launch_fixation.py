"""A link shows a repository that people trust, and opens a server of the attacker (fixation).

The attacker starts a launch of their own, and puts its id behind the address of another page:
`/v2/gh/trusted/repository/HEAD#launch=<theirs>`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from ..launches.parts import NOTHING, local
from ..support.repositories import repository
from ..support.site import other_site
from ..support.standalone import Running, post, running

pytestmark = [pytest.mark.hub, pytest.mark.browser]

COLD = 120_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("server")
    for name in ("trusted", "evil"):
        repository(folder / name, NOTHING)
    (folder / "gallery.yaml").write_text(
        f"- title: Trusted\n  slug: trusted\n  repo: {(folder / 'trusted').as_uri()}\n  ref: main\n"
    )
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    """A server that nobody logs in to."""
    web = {"gallery": str(folder / "gallery.yaml"), "allowed_origins": ["*"]}
    with running(folder, Web=web) as server:
        yield server


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(reduced_motion="reduce")
    yield context.new_page()
    context.close()


def theirs(server: Running, folder: Path, name: str = "evil", ref: str = "main") -> str:
    """Start a launch of the attacker, and return its id."""
    return str(server.start(str(local(folder / name, ref)))["id"])


def refused(page: Page) -> None:
    """The page says that the launch is another's, and offers nothing of it."""
    expect(page.locator("body")).to_contain_text("This launch is of another repository")
    expect(page.get_by_role("link", name="Open the server")).to_have_count(0)
    expect(page.get_by_role("progressbar")).to_have_count(0)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_attack_another_launch_behind_a_trusted_address_is_not_shown(
    server: Running, folder: Path, page: Page
) -> None:
    launch = theirs(server, folder)
    page.goto(f"{server.url}v2/{local(folder / 'trusted', 'main')}#launch={launch}")
    refused(page)
    # Under its own name it is.
    page.goto(f"{server.url}v2/{local(folder / 'evil', 'main')}#launch={launch}")
    expect(page.get_by_role("link", name="Open the server")).to_be_visible(timeout=COLD)


@pytest.mark.long
def test_attack_another_ref_of_the_same_repository_is_not_shown(
    server: Running, folder: Path, page: Page
) -> None:
    """A pull request's commit is in the trusted repository, too."""
    launch = theirs(server, folder, "trusted", "HEAD")
    page.goto(f"{server.url}v2/{local(folder / 'trusted', 'main')}#launch={launch}")
    refused(page)


@pytest.mark.long
def test_attack_a_pasted_fragment_is_checked_like_a_new_page(
    server: Running, folder: Path, page: Page
) -> None:
    """The address changes behind the # only, without a request for the page."""
    trusted = f"{server.url}v2/{local(folder / 'trusted', 'main')}"
    own = theirs(server, folder, "trusted")
    page.goto(f"{trusted}#launch={own}")
    expect(page.get_by_role("link", name="Open the server")).to_be_visible(timeout=COLD)
    page.evaluate(f"location.hash = 'launch={theirs(server, folder)}'")
    refused(page)


@pytest.mark.long
def test_attack_a_launch_of_the_same_repository_is_not_taken_for_ones_own(
    server: Running, folder: Path, page: Page
) -> None:
    """The attacker launches the trusted repository, and changes what is in its server."""
    trusted = f"{server.url}v2/{local(folder / 'trusted', 'main')}"
    warning = page.get_by_text("This launch was not started in this tab")
    page.goto(f"{trusted}#launch={theirs(server, folder, 'trusted')}")
    expect(warning).to_be_visible()
    page.get_by_role("link", name="Start your own launch").click()
    page.wait_for_url("**#launch=*")
    expect(warning).to_be_hidden()
    # It is one's own after a reload, too.
    page.reload()
    expect(page.get_by_role("link", name="Open the server")).to_be_visible(timeout=COLD)
    expect(warning).to_be_hidden()


def test_attack_a_card_does_not_go_on_with_another_launch(
    server: Running, folder: Path, page: Page
) -> None:
    """On a shared origin, another page may write to the storage where cards keep their launch."""
    page.goto(server.url)
    launch = theirs(server, folder)
    page.evaluate(f"sessionStorage.setItem('binderprogress.launch.trusted', '{launch}')")
    page.reload()
    refused(page)


def test_attack_an_element_elsewhere_does_not_show_another_launch(
    server: Running, folder: Path, page: Page
) -> None:
    """A page takes the id of the launch from its own address, as ours does."""
    launch = theirs(server, folder)
    with other_site() as site:
        site.embed(server.url, "gh/trusted/repository/HEAD", f'launch="{launch}" open="same-tab"')
        page.goto(site.origin)
        refused(page)
        assert page.url.startswith(site.origin)
        # Who names no repository promises none.
        site.embed(server.url, "", f'launch="{launch}"')
        page.goto(site.origin)
        expect(page.get_by_role("link", name="Open the server")).to_be_visible(timeout=COLD)


def test_attack_the_servers_answer_does_not_depend_on_how_a_spec_is_written(
    server: Running, folder: Path, page: Page
) -> None:
    """Another form of the same spec is the same; another one in a similar form is not."""
    links = post(f"{server.url}api/launches", {"repo": (folder / "evil").as_uri(), "ref": "main"})
    own = str(local(folder / "evil", "main"))
    for spec, status in (
        (own, 200),
        (f"{own}/", 200),
        # An address without a ref: that is the default branch.
        ((folder / "evil").as_uri(), 409),
        ("evil", 400),
        (own.replace("evil", "Evil"), 409),
        (own.replace("evil", "trusted"), 409),
        (own.replace("main", "mai"), 409),
    ):
        answer = page.request.get(links["events_url"], params={"spec": spec})
        assert answer.status == status, spec
        if status != 200:
            assert json.loads(answer.text())["error"]["message"].endswith(".")
