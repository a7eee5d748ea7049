"""A page on the same origin, or a link, launches what it names without the visitor being asked.

The attacker is another user of the Hub, whose server's pages have the origin of ours, or somebody
who sends a link. What is launched is their repository, and it gets the rights of who launches it.
"""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest
from tornado.httpclient import HTTPResponse
from traitlets.config import Config

from binderprogress.core.specs import parse
from binderprogress.web.config import Web
from binderprogress.web.tickets import TICKET_SECONDS, Tickets

from ..launches.parts import gen_test
from ..web.clients import Api
from ..web.test_pages import Page

EVIL = "gh/evil/repository/HEAD"
OPENED = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-User": "?1"}
TYPED = {"repo": "https://github.com/evil/repository"}


@pytest.fixture
def settings() -> Config:
    return Config({"Web": {"confirm_foreign": True}})


def asks(response: HTTPResponse) -> bool:
    assert response.code == 200
    assert response.headers["Cache-Control"] == "no-store"
    return "ask" in Page(response.body).element


def tickets_in(response: HTTPResponse) -> list[str]:
    """The tickets of a page: of its links, and of its form."""
    found = re.findall(r"[?&;]ticket=([^\"&<]+)", response.body.decode())
    buttons = [
        attributes.get("value") or ""
        for tag, attributes in Page(response.body).tags
        if tag == "button" and attributes.get("name") == "launch"
    ]
    return [*found, *[value for value in buttons if value != "1"]]


@pytest.mark.parametrize("site", [None, "none", "same-origin", "same-site", "cross-site"])
@pytest.mark.parametrize("referrer", [None, "", "link", "v2/gh/a/b/HEAD", "launches"])
@gen_test
async def test_attack_what_a_browser_says_of_where_one_comes_from_is_not_believed(
    api: Api, site: str | None, referrer: str | None
) -> None:
    """`history.pushState` gives a page of the same origin any path, and so any Referer.

    "none" is also a link in a mail or a chat; and over plain http nothing is said at all.
    """
    headers = {"Sec-Fetch-Site": site, **OPENED} if site else {}
    if referrer is not None:
        headers["Referer"] = f"{api.url}/{referrer}"
    assert asks(await api.fetch(f"/v2/{EVIL}", headers=headers))


@gen_test
async def test_our_own_page_is_not_asked_about_once(api: Api) -> None:
    """The link of the form has a ticket: one launch, for this repository only."""
    page = await api.fetch("/link?repo=https://github.com/evil/repository", headers=OPENED)
    assert page.headers["Cache-Control"] == "no-store"
    assert {"Sec-Fetch-Dest", "Sec-Fetch-Mode", "Cookie"} <= set(page.headers["Vary"].split(", "))
    [link] = re.findall(r'href="([^"]+/v2/[^"]+ticket=[^"]+)"', page.body.decode())
    link = link.replace("&amp;", "&")
    # What is copied to other pages has none.
    assert page.body.decode().count("ticket=") == 1
    assert asks(await api.fetch(f"/v2/gh/another/repository/HEAD?{urlsplit(link).query}"))
    assert not asks(await api.fetch(link))
    assert asks(await api.fetch(link))


@gen_test
async def test_the_forms_button_launches_without_another_question(api: Api) -> None:
    page = await api.fetch("/link", headers=OPENED)
    [ticket] = tickets_in(page)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = f"repo=https://github.com/evil/repository&launch={ticket}"

    async def sent(text: str) -> str:
        answer = await api.fetch("/link", method="POST", body=text, headers=form)
        assert answer.code == 303
        assert answer.headers["Cache-Control"] == "no-store"
        return str(answer.headers["Location"])

    assert not asks(await api.fetch(await sent(body)))
    # The ticket is used; and none at all is none.
    assert asks(await api.fetch(await sent(body)))
    assert asks(await api.fetch(await sent(body.replace(ticket, "1"))))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "same-origin"},
        {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Dest": "embed", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "cors"},
    ],
)
@gen_test
async def test_attack_a_script_that_reads_our_pages_gets_no_ticket(
    api: Api, headers: dict[str, str]
) -> None:
    """On a shared origin it can fetch all that its visitor can."""
    for path in ("/", "/link", "/link?repo=https://github.com/evil/repository"):
        assert tickets_in(await api.fetch(path, headers=headers)) == []


@pytest.mark.parametrize("method", ["GET", "POST"])
@gen_test
async def test_attack_a_detour_by_a_page_that_redirects_is_asked_about(
    api: Api, method: str
) -> None:
    """The form's address sends the browser on to a launch: any page can lead there, or post it."""
    query = "repo=https://github.com/evil/repository&launch=1"
    answer = await api.fetch(
        "/link" if method == "POST" else f"/link?{query}",
        method=method,
        body=query if method == "POST" else None,
        headers={**OPENED, "Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer.code == 303
    assert asks(await api.fetch(answer.headers["Location"], headers=OPENED))


def test_attack_tickets_cannot_be_made_moved_or_kept() -> None:
    """A ticket is of one user, one spec, one hour; and of this server."""
    now = 1_000_000.0
    tickets = Tickets(clock=lambda: now)
    mine = tickets.make("ada", EVIL)
    for user, spec in (("eve", EVIL), ("", EVIL), ("ada", "gh/a/b/HEAD"), ("adagh", EVIL[2:])):
        assert not tickets.use(mine, user, spec)
    assert not Tickets(clock=lambda: now).use(mine, "ada", EVIL)
    for wrong in ("", "x", mine[:-1], mine + "x", mine.replace("|", "", 1), "\ud800", "ä" * 9):
        assert not tickets.use(wrong, "ada", EVIL)
    assert tickets.use(mine, "ada", EVIL)
    assert not tickets.use(mine, "ada", EVIL)
    late = tickets.make("ada", EVIL)
    now += TICKET_SECONDS + 2
    assert not tickets.use(late, "ada", EVIL)
    # Nothing is kept of what is over.
    assert tickets.use(tickets.make("ada", EVIL), "ada", EVIL)
    assert len(tickets._used) == 1


@gen_test
async def test_where_nothing_is_asked_there_are_no_tickets(api: Api, web: Web) -> None:
    web.confirm_foreign = False
    page = await api.fetch("/link?repo=https://github.com/a/b", headers=OPENED)
    assert tickets_in(page) == []
    assert not asks(await api.fetch("/v2/gh/a/b/HEAD"))


@gen_test
async def test_attack_what_the_question_launches_is_posted_with_its_origin(api: Api) -> None:
    """The click on "Launch" is a POST of JSON, which no form and no link of another page sends."""
    body = json.dumps({"spec": str(parse(EVIL))})
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = await api.fetch(
            "/api/launches", method="POST", body=body, headers={"Content-Type": content_type}
        )
        assert answer.code == 400
