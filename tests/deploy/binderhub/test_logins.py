"""Our extension in a BinderHub with logins: owners of launches, and access to pages."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from playwright.sync_api import Browser, expect
from tornado.web import HTTPError
from traitlets.config import Config
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from ...support import axe
from ...support.hublogin import NAVIGATE, Visitor, by_token
from ...support.inside import Inside, PlayedBuild, add_image, inside
from .test_pages import ADDITIONS

LOGINS: dict[str, Any] = {"BinderHub": {"auth_enabled": True}}
OURS: dict[str, Any] = {**LOGINS, "BinderProgress": {"page": "ours"}}
PAGE = "v2/gh/a/b/HEAD"


def logged_in(server: Inside, name: str, page: str = PAGE) -> Visitor:
    """Open a page, and log in to JupyterHub, which redirects back to it."""
    visitor = server.visitor(name)
    answer = visitor.go(page)
    assert (answer.status_code, answer.url) == (200, server.url + page), answer.text
    return visitor


def start(visitor: Visitor, **options: Any) -> requests.Response:
    return visitor.fetch("POST", "api/launches", json={"spec": "gh/a/b/HEAD"}, **options)


def message(answer: requests.Response) -> str:
    return str(answer.json()["error"]["message"])


# -- programs, with tokens


def test_without_a_login_nothing_is_started_or_seen() -> None:
    with inside(**LOGINS) as server:
        add_image(server)
        ((_, event),) = server.stream("build/gh/a/b/HEAD")
        assert (event["phase"], event["status_code"]) == ("failed", 403)
        assert "Log in to JupyterHub" in event["message"]
        assert server.start().status_code == 403
        assert server.start(headers=by_token("nobody")).status_code == 403
        ann, bob = by_token("ann"), by_token("bob")
        started = server.start(headers=ann)
        address = f"api/launches/{started.json()['id']}"
        assert server.watch(started, **ann)[-1]["phase"] == "ready"
        for who, status in (({}, 403), (bob, 404), (by_token("robot"), 404)):
            for what in ("", "/events", "/log", "/socket"):
                assert server.get(address + what, headers=who).status_code == status
            assert (
                requests.delete(server.url + address, headers=who, timeout=60).status_code == status
            )
        ((_, event),) = server.stream(
            "build/gh/a/b/HEAD", **bob, **{"Last-Event-ID": f"{started.json()['id']}.1"}
        )
        assert event["status_code"] == 404
        assert [asked["username"] for asked in server.launcher.launched] == ["ann"]


def test_the_logs_of_builds_are_for_whoever_is_logged_in() -> None:
    with inside(**LOGINS) as server:
        for who, status in (({}, 403), (by_token("nobody"), 403), (by_token("ann"), 404)):
            assert server.get("api/builds/unknown/log", headers=who).status_code == status
        page = f"{server.url}builds/unknown/log"
        answer = requests.get(page, headers=by_token("ann"), timeout=60)
        assert answer.status_code == 404
        assert "kept for 7 days" in answer.text
        # A link that somebody got leads to the login first.
        answer = requests.get(page, allow_redirects=False, timeout=60)
        assert answer.status_code == 302
        assert "oauth2/authorize" in answer.headers["Location"]


def test_one_sees_the_list_of_ones_own_launches() -> None:
    with inside(**LOGINS) as server:
        add_image(server)
        launch = server.start(headers=by_token("ann")).json()["id"]
        listed = server.get("api/launches", headers=by_token("ann")).json()["launches"]
        assert [one["id"] for one in listed] == [launch]
        assert server.get("api/launches", headers=by_token("bob")).json() == {"launches": []}
        assert server.get("api/launches").status_code == 403
    with inside() as server:
        assert server.get("api/launches").status_code == 405


def test_who_may_not_use_the_service_is_told_so() -> None:
    with inside(**OURS) as server:
        answer = server.start(headers=by_token("eve"))
        assert answer.status_code == 403
        assert "access:services!service=binder" in message(answer)
        page = server.visitor("eve").go(PAGE)
        assert page.status_code == 403
        assert "You are not allowed to use this service" in page.text


def test_a_service_builds_and_gets_no_users_server() -> None:
    robot = by_token("robot")
    only = {"BinderHub": {"auth_enabled": True, "enable_api_only_mode": True}}
    with inside(**only) as server:
        image = add_image(server)
        # The service has the name of a user.
        answer = server.start(headers=robot)
        assert answer.status_code == 403
        assert "A service cannot have servers" in message(answer)
        started = server.start(headers=robot, params={"build_only": "true"})
        assert server.watch(started, **robot)[-1]["imageName"] == image
        assert server.launcher.launched == []
        assert server.get(f"api/launches/{started.json()['id']}", headers=by_token("ann")).ok is (
            False
        )


def test_named_servers_are_started_where_the_hub_has_them() -> None:
    with inside(**LOGINS, PlayedLauncher={"allow_named_servers": True}) as server:
        add_image(server)
        server.watch(server.start(headers=by_token("ann")), **by_token("ann"))
        (asked,) = server.launcher.launched
    assert (asked["username"], asked["server_name"]) == ("ann", "b-0")


def test_a_users_running_server_is_told_of_once_and_goes_on() -> None:
    ann = by_token("ann")
    with inside(**LOGINS) as server:
        add_image(server)
        sentence = "User ann already has a running server."
        server.launcher.failures = [HTTPError(409, sentence)]
        events = server.watch(server.start(headers=ann), **ann)
        assert (events[-1]["reason"], events[-1]["message"].strip()) == ("quota", sentence)
    assert len(server.launcher.launched) == 1
    assert server.launcher.deleted == []


# -- people, with cookies


def test_pages_lead_to_the_login_and_it_leads_back() -> None:
    with inside(**OURS) as server:
        for page in (PAGE, "launches", "", "link", "go/one", "gallery/one.png"):
            answer = server.visitor().go(page, allow_redirects=False)
            assert answer.status_code == 302
            assert answer.headers["Location"].startswith(server.login.url)
            asked = parse_qs(urlsplit(answer.headers["Location"]).query)
            assert asked["redirect_uri"] == [f"{server.url}oauth_callback"]
        made = logged_in(server, "ann", "link?repo=a%2Fb").go("link?repo=a%2Fb").text
        # A page of another site cannot log in.
        assert "Badge" in made
        assert "Embed" not in made
        visitor = logged_in(server, "ann", f"{PAGE}?urlpath=lab")
        page = visitor.go(PAGE)
        assert 'spec="gh/a/b/HEAD"' in page.text
        # The page is not shown in frames. Forms may redirect to JupyterHub's login.
        policy = page.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy
        assert f"form-action 'self' {server.login.url.rstrip('/')}" in policy


def test_a_page_launches_for_who_is_logged_in_with_the_pages_own_cookie() -> None:
    with inside(**OURS, RateLimiter={"limit": 1}) as server:
        add_image(server)
        ann, bob = logged_in(server, "ann"), logged_in(server, "bob")
        # Attack: a page of another user's server sends the login cookie, but cannot read _xsrf.
        refused = start(ann, xsrf=False)
        assert (refused.status_code, server.launcher.launched) == (403, [])
        assert "_xsrf" in message(refused)
        assert start(ann, xsrf=False, headers={"X-XSRFToken": bob.xsrf}).status_code == 403
        started = start(ann)
        assert started.status_code == 201
        # The rate limit does not apply to users who log in.
        assert start(ann).status_code == 201
        address = f"api/launches/{started.json()['id']}"
        stream = ann.fetch("GET", f"{address}/events").text
        assert '"phase":"ready"' in stream
        assert {asked["username"] for asked in server.launcher.launched} == {"ann"}
        for what in ("", "/events", "/log"):
            assert ann.fetch("GET", address + what).status_code == 200
            assert ann.fetch("GET", address + what, xsrf=False).status_code == 403
            assert bob.fetch("GET", address + what).status_code == 404
            assert server.visitor().fetch("GET", address + what, xsrf=False).status_code == 403
        assert bob.fetch("DELETE", address).status_code == 404
        assert ann.fetch("DELETE", address, xsrf=False).status_code == 403
        assert ann.fetch("DELETE", address).status_code == 202


def test_a_websocket_of_a_page_shows_only_ones_own() -> None:
    with inside(**OURS) as server:
        add_image(server)
        ann, bob = logged_in(server, "ann"), logged_in(server, "bob")
        url = start(ann).json()["socket_url"]

        def cookies(visitor: Visitor) -> dict[str, str]:
            request = requests.Request("GET", f"{server.url}api/launches")
            return {"Cookie": str(visitor.session.prepare_request(request).headers["Cookie"])}

        browser = {"Sec-Fetch-Mode": "websocket", "Origin": server.url.rstrip("/")}
        with connect(url, additional_headers={**browser, **cookies(ann)}) as socket:
            assert '"phase":"ready"' in list(socket)[-1]
        for headers in ({**browser, **cookies(bob)}, browser):
            with pytest.raises(InvalidStatus), connect(url, additional_headers=headers):
                pass


def test_binderhubs_own_page_starts_by_its_cookie() -> None:
    with inside(**LOGINS) as server:
        add_image(server)
        ann = logged_in(server, "ann")
        accept = {"Accept": "text/event-stream"}
        answer = ann.fetch("GET", "build/gh/a/b/HEAD", headers=accept)
        assert '"phase":"ready"' in answer.text
        answer = ann.fetch("GET", "build/gh/a/b/HEAD", headers=accept, xsrf=False)
        assert '"status_code":403' in answer.text
        assert [asked["username"] for asked in server.launcher.launched] == ["ann"]


def test_the_page_asks_where_a_link_elsewhere_would_start_a_users_server() -> None:
    with inside(**OURS) as server:
        visitor = logged_in(server, "ann")
        foreign = {**NAVIGATE, "Sec-Fetch-Site": "cross-site"}
        page = visitor.session.get(server.url + PAGE, headers=foreign, timeout=60)
        assert '<binder-progress variant="page" autostart ask ' in page.text
        # A URL that was typed or pasted may come from an attacker.
        assert '<binder-progress variant="page" autostart ask ' in visitor.go(PAGE).text
        own = {**NAVIGATE, "Sec-Fetch-Dest": "document"}
        form = visitor.session.get(f"{server.url}link?repo=a/b", headers=own, timeout=60).text
        [link] = re.findall(r'href="([^"]+ticket=[^"]+)"', form)
        page = visitor.session.get(html.unescape(link), headers=own, timeout=60)
        assert '<binder-progress variant="page" autostart server' in page.text
    with inside(**OURS, Web={"confirm_foreign": False}) as server:
        visitor = logged_in(server, "ann")
        page = visitor.session.get(server.url + PAGE, headers=foreign, timeout=60)
        assert '<binder-progress variant="page" autostart server' in page.text


def test_ones_own_launches_are_listed_and_cancelled_without_a_script() -> None:
    with inside(**OURS) as server:
        ann = logged_in(server, "ann", "launches")
        assert "You have no launches" in ann.go("launches").text
        launch = start(ann).json()["id"]
        server.build()
        assert f"#launch={launch}" in ann.go("launches").text
        assert launch not in logged_in(server, "bob").go("launches").text
        url, form = f"{server.url}launches", {"cancel": launch}
        assert ann.session.post(url, data=form, headers=NAVIGATE, timeout=60).status_code == 403
        form["_xsrf"] = ann.xsrf
        page = ann.session.post(url, data=form, headers=NAVIGATE, timeout=60)
        assert (page.status_code, "Cancelled" in page.text) == (200, True)
    with inside(BinderProgress={"page": "ours"}) as server:
        assert "Your launches" not in server.get(PAGE).text


def test_all_of_it_is_below_binderhubs_base_url() -> None:
    config = Config(OURS)
    config.BinderHub.base_url = "/services/binder/"
    with inside(**config, HubOAuth={"base_url": "/services/binder/"}) as server:
        add_image(server)
        ann = logged_in(server, "ann")
        assert start(ann).status_code == 201
        (cookie,) = [one for one in ann.session.cookies if one.name == "_xsrf"]
        assert cookie.path == "/services/binder/"


# -- in a real browser


@pytest.mark.browser
def test_from_the_form_by_the_login_to_a_launch_that_is_cancelled(browser: Browser) -> None:
    with inside(**{**OURS, "BinderHub": {**OURS["BinderHub"], **ADDITIONS}}) as server:
        context = browser.new_context()
        at_the_hub = {"name": "hub-login", "value": "ann", "domain": "127.0.0.1", "path": "/hub/"}
        context.add_cookies([at_the_hub])
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.goto(server.url)
        # What the operator adds to BinderHub's pages.
        expect(page.get_by_role("complementary")).to_have_text("Maintenance on Monday")
        expect(page.locator("body[data-counted]")).to_be_visible()
        page.get_by_label("Repository").fill("a/b")
        page.get_by_role("button", name="Launch now").click()
        build = server.build()
        build.say("Step 1/2 : FROM x\n")
        expect(page.get_by_text("Step 1 of 2").first).to_be_visible()
        # Reloading the page resumes the same launch.
        page.reload()
        expect(page.get_by_text("Step 1 of 2").first).to_be_visible()
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("heading", name="cancelled")).to_be_visible()
        page.get_by_role("link", name="Your launches").click()
        expect(page.get_by_text("Cancelled")).to_be_visible()
        axe.check(page)
        context.close()
        assert problems == []
        assert PlayedBuild.calls.count("submit") == 1
