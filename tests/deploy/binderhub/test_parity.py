"""What BinderHub's clients and operators expect of it, with our extension."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any
from unittest.mock import patch

import pytest
import requests
from binderhub.repoproviders import RepoProvider
from prometheus_client import REGISTRY, Counter
from traitlets import Unicode

from binderprogress import __version__
from binderprogress.client import AsyncClient
from binderprogress.deploy.binderhub import rejections

from ...support.hublogin import by_token
from ...support.inside import COMMIT, PlayedProvider, add_image, inside

# -- /build/


def test_every_event_has_a_message() -> None:
    with inside() as server:
        stream = server.stream("build/gh/a/b/HEAD")
        first = next(stream)
        build = server.build()
        build.say("Step 1/2 : FROM x\n")
        build.end()
        events = [event for _, event in [first, *stream]]
    assert events[-1]["phase"] == "ready"
    assert all("message" in event for event in events)


def test_a_fake_build_is_shown_in_its_phases() -> None:
    """BinderHub's `FakeBuild` writes them with a capital, and some that are none."""
    with inside() as server:
        started = server.start()
        build = server.build()
        for phase in ("Pending", "Running", "Succeed", "Building", "unknown"):
            build.say(f"{phase}...\n", phase)
        build.end()
        events = server.watch(started)
    shown = {event["message"]: event["phase"] for event in events if "message" in event}
    assert (shown["Succeed...\n"], shown["Building...\n"]) == ("waiting", "building")


@pytest.mark.parametrize("phase", ["failed", "FAILED"])
def test_a_build_that_says_that_it_failed_has_failed(phase: str) -> None:
    with inside() as server:
        started = server.start()
        build = server.build()
        build.say("ERROR: No matching distribution found for nonsense==9\n", phase)
        build.end()
        assert server.watch(started)[-1]["reason"] == "unsatisfiable-requirement"


@pytest.mark.parametrize("logins", [False, True])
def test_what_does_not_ask_for_a_stream_gets_binderhubs_error_even_without_a_login(
    logins: bool,
) -> None:
    with inside(BinderHub={"auth_enabled": logins}) as server:
        ((_, event),) = server.stream("build/gh/a/b/HEAD", Accept="*/*")
    assert event["status_code"] == 400
    assert event["message"].startswith("Missing Accept header")


# -- what is rejected


def test_robots_build_nothing_where_binderhub_blocks_them() -> None:
    settings = {"block_build_user_agents": [re.compile(".*bot.*", re.IGNORECASE)]}
    robot = {"User-Agent": "Mozilla/5.0 (compatible; ExampleBot/2.1)", "Sec-Fetch-Site": "none"}
    labels = ["reason", "spec", "user_agent"]
    rejected = Counter("test_binderhub_builds_rejected", "…", labels)
    try:
        with (
            patch.object(rejections, "_REJECTED", rejected),
            inside(BinderHub={"tornado_settings": settings}) as server,
        ):
            ((_, event),) = server.stream("build/gh/a/b/HEAD", **robot)
            assert (event["status_code"], event["message"]) == (403, "Bots not allowed\n")
            assert server.start(headers=robot).status_code == 403
            add_image(server)
            assert server.watch(server.start())[-1]["phase"] == "ready"
            counted = rejected.labels("user_agent", "gh/a/b/HEAD", robot["User-Agent"])
            assert counted._value.get() == 2
            server.get("build/gh/a/b/HEAD", headers={"User-Agent": "cat", "Accept": "*/*"})
            assert rejected.labels("accept_header", "gh/a/b/HEAD", "cat")._value.get() == 1
            # BinderHub that blocks robots has a robots.txt of its own.
            assert "Disallow" not in server.get("robots.txt").text
    finally:
        REGISTRY.unregister(rejected)


def test_robots_are_asked_to_stay_away() -> None:
    with inside() as server:
        answer = server.get("robots.txt")
    assert answer.text == "User-agent: *\nDisallow: /\n"
    assert answer.headers["Content-Type"].startswith("text/plain")


# -- /versions


async def _kind(url: str) -> str:
    async with AsyncClient(url) as client:
        return await client.detect_kind()


def test_versions_are_binderhubs_own_and_clients_find_us_all_the_same() -> None:
    with inside() as server:
        answer = server.get("versions")
        assert set(answer.json()) <= {"binderhub", "builder_info", "builder"}
        assert answer.headers["Binderprogress"] == __version__
        assert "Binderprogress" in answer.headers["Access-Control-Expose-Headers"]
        assert asyncio.run(_kind(server.url)) == "binderprogress"
    with inside(BinderProgress={"show_version": True}) as server:
        assert server.get("versions").json()["binderprogress"] == __version__


@pytest.mark.parametrize("show", [False, True])
def test_errors_of_versions_say_what_is_wrong(show: bool, caplog: pytest.LogCaptureFixture) -> None:
    with inside(BinderProgress={"show_version": show}) as server:
        answer = requests.post(f"{server.url}versions", timeout=60)
    assert answer.status_code == 405
    assert "Method Not Allowed" in answer.text
    assert "Traceback" not in caplog.text


# -- specs


class PlayedGit(RepoProvider):
    """Reaches every repository, none of which has the branch `nosuch`."""

    name = Unicode("Git")
    display_config = {"displayName": "Git", "id": "git"}  # noqa: RUF012 - BinderHub's way

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.unresolved_ref = self.spec.partition("/")[2]

    async def get_resolved_ref(self) -> str | None:
        if self.unresolved_ref == "unreachable":
            raise RuntimeError("Unable to run git ls-remote: fatal: repository not found")
        return None if self.unresolved_ref == "nosuch" else COMMIT

    def get_repo_url(self) -> str:
        return requests.utils.unquote(self.spec.partition("/")[0])

    def get_build_slug(self) -> str:
        return "git"


def test_a_branch_that_a_git_repository_does_not_have_is_a_bad_ref() -> None:
    providers = {"gh": PlayedProvider, "git": PlayedGit}
    with inside(BinderHub={"repo_providers": providers}) as server:
        address = "git/https%3A%2F%2Fexample.org%2Fdata/"
        end = server.watch(server.start(f"{address}nosuch"))[-1]
        assert (end["reason"], end["subject"]) == ("bad-ref", "nosuch")
        assert "for git:https://example.org/data/nosuch." in end["message"]
        end = server.watch(server.start(f"{address}unreachable"))[-1]
        assert "for git:https://example.org/data/unreachable: Unable" in end["message"]


# -- named servers


@pytest.mark.parametrize("repository", ["a/b", "jupyterlab/jupyterlab-demo-of-everything", "a/1_"])
def test_named_servers_have_names_that_jupyterhub_accepts(repository: str) -> None:
    config = {"BinderHub": {"auth_enabled": True}, "Launcher": {"allow_named_servers": True}}
    with inside(PlayedLauncher={"allow_named_servers": True}, **config) as server:
        add_image(server, repository.replace("/", "-"))
        server.launcher.failures.append(OSError("the proxy does not answer"))
        headers = by_token("ann")
        url = f"{server.url}api/launches"
        started = requests.post(
            url, json={"spec": f"gh/{repository}/HEAD"}, headers=headers, timeout=60
        )
        assert server.watch(started, **headers)[-1]["phase"] == "ready"
        names = [asked["server_name"] for asked in server.launcher.launched]
    assert len(set(names)) == 2
    assert all(re.fullmatch("[a-z][a-z0-9-]{,29}", name) for name in names), names
    assert not any("--" in name for name in names)


def test_the_response_of_versions_is_json() -> None:
    with inside() as server:
        assert json.loads(server.get("versions").text)["binderhub"]
