"""The service in front of a BinderHub: JupyterHub's users, but servers of the BinderHub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from ..support.binderhub import BinderHub, binderhub_in_thread
from ..support.hubservice import NAVIGATE, SCOPE, Person, Service, refused_alike, service

pytestmark = pytest.mark.hub

SPEC = "gh/ada/endless/HEAD"


@pytest.fixture(scope="module")
def binderhub() -> Iterator[BinderHub]:
    with binderhub_in_thread() as hub:
        yield hub


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, binderhub: BinderHub) -> Iterator[Service]:
    config = f"c.Upstreams.urls = [{binderhub.url!r}]\nc.Upstreams.health_interval = 0.1\n"
    folder = tmp_path_factory.mktemp("service")
    with service(folder, "With BinderHubs elsewhere", config) as running:
        yield running


@pytest.fixture(scope="module")
def ada(running: Service) -> Person:
    person = Person(running).log_in("ada")
    assert person.go().status_code == 200
    return person


@pytest.fixture(scope="module")
def eve(running: Service) -> Person:
    person = Person(running).log_in("eve")
    assert person.go().status_code == 200
    return person


@pytest.fixture
def adas(ada: Person, binderhub: BinderHub) -> Iterator[dict[str, Any]]:
    """The links of a launch of ada that does not end."""
    binderhub.pause()
    binderhub.joined.clear()
    links = ada.start(SPEC)
    binderhub.wait_for(binderhub.joined)
    yield links
    ada.fetch(links["state_url"], "DELETE")
    binderhub.resume()


def ids(person: Person) -> list[str]:
    return [one["id"] for one in person.fetch("api/launches").json()["launches"]]


def test_a_launch_becomes_a_server_there_and_none_here(
    running: Service, binderhub: BinderHub, ada: Person, eve: Person
) -> None:
    people, requested = running.users(), len(binderhub.requests)
    links = ada.start(SPEC)
    events = ada.events(links)
    assert events[-1]["phase"] == "ready", events
    assert events[-1]["url"] == f"{binderhub.url}user/someone/"
    assert running.users() == people
    assert running.servers("ada") == {}
    # Opening it again from the list starts no other launch.
    page = ada.go("launches").text
    assert links["page_url"] in page
    assert ada.events(links) == events
    token = running.token("ada", SCOPE)
    assert requests.get(links["state_url"], headers=token, timeout=20).json()["phase"] == "ready"
    assert len(binderhub.requests) == requested + 1
    # The event has a token, which only ada may see.
    refused_alike(lambda url, method: eve.fetch(url, method), links, 404)
    assert links["page_url"] not in eve.go("launches").text


def test_attack_others_see_and_cancel_nothing(
    running: Service, ada: Person, eve: Person, adas: dict[str, Any]
) -> None:
    nobody = Person(running)
    refused_alike(lambda url, method: nobody.fetch(url, method, xsrf=False), adas, 403)
    refused_alike(lambda url, method: eve.fetch(url, method), adas, 404)
    assert ids(eve) == []
    form = {"cancel": adas["id"], "_xsrf": eve.xsrf}
    answer = eve.session.post(f"{running.url}launches", form, headers=NAVIGATE, timeout=20)
    assert answer.status_code == 404
    assert ids(ada)[0] == adas["id"]
    assert ada.fetch(adas["state_url"]).json()["phase"] not in {"cancelled", "failed"}


def test_attack_who_may_not_use_the_service_launches_nothing(
    running: Service, binderhub: BinderHub
) -> None:
    requested = list(binderhub.requests)
    mallory = Person(running).log_in("mallory")
    assert mallory.go().status_code == 403
    headers = running.token("mallory", "inherit")
    body = {"spec": SPEC}
    for who in ({}, headers):
        answer = requests.post(f"{running.url}api/launches", json=body, headers=who, timeout=20)
        assert answer.status_code == 403
        answer = requests.get(f"{running.url}build/{SPEC}", headers=who, timeout=20)
        assert answer.status_code == 403
    assert binderhub.requests == requested


def test_a_launch_is_cancelled_from_the_list(
    running: Service, binderhub: BinderHub, ada: Person, adas: dict[str, Any]
) -> None:
    page = ada.go("launches").text
    assert f'value="{adas["id"]}"' in page
    launches = binderhub.launches
    binderhub.left.clear()
    form = {"cancel": adas["id"], "_xsrf": ada.xsrf}
    answer = ada.session.post(f"{running.url}launches", form, headers=NAVIGATE, timeout=20)
    assert answer.status_code == 200
    assert f'value="{adas["id"]}"' not in answer.text
    assert ada.events(adas)[-1]["phase"] == "cancelled"
    # No viewer is left, so no server is started.
    binderhub.wait_for(binderhub.left)
    binderhub.resume()
    binderhub.wait_for(binderhub.idle)
    assert binderhub.launches == launches


def test_a_link_of_another_page_starts_without_a_question(ada: Person) -> None:
    """Servers of the BinderHub have no rights in this JupyterHub."""
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert " ask " not in ada.go(f"v2/{SPEC}", headers=headers).text


def test_services_of_the_hub_launch_as_themselves(running: Service, binderhub: BinderHub) -> None:
    robot = running.headers["robot"]
    body = {"spec": SPEC}
    started = requests.post(f"{running.url}api/launches", json=body, headers=robot, timeout=20)
    assert started.status_code == 201
    links = started.json()
    assert requests.get(links["events_url"], headers=robot, timeout=20).status_code == 200
    # A user with the same name is not the service.
    Person(running).log_in("robot")
    namesake = running.token("robot", "inherit")
    assert requests.get(links["state_url"], headers=namesake, timeout=20).status_code == 404


def test_its_own_token_may_nothing(running: Service, ada: Person) -> None:
    """An attacker who controls the service gets no rights in JupyterHub."""
    running.ask("GET", "users", status=403, who="own")
    running.ask("GET", "users/ada", status=403, who="own")
    running.ask("POST", "users/ada/server", {}, status=403, who="own")
    running.ask("POST", "users/ada/servers/x", {}, status=403, who="own")
    running.ask("POST", "users/somebody", status=403, who="own")


def test_health_is_that_of_the_binderhub(running: Service, binderhub: BinderHub) -> None:
    checks = requests.get(f"{running.url}health", timeout=20).json()["checks"]
    assert [check["service"] for check in checks][1:] == ["BinderHubs"]
    assert [hub["url"] for hub in checks[1]["upstreams"]] == [binderhub.url]
