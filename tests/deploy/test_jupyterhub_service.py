"""The service in a real JupyterHub: access to launches, and whose servers they start."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
import pytest
import requests

from ..launches.parts import NOTHING, local
from ..support.asynchronous import asynchronous
from ..support.hubservice import (
    FETCH,
    NAVIGATE,
    SCOPE,
    SERVICE,
    WRONG,
    Person,
    Service,
    refused_alike,
    service,
)
from ..support.long import usually
from ..support.processes import BIN
from ..support.repositories import repository
from ..support.standing_checks import standing, took
from ..support.waiting import until
from .conftest import ENDLESS

pytestmark = pytest.mark.hub

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def ada(named: Service) -> Person:
    person = Person(named).log_in("ada")
    assert person.go().status_code == 200
    return person


@pytest.fixture(scope="module")
def eve(named: Service) -> Person:
    person = Person(named).log_in("eve")
    assert person.go().status_code == 200
    return person


@pytest.fixture
def adas(ada: Person, folder: Path) -> Iterator[dict[str, Any]]:
    """The links of a running launch of ada."""
    links = ada.start(local(folder / "endless"))
    yield links
    ada.fetch(links["state_url"], "DELETE")


def phase(person: Person, links: dict[str, Any]) -> str:
    return str(person.fetch(links["state_url"]).json()["phase"])


@pytest.mark.long
def test_attack_without_a_login_nothing_is_seen(named: Service, adas: dict[str, Any]) -> None:
    """The URL of a launch was sent or leaked to someone."""
    nobody = Person(named)
    refused_alike(lambda url, method: nobody.fetch(url, method, xsrf=False), adas, 403)
    for path in ("api/launches", "api/stats", "api/popular", "api/builds/unknown/log"):
        assert nobody.fetch(path, xsrf=False).status_code == 403
    started = nobody.fetch("api/launches", "POST", xsrf=False, json={"spec": adas["spec"]})
    assert started.status_code == 403
    assert nobody.fetch(f"build/{adas['spec']}", xsrf=False).status_code == 403
    pages = ("", "launches", f"v2/{adas['spec']}", "link", "stats", "metrics")
    for page in (*pages, "builds/unknown/log"):
        answer = nobody.go(page, allow_redirects=False)
        if page == "metrics":
            assert answer.status_code == 403
            continue
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/hub/api/oauth2/authorize?")
        assert not answer.text


def test_attack_a_guessed_cookie_is_none(named: Service, adas: dict[str, Any]) -> None:
    nobody = Person(named)
    forged = {"Cookie": "service-binderprogress=ada; _xsrf=x", "X-XSRFToken": "x"}
    refused_alike(
        lambda url, method: nobody.fetch(url, method, xsrf=False, headers=forged), adas, 403
    )


def test_attack_another_user_sees_and_cancels_nothing(
    ada: Person, eve: Person, adas: dict[str, Any]
) -> None:
    """Eve may use the service, and knows the id of the launch."""
    refused_alike(lambda url, method: eve.fetch(url, method), adas, 404)
    assert eve.fetch("api/launches").json() == {"launches": []}
    assert "endless" not in eve.go("launches").text
    form = {"cancel": adas["id"], "_xsrf": eve.xsrf}
    answer = eve.session.post(f"{eve.service.url}launches", form, headers=NAVIGATE, timeout=20)
    assert answer.status_code == 404
    assert phase(ada, adas) not in {"cancelled", "failed"}


def test_attack_another_user_resumes_nothing_as_binderhubs_clients_do(
    named: Service, adas: dict[str, Any]
) -> None:
    headers = {**named.token("eve", SCOPE), **STREAM, "Last-Event-ID": f"{adas['id']}.0"}
    url = f"{named.url}build/{adas['spec']}"
    theirs = requests.get(url, headers=headers, timeout=20).text
    headers["Last-Event-ID"] = f"{WRONG}.0"
    assert theirs == requests.get(url, headers=headers, timeout=20).text
    assert "There is no such launch" in theirs


def test_attack_a_token_without_the_scope_sees_nothing(
    named: Service, ada: Person, adas: dict[str, Any]
) -> None:
    """Ada's own token, which she created for another purpose."""

    def ask(headers: dict[str, str]) -> Callable[[str, str], requests.Response]:
        return lambda url, method: requests.request(method, url, headers=headers, timeout=20)

    refused_alike(ask(named.token("ada", "read:users:name!user")), adas, 403)
    refused_alike(ask({"Authorization": "token nonsense"}), adas, 403)
    refused_alike(ask(named.token("eve", SCOPE)), adas, 404)
    assert phase(ada, adas) not in {"cancelled", "failed"}
    assert ask(named.token("ada", SCOPE))(adas["state_url"], "GET").json()["id"] == adas["id"]


