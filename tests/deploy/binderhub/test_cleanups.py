"""Servers that JupyterHub does not remove at once are removed later."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from tornado.httpclient import HTTPClientError

from ...support.inside import Inside, inside
from .test_restart import config, read_until

WITHIN = 60.0


def wait(is_met: Callable[[], bool]) -> None:
    """Wait for something that no event tells."""
    until = time.monotonic() + WITHIN
    while not is_met():
        assert time.monotonic() < until
        time.sleep(0.02)


def cancel_with(server: Inside, refusal: Exception) -> str:
    """Cancel a launch whose server is starting, and return the path of its user."""
    server.call(lambda: setattr(server.launcher, "hold", asyncio.Event()))
    launch = server.start().json()["id"]
    server.build().end()
    read_until(server, launch, "Pulling image")
    server.call(lambda: setattr(server.launcher, "refusal", refusal))
    requests.delete(f"{server.url}api/launches/{launch}", timeout=30).raise_for_status()
    (launched,) = server.launcher.launched
    return f"users/{launched['username']}"


@pytest.mark.parametrize(
    "refusal",
    [HTTPClientError(503), HTTPClientError(429), HTTPClientError(403), ConnectionResetError()],
)
def test_a_server_is_removed_when_jupyterhub_is_back(refusal: Exception) -> None:
    with inside() as server:
        user = cancel_with(server, refusal)
        wait(lambda: bool(server.launcher.deleted))
        assert f"DELETE {user}" not in server.launcher.deleted
        assert "binderprogress_cleanups_outstanding 1.0" in server.get("metrics").text
        server.call(lambda: setattr(server.launcher, "refusal", None))
        wait(lambda: f"DELETE {user}" in server.launcher.deleted)
        wait(lambda: "binderprogress_cleanups_outstanding 0.0" in server.get("metrics").text)


def test_a_server_is_removed_by_the_next_process(tmp_path: Path) -> None:
    with inside(**config(tmp_path)) as server:
        user = cancel_with(server, HTTPClientError(503))
        wait(lambda: bool(server.call(lambda: not server.hub.progress.launches.running)))
        server.hand_over = True
    with inside(**config(tmp_path)) as server:
        wait(lambda: f"DELETE {user}" in server.launcher.deleted)
