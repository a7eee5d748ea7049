"""Attack: text from a request or a repository becomes lines of the log, or commands to a terminal.

Whoever reads the log believes what it says: a forged line hides an attack or blames somebody else.
An escape sequence acts in the terminal of the operator who looks at the log.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from binderprogress.deploy.logs import LogFormatter, RepeatFilter, SafeLogger

from .server import Target, target

FORGED = "x\n[ServeApp] WARNING | Everybody may be trusted from now on\x1b]0;pwned\x07\x1b[2J"
QUOTED = "x%0A%5BServeApp%5D%20WARNING%20%7C%20forged%1B%5B2J%C2%9B1A%E2%80%AE%E2%80%A8%ED%A0%80"

LINE = re.compile(r"\[\w[\w.]*\] .*|    .*")
"""A record, or a line of a traceback."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, env: dict[str, str]) -> Iterator[Target]:
    with target(tmp_path_factory.mktemp("server"), env) as server:
        yield server


def assert_clean(log: str, *, own: bool = True) -> None:
    """Check that a log does nothing in a terminal, and that no line of it was forged."""
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", log), log
    for line in log.split("\n")[:-1]:
        assert not own or LINE.fullmatch(line), line
        assert not re.match(r"\[ServeApp\] WARNING \| (forged|Everybody)", line)


@pytest.mark.parametrize(
    "path",
    [
        f"/{QUOTED}",
        f"/v2/gh/a/{QUOTED}/HEAD",
        f"/build/gh/a/b/{QUOTED}",
        f"/api/launches/abc?after={QUOTED}",
        f"/go/{QUOTED}",
        f"/gallery/{QUOTED}",
        f"/link?repo={QUOTED}",
        f"/static/{QUOTED}",
    ],
)
def test_an_address_does_not_forge_lines(server: Target, path: str) -> None:
    """Anybody may ask for any address; that it was not found is logged."""
    status, _ = server.get(path)
    assert status in {200, 302, 400, 403, 404}
    assert_clean(server.log)


def test_a_request_line_with_control_characters_does_not_forge_lines(server: Target) -> None:
    """Raw bytes where no client sends them: in the method, the address, the version."""
    for line in (
        b"GET /\x1b]0;pwned\x07 HTTP/1.1",
        b"G\x1bT / HTTP/1.1",
        b"GET / HTTP/\x9b2J",
        b"GET /\r[ServeApp] WARNING | forged HTTP/1.1",
        "GET /\u202e\u2028 HTTP/1.1".encode(),
    ):
        answer = server.raw(line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert answer == b"" or answer.split(b" ", 2)[1] in {b"200", b"400", b"404"}
    assert_clean(server.log)


def test_a_spec_does_not_forge_lines(server: Target) -> None:
    """The spec of a launch is logged when it starts, fails and ends."""
    for spec in (f"gh/a/b/{FORGED}", f"git/{QUOTED}/{QUOTED}", f"gh/{QUOTED}/b/HEAD"):
        body = json.dumps({"spec": spec}).encode()
        answer = server.raw(
            b"POST /api/launches HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        assert answer.split(b" ", 2)[1] in {b"201", b"400", b"403"}
    assert_clean(server.log)


def test_headers_do_not_forge_lines(server: Target) -> None:
    """Host, Origin and Last-Event-ID come into messages of errors."""
    for header in ("Host", "Origin", "Referer", "Last-Event-ID", "Content-Type"):
        for value in (b"\x1b[2J", b"x\x85[ServeApp] forged", b"\xe2\x80\xa8\xe2\x80\xae"):
            answer = server.raw(
                b"GET /api/launches/abc/events HTTP/1.1\r\nConnection: close\r\n%b"
                b"%b: %b\r\n\r\n"
                % (b"" if header == "Host" else b"Host: localhost\r\n", header.encode(), value)
            )
            assert answer.split(b" ", 2)[1] in {b"400", b"403", b"404"}
    assert_clean(server.log)


def test_a_repository_does_not_forge_lines(
    server: Target, make_repository: Callable[..., Path]
) -> None:
    """The author of a repository chooses what a failing build prints, and a launch's last line."""
    folder = make_repository(
        files={"requirements.txt": "", "postBuild": f"#!/bin/sh\nprintf '{FORGED!r}'\nexit 1\n"}
    )
    launch = json.loads(
        server.raw(
            "POST /api/launches HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}".format(
                len(body := json.dumps({"repo": folder.as_uri()})), body
            )
        ).partition(b"\r\n\r\n")[2]
    )
    assert launch["id"]
    assert_clean(server.log)


def record(
    message: str, *arguments: object, error: BaseException | None = None
) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error is not None else None
    return logging.LogRecord("ServeApp", logging.INFO, "", 0, message, arguments, exc_info)


def raised(message: str) -> BaseException:
    try:
        raise ValueError(message)
    except ValueError as error:
        return error


def test_a_traceback_does_not_forge_lines() -> None:
    """The message of an exception often is what a client sent."""
    formatter = LogFormatter("[%(name)s]%(highlevel)s %(message)s")
    text = formatter.format(record("Failed: %s", FORGED, error=raised(FORGED)))
    assert "Traceback" in text
    assert_clean(f"{text}\n")


def test_a_traceback_of_another_formatter_is_not_taken() -> None:
    """`logging` keeps the text of a traceback in the record: another handler may have made it."""
    failed = record("Failed", error=raised(FORGED))
    logging.Formatter().format(failed)
    assert_clean(LogFormatter("[%(name)s] %(message)s").format(failed) + "\n")
    assert failed.exc_text is not None


def test_a_host_is_told_nothing_forged(caplog: pytest.LogCaptureFixture) -> None:
    """In a BinderHub or a Jupyter server the formatter is theirs, and writes what it is given."""
    log = SafeLogger(logging.getLogger("host"))
    with caplog.at_level(logging.INFO, "host"):
        log.info("%s asked", FORGED)
        log.warning(FORGED)
        log.error("Failed", exc_info=raised(FORGED))
        try:
            raise ValueError(FORGED)
        except ValueError:
            log.exception("Failed for %(what)s", {"what": FORGED})
        log.debug("%s", FORGED)
    assert len(caplog.records) == 4
    for message in caplog.messages:
        assert_clean(f"[host] {message}\n")
    assert caplog.records[0].funcName == "test_a_host_is_told_nothing_forged"
    assert "ValueError" in caplog.messages[3]


def test_a_message_is_not_as_long_as_a_client_wants() -> None:
    """A request's head may have 32 kB, and each is logged."""
    text = LogFormatter("%(message)s").format(record("%s", "x" * 100_000))
    assert len(text) < 9000


def test_one_warning_again_and_again_does_not_fill_the_disk() -> None:
    """A client that causes a warning with each request writes as fast as it asks."""
    now = 0.0
    repeats = RepeatFilter(limit=10, period=60.0, clock=lambda: now)
    assert [repeats.filter(record("%s", 1)) for _ in range(100)].count(True) == 10
    other = record("other")
    other.lineno = 7
    assert repeats.filter(other)
    now = 60.0
    later = record("%s", 1)
    assert repeats.filter(later)
    assert later.getMessage() == "1 (90 similar messages were dropped)"


@pytest.mark.long
def test_10000_bad_requests_do_not_fill_the_disk(tmp_path: Path, env: dict[str, str]) -> None:
    """The same from outside: each address that is not there is a line of the log."""
    with target(tmp_path, env) as server:
        request = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for _ in range(20):
            server.raw(request * 99 + request[:-2] + b"Connection: close\r\n\r\n")
        assert len(server.log) < 60_000