def test_attack_a_token_in_an_address_is_none(named: Service, adas: dict[str, Any]) -> None:
    """URLs appear in logs and browser histories."""
    token = named.token("ada", SCOPE)["Authorization"].removeprefix("token ")
    answer = requests.get(adas["state_url"], params={"token": token}, timeout=20)
    assert answer.status_code == 403


def test_attack_who_may_not_use_the_service_does_not_get_in(named: Service) -> None:
    """Mallory can log in to JupyterHub, but is not in a group that may use the service."""
    mallory = Person(named).log_in("mallory")
    answer = mallory.go()
    assert answer.status_code == 403
    assert "/hub/api/oauth2/authorize" in answer.url
    headers = named.token("mallory", "inherit")
    answer = requests.get(f"{named.url}api/launches", headers=headers, timeout=20)
    assert answer.status_code == 403
    assert SCOPE in answer.json()["error"]["message"]


def test_attack_a_page_of_another_users_server_starts_nothing(
    ada: Person, folder: Path, adas: dict[str, Any]
) -> None:
    """The page has the service's origin, so the browser sends ada's cookie, but not _xsrf."""
    spec = str(local(folder / "small"))
    before = len(ada.fetch("api/launches").json()["launches"])
    answer = ada.fetch("api/launches", "POST", xsrf=False, json={"spec": spec})
    assert answer.status_code == 403
    assert ada.fetch("api/launches", xsrf=False).status_code == 403
    refused_alike(lambda url, method: ada.fetch(url, method, xsrf=False), adas, 403)
    form = {"cancel": adas["id"]}
    answer = ada.session.post(f"{ada.service.url}launches", form, headers=NAVIGATE, timeout=20)
    assert answer.status_code == 403
    # A link, form or frame of the page uses BinderHub's endpoint, which starts launches.
    headers = {"Sec-Fetch-Site": "same-origin", "Referer": f"{ada.service.hub_url}user/eve/"}
    assert ada.go(f"build/{spec}", headers=headers).status_code == 403
    assert len(ada.fetch("api/launches").json()["launches"]) == before


def test_attack_a_link_on_another_users_server_is_asked_about(ada: Person, adas: Any) -> None:
    """Launched code runs with the user's rights, and the attacker chooses the Referer."""

    def asks(referrer: str, site: str = "same-origin") -> bool:
        headers = {"Sec-Fetch-Site": site, "Referer": referrer}
        return " ask " in ada.go(f"v2/{adas['spec']}", headers=headers).text

    hub = ada.service.hub_url
    assert asks(f"{hub}user/eve/tree")
    assert asks("")
    assert asks("", "cross-site")
    assert asks("", "none")
    assert asks(ada.service.url)
    assert asks(f"{ada.service.url}link")


def test_attack_no_page_shows_ours_in_a_frame(ada: Person) -> None:
    """A script of the same origin could read a page in a frame, and click its buttons."""
    for page in ("", "launches", "link", "v2/gh/a/b/HEAD"):
        policy = ada.go(page).headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy


@asynchronous(60)
async def test_attack_a_socket_of_another_site_or_user(
    ada: Person, eve: Person, adas: dict[str, Any]
) -> None:
    async def connect(person: Person, url: str, origin: str = "") -> int:
        headers = {"Cookie": person.cookies, "Sec-Fetch-Mode": "websocket"}
        headers["Origin"] = origin or ada.service.hub_url.rstrip("/")
        async with aiohttp.ClientSession() as session:
            try:
                async with session.ws_connect(url, headers=headers) as socket:
                    await socket.receive_json(timeout=20)
                    return 101
            except aiohttp.WSServerHandshakeError as error:
                return error.status

    url = adas["socket_url"]
    assert await connect(ada, url) == 101
    assert await connect(ada, url, "https://evil.example.org") == 403
    assert await connect(eve, url) == await connect(eve, url.replace(adas["id"], WRONG)) == 404


