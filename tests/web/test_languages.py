"""Pages are in the language of their reader."""

from __future__ import annotations

import json
import logging
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

import pytest

from binderprogress.deploy.simulator import Simulator
from binderprogress.web import texts
from binderprogress.web.config import Web
from binderprogress.web.languages import choose_language
from binderprogress.web.texts import Texts
from binderprogress.web.whatif import SETTINGS

from ..launches.parts import gen_test
from ..support.prepull_page import REPORT
from .clients import Api

ROOT = Path(__file__).parents[2]
CATALOGS = ROOT / "js" / "src" / "i18n" / "catalogs" / "pages"
ENGLISH: dict[str, str] = json.loads((CATALOGS / "en.json").read_text())
LANGUAGES = sorted(path.stem for path in CATALOGS.glob("*.json") if path.stem != "en")
PATHS = [
    "/",
    "/link",
    "/link?repo=gh/a/b&urlpath=lab/tree/a.ipynb",
    "/link?repo=",
    "/v2/gh/a/b/v1",
    "/stats",
    "/prepull",
    "/whatif?class=3+students,+Fridays+at+10&simulate=1",
    "/go/none",
    "/nothing/here",
]


@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        ("", "", "en"),
        ("", "de-AT,de;q=0.9,en;q=0.5", "de-AT"),
        ("", "en;q=0.5, fr ; q=0.8", "fr"),
        ("", "it,pt-BR;q=0.7", "pt-BR"),
        ("", "tlh, *;q=0.1", "en"),
        ("", "de;q=0, ja;q=0.1", "ja"),
        ("ja", "de", "ja"),
        ("tlh", "de", "de"),
        ("zh-Hant-TW", "de", "zh-Hant-TW"),
        # Attacks: neither a path nor markup gets any further, and a long header takes no time.
        ("../en", "", "en"),
        ("de/../../x", "", "en"),
        ('de-"><script>', "", "en"),
        ("", "x," * 100_000 + "de", "en"),
        ("", "de;q=" + "9" * 10_000, "de"),
    ],
)
def test_which_language(asked: str, accepted: str, language: str) -> None:
    assert choose_language(asked, accepted) == language


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"\{[\w-]+\}", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogs_are_complete(language: str) -> None:
    catalog = json.loads((CATALOGS / f"{language}.json").read_text())
    assert list(catalog) == sorted(ENGLISH)
    for key, text in catalog.items():
        assert placeholders(text) == placeholders(ENGLISH[key]), key
        assert text.strip() == text != "", key
    same = {key for key, text in catalog.items() if text == ENGLISH[key]}
    # Some words are the same in other languages.
    words = {"Badge", "Builds", "Host", "Image", "Images", "Link", "Median", "Pages", "Phase"}
    words |= {"Problem", "Repository", "Warm"}
    assert {ENGLISH[key] for key in same} <= {*words, "P10", "P25", "P75", "P90", "{name}: {value}"}


def test_each_text_is_used() -> None:
    folders = [ROOT / "share" / "binderprogress" / "templates", ROOT / "js" / "src" / "pages"]
    source = "".join(path.read_text() for folder in folders for path in folder.iterdir())
    source += (ROOT / "binderprogress" / "web" / "whatif.py").read_text()
    source += "".join(f"'whatif.{key}'" for key in SETTINGS)
    # Errors are found by their text; the others are made of the names of charts and pages.
    made = ("error.", "link.empty", "nav.", "prepull.obstacle.", "stats.durations", "stats.phases")
    unused = {key for key in ENGLISH if not re.search(rf"['\"]{re.escape(key)}['\"]", source)}
    assert {key for key in unused if not key.startswith((*made, "stats.outcomes"))} == set()


