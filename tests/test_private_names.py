"""What we use of other packages although it is private: each test fails if it changes.

BinderHub's private names are in `tests/real`, which compares its package with `tests/doubles`.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytest_tornado.plugin
import requests
from jupyterhub.services.auth import HubAuth
from repo2docker.buildpacks import PythonBuildPack
from tornado.httpclient import AsyncHTTPClient
from tornado.httputil import HTTPHeaders
from tornado.web import Application, RequestHandler
from traitlets.config.loader import KVArgParseConfigLoader

from .support.asynchronous import asynchronous


class _Handler(RequestHandler):
    seen: ClassVar[list[object]] = []

    async def get(self) -> None:
        self.seen[:] = [self._request_summary(), self._finished, self._headers_written]
        self.set_header("X-Name", "value")
        self.seen.append(self._headers)
        await self.flush()
        self.seen.append(self._headers_written)
        await self.finish()
        self.seen.append(self._finished)


class _UserHandler(RequestHandler):
    seen: ClassVar[list[object]] = []

    async def get(self) -> None:
        user = await HubAuth().get_user(self, sync=False)
        self.seen[:] = [user, getattr(self, "_token_authenticated", None)]


@pytest.fixture
def app() -> Application:
    return Application([("/path", _Handler), ("/user", _UserHandler)])


@pytest.mark.gen_test
def test_tornado_handlers(http_client: AsyncHTTPClient, base_url: str) -> Any:
    """`web.launch_ids`, `web.streams`, `deploy.binderhub.handlers`, `deploy.jupyter_server`."""
    yield http_client.fetch(f"{base_url}/path?name=value")
    summary, *before, headers, written, finished = _Handler.seen
    assert summary == "GET /path?name=value (127.0.0.1)"
    assert before == [False, False]
    assert isinstance(headers, HTTPHeaders) and headers["X-Name"] == "value"
    assert written is True and finished is True


@asynchronous(timeout=30)
async def test_the_transport_of_an_asyncio_process() -> None:
    """`backends.processes.child` closes it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "print('never read')"), stdout=asyncio.subprocess.PIPE
    )
    await process.wait()
    transport: asyncio.SubprocessTransport = process._transport  # type: ignore[attr-defined]
    assert isinstance(transport, asyncio.SubprocessTransport)
    transport.close()
    assert transport.is_closing()


def test_the_body_of_a_requests_response() -> None:
    """`backends.fetch.content_providers` sets it."""
    response = requests.Response()
    response.status_code = 200
    response._content = b'{"name": "value"}'
    assert response.json() == {"name": "value"}
    assert response.text == '{"name": "value"}'


@pytest.mark.parametrize(("name", "is_package"), [("setup.py", True), ("README", False)])
def test_whether_repo2docker_takes_a_repository_for_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_package: bool
) -> None:
    """`backends.local.detect_program` asks it."""
    (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert PythonBuildPack(base_image="")._is_python_package() is is_package


@pytest.mark.gen_test
def test_jupyterhub_marks_requests_with_a_token(
    http_client: AsyncHTTPClient, base_url: str, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """`deploy.jupyterhub_access` reads it. No Hub is asked here who has the token."""

    async def user_for_token(self: HubAuth, token: str, **options: Any) -> dict[str, str]:
        return {"name": token}

    monkeypatch.setattr(HubAuth, "user_for_token", user_for_token)
    yield http_client.fetch(f"{base_url}/user", headers={"Authorization": "token secret"})
    assert _UserHandler.seen == [{"name": "secret"}, True]


def test_traitlets_loader() -> None:
    """`deploy.application` overrides both."""
    assert list(inspect.signature(KVArgParseConfigLoader._create_parser).parameters) == ["self"]
    parameters = inspect.signature(KVArgParseConfigLoader._handle_unrecognized_alias).parameters
    assert list(parameters) == ["self", "arg"]


def test_pytest_tornado_still_needs_an_old_setuptools() -> None:
    """If this fails, drop the upper bound of setuptools in `pyproject.toml`."""
    assert "import pkg_resources" in inspect.getsource(pytest_tornado.plugin)
