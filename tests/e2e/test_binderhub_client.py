"""BinderHub's own JavaScript client, as it is published, at our ``/build/``.

Its own tests only talk to a server of their own, which replays a recording.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ..support.faultyproxy import proxy_in_thread
from ..support.hublogin import by_token
from ..support.inside import Status, inside
from ..support.replay import Stage, stage

ROOT = Path(__file__).parents[2]
SPEC = "gh/ada/penguins/HEAD"

# What a browser has and Node.js has not: a window, a document, and errors that nobody catches end
# nothing.
BROWSER = """\
globalThis.window = globalThis;
globalThis.document = { cookie: "", addEventListener() {}, removeEventListener() {} };
process.on("unhandledRejection", () => {});
console.log = () => {};
const { BinderRepository } = await import("@jupyterhub/binderhub-client/client.js");
const { LaunchSpec } = await import("@jupyterhub/binderhub-client/spec.js");
"""
# What BinderHub's page does: print what comes, and close when it is over, or when it is left. It
# adds the address that it would open.
PAGE = f"""\
{BROWSER}
const [hub, spec, after, leaves] = process.argv.slice(2);
const path = LaunchSpec.fromSearchParams(new URLSearchParams("labpath=a b.ipynb"));
const repository = new BinderRepository(spec, new URL("build", hub));
for await (const event of repository.fetch()) {{
  const {{ phase, message, url, token }} = event;
  const opens = url && path.getJupyterServerRedirectUrl(url, token);
  process.stdout.write(`${{JSON.stringify({{ ...event, opens }})}}\\n`);
  if (phase === "failed" || (leaves && message === leaves)) repository.close();
  if (phase === "ready") setTimeout(() => repository.close(), Number(after)).unref();
}}
"""


# How jupyterhub-fancy-profiles builds an image on JupyterHub's spawn page.
BUILDER = f"""\
{BROWSER}
const [hub, spec, apiToken] = process.argv.slice(2);
const address = new URL("/services/binder/build/", hub);
const image = new BinderRepository(spec, address, {{ apiToken, buildOnly: true }});
for await (const event of image.fetch()) {{
  process.stdout.write(`${{JSON.stringify(event)}}\\n`);
  if (event.phase === "failed" || event.phase === "ready") image.close();
}}
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pages that use the client."""
    folder = tmp_path_factory.mktemp("binderhub-client")
    (folder / "node_modules").symlink_to(ROOT / "js" / "node_modules")
    (folder / "page.mjs").write_text(PAGE)
    (folder / "builder.mjs").write_text(BUILDER)
    return folder


class Events:
    """What the client tells, event by event."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def until(self, message: str) -> None:
        """Read on to a message."""
        while next(self).get("message") != message:
            continue

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise StopIteration
        event: dict[str, Any] = json.loads(line)
        return event


