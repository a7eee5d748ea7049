"""What an operator adds to all pages: a banner, HTML in their head, and scripts.

It is trusted as configuration is. The Content-Security-Policy of the pages allows just this, by its
hashes and addresses, so that scripts which get into a page otherwise still do not run.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["PageAdditions", "is_origin", "make_additions"]

# It becomes part of the Content-Security-Policy, where ; and spaces are separators.
_ORIGIN = re.compile(
    r"https?://(?:\*\.)?[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?", re.IGNORECASE
)
_LOADING = ("script-src", "connect-src", "img-src")
"""What the address of a script is allowed for: analytics report to where they come from."""


class PageAdditions(msgspec.Struct, frozen=True, kw_only=True):
    """What is added to all pages.

    Attributes
    ----------
    banner : Markup
        HTML at the top of the body.
    head : list of Markup
        HTML at the end of the head.
    scripts : list of Markup
        JavaScript that runs at the end of the body.
    title : str
        The title of previews of pages that are about no repository; empty: our own.
    sources : mapping of str to list of str
        What the Content-Security-Policy allows for them, by directive.
    """

    banner: Markup | str = ""
    head: Sequence[Markup | str] = ()
    scripts: Sequence[Markup | str] = ()
    title: str = ""
    sources: Mapping[str, Sequence[str]] = {}


def make_additions(
    *,
    banner: str = "",
    head: Iterable[str] = (),
    scripts: Iterable[str] = (),
    title: str = "",
    origins: Iterable[str] = (),
) -> PageAdditions:
    """Return what is added to all pages.

    Parameters
    ----------
    banner, head, scripts, title
        See `PageAdditions`. Scripts have no tags around them.
    origins : iterable of str
        Further origins that the scripts load from and report to; see `is_origin`.
    """
    # Imported here, as jinja2 is, so that the server starts faster.
    from markupsafe import Markup

    banner, head, scripts = _normal(banner), [*map(_normal, head)], [*map(_normal, scripts)]
    reader = _Reader()
    for html in (*head, banner):
        reader.feed(html)
    reader.close()
    for script in scripts:
        reader.allow(_hash(script), "script-src")
    for origin in origins:
        reader.allow(origin, *_LOADING, "style-src", "font-src", "frame-src")
    return PageAdditions(
        banner=Markup(banner),  # noqa: S704 - of the operator, who is trusted
        head=[Markup(html) for html in head],  # noqa: S704
        scripts=[Markup(script) for script in scripts],  # noqa: S704
        title=title,
        sources={directive: list(sources) for directive, sources in reader.sources.items()},
    )


def is_origin(text: str) -> bool:
    """Whether a text is an origin such as https://example.org or https://*.example.org."""
    return _ORIGIN.fullmatch(text) is not None


class _Reader(HTMLParser):
    """Finds what HTML loads and runs.

    Attributes
    ----------
    sources : dict of str to dict of str to None
        What has to be allowed, by directive, in order.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.sources: dict[str, dict[str, None]] = {}
        self._inline = ""
        self._text: list[str] = []

    def allow(self, source: str, *directives: str) -> None:
        """Note what has to be allowed."""
        for directive in directives:
            self.sources.setdefault(directive, {})[source] = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag loads."""
        values = {name: value or "" for name, value in attrs}
        if style := values.get("style"):
            self.allow("'unsafe-hashes'", "style-src")
            self.allow(_hash(style), "style-src")
        if tag == "script" and "src" in values:
            self._allow_address(values["src"], *_LOADING)
        elif tag in {"script", "style"}:
            self._inline, self._text = tag, []
        elif tag == "link" and "stylesheet" in values.get("rel", "").split():
            self._allow_address(values.get("href", ""), "style-src", "font-src")
        elif tag == "link" and "icon" in values.get("rel", "").split():
            self._allow_address(values.get("href", ""), "img-src")
        elif tag in {"img", "iframe"}:
            directive = "img-src" if tag == "img" else "frame-src"
            self._allow_address(values.get("src", ""), directive)

    def handle_data(self, data: str) -> None:
        """Read the content of a script or a style sheet."""
        if self._inline:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        """Note a script or a style sheet that is in the page itself."""
        if self._inline and tag == self._inline:
            self.allow(_hash("".join(self._text)), f"{tag}-src")
            self._inline = ""

    def _allow_address(self, address: str, *directives: str) -> None:
        try:
            url = urlsplit(address.strip())
        except ValueError:
            return
        origin = f"{url.scheme or 'https'}://{url.netloc}"
        # Others are of this server, or none.
        if url.netloc and is_origin(origin):
            self.allow(origin, *directives)


def _normal(text: str) -> str:
    """Return a text with the line ends that browsers hash."""
    return text.strip().replace("\r\n", "\n").replace("\r", "\n")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