class Visible(HTMLParser):
    """The texts of a page that people read or hear, except names, code and text that is marked."""

    _NO_TEXT = frozenset({"code", "pre", "script", "style", "time", "binder-progress"})
    _READ = frozenset({"aria-label", "alt", "title"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.language = ""
        self._skipped = 0
        self._open: list[bool] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.language = values["lang"]
        marked = tag != "html" and "lang" in values
        skipped = tag in self._NO_TEXT or marked or values.get("class") in {"spec", "error-status"}
        self.texts += [values[name] for name in self._READ.intersection(values)]
        if tag == "meta" and values.get("name") == "description":
            self.texts.append(values["content"])
        if tag not in {"meta", "link", "input", "img", "br", "wbr", "circle"}:
            self._open.append(skipped)
            self._skipped += skipped

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"circle", "wbr"}:
            self._skipped -= self._open.pop()

    def handle_data(self, data: str) -> None:
        if not self._skipped and re.search(r"[^\W\d_]{2}", data):
            self.texts.append(data.strip())


# What is the same in all languages: names, formats, addresses, the example of a class, and units in
# German.
NAMES = re.compile(
    r"binderprogress( \d\S*)?|JupyterHub|JSON|HTML|Markdown|reStructuredText|GitHub|UTC|\d+ Tage|"
    r"(https?://|github\.com/|/api/|registry\.|ada-2d|node-|host-)\S+|c\.\w+\S*|[GkM]?B\b|Byte|"
    r"120 students, Mondays at 10|\d (Sek|Min|Std)\."
)
WIDE = {code: code + 0xFEE0 for code in (*range(65, 91), *range(97, 123))}
"""From the letters of ASCII to wide ones."""


def widened(text: str) -> str:
    """Return a text with other letters, except in placeholders."""
    parts = re.split(r"(\{[\w-]+\})", text)
    return "".join(part if part.startswith("{") else part.translate(WIDE) for part in parts)


@pytest.mark.parametrize("path", PATHS)
@gen_test
async def test_each_word_of_a_page_is_in_the_catalogs(
    api: Api, web: Web, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.prepull = lambda: REPORT
    web.simulate = Simulator(logging.getLogger())
    web.nav += ["prepull", "whatif"]
    catalog = texts._catalog
    wide = {key: widened(text) for key, text in catalog("en").items()}
    monkeypatch.setattr(texts, "_catalog", lambda name: wide if name == "de" else catalog(name))
    texts.texts_in.cache_clear()
    response = await api.fetch(path, headers={"Accept-Language": "de-DE"})
    page = Visible(response.body.decode())
    assert page.language == "de-DE"
    assert len(page.texts) > 3
    texts.texts_in.cache_clear()
    for text in page.texts:
        assert not re.search(r"[A-Za-z]{2}", NAMES.sub("", text)), text


@gen_test
async def test_a_page_in_german(api: Api) -> None:
    response = await api.fetch("/", headers={"Accept-Language": "de"})
    html = response.body.decode()
    assert '<html lang="de">' in html
    assert "<h1>Sehen Sie Ihrem Server beim Starten zu.</h1>" in html
    # A cache must not send it to others, and nothing in it depends on more than that.
    assert "Accept-Language" in response.headers["Vary"].split(", ")
    assert response.headers["Cache-Control"] == "no-store"
    # Links go on in the language that the address asks for, and in no other.
    assert "?lang=" not in html
    asked = (await api.fetch("/?lang=fr", headers={"Accept-Language": "de"})).body.decode()
    assert '<html lang="fr">' in asked
    assert 'href="/stats?lang=fr"' in asked
    assert 'action="/link?lang=fr"' in asked


@gen_test
async def test_arabic_is_written_from_right_to_left(api: Api) -> None:
    html = (await api.fetch("/link?repo=gh/a/b", headers={"Accept-Language": "ar"})).body.decode()
    assert '<html lang="ar" dir="rtl">' in html
    # Values are isolated.
    assert "\u2068<code>gh/a/b/HEAD</code>\u2069" in html


@gen_test
async def test_errors_are_translated_or_marked_as_english(api: Api) -> None:
    german = {"Accept-Language": "de"}
    missing = (await api.fetch("/nothing/here", headers=german)).body.decode()
    assert "<h1>Unter dieser Adresse gibt es nichts.</h1>" in missing
    assert "<title>Unter dieser Adresse gibt es nichts. · binderprogress</title>" in missing
    named = (await api.fetch("/v2/gh/a/b/--x", headers=german)).body.decode()
    assert "<h1>&#39;--x&#39; ist kein gültiger Branch, Tag oder Commit.</h1>" in named
    unknown = (await api.fetch("/v2/nonsense/a", headers=german)).body.decode()
    assert "<h1>Unbekannter Anbieter &#39;nonsense&#39;.</h1>" in unknown
    assert re.search(r'<p class="lead">Die Anbieter sind gh, [^<]+</p>', unknown)
    wrong = (await api.fetch("/v2/git/https:%2F%2F/HEAD", headers=german)).body.decode()
    assert "<h1>Von dieser Adresse lässt sich nichts starten</h1>" in wrong
    assert re.search(r'<p class="lead"><span lang="en" dir="ltr">[^<]+</span></p>', wrong)


@pytest.mark.parametrize(
    ("message", "heading", "more"),
    [
        (
            "You started more than 1 launch in 1 minute. Try again in 43 seconds.",
            "Sie haben innerhalb von 1 Minute mehr als 1 Start begonnen.",
            "Versuchen Sie es in 43 Sekunden noch einmal.",
        ),
        (
            "You started more than 1000 launches in 90 seconds. Try again in 2 hours.",
            "Sie haben innerhalb von 90 Sekunden mehr als 1.000 Starts begonnen.",
            "Versuchen Sie es in 2 Stunden noch einmal.",
        ),
        (
            "There is no log at this address. Logs of builds are kept for 14 days.",
            "Unter dieser Adresse gibt es kein Protokoll.",
            "Protokolle von Builds werden 14 Tage lang aufbewahrt.",
        ),
        # Attack: markup in a value.
        (
            "Unknown provider '<script>. x</script>'. The providers are gh.",
            "Unbekannter Anbieter &#39;&lt;script&gt;.",
            "x&lt;/script&gt;&#39;. Die Anbieter sind gh.",
        ),
        ("Is missing. Sorry.", "Etwas ist schiefgegangen", "Is missing. Sorry."),
    ],
)
def test_messages_with_values_are_translated(message: str, heading: str, more: str) -> None:
    said = Texts("de").heading(message, "error.server")
    assert [re.sub("</?span[^>]*>", "", text) for text in said] == [heading, more]


@pytest.mark.parametrize("language", [*LANGUAGES, "en"])
def test_headings_are_whole_sentences(language: str) -> None:
    message = "You started more than 2 launches in 2 minutes. Try again in 1 minute."
    heading, more = Texts(language).heading(message, "error.server")
    assert heading[-1] in ".。"
    # In Arabic, two minutes and one have words of their own.
    assert "2" in heading and ("1" in more or language == "ar")
    assert Texts(language).heading(ENGLISH["error.nothing"], "error.server")[1] == ""


def test_attack_a_long_message_takes_no_time() -> None:
    message = "You started more than " + "1 launch in . Try again in " * 10_000
    assert Texts("de").heading(message, "error.often")[1] == Texts("de").localize(message)


@gen_test
async def test_a_page_keeps_the_language_that_somebody_has_chosen(api: Api) -> None:
    # Not what the browser prefers: that goes with each request.
    lang = "fr"
    missing = (await api.fetch(f"/nothing?lang={lang}")).body.decode()
    assert 'href="/?lang=fr"' in missing
    assert 'action="/link?lang=fr"' in missing
    page = (await api.fetch(f"/v2/gh/a/b/v1?urlpath=lab&lang={lang}")).body.decode()
    assert 'href="/v2/gh/a/b/v1?urlpath=lab&amp;lang=fr"' in page
    made = (await api.fetch(f"/link?repo=gh/a/b&lang={lang}")).body.decode()
    assert f'href="{api.url}/v2/gh/a/b/HEAD?lang=fr"' in made
    # What others get is in their own language.
    shared = re.findall(r"<code>([^<]+/v2/[^<]+)</code>", made)
    assert len(shared) >= 5
    assert not any("lang=fr" in text for text in shared)
    assert 'property="og:url" content="' in page
    assert not re.search('og:url" content="[^"]*lang=', page)
    for path, form in (
        ("/v2/https://github.com/a/b?lang=fr", None),
        ("/link?lang=fr", urlencode({"repo": "gh/a/b", "launch": "1"})),
        ("/link?lang=fr", urlencode({"repo": "gh/a/b"})),
    ):
        method = "POST" if form else "GET"
        response = await api.fetch(path, method=method, body=form)
        assert response.code in {302, 303}
        assert "lang=fr" in response.headers["Location"], path


@pytest.mark.parametrize("query", ["lang=%ff", "lang=%3Cscript%3E", "lang=..%2f..%2fen", "lang="])
@gen_test
async def test_attack_a_language_that_is_none(api: Api, query: str) -> None:
    response = await api.fetch(f"/?{query}")
    assert response.code == 200
    assert b'<html lang="en">' in response.body
    assert b"<script>" not in response.body


def test_numbers_are_as_the_language_writes_them() -> None:
    german, indian = Texts("de"), Texts("en-IN")
    assert german.number(1_234_567) == "1.234.567"
    assert indian.number(1_234_567) == "12,34,567"
    assert german.unit(30, "day") == "30 Tage"
    sizes = [german.size(value).replace("\u00a0", " ") for value in (0, 999, 1_500, 12_345_678_901)]
    assert sizes == ["0 Byte", "999 Byte", "1,5 kB", "12,3 GB"]
    # A region that nobody knows.
    assert Texts("de-XX").number(1_234) == "1.234"