@contextmanager
def watching(
    page: Path, hub: str, spec: str = SPEC, *, close_after: int = 0, leaves: str = ""
) -> Iterator[Events]:
    """Open the page.

    Parameters
    ----------
    page : Path
    hub, spec : str
    close_after : int
        Milliseconds after which it is closed when the server is ready.
    leaves : str
        The message at which it is left.
    """
    command = ["node", "page.mjs", hub, spec, str(close_after), leaves]
    with subprocess.Popen(command, cwd=page, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Events(process)
        finally:
            process.kill()


def play(server: Stage) -> None:
    server.log("Step 1/2 : FROM scratch\n")
    server.built()
    server.hub(progress=50, message="Spawning server...")
    server.serve("http://127.0.0.1:9/user/ada/")


@pytest.mark.parametrize("close_after", [0, 500])
def test_to_a_server_that_is_ready(page: Path, close_after: int) -> None:
    """Also when it closes late: an end of the stream before that is a failure to it."""
    with stage() as server:
        with watching(page, server.url, close_after=close_after) as events:
            assert next(events)["phase"] == "waiting"
            play(server)
            rest = list(events)
        phases = list(dict.fromkeys(event["phase"] for event in rest))
        assert phases == ["waiting", "built", "launching", "ready"]
        ready = rest[-1]
        assert (ready["url"], ready["token"]) == ("http://127.0.0.1:9/user/ada/", "secret-token")
        opens = "http://127.0.0.1:9/user/ada/doc/tree/a%20b.ipynb?token=secret-token"
        assert ready["opens"] == opens
        assert ready["binder_request"] == f"v2/{SPEC}"
        assert len(server.launcher.requests) == 1


def test_what_comes_all_at_once(page: Path) -> None:
    with stage() as server:
        play(server)
        with watching(page, server.url) as events:
            assert list(events)[-1]["phase"] == "ready"


def test_a_failure(page: Path) -> None:
    with stage() as server:
        server.fail("build-failed")
        with watching(page, server.url) as events:
            # It says once more of its own that there was an error, at a real BinderHub, too.
            failed = [event["message"] for event in events if event["phase"] == "failed"]
        assert failed[0] == "The build failed.\n"
        with watching(page, server.url, "nonsense/ada/penguins/HEAD") as events:
            assert "providers are gh, gl, gist, git" in next(events)["message"]


@pytest.mark.parametrize("while_launching", [False, True])
def test_a_cut_starts_no_second_launch(page: Path, while_launching: bool) -> None:
    """It does not come back: it says that it failed. Nor may anything of ours make it come back."""
    with stage() as server:
        port = urlsplit(server.url).port
        assert port is not None
        with (
            proxy_in_thread(port) as proxy,
            watching(page, f"http://127.0.0.1:{proxy.port}/") as events,
        ):
            server.log("one\n")
            events.until("one\n")
            if while_launching:
                server.built()
                server.hub(progress=50, message="Spawning server...")
                events.until("Spawning server...\n")
            proxy.cut_soon()
            assert [event["phase"] for event in events] == ["failed"]
            assert proxy.connections == 1
        assert len(server.launcher.requests) == int(while_launching)


def test_who_leaves_and_comes_again_gets_the_same_build(page: Path) -> None:
    with stage() as server:
        with watching(page, server.url, leaves="one\n") as events:
            server.log("one\n")
            assert [event["message"] for event in events][-1] == "one\n"
        with watching(page, server.url) as events:
            # The build has said it once.
            events.until("one\n")
            play(server)
            # The launch that was left goes on for a while, in case its viewer comes back.
            server.serve("http://127.0.0.1:9/user/eve/")
            assert list(events)[-1]["phase"] == "ready"


def test_a_launch_too_many_fails_and_is_not_tried_again(page: Path) -> None:
    with stage(Web={"rate_limit": 1}) as server:
        play(server)
        with watching(page, server.url) as events:
            assert list(events)[-1]["phase"] == "ready"
        with watching(page, server.url) as events:
            assert {event["phase"] for event in events} == {"failed"}
        assert len(server.launcher.requests) == 1


def test_who_does_not_close_is_kept_for_a_while(page: Path) -> None:
    with stage(Web={"linger": 0.2}) as server:
        play(server)
        with watching(page, server.url, close_after=60_000) as events:
            ends = [event["phase"] for event in events][-2:]
        assert ends == ["ready", "failed"]


@pytest.mark.parametrize("succeeds", [True, False])
def test_in_a_binderhub_below_a_path(page: Path, succeeds: bool) -> None:
    with inside(BinderHub={"base_url": "/binder/"}, Web={"linger": 60.0}) as server:
        with watching(page, server.url) as events:
            build = server.build()
            build.say("Step 1/2 : FROM scratch\n")
            events.until("Step 1/2 : FROM scratch\n")
            build.end(*([] if succeeds else [Status.FAILED]))
            rest = list(events)
        phases = list(dict.fromkeys(event["phase"] for event in rest))
        if succeeds:
            assert phases == ["built", "launching", "ready"]
            assert rest[-1]["opens"].startswith("https://hub.example.org/user/penguins-")
            assert rest[-1]["opens"].endswith("/doc/tree/a%20b.ipynb?token=t0ken")
        else:
            assert phases == ["failed"]
        assert len(server.launcher.launched) == int(succeeds)


@pytest.mark.parametrize(("succeeds", "auth"), [(True, True), (False, True), (True, False)])
def test_fancy_profiles_builds_an_image(page: Path, succeeds: bool, auth: bool) -> None:
    """It reads messages until there is the name of an image, and asks with a token of the user."""
    settings = {"auth_enabled": auth, "enable_api_only_mode": True, "base_url": "/services/binder/"}
    with inside(BinderHub=settings) as server:
        token = by_token("ann")["Authorization"].removeprefix("token ")
        command = ["node", "builder.mjs", server.url, "gh/a/b/HEAD", token]
        with subprocess.Popen(command, cwd=page, stdout=subprocess.PIPE, text=True) as process:
            build = server.build()
            build.say("Step 1/2 : FROM scratch\n")
            build.end(*([] if succeeds else [Status.FAILED]))
            events = list(Events(process))
            assert process.wait(timeout=20) == 0
        # The page writes all messages into a terminal.
        assert all(isinstance(event["message"], str) for event in events)
        assert any("Step 1/2" in event["message"] for event in events)
        if succeeds:
            assert events[-1]["phase"] == "ready"
            assert events[-1]["imageName"] == build.image_name
        else:
            assert "failed" in [event["phase"] for event in events]
        assert server.launcher.launched == []
