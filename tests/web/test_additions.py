"""What an operator adds to all pages, and what the Content-Security-Policy allows for it."""

from __future__ import annotations

import base64
import hashlib

import pytest

from binderprogress.web.additions import is_origin, make_additions


def hash_of(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_without_any_nothing_more_is_allowed() -> None:
    assert make_additions().sources == {}
    assert (
        make_additions(banner="<b>Maintenance</b> on Monday", head=["<meta name=x>"]).sources == {}
    )


def test_scripts_and_styles_in_the_page_are_allowed_by_their_hashes() -> None:
    made = make_additions(
        banner='<p style="color: red">Down</p>',
        head=["<script>one()\r\n</script>", "<style>b { color: red }</style>"],
        scripts=["  two()  "],
    )
    assert made.scripts == ["two()"]
    assert made.sources == {
        "script-src": [hash_of("one()\n"), hash_of("two()")],
        "style-src": [
            hash_of("b { color: red }"),
            "'unsafe-hashes'",
            hash_of("color: red"),
        ],
    }


def test_what_comes_from_elsewhere_is_allowed_by_its_origin() -> None:
    made = make_additions(
        banner='<img src="//pictures.example.org/a.png"><img src="/own.png"><img src="data:,">',
        head=[
            '<script src="https://stats.example.org:8443/js/s.js" defer></script>',
            '<link rel="stylesheet" href="https://fonts.example.org/f.css">',
            '<link rel="icon" href="https://icons.example.org/i.png">',
            '<iframe src="https://frame.example.org/x"></iframe>',
        ],
        origins=["https://*.example.com"],
    )
    more = "https://*.example.com"
    stats = "https://stats.example.org:8443"
    assert made.sources == {
        "script-src": [stats, more],
        "connect-src": [stats, more],
        "img-src": [
            stats,
            "https://icons.example.org",
            "https://pictures.example.org",
            more,
        ],
        "style-src": ["https://fonts.example.org", more],
        "font-src": ["https://fonts.example.org", more],
        "frame-src": ["https://frame.example.org", more],
    }


@pytest.mark.parametrize(
    "address", ["https://a;b/", "https://a b/x", "https://[", "javascript:x()"]
)
def test_an_address_that_would_change_the_policy_is_left_out(address: str) -> None:
    assert make_additions(head=[f'<script src="{address}"></script>']).sources == {}


def test_what_an_origin_is() -> None:
    for text in ("https://a.example.org", "http://127.0.0.1:8000", "https://*.example.org"):
        assert is_origin(text)
    for text in ("example.org", "https://a.example.org/", "https://*", "https://a;b", "'self'"):
        assert not is_origin(text)
