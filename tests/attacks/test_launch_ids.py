"""Who reads the log gets a launch: its id is its key, and addresses have it in them.

The attacker reads the log: an operator's colleague, a log collector, a bug report with lines of it.
"""

from __future__ import annotations

import logging
import re
import time
from urllib.parse import quote

import pytest
from tornado.web import Application

from binderprogress.core.specs import Spec
from binderprogress.launches import LaunchManager
from binderprogress.web.launch_ids import hide_launch_ids, without_launch_ids

from ..launches.parts import gen_test
from ..web.clients import Api

KEY = "qIfybcURGezBM1ijWN8Kon7XvWZxvy46"
ENCODED = "".join(f"%{ord(character):02X}" for character in KEY)


@pytest.fixture
def nothing_uncaught() -> None:
    """Here something is: that is what is logged."""


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All that is logged, at any level, with tracebacks."""
    caplog.set_level(logging.DEBUG)
    return caplog


def leaked(text: str, key: str) -> bool:
    """Whether a text tells enough of a key to guess the rest."""
    plain = text.replace("%25", "%")
    decoded = re.sub(r"%([0-9A-Fa-f]{2})", lambda m: chr(int(m[1], 16)), plain)
    return any(
        key[start : start + 16].lower() in variant.lower()
        for variant in (text, decoded)
        for start in range(len(key) - 15)
    )


ADDRESSES = [
    "/api/launches/KEY",
    "/api/launches/KEY/events?after=x",
    "/api/launches/KEY/log",
    "/api/launches/KEY/nothing",
    "/api/builds/KEY/log",
    "/builds/KEY/log",
    "/builds%2fKEY/log",
    "//api//launches//KEY",
    "/api/launches//KEY",
    "/api/./launches/KEY",
    "/API/LAUNCHES/KEY",
    "/api/launches%2FKEY",
    "/api%2Flaunches%2FKEY",
    "/api%252Flaunches%252FKEY",
    "/api/launches/ENCODED",
    "/api/launches/KEY.12",
    "/api/launches/KEYx/events",
    "/api/launches/-KEY",
    "/api/launches/LOWER",
    "/api/launches/SHORT",
    "/v2/gh/a/b/HEAD?launch=KEY",
    "/v2/gh/a/b/HEAD%23launch=KEY",
    "/v2/gh/a/b/HEAD?x=KEY",
    "/build/gh/a/KEY.3",
    "/static/KEY",
    "/static/api/launches/KEY/log",
    "/gallery/KEY",
    "/go/KEY",
    "/KEY",
    "/health?KEY",
]


def filled(template: str, key: str) -> str:
    encoded = "".join(f"%{ord(character):02X}" for character in key)
    return (
        template.replace("KEY", key)
        .replace("ENCODED", encoded)
        .replace("LOWER", key.lower())
        .replace("SHORT", key[:28])
    )


@pytest.mark.parametrize("template", ADDRESSES)
@gen_test
async def test_attack_no_address_puts_a_key_into_the_log(
    api: Api, failing: Spec, log: pytest.LogCaptureFixture, template: str
) -> None:
    """Also what a person mistypes, a script builds wrongly, or a proxy rewrites."""
    key = (await api.start(failing))["id"]
    log.clear()
    for method in ("GET", "POST", "DELETE", "HEAD"):
        body = "" if method == "POST" else None
        headers = {"Last-Event-ID": f"{key}.x", "Referer": f"http://localhost/?launch={key}"}
        await api.fetch(filled(template, key), method=method, body=body, headers=headers)
    assert log.records
    assert not leaked(log.text, key)


@pytest.mark.parametrize("path", ["", "/events", "/log", "/trace", "/socket"])
@gen_test
async def test_attack_an_error_of_ours_puts_no_key_into_the_log(
    api: Api,
    failing: Spec,
    launches: LaunchManager,
    log: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
) -> None:
    """Tornado logs the whole request of an uncaught exception, and the exception names the id."""
    links = await api.start(failing)

    def broken(launch_id: str, **_: str) -> None:
        raise KeyError(f"{launch_id!r} is missing, at http://x/?private_token=secretsecret")

    monkeypatch.setattr(launches, "get", broken)
    answer = await api.fetch(links["state_url"] + path)
    assert answer.code == 500
    assert "Uncaught exception GET" in log.text
    assert "Traceback" in log.text
    assert "secretsecret" not in log.text
    assert not leaked(log.text, links["id"])
    assert links["id"].encode() not in answer.body


@gen_test
async def test_attack_a_host_of_ours_logs_no_key(
    api: Api, app: Application, failing: Spec, log: pytest.LogCaptureFixture
) -> None:
    """A Jupyter server and BinderHub log addresses and Referers by functions of their own."""
    said = logging.getLogger("host")

    def theirs(handler) -> None:  # type: ignore[no-untyped-def] # as theirs are
        said.warning("%s %s", handler.request.uri, handler.request.headers.get("Referer"))

    app.settings["log_function"] = without_launch_ids(theirs)
    key = (await api.start(failing))["id"]
    await api.fetch("/nothing")
    assert "/nothing" in log.text
    log.clear()
    await api.fetch(f"/api//launches/{key}")
    await api.fetch("/", headers={"Referer": f"http://localhost/?launch={key}"})
    assert "404 GET /api//launches/" in log.text
    assert "200 GET / " in log.text
    assert "host" not in [record.name for record in log.records]
    assert not leaked(log.text, key)


@pytest.mark.parametrize(
    "text",
    [
        "GET /api/launches/qIfybc/events (127.0.0.1)",
        "GET /v2/git/file%3A%2F%2F%2Fhome%2Fada%2F.cache%2Fbinderprogress%2Fexamples/HEAD",
        "GET /v2/gh/jakevdp/PythonDataScienceHandbook/8a34a4f653bdbdc01415a94dc20d4e9b97438965",
        "GET /build/zenodo/10.5281/zenodo.3242074 (::1)",
        "GET /gh/binder-examples/jupyter-extension-with-a-long-name/HEAD",
        "GET /api/launches (127.0.0.1) 3.14ms",
    ],
)
def test_what_is_no_key_stays_readable(text: str) -> None:
    assert hide_launch_ids(text) == text


def test_attack_a_hostile_address_is_hidden_in_linear_time() -> None:
    """An address of 64 kB, made to keep the pattern busy, is looked at once."""
    for hostile in ("%25" * 20_000, "aB3" * 20_000, "launch=" * 9_000, "%2" * 30_000, "/" * 60_000):
        began = time.process_time()
        hide_launch_ids(hostile)
        assert time.process_time() - began < 0.1
    assert hide_launch_ids(f"x {KEY} {quote(ENCODED)}") == "x qIfybc… %2571%…"