def test_a_launch_becomes_a_named_server_of_its_user(
    named: Service, ada: Person, eve: Person, folder: Path
) -> None:
    spec = local(folder / "small")
    first, second = ada.start(spec), ada.start(spec)
    ready = [ada.events(links)[-1] for links in (first, second)]
    assert [event["phase"] for event in ready] == ["ready", "ready"], ready
    servers = named.servers("ada")
    assert len(servers) == 2
    for event in ready:
        name = event["url"].rstrip("/").rpartition("/")[2]
        assert name.startswith("small-")
        assert servers[name]["ready"]
        assert event["url"] == f"{named.hub_url}user/ada/{name}/"
        assert servers[name]["user_options"]["image"].startswith(str(folder))
    assert named.servers("eve") == {}
    # Ada can open it again from the list, and with a token.
    page = ada.go("launches").text
    assert first["page_url"] in page
    token = named.token("ada", SCOPE)
    listed = requests.get(f"{named.url}api/launches", headers=token, timeout=20).json()
    assert [one["id"] for one in listed["launches"]][:2] == [second["id"], first["id"]]
    assert "ready" not in eve.go("launches").text
    for name in servers:
        named.ask("DELETE", f"users/ada/servers/{name}", {"remove": True}, status=204)


def test_a_launch_is_cancelled_from_the_list_without_a_script(
    ada: Person, adas: dict[str, Any]
) -> None:
    page = ada.go("launches").text
    assert f'value="{adas["id"]}"' in page
    assert f'name="_xsrf" value="{ada.xsrf}"' in page
    form = {"cancel": adas["id"], "_xsrf": ada.xsrf}
    answer = ada.session.post(f"{ada.service.url}launches", form, headers=NAVIGATE, timeout=20)
    assert (answer.status_code, answer.url) == (200, f"{ada.service.url}launches")
    assert f'value="{adas["id"]}"' not in answer.text
    assert phase(ada, adas) == "cancelled"


def test_tokens_start_launches_also_at_binderhubs_address(named: Service, folder: Path) -> None:
    headers = {**named.token("eve", SCOPE), **STREAM}
    url = f"{named.url}build/{local(folder / 'small')}"
    with requests.get(url, headers=headers, timeout=30, stream=True) as answer:
        assert answer.status_code == 200
        assert "data: " in "".join(
            line for line, _ in zip(answer.iter_lines(decode_unicode=True), range(6), strict=False)
        )
    # Another service may use this one, but cannot have servers.
    answer = requests.get(f"{named.url}api/launches", headers=named.headers["robot"], timeout=20)
    assert answer.status_code == 403


def test_the_services_own_token_may_no_more_than_documented(named: Service) -> None:
    """An attacker who controls the service can start and stop servers of the group only."""
    Person(named).log_in("mallory")
    named.ask("POST", "users/mallory/servers/x", {}, status=404, who="own")
    named.ask("GET", "users/mallory", status=404, who="own")
    named.ask("POST", "users/somebody", status=403, who="own")
    named.ask("DELETE", "users/ada", status=403, who="own")
    named.ask("POST", "users/ada/tokens", {}, status=403, who="own")
    named.ask("GET", "services", status=403, who="own")
    assert named.ask("GET", "users/ada", who="own")["name"] == "ada"


