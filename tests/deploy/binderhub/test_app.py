"""Our extension in BinderHub: a test double, or the real one if it is installed."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from binderhub.build import ProgressEvent
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from tornado.web import HTTPError
from websockets.sync.client import connect

from binderprogress.core.phases import Phase
from binderprogress.deploy.binderhub.app import BinderProgress
from binderprogress.history.database import Database
from binderprogress.web.static_names import hashed_name

from ...support.hublogin import by_token
from ...support.inside import (
    COMMIT,
    SECRET,
    Inside,
    PlayedBuild,
    PlayedProvider,
    PlayedQuota,
    PlayedRecords,
    PlayedRegistry,
    Status,
    add_image,
    inside,
)

LABELS = {"provider": "GitHub", "repo": "https://github.com/a/b"}


def phases(events: list[dict[str, Any]]) -> list[str]:
    """Return the phases, without repetitions."""
    result: list[str] = []
    for event in events:
        if not result or event["phase"] != result[-1]:
            result.append(event["phase"])
    return result


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def token(spec: str, origin: str, **more: Any) -> str:
    content = {"exp": int(time.time()) + 60, "aud": spec, "origin": origin, **more}
    return jwt.encode(content, key=SECRET, algorithm="HS256")


# -- from the request to the server


def test_a_repository_goes_to_a_running_server_with_all_that_the_hub_says() -> None:
    with inside() as server:
        started = server.start()
        build = server.build()
        build.say("Step 1/2 : FROM x\n")
        build.say("pushing\n", "pushing")
        build.end()
        events = server.watch(started)
    assert phases(events) == ["waiting", "building", "pushing", "built", "launching", "ready"]
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    (pulling,) = [e for e in events if e.get("source", {}).get("raw_event")]
    assert pulling["source"] == {
        "progress": 40,
        "raw_event": {"reason": "Pulling", "type": "Normal"},
        "html_message": "<b>Pulling</b> image",
    }
    assert pulling["step"] == "Pulling the image"
    ready = events[-1]
    assert ready["url"] == "https://hub.example.org/user/b-0/"
    assert ready["token"] == "t0ken"
    assert ready["image"].startswith("registry.example.org/binder-a-2db-")
    assert ready["binder_ref_url"] == f"https://github.com/a/b/tree/{COMMIT}"
    assert ready["binder_launch_host"] == server.url
    assert ready["binder_request"] == "v2/gh/a/b/HEAD"
    assert ready["binder_persistent_request"] == f"v2/gh/a/b/{COMMIT}"
    (asked,) = server.launcher.launched
    assert {key: asked[key] for key in asked if key.startswith("binder_")} == {
        key: ready[key] for key in ready if key.startswith("binder_")
    }


def test_the_build_gets_what_binderhubs_own_handler_gives_it() -> None:
    with inside() as server:
        server.start()
        build = server.build()
        assert build.repo_url == "https://github.com/a/b"
        assert build.ref == COMMIT
        assert build.name.startswith("build-a-2db-")
        assert build.image_name.endswith(f":{COMMIT}")
        assert build.registry_credentials["username"] == "u"
        assert build.parent is server.hub


def test_binderhubs_clients_start_and_resume_by_build() -> None:
    with inside() as server:
        stream = server.stream("build/gh/a/b/HEAD")
        first, event = next(stream)
        assert event["phase"] == "waiting"
        build = server.build()
        stream.close()
        build.end()
        rest = list(server.stream("build/gh/a/b/HEAD", **{"Last-Event-ID": first}))
        assert rest[0][1]["id"] == 2
        assert rest[-1][1]["phase"] == "ready"
        assert len(server.launcher.launched) == 1


def test_a_launch_can_be_watched_over_websocket() -> None:
    with inside() as server:
        add_image(server)
        started = server.start().json()
        with connect(started["socket_url"]) as socket:
            events = [json.loads(message) for message in socket]
    assert events[-1]["phase"] == "ready"


def test_fifty_viewers_and_twenty_launches_cost_one_build_watch() -> None:
    with inside() as server, ThreadPoolExecutor(50) as threads:
        launches = [server.start() for _ in range(20)]
        build = server.build()
        watched = [threads.submit(server.watch, launches[n % 20]) for n in range(50)]
        for number in range(100):
            build.say(f"line {number}\n")
        build.end()
        streams = [viewer.result(60) for viewer in watched]
    assert all(events[-1]["phase"] == "ready" for events in streams)
    assert all(len(events) == len(streams[0]) for events in streams)
    assert PlayedBuild.calls == ["submit", "stream_logs", "stop"]
    assert len(PlayedRegistry.asked) == 1
    assert len(server.launcher.launched) == 20


def test_an_image_that_is_there_is_not_built() -> None:
    with inside() as server:
        image = add_image(server)
        events = server.watch(server.start())
    assert phases(events) == ["waiting", "built", "launching", "ready"]
    assert events[-1]["image"] == image
    assert PlayedBuild.calls == []


def test_without_a_registry_the_images_of_this_machine_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        "binderprogress.deploy.binderhub.image_builder._is_local",
        lambda image: not asked.append(image),
    )
    with inside(BinderHub={"use_registry": False}) as server:
        events = server.watch(server.start())
    assert events[-1]["phase"] == "ready"
    assert asked == [events[-1]["image"]]
    assert PlayedRegistry.asked == []


# -- history


def test_a_launch_is_kept_with_all_but_who_launched(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/history.sqlite"
    with inside(History={"url": url}) as server:
        image = add_image(server)
        server.watch(server.start())
        assert server.get("api/stats").json()["repositories"] == []
        assert f"binderprogress/static/{hashed_name('stats.js')}" in server.get("stats").text
        # It may have tokens for private repositories.
        assert error(server.get("api/popular"))[0] == 403
    history = Database(url, log=logging.getLogger())
    (past,) = history.recent(10)
    history.close()
    assert (past.provider, past.repository) == ("gh", "https://github.com/a/b")
    assert (past.ref, past.commit, past.image) == ("HEAD", COMMIT, image)
    assert (past.outcome, past.cold) == (Phase.READY, False)
    # JupyterHub reported it.
    assert "pulling" in [span.step for span in past.spans]
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"t0ken" not in kept
    assert b"127.0.0.1" not in kept


def test_the_api_is_described_to_whom_it_is_open() -> None:
    with inside() as server:
        described = server.get("api/openapi.json").json()
        assert {"/api/launches", "/build/gh/{user}/{repository}/{ref}"} <= described["paths"].keys()
    with inside(BinderHub={"auth_enabled": True}) as server:
        assert server.get("api/openapi.json").status_code == 403
        assert server.get("api/openapi.json", headers=by_token("ann")).status_code == 200


# -- requests that BinderHub rejects


def refused(server: Inside, path: str, **headers: str) -> dict[str, Any]:
    """Request /build/, and return the only event."""
    ((_, event),) = server.stream(path, **headers)
    assert event["phase"] == "failed"
    assert not server.launcher.launched
    assert PlayedBuild.calls == []
    return event


def error(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["message"]


def test_a_banned_network_gets_nothing() -> None:
    with inside(BinderHub={"ban_networks": {"127.0.0.0/8": "robots"}}) as server:
        event = refused(server, "build/gh/a/b/HEAD")
        assert event["status_code"] == 403
        assert event["message"] == "Requests from robots are not allowed\n"
        assert error(server.start()) == (403, "Requests from robots are not allowed.")
        assert server.get("api/launches/x/events").status_code == 403
        assert server.get("api/launches/x/log").status_code == 403
        assert server.get("api/stats").status_code == 403
        assert server.get("stats").status_code == 403
        # In BinderHub, these are open for other BinderHubs.
        assert server.get("versions").status_code == 200


def test_a_banned_repository_is_not_launched() -> None:
    with inside(PlayedProvider={"banned_specs": ["^evil/.*"]}) as server:
        event = refused(server, "build/gh/evil/b/HEAD")
        sentence = (
            "Sorry, evil/b/HEAD is not allowed to launch. Please contact admins for more info!"
        )
        assert event["message"].strip() == sentence
        assert error(server.start("gh/evil/b/HEAD")) == (403, sentence)


def test_a_provider_or_a_spec_that_is_not_known_is_said_so() -> None:
    with inside() as server:
        assert refused(server, "build/gl/a/HEAD")["message"] == "No provider found for prefix gl\n"
        assert error(server.start("gl/a/HEAD")) == (400, "No provider found for prefix gl")
        assert "not of the form" in refused(server, "build/gh/a/b")["message"]
        assert server.start("gh/a/b").status_code == 400


@pytest.mark.parametrize("wrong", ["nonsense", "spec", "expired", "origin"])
def test_a_wrong_build_token_is_refused(wrong: str) -> None:
    with inside() as server:
        made = {
            "nonsense": "nonsense",
            "spec": token("gh/a/other/HEAD", server.host),
            "expired": token("gh/a/b/HEAD", server.host, exp=1),
            "origin": token("gh/a/b/HEAD", "elsewhere.example.org"),
        }[wrong]
        event = refused(server, f"build/gh/a/b/HEAD?build_token={made}")
        assert (event["status_code"], event["message"]) == (403, "Invalid build token\n")
        answer = server.start(params={"build_token": made})
        assert error(answer) == (403, "Invalid build token.")


def test_binderhubs_rate_limit_counts_both_ways_to_start() -> None:
    limits = {"limit": 2, "period_seconds": 60}
    with inside(RateLimiter=limits) as server:
        add_image(server)
        first = server.start()
        assert (first.status_code, first.headers["x-ratelimit-remaining"]) == (201, "1")
        list(server.stream("build/gh/a/b/HEAD"))
        assert error(server.start())[0] == 429
        ((_, event),) = server.stream("build/gh/a/b/HEAD")
        assert event["status_code"] == 429
        assert event["message"] == "Rate limit exceeded. Try again in 60 seconds.\n"
        # Watching does not count, nor do requests with a build token, from BinderHub's own page.
        assert server.watch(first)[-1]["phase"] == "ready"
        given = token("gh/a/b/HEAD", server.host)
        assert server.start(params={"build_token": given}).status_code == 201


def test_what_asks_for_no_stream_starts_nothing() -> None:
    with inside() as server:
        event = refused(server, "build/gh/a/b/HEAD", Accept="text/html")
        assert event["status_code"] == 400
        assert "Missing Accept header" in event["message"]


def test_pages_of_other_sites_need_binderhubs_cors_allow_origin() -> None:
    other = {"Origin": "https://other.example.org"}
    with inside() as server:
        assert server.start(headers=other).status_code == 403
        assert refused(server, "build/gh/a/b/HEAD", **other)["status_code"] == 403
    with inside(BinderHub={"cors_allow_origin": "https://other.example.org"}) as server:
        add_image(server)
        asked = requests.options(f"{server.url}api/launches", headers=other, timeout=60)
        assert "Content-Type" in asked.headers["Access-Control-Allow-Headers"]
        answer = server.start(headers=other)
        assert answer.status_code == 201
        assert answer.headers["Access-Control-Allow-Origin"] == other["Origin"]


def test_the_quota_is_asked_before_a_build_and_before_a_launch() -> None:
    name, status = "binderhub_launch_count_total", {"status": "repo_quota", **LABELS}
    before = sample(name, **status)
    sentence = "Too many users running https://github.com/a/b! Try again soon.\n"
    with inside() as server:
        PlayedQuota.exceeded = True
        events = server.watch(server.start())
        assert (events[-1]["reason"], events[-1]["message"]) == ("quota", sentence)
        add_image(server)
        events = server.watch(server.start())
        assert phases(events) == ["waiting", "built", "launching", "failed"]
        assert events[-1]["message"] == sentence
        assert PlayedBuild.calls == []
        assert server.launcher.launched == []
    assert sample(name, **status) == before + 2


def test_build_only_needs_the_api_only_mode() -> None:
    with inside() as server:
        event = refused(server, "build/gh/a/b/HEAD?build_only=true")
        assert event["status_code"] == 400
        assert "enable_api_only_mode" in event["message"]
        assert server.start(params={"build_only": "true"}).status_code == 400


def test_in_the_api_only_mode_an_image_can_be_all_that_is_wanted() -> None:
    with inside(BinderHub={"enable_api_only_mode": True}) as server:
        stream = server.stream("build/gh/a/b/HEAD?build_only=true")
        next(stream)
        # A launch with a server shares the build.
        other = server.start()
        build = server.build()
        build.end()
        events = [event for _, event in stream]
        assert events[-1]["phase"] == "ready"
        assert events[-1]["imageName"] == build.image_name
        assert "url" not in events[-1]
        assert server.watch(other)[-1]["url"]
        assert len(server.launcher.launched) == 1
        assert server.get("v2/gh/a/b/HEAD").status_code == 404


def test_a_build_without_a_launch_and_whether_its_image_is_there() -> None:
    spec = "gh/a/b/HEAD"
    with inside(BinderHub={"enable_api_only_mode": True}) as server:
        before = server.get(f"api/images/{spec}").json()
        wanted = {"spec": spec, "commit": COMMIT, "exists": False, "building": False}
        assert {name: before[name] for name in wanted} == wanted
        started = server.start(spec, path="api/builds")
        build = server.build()
        assert server.get(f"api/images/{spec}").json() == {**before, "building": True}
        image = add_image(server)
        build.end()
        last = server.watch(started)[-1]
        assert (last["phase"], last["imageName"]) == ("ready", build.image_name)
        assert "url" not in last
        after = server.get(f"api/images/{spec}").json()
        assert (after["exists"], after["building"], after["image"]) == (True, False, image)
        # Another one finds it.
        assert "built" in phases(server.watch(server.start(spec, path="api/builds")))
        assert PlayedBuild.calls.count("submit") == 1
        assert server.launcher.launched == []
        assert server.get("api/images/nonsense/a/b").status_code == 400
    with inside() as server:
        refused = server.start(spec, path="api/builds")
        assert refused.status_code == 403
        assert "enable_api_only_mode" in refused.text


# -- refs


@pytest.mark.parametrize("ref", ["master", "main"])
def test_a_default_branch_that_is_gone_is_launched_at_head_with_a_notice(ref: str) -> None:
    with inside() as server:
        PlayedProvider.gone = {"master", "main"}
        plain = server.start("gh/a/b/HEAD")
        build = server.build()
        old = server.start(f"gh/a/b/{ref}")
        build.say("a line\n")
        build.end()
        events, others = server.watch(old), server.watch(plain)
        log = requests.get(old.json()["log_url"], timeout=60).text
        for after in range(len(events) - 1):
            address = f"api/launches/{old.json()['id']}/events?after={after}"
            assert [event for _, event in server.stream(address)] == events[after:]
    assert log == "".join(event.get("message", "") for event in events)
    assert "HEAD will always resolve" in events[1]["message"]
    assert ("has changed default branches" in events[1]["message"]) is (ref == "master")
    assert events[1]["phase"] == "waiting"
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    # Both share one build, but number their events separately.
    assert PlayedBuild.calls.count("submit") == 1
    assert [e["message"] for e in events[2:-2] if "message" in e] == [
        e["message"] for e in others[1:-2] if "message" in e
    ]
    assert events[-1]["binder_request"] == "v2/gh/a/b/HEAD"


def test_a_ref_that_is_nowhere_fails_with_binderhubs_sentence() -> None:
    with inside() as server:
        PlayedProvider.gone = {"nowhere", "main", "HEAD"}
        end = server.watch(server.start("gh/a/b/nowhere"))[-1]
        assert (end["phase"], end["reason"]) == ("failed", "unresolved")
        assert end["message"].startswith("Could not resolve ref for gh:a/b/nowhere. Double check")
        end = server.watch(server.start("gh/a/b/main"))[-1]
        assert "Tip: HEAD" in end["message"]
        end = server.watch(server.start("gh/a/b/unreachable"))[-1]
        assert end["message"] == "Error resolving ref for gh:a/b/unreachable: no route\n"


# -- builds


def test_a_build_that_fails_says_why_and_is_counted_once() -> None:
    name, labels = "binderhub_build_count_total", {"status": "failure", **LABELS}
    before = sample(name, **labels)
    with inside() as server:
        started = server.start()
        build = server.build()
        # repo2docker reports it twice.
        build.say("ERROR: No matching distribution found for nonsense==9\n", "failed")
        build.say("Error during build\n", "failed")
        build.end(Status.FAILED)
        end = server.watch(started)[-1]
    assert end["phase"] == "failed"
    assert end["reason"] == "unsatisfiable-requirement"
    assert sample(name, **labels) == before + 1
    assert server.launcher.launched == []


def test_what_the_log_has_still_to_say_when_the_build_ends_is_told() -> None:
    with inside() as server:
        started = server.start()
        build = server.build()
        kind = ProgressEvent.Kind.BUILD_STATUS_CHANGE
        build.progress(kind, Status.FAILED)
        build.say("fatal: couldn't find remote ref nonsense\n", "failed")
        build.end(Status.FAILED)
        end = server.watch(started)[-1]
    assert (end["reason"], end["subject"]) == ("bad-ref", "nonsense")


def test_a_failure_that_only_the_log_tells_of_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("binderprogress.deploy.binderhub.build_watch._STATUS_TIMEOUT", 0.1)
    with inside() as server:
        started = server.start()
        server.build().say("Error during build\n", "failure")
        assert server.watch(started)[-1]["phase"] == "failed"


def test_a_builder_that_breaks_ends_the_launch() -> None:
    with inside() as server:
        PlayedBuild.broken = True
        end = server.watch(server.start())[-1]
    assert end["message"] == "Unhandled error watching for build events. Please try again.\n"


def test_a_build_that_nobody_waits_for_is_not_watched_any_more() -> None:
    with inside() as server:
        started = server.start().json()
        server.build()
        requests.delete(started["state_url"], timeout=60)
        events = [event for _, event in server.stream(f"api/launches/{started['id']}/events")]
    assert events[-1]["phase"] == "cancelled"
    # The thread that reads the log may start only now. Its lines are dropped.
    assert "stop" in PlayedBuild.calls


# -- launches


def test_a_launch_is_tried_as_often_as_binderhub_tries() -> None:
    with inside() as server:
        add_image(server)
        server.launcher.failures = [OSError("lost"), HTTPError(500, "Spawn failed: 100% wrong")]
        events = server.watch(server.start())
        assert events[-1]["attempt"] == 3
        assert len({asked["username"] for asked in server.launcher.launched}) == 3
        messages = "".join(event.get("message", "") for event in events)
        assert "Launch attempt 2 failed: Spawn failed: 100% wrong" in messages
        assert "lost" not in messages
        server.launcher.failures = [HTTPError(500, "Image x took too long to launch")] * 3
        events = server.watch(server.start())
    assert events[-1]["phase"] == "failed"
    assert events[-1]["message"] == "Image x took too long to launch\n"


def test_a_launch_that_is_cancelled_leaves_no_server_and_no_user() -> None:
    with inside() as server:
        add_image(server)
        server.call(lambda: setattr(server.launcher, "hold", asyncio.Event()))
        stream = server.stream("build/gh/a/b/HEAD")
        launch_id = next(
            identifier for identifier, event in stream if "raw_event" in event.get("source", {})
        ).partition(".")[0]
        requests.delete(f"{server.url}api/launches/{launch_id}", timeout=60)
        assert [event["phase"] for _, event in stream][-1] == "cancelled"
    assert server.launcher.deleted == ["DELETE users/b-0/servers/", "DELETE users/b-0"]


# -- event log, metrics and pages


def test_a_launch_is_written_into_binderhubs_event_log() -> None:
    with inside(BinderHub={"normalized_origin": "binder.example.org"}) as server:
        add_image(server)
        given = token("gh/a/b/HEAD", server.host)
        server.watch(
            server.start(params={"build_token": given}, headers={"Sec-Fetch-Site": "same-origin"})
        )
        (event,) = server.events
    assert event["schema"] == "binderhub.jupyter.org/launch"
    assert event["version"] == 6
    kept = ("provider", "spec", "ref", "status", "build_token", "origin", "request_origin")
    assert {name: event[name] for name in kept} == {
        "provider": "GitHub",
        "spec": "a/b/HEAD",
        "ref": COMMIT,
        "status": "success",
        "build_token": True,
        "origin": "binder.example.org",
        "request_origin": "same-origin",
    }


def test_metrics_versions_health_and_page_are_binderhubs_with_ours_beside() -> None:
    with inside() as server:
        add_image(server)
        server.watch(server.start())
        metrics = server.get("metrics").text
        assert "binderprogress_launches_running 0.0" in metrics
        assert 'binderprogress_launches_duration_seconds_count{outcome="ready"} 1.0' in metrics
        assert metrics.count("# TYPE process_start_time_seconds ") == 1
        assert list(text_string_to_metric_families(metrics))
        assert 'binderhub_launch_count_total{provider="GitHub"' in metrics
        versions = server.get("versions").json()
        assert {"binderhub", "builder_info"} <= set(versions)
        assert "binderprogress" not in versions
        assert "checks" in server.get("health").json()
        assert "<binder-progress" not in server.get("v2/gh/a/b/HEAD").text


def test_our_page_launches_with_a_build_token_of_its_own() -> None:
    with inside(BinderProgress={"page": "ours"}, RateLimiter={"limit": 1}) as server:
        add_image(server)
        with requests.Session() as browser:
            page = browser.get(f"{server.url}v2/gh/a/b/HEAD?urlpath=lab", timeout=60)
            assert 'spec="gh/a/b/HEAD"' in page.text
            assert "default-src 'none'" in page.headers["Content-Security-Policy"]
            name = f"binderprogress/static/{hashed_name('launch.js')}"
            assert name in page.text
            script = browser.get(server.url + name, timeout=60)
            assert script.status_code == 200
            url, body = f"{server.url}api/launches", {"spec": "gh/a/b/HEAD"}
            for _ in range(3):
                assert browser.post(url, json=body, timeout=60).status_code == 201
            # The token is only for this repository, and an expired one is ignored.
            body["spec"] = "gh/a/other/HEAD"
            assert browser.post(url, json=body, timeout=60).status_code == 201
            assert browser.post(url, json=body, timeout=60).status_code == 429


def test_settings_are_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "binderhub.md").read_text()
    for name in BinderProgress.class_trait_names(config=True):
        assert f"`BinderProgress.{name}`" in page


def test_it_all_is_below_binderhubs_base_url() -> None:
    with inside(BinderHub={"base_url": "/services/binder/"}) as server:
        add_image(server)
        assert server.url.endswith("/services/binder/")
        assert server.watch(server.start())[-1]["binder_launch_host"] == server.url
        assert list(server.stream("build/gh/a/b/HEAD"))[-1][1]["phase"] == "ready"


def test_the_access_log_does_not_have_the_keys_of_launches(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with inside() as server, caplog.at_level("INFO"):
        add_image(server)
        started = server.start()
        server.watch(started)
        server.get(f"api/launches/{started.json()['id']}")
    assert "/api/launches" in caplog.text
    assert started.json()["id"] not in caplog.text


def test_a_record_that_has_no_ref() -> None:
    text = "zenodo/10.5281/zenodo.1"
    with inside(BinderHub={"repo_providers": {"zenodo": PlayedRecords}}) as server:
        started = server.start(text)
        build = server.build()
        assert (build.repo_url, build.ref) == ("10.5281/zenodo.1", "2")
        build.end()
        events = server.watch(started)
    assert events[0]["message"] == "Looking up 10.5281/zenodo.1\n"
    ready = events[-1]
    assert ready["phase"] == "ready"
    assert ready["binder_request"] == f"v2/{text}"
    assert ready["binder_persistent_request"] == "v2/zenodo/10.5281/zenodo.2"
    assert ready["binder_ref_url"] == "https://doi.org/10.5281/zenodo.2"


def test_a_configuration_imports_from_the_public_path() -> None:
    # Configuration files use these names, so they must not change.
    from binderprogress.deploy import binderhub

    assert binderhub.__all__ == ["BinderProgress", "BinderProgressHub"]
    assert binderhub.BinderProgress is BinderProgress
    assert not hasattr(binderhub, "install_everything")
