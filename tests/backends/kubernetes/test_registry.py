"""Whether a registry has an image, as registries answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from traitlets.config import Config

from binderprogress.backends.kubernetes.builder import KubernetesBuilder
from binderprogress.backends.kubernetes.registry import Registry
from binderprogress.core.specs import parse
from binderprogress.errors import ConfigError

from ...support.asynchronous import asynchronous

BASE = "/v2/x/there/manifests"
IMAGE = {"config": {"size": 5}, "layers": [{"size": 100}, {"size": 20, "digest": "sha256:1"}]}
MANIFESTS = {
    f"{BASE}/1": IMAGE,
    f"{BASE}/sha256:0": IMAGE,
    f"{BASE}/several": {"manifests": [{"digest": "sha256:0", "size": 1}, {"digest": "sha256:9"}]},
    f"{BASE}/broken": {"layers": "none"},
    f"{BASE}/dated": {"config": {"digest": "sha256:c"}},
    f"{BASE}/platforms": {"manifests": [{"digest": "sha256:2"}]},
    f"{BASE}/sha256:2": {"config": {"digest": "sha256:c"}},
    f"{BASE}/undated": {"config": {"digest": "sha256:d"}},
    f"{BASE}/wrong": {"config": {"digest": "sha256:e"}},
    # As docker writes it.
    "/v2/x/there/blobs/sha256:c": {"created": "2026-11-30T05:00:00.123456789Z"},
    "/v2/x/there/blobs/sha256:d": {},
    "/v2/x/there/blobs/sha256:e": {"created": "yesterday"},
}
USER = aiohttp.encode_basic_auth("ada", "secret")


@asynccontextmanager
async def registry(
    scheme: str, *, asked: list[str] | None = None, seconds: float = 60.0
) -> AsyncIterator[str]:
    """Run one that has the image ``x/there:1``. Yield its host.

    Parameters
    ----------
    scheme : str
        "open", "basic" or "bearer".
    asked : list of str, optional
        Gets what it was asked for.
    seconds : float
        For which tokens are said to be valid.
    """
    paths = [] if asked is None else asked

    async def manifest(request: web.Request) -> web.Response:
        paths.append(request.path.rpartition("/")[2])
        given = request.headers.get("Authorization")
        wanted = {"open": None, "basic": USER, "bearer": "Bearer t"}[scheme]
        if given != wanted:
            realm = f'realm="http://{host}/token",service="a, b",scope="repository:x:pull"'
            challenge = f"Bearer {realm}" if scheme == "bearer" else 'Basic realm="x"'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        found = MANIFESTS.get(request.path)
        return web.Response(status=404) if found is None else web.json_response(found)

    async def token(request: web.Request) -> web.Response:
        assert request.query["service"] == "a, b"
        assert request.query["scope"].endswith(":pull")
        assert request.headers["Authorization"] == USER
        paths.append("token")
        return web.json_response({"token": "t", "expires_in": seconds})

    app = web.Application()
    app.router.add_get("/v2/{path:.*}", manifest)
    app.router.add_get("/token", token)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield host
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("scheme", ["open", "basic", "bearer"])
@asynchronous(10)
async def test_images(tmp_path: Path, scheme: str) -> None:
    config = tmp_path / "config.json"
    async with registry(scheme) as host:
        auth = USER.removeprefix("Basic ")
        config.write_text(json.dumps({"auths": {host: {"auth": auth}}}))
        asked = Registry(url=f"http://{host}", docker_config=str(config))
        if scheme == "open":
            asked.docker_config = ""
        assert await asked.has(f"{host}/x/there:1")
        assert not await asked.has(f"{host}/x/missing:1")
        tags = ["1", "several", "broken", "missing"]
        sizes = [await asked.size(f"{host}/x/there:{tag}") for tag in tags]
        assert sizes == [125, 125, 0, 0]
        await asked.close()


@pytest.mark.parametrize(("seconds", "tokens"), [(60.0, 1), (5.0, 2)])
@asynchronous(10)
async def test_a_token_that_is_got_ahead_is_used(
    tmp_path: Path, seconds: float, tokens: int
) -> None:
    config = tmp_path / "config.json"
    paths: list[str] = []
    async with registry("bearer", asked=paths, seconds=seconds) as host:
        auth = USER.removeprefix("Basic ")
        config.write_text(json.dumps({"auths": {host: {"auth": auth}}}))
        asked = Registry(url=f"http://{host}", docker_config=str(config))
        asked.warm(f"{host}/x/there:latest")
        asked.warm(f"{host}/x/there:latest")
        # It waits for that.
        assert await asked.has(f"{host}/x/there:1")
        assert paths.count("token") == tokens
        assert paths[:3] == ["latest", "token", "latest"]
        if tokens == 1:
            assert paths[3:] == ["1"]
        await asked.close()


@asynchronous(10)
async def test_an_image_that_was_expected_is_not_asked_for_again() -> None:
    paths: list[str] = []
    async with registry("open", asked=paths) as host:
        asked = Registry(url=f"http://{host}")
        asked.expect(f"{host}/x/there:1")
        assert await asked.has(f"{host}/x/there:1")
        assert paths == ["1"]
        # The answer counts once: later, it may have been removed.
        assert await asked.has(f"{host}/x/there:1")
        assert paths == ["1", "1"]
        # What is not there may come meanwhile, and another image was not asked for.
        asked.expect(f"{host}/x/there:9")
        assert not await asked.has(f"{host}/x/there:9")
        asked.expect(f"{host}/x/there:9")
        assert await asked.has(f"{host}/x/there:1")
        assert paths[2:] == ["9", "9", "9", "1"]
        await asked.close()


@asynchronous(10)
async def test_the_last_image_of_a_ref_is_asked_for_while_it_is_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths: list[str] = []
    spec = parse("gh/user/repo/main")
    commits = ["a" * 40, "a" * 40, "b" * 40]
    async with registry("open", asked=paths) as host:
        open_network = {"private_addresses": True}
        config = Config({"Registry": {"url": f"http://{host}"}, "Network": open_network})
        builder = KubernetesBuilder(image_prefix=f"{host}/x-", config=config)

        async def ls_remote(*_: object) -> dict[str, str]:
            # Both go on at the same time.
            await asyncio.wait(list(builder.registry._warming.values()))
            assert paths
            return {"refs/heads/main": commits.pop(0)}

        monkeypatch.setattr(builder, "_ls_remote", ls_remote)
        seen = []
        for is_there in (True, True, False):
            resolved = await builder.resolve(spec)
            image = builder.image(resolved)
            path = f"/v2/{image.partition('/')[2].replace(':', '/manifests/')}"
            if is_there:
                monkeypatch.setitem(MANIFESTS, path, IMAGE)
            assert await builder.registry.has(image) is is_there
            seen.append([tag[:1] for tag in paths])
            paths.clear()
        # The last time, the ref has another commit.
        assert seen == [["l", "a"], ["a"], ["a", "b"]]
        await builder.close()


@asynchronous(10)
async def test_a_registry_that_cannot_be_got_ready_is_asked_nevertheless(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = Registry(url="http://127.0.0.1:9")
    asked.warm("127.0.0.1:9/x/there:latest")
    assert not await asked.has("127.0.0.1:9/x/there:1")
    assert caplog.text.count("does not answer") == 1
    await asked.close()


@asynchronous(10)
async def test_when_images_were_built() -> None:
    async with registry("open") as host:
        asked = Registry(url=f"http://{host}")
        tags = ["dated", "platforms", "undated", "wrong", "1", "broken", "missing"]
        found = [await asked.created(f"{host}/x/there:{tag}") for tag in tags]
        assert found == [1796014800.123456, 1796014800.123456, None, None, None, None, None]
        await asked.close()


@asynchronous(10)
async def test_one_that_does_not_answer_has_nothing(caplog: pytest.LogCaptureFixture) -> None:
    asked = Registry(url="http://127.0.0.1:9")
    assert not await asked.has("127.0.0.1:9/x/there:1")
    assert await asked.size("127.0.0.1:9/x/there:1") == 0
    assert "does not answer" in caplog.text
    await asked.close()


@asynchronous(10)
async def test_credentials_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    asked = Registry(url="http://127.0.0.1:9", docker_config=str(tmp_path / "absent.json"))
    with pytest.raises(ConfigError, match=r"absent\.json cannot be read"):
        await asked.has("127.0.0.1:9/x/there:1")
    await asked.close()
