"""Static files are sent as they were compressed when they were built."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from binderprogress._share import share_path
from binderprogress.web.static import StaticHandler
from binderprogress.web.static_names import hashed_name

from ..support.asynchronous import asynchronous

STATIC = share_path("static")
CORE = hashed_name("core.js")
ORIGINAL, BROTLI, GZIP = ((STATIC / (CORE + end)).read_bytes() for end in ("", ".br", ".gz"))


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    app = Application([("/static/(.*)", StaticHandler, {"path": str(STATIC)})])
    socket, port = bind_unused_port()
    server = HTTPServer(app)
    server.add_socket(socket)
    try:
        yield f"http://127.0.0.1:{port}/static/"
    finally:
        server.stop()
        await server.close_all_connections()


async def fetch(url: str, *, method: str = "GET", **headers: str) -> HTTPResponse:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = HTTPRequest(url, method=method, headers=names, decompress_response=False)
    return await AsyncHTTPClient().fetch(request, raise_error=False)


def test_the_files_are_what_was_built() -> None:
    assert gzip.decompress(GZIP) == ORIGINAL
    assert len(BROTLI) < len(GZIP) < len(ORIGINAL) / 2


@pytest.mark.parametrize(
    ("accepted", "encoding", "body"),
    [
        ("gzip, deflate, br", "br", BROTLI),
        ("br;q=0.5, gzip;q=1.0", "br", BROTLI),
        ("gzip", "gzip", GZIP),
        ("GZIP , br;q=0", "gzip", GZIP),
        ("gzip;q=0.0, br; q=0", None, ORIGINAL),
        ("identity", None, ORIGINAL),
        ("", None, ORIGINAL),
    ],
)
@asynchronous(10)
async def test_what_the_client_accepts(accepted: str, encoding: str | None, body: bytes) -> None:
    async with serving() as url:
        response = await fetch(f"{url}{CORE}", Accept_Encoding=accepted)
        head = await fetch(f"{url}{CORE}", method="HEAD", Accept_Encoding=accepted)
    assert (response.code, response.body) == (200, body)
    assert response.headers.get("Content-Encoding") == encoding
    # Otherwise, a plain script would have the encoding of the page.
    assert re.fullmatch(r"\w+/javascript; charset=utf-8", response.headers["Content-Type"])
    assert response.headers["Vary"] == "Accept-Encoding"
    assert (head.body, head.headers["Content-Length"]) == (b"", str(len(body)))


@asynchronous(10)
async def test_each_encoding_has_its_own_tag_and_ranges() -> None:
    tags = set()
    async with serving() as url:
        for encoding, body in (("br", BROTLI), ("gzip", GZIP), ("identity", ORIGINAL)):
            whole = await fetch(f"{url}{CORE}", Accept_Encoding=encoding)
            tag = whole.headers["Etag"]
            tags.add(tag)
            same = await fetch(f"{url}{CORE}", Accept_Encoding=encoding, If_None_Match=tag)
            assert (same.code, same.body) == (304, b"")
            assert same.headers["Vary"] == "Accept-Encoding"
            part = await fetch(f"{url}{CORE}", Accept_Encoding=encoding, Range="bytes=10-19")
            assert (part.code, part.body) == (206, body[10:20])
            assert part.headers["Content-Range"] == f"bytes 10-19/{len(body)}"
    assert len(tags) == 3


@asynchronous(10)
async def test_what_has_a_hash_in_its_name_is_kept_and_the_rest_is_asked_for_again() -> None:
    async with serving() as url:
        for name in (CORE, hashed_name("base.css")):
            kept = await fetch(url + name)
            assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        for name in ("binder-progress.js", "binder-progress.classic.js", "thebe.js", "social.png"):
            asked = await fetch(url + name)
            assert asked.headers["Cache-Control"] == "no-cache"
            tag = asked.headers["Etag"]
            assert (await fetch(url + name, If_None_Match=tag)).code == 304
        # After an upgrade, a proxy must not keep that a file is missing.
        missing = await fetch(f"{url}assets/core-00000000.js")
        assert missing.code == 404
        assert "max-age" not in missing.headers.get("Cache-Control", "")


def test_names_that_others_know_have_no_hash() -> None:
    files = {path.name for path in STATIC.iterdir() if path.suffix in {".js", ".css"}}
    known = {"binder-progress.js", "binder-progress.classic.js", "thebe.js"}
    assert files == {*known, "spawn-pending.js", "spawn-pending.css"}
    # All others are in the manifest.
    manifest = json.loads((STATIC / "manifest.json").read_bytes())
    hashed = {path.name for path in (STATIC / "assets").iterdir() if path.suffix in {".js", ".css"}}
    assert hashed == {name.removeprefix("assets/") for name in manifest.values()}


@asynchronous(10)
async def test_files_without_compressed_ones_and_these_themselves() -> None:
    async with serving() as url:
        picture = await fetch(f"{url}social.png", Accept_Encoding="br, gzip")
        assert (picture.code, picture.headers["Content-Type"]) == (200, "image/png")
        assert not {"Content-Encoding", "Vary"} & set(picture.headers)
        for name in (f"{CORE}.br", f"{CORE}.gz", "none.js"):
            assert (await fetch(f"{url}{name}", Accept_Encoding="br")).code == 404


@asynchronous(10)
async def test_the_element_is_as_small_as_it_is_said_to_be() -> None:
    """The limit of `js/scripts/size.mjs`, for what the server really sends."""
    async with serving() as url:
        files = [
            await fetch(f"{url}{name}", Accept_Encoding="gzip")
            for name in ("binder-progress.js", CORE)
        ]
    assert sum(len(file.body) for file in files) <= 15_000
