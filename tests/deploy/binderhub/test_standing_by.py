"""Servers that stand ready inside a BinderHub."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from binderprogress.core.standby import State
from binderprogress.errors import ConfigError

from ...faults.test_jupyterhub_lives_on import until
from ...support.inside import Inside, add_image, inside

NOWHERE = Path("/dev/null")
WANTED = {"repositories": {"gh/a/b/HEAD": 1}, "base_url": "https://binder.example.org/"}


class Servers(BaseHTTPRequestHandler):
    """The proxy of the Hub, with servers that have the token of `PlayedLauncher`."""

    def do_GET(self) -> None:
        is_known = self.headers.get("Authorization") == "token t0ken"
        self.send_response(200 if is_known else 403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def proxy() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Servers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def standing(server: Inside) -> int:
    count: int = server.call(lambda: server.hub.progress.launches.standby.states()[State.READY])
    return count


def test_a_launch_takes_a_server_that_binderhubs_launcher_started() -> None:
    with proxy() as url, inside(Standby={**WANTED, "proxy_url": url}) as server:
        # It builds what is not there, as for a launch.
        build = server.build()
        image = add_image(server)
        build.end()
        until(lambda: standing(server) == 1, NOWHERE)
        events = server.watch(server.start())
        assert events[-1]["phase"] == "ready"
        assert events[-1]["token"] == "t0ken"
        assert events[-1]["image"] == image
        assert "Took a server that stood ready.\n" in [event["message"] for event in events]
        until(lambda: standing(server) == 1, NOWHERE)
        first, second = server.launcher.launched
        assert events[-1]["url"].endswith(f"/user/{first['username']}/")
        assert first["username"] != second["username"]
        assert "binderprogress_standby_launches_total" in server.get("metrics").text
    # The one that nobody took is stopped with it.
    assert server.launcher.deleted[-1] == f"DELETE users/{second['username']}"


def test_with_logins_servers_belong_to_their_users() -> None:
    with (
        pytest.raises(ConfigError, match="With logins, each server belongs to its user"),
        inside(Standby=WANTED, BinderHub={"auth_enabled": True}),
    ):
        pass


def test_specs_are_those_of_its_providers() -> None:
    for spec in ("nowhere/a/b", "gh/a"):
        with (
            pytest.raises(ConfigError, match=rf"c\.Standby\.repositories: '{spec}' is not valid"),
            inside(Standby={"repositories": {spec: 1}}),
        ):
            pass
