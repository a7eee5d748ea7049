"""Attack: addresses and headers that a file server was not written for.

Each 500 is a traceback in the log that anybody can cause, and may hide one that matters; an answer
that tells a folder from nothing, or reaches out of ours, tells what is on the disk.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .server import Target, target


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, env: dict[str, str]) -> Iterator[Target]:
    with target(tmp_path_factory.mktemp("server"), env) as server:
        yield server
        assert "Traceback" not in server.log


def status(server: Target, path: str, *headers: str, host: str = "localhost") -> int:
    """Ask for an address as it stands; return the status."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", *headers, "Connection: close", "", ""]
    answer = server.raw("\r\n".join(lines).encode("latin-1"))
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize("folder", ["static", "gallery", "go"])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("%00", id="null"),
        pytest.param("spawn-pending.css%00", id="null at the end"),
        pytest.param("%00/../spawn-pending.css", id="null in a folder"),
        pytest.param("..%2f", id="quoted slash"),
        pytest.param("../", id="up"),
        pytest.param("%2e%2e/templates/index.html", id="up, quoted"),
        pytest.param("..%252f..%252fetc/passwd", id="up, quoted twice"),
        pytest.param("/etc/passwd", id="absolute"),
        pytest.param("%2fetc%2fpasswd", id="absolute, quoted"),
        pytest.param("..\\..\\", id="backslashes"),
        pytest.param("", id="the folder"),
        pytest.param(".", id="the folder by a dot"),
        pytest.param("more", id="a folder"),
        pytest.param("spawn-pending.css/", id="a slash at the end"),
        pytest.param("spawn-pending.css%2f", id="a quoted slash at the end"),
        pytest.param("spawn-pending.css/.", id="a dot at the end"),
        pytest.param("NUL", id="a device"),
        pytest.param("a" * 5000, id="too long a name"),
        pytest.param("a/" * 3000, id="too long a path"),
        pytest.param("spawn-pending.css;a", id="parameters"),
        pytest.param("spawn-pending.css%0d%0aSet-Cookie:a=b", id="line feeds"),
    ],
)
def test_what_is_no_file_is_not_there(server: Target, folder: str, name: str) -> None:
    """A stranger asks for what no page links to."""
    assert status(server, f"/{folder}/{name}") == 404


@pytest.mark.parametrize("name", ["%ff", "%ED%A0%80", "%c0%ae%c0%ae/"])
def test_a_name_that_is_not_utf8_is_not_there(server: Target, name: str) -> None:
    """Names of files are text; bytes that are none have no file."""
    assert status(server, f"/static/{name}") == 404


@pytest.mark.parametrize(
    "path",
    [
        "/link?repo=%ff",
        "/v2/gh/a/b/HEAD?urlpath=%ff",
        "/api/stats?provider=%ff",
        "/api/popular?limit=%ff",
        "/api/launches/x/events?after=%ff",
    ],
)
def test_an_argument_that_is_not_utf8_is_a_bad_request(server: Target, path: str) -> None:
    """Bytes that are no text, where text is expected."""
    assert status(server, path) == 400


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-0,-1", 200),
        ("bytes=99999999999999999999-", 416),
        ("bytes=-99999999999999999999", 200),
        ("bytes=5-2", 416),
        ("bytes=a-b", 200),
        ("bytes=0-" + "9" * 5000, 200),
        ("x" * 5000, 200),
        ("bytes=,,,,", 200),
    ],
)
def test_a_range_that_makes_no_sense(server: Target, value: str, expected: int) -> None:
    """What is not understood of a Range is ignored (RFC 9110, 14.2)."""
    assert status(server, "/static/spawn-pending.css", f"Range: {value}") == expected


@pytest.mark.parametrize(
    "value",
    [
        "garbage",
        "Mon, 99 Foo 99999999 99:99:99 GMT",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "Mon, 01 Jan 9999 23:59:59 -9999",
        "1" * 4000,
        "\xff",
    ],
)
def test_a_date_that_is_none(server: Target, value: str) -> None:
    """A cache that sends nonsense gets the file."""
    assert status(server, "/static/spawn-pending.css", f"If-Modified-Since: {value}") == 200


@pytest.mark.parametrize(
    "path", ["/", "/static/spawn-pending.css", "/api/launches/x/events", "/versions"]
)
@pytest.mark.parametrize(
    "host",
    [
        "",
        "[::1",
        "localhost:abc",
        "localhost:99999999999",
        "\xff",
        "a" * 5000,
        "a, b",
        "a/b",
        "a@b",
    ],
)
def test_an_odd_host_is_no_error_of_ours(server: Target, path: str, host: str) -> None:
    """Whoever connects chooses what they call us."""
    assert status(server, path, host=host) in {200, 400, 403, 404}


@pytest.mark.parametrize(
    "path", ["/", "/static/spawn-pending.css", "/api/launches/x/events", "/versions"]
)
@pytest.mark.parametrize(
    "header", ["Cookie: \xff=;;=", "Origin: \xff", "traceparent: \xff", "Accept-Language: \xff"]
)
def test_odd_headers_are_no_error_of_ours(server: Target, path: str, header: str) -> None:
    """Bytes where text is expected."""
    assert status(server, path, header) in {200, 400, 403, 404}
