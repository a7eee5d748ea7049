from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from binderprogress.core.redact import (
    HIDDEN,
    redact,
    redact_address,
    split_credentials,
    without_credentials,
)

SECRET = "s3cr3t-Pa55"

LEAKS = [
    # user and password in an address
    "https://user:{}@host/path",
    "https://{}@host",
    "HTTPS://{}@host:8443/path",
    "https://user:a:b:{}@host/",
    "https://user:p@ss{}@host/",
    "https://user:p@{}@host/",
    "https://user:a/{}@host/",
    "https://user:a?{}@host/",
    "https://user:a#{}@host/",
    'https://user:a"{}@host/',
    "https://user:p%2F{}@host/",
    "fatal: unable to access 'https://user:{}@host/': 403",
    "fatal: could not read Password for 'https://{}@host': terminal prompts disabled",
    "two: https://a:{}@host/ and https://{}@other.host/",
    '{{"url":"https://user:{}@host/","mail":"ada@example.org"}}',
    "ssh://git:{}@host/path",
    "ftp://user:{}@host/path",
    "postgresql+psycopg://user:{}@host/database",
    "user:{}@host:path",
    "'user:{}@host/path'",
    # the same inside another address
    "GET /v2/git/https%3A%2F%2Fuser%3A{}%40host%2Fpath/HEAD",
    "GET /v2/git/https%3a%2f%2f{}%40host%2fpath/HEAD",
    "GET /v2/git/https%3A%2F%2Fuser:{}@host%2Fpath/HEAD",
    "GET /v2/git/https%3A%2F%2Fuser%3Aa%2F{}%40host%2Fpath/HEAD",
    "GET /v2/git/https%3A%2F%2Fuser%3Aa%252F{}%40host%2Fpath/HEAD",
    "GET /v2/git/https%3A%2F%2Fuser%3A50%25{}%40host%2Fpath/HEAD",
    "GET /v2/git/ssh%3A%2F%2Fgit%3A{}%40host%2Fpath/HEAD",
    "GET /v2/git/user%3A{}%40host%3Apath/HEAD",
    "GET /link?repo=user%253A{}%2540host%253Apath",
    "GET /link?repo=https%253A%252F%252Fuser%253A{}%2540host",
    "GET /link?repo=https://user:{}@host",
    # parameters
    "https://host/path?private_token={}",
    "https://host/path?a=b&token={}&c=d",
    "https://host/path?job_token={}#fragment",
    "https://host/path#access_token={}",
    "https://host/path?API_KEY={}&apikey={}",
    "https://host/path?key={}&code={}&auth={}&sig={}&Signature={}",
    "https://host/path?password={}",
    "https://host/?X-Amz-Credential={}&X-Amz-Signature={}&X-Amz-Security-Token={}",
    "https://host/?AWSAccessKeyId={}",
    "GET /link?repo=https%3A%2F%2Fhost%2Fpath%3Fprivate_token%3D{}",
    "GET /v2/git/https%3A%2F%2Fhost%2Fpath%3Fkey%3D{}%26sig%3D{}/HEAD",
    "GET /link?repo=https%253A%252F%252Fhost%252Fpath%253Ftoken%253D{}",
    "JUPYTERHUB_API_TOKEN={}",
    # headers
    "Authorization: token {}",
    "Authorization: token {}…",
    "authorization: Basic {}",
    "{{'Authorization': 'Bearer {}'}}",
    "PRIVATE-TOKEN: {}",
    "Set-Cookie: jupyterhub-session-id={}",
    "curl -H 'Bearer {}'",
]

TOKENS = [
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "github_pat_0123456789abcdefABCDEF_0123456789abcdef",
    "glpat-0123456789abcdefABCD",
    "xoxb-0123456789-abcdefABCDEF",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "pypi-AgEIcHlwaS5vcmcCJGU4MGZkZjQy",
    "npm_0123456789abcdefghijABCDEFGHIJ012345",
    "hf_0123456789abcdefghijABCDEFGHIJ0123",
]

HARMLESS = [
    "",
    "https://github.com/binder-examples/requirements",
    "https://www.npmjs.com/package/@scope/name",
    "https://host:8080/@user/repository",
    "http://[::1]:8080/@user",
    '"https://host","mail":"ada@example.org"',
    "git@github.com:user/repository.git",
    "ssh://git@host/path",
    "GET /v2/git/ssh%3A%2F%2Fgit%40host%2Fpath/HEAD",
    "GET /v2/git/https%3A%2F%2Fhost%2F%40scope%2Fname/HEAD",
    "GET /v2/git/https%3A%2F%2Fhost%3A8080%2F%40scope/HEAD",
    "image python:3.11@sha256:0123456789abcdef/x",
    "mailto:ada@example.org/",
    "the exit code=1 of a key=value",
    "Invalid token: unexpected end",
    "Send a token as `Authorization: token …`, or log in.",
    "100% of 5 @ 3:40",
]