def test_launches_as_temporary_users(tmp_path: Path) -> None:
    repository(tmp_path / "small", NOTHING)
    repository(tmp_path / "endless", ENDLESS)
    spec = str(local(tmp_path / "small"))
    config = (
        "import os\n"
        "c.JupyterHubService.named_servers = False\n"
        "c.HubLauncher.url = os.environ['TEST_HUB_URL']\n"
        f"c.Standby.repositories = {{{spec!r}: 1}}\n"
    )
    people = {"ada", "eve", "robot"}
    with service(tmp_path, "Temporary users", config) as temporary:
        ada, eve = (Person(temporary).log_in(name) for name in ("ada", "eve"))
        assert {person.go().status_code for person in (ada, eve)} == {200}
        until(lambda: standing(temporary.url) == 1, lambda: "no server stands ready")
        (first,) = temporary.users() - people
        links = ada.start(spec)
        refused_alike(lambda url, method: eve.fetch(url, method), links, 404)
        events = ada.events(links)
        assert took(events), events
        assert events[-1]["url"] == f"{temporary.hub_url}user/{first}/"
        until(lambda: standing(temporary.url) == 1, lambda: "it is not replaced")
        assert all(each.startswith("small-") for each in temporary.users() - people)
        assert temporary.servers("ada") == {}
        # Here, a service can launch. It is not the user with the same name.
        Person(temporary).log_in("robot")
        robot = temporary.headers["robot"]
        body = {"spec": str(local(tmp_path / "endless"))}
        url = f"{temporary.url}api/launches"
        started = requests.post(url, json=body, headers=robot, timeout=20).json()
        assert requests.get(started["state_url"], headers=robot, timeout=20).status_code == 200
        namesake = temporary.token("robot", "inherit")
        assert requests.get(started["state_url"], headers=namesake, timeout=20).status_code == 404
        requests.delete(started["state_url"], headers=robot, timeout=20)


@pytest.mark.long
def test_started_by_hand(tmp_path: Path) -> None:
    repository(tmp_path / "small", NOTHING)
    with service(tmp_path, "Named servers", by_hand=True) as running:
        ada, eve = (Person(running).log_in(name) for name in ("ada", "eve"))
        assert {person.go().status_code for person in (ada, eve)} == {200}
        links = ada.start(local(tmp_path / "small"))
        refused_alike(lambda url, method: eve.fetch(url, method), links, 404)
        assert ada.events(links)[-1]["phase"] == "ready"
        assert len(running.servers("ada")) == 1
        # Another replica, or this one after a restart.
        with running.replica(tmp_path / "replica.log") as url:
            for cookies, status in ((ada.cookies, 200), ("", 403)):
                headers = {**FETCH, "Cookie": cookies, "X-XSRFToken": ada.xsrf}
                answer = requests.get(f"{url}api/launches", headers=headers, timeout=20)
                assert answer.status_code == status, answer.text
            check_login_at_both(Person(running).log_in("eve"), url)


def check_login_at_both(person: Person, replica: str) -> None:
    """Begin a login, which JupyterHub's proxy has complete at the other replica."""
    begun = person.go("stats?days=7", allow_redirects=False)
    authorize = urljoin(person.service.hub_url, begun.headers["Location"])
    answer = person.session.get(authorize, headers=NAVIGATE, allow_redirects=False, timeout=20)
    query = urlsplit(answer.headers["Location"]).query
    # What the state contains is for replicas only.
    assert "stats" not in query
    callback = f"{replica}oauth_callback?{query}"
    for cookies, status in (("", 403), (person.cookies, 302)):
        headers = {**NAVIGATE, "Cookie": cookies}
        completed = requests.get(callback, headers=headers, allow_redirects=False, timeout=20)
        assert completed.status_code == status, completed.text
        if status == 302:
            assert completed.headers["Location"] == f"/{SERVICE}stats?days=7"
            assert "service-binderprogress=" in completed.headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("given", "missing"),
    usually(
        [
            ({}, "JUPYTERHUB_API_TOKEN is not set"),
            ({"JUPYTERHUB_API_TOKEN": "x"}, "Set JUPYTERHUB_SERVICE_NAME"),
        ],
        ({}, "JUPYTERHUB_API_TOKEN is not set"),
    ),
)
def test_without_what_the_hub_sets_it_says_what_is_missing(
    given: dict[str, str], missing: str
) -> None:
    """It must not start without access control instead."""
    done = subprocess.run(
        [BIN / "binderprogress", "hub-service", "--port", "0"],
        env={"PATH": os.environ["PATH"], **given},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert missing in done.stderr
    assert "Traceback" not in done.stderr