@pytest.mark.parametrize("text", LEAKS)
def test_a_secret_is_hidden(text: str) -> None:
    redacted = redact(text.format(*[SECRET] * 5))
    assert SECRET not in redacted
    assert HIDDEN in redacted
    assert redact(redacted) == redacted


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_is_known_by_its_prefix(token: str) -> None:
    assert token[-10:] not in redact(f"remote: {token}: denied")


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_what_is_around_a_secret_stays() -> None:
    assert (
        redact("'https://user:pw@host:80/a?b=c&Token=d&e=f#g'\n")
        == "'https://***@host:80/a?b=c&Token=***&e=f#g'\n"
    )
    assert (
        redact("git/https%3A%2F%2Fu%3Ap%40host%2Fa/HEAD") == "git/https%3A%2F%2F***%40host%2Fa/HEAD"
    )


def test_letters_that_grow_in_lower_case_do_not_shift_what_is_hidden() -> None:
    assert redact("\u0130\u0130 ?token=abc&d") == "\u0130\u0130 ?token=***&d"


def test_a_text_of_nothing_but_secrets_is_cut() -> None:
    assert redact("token=a " * 5000) == "token=*** " * 999 + "token=***…"


PIECES = st.sampled_from(
    [
        *":/@?#&%=;\"' \n",
        "://",
        "https://",
        "ssh://",
        "%2F%2F",
        "%3A",
        "%40",
        "%25",
        "%3D",
        "a",
        "1",
        *("token", "key", "code", "Authorization: ", "Bearer ", "ghp_", "xoxb-", "\u0130", SECRET),
    ]
)


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
@example("://token=a/b;c@d")
@example("%2F%2Fa%40")
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redact(text)
    assert redact(once) == once
    assert len(once) <= 4 * len(text)


@given(
    before=st.lists(PIECES).map("".join),
    form=st.sampled_from(
        ["https://user:{}@host/", "?private_token={}&", "https%3A%2F%2Fu%3A{}%40host%2F"]
    ),
    after=st.text(),
)
def test_no_text_around_a_secret_uncovers_it(before: str, form: str, after: str) -> None:
    secret = "Zq7Zq7Zq7"
    assert secret not in redact(f"{before} {form.format(secret)} {after}")


HOSTILE = [
    "://",
    "://a:b",
    "://@",
    "://a:b@",
    "%2F%2F",
    "%2F%2Fa%3Ab",
    "%2F%2F@",
    "%25",
    "%",
    "@",
    *(":", "a:", "=", "token", "token=a ", "&key=a", "ghp_", "ssh://a:", "ssh%3A%2F%2Fa%3Ab", '"'),
    *("tspcakxg", "p", "a", "authorization", "bearer a", "/a%3A", "a:b@", "\u0130"),
]


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("start", ["", "://x:y", "%2F%2Fx%3Ay"])
def test_hostile_text_takes_linear_time(piece: str, start: str) -> None:
    """Attack: a client chooses the text, and the log is written in the event loop."""
    text = start + piece * (100_000 // len(piece)) + "@"
    seconds = []
    for _ in range(3):
        began = time.thread_time()
        redact(text)
        seconds.append(time.thread_time() - began)
    # A pattern with quadratic time would take minutes.
    assert min(seconds) < 0.05


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://host/path", "https://host/path"),
        ("git@host:path", "git@host:path"),
        ("ssh://git@host/path", "ssh://git@host/path"),
        ("ssh://git:pw@host/path", "ssh://***@host/path"),
        ("https://user:p w@host/", "https://***@host/"),
        ("https://user:1/pw@host/", "https://***@host/"),
        ("user:p w@host:path", "***@host:path"),
        ("https://host/?token=abc", "https://host/?token=***"),
    ],
)
def test_a_refused_address_is_shown_without_secrets(address: str, shown: str) -> None:
    assert redact_address(address) == shown


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://host/path?a=b@c", ("https://host/path?a=b@c", "", "")),
        ("https://ada:p%40ss@host/path", ("https://host/path", "ada", "p@ss")),
        ("https://ada:p@ss@host:80", ("https://host:80", "ada", "p@ss")),
        ("https://token@[::1]/", ("https://[::1]/", "token", "")),
        ("https://ada:pw@[bad", ("https://[bad", "ada", "pw")),
        ("no address", ("no address", "", "")),
    ],
)
def test_credentials_are_split_off_an_address(url: str, parts: tuple[str, str, str]) -> None:
    assert split_credentials(url) == parts
    assert without_credentials(url) == parts[0]
