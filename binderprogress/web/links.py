"""What is put on other pages for a repository: link, badge, embed."""

from __future__ import annotations

import re
from html import escape
from urllib.parse import quote, urlencode

import msgspec

from ..core.specs import Spec
from ..errors import BadRequestError

__all__ = ["Snippets", "check_urlpath", "launch_link", "snippets"]

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_ALT = "Launch with binderprogress"


class Snippets(msgspec.Struct, frozen=True, kw_only=True):
    """What to copy, ready for its language."""

    link: str
    markdown: str
    rst: str
    html: str
    embed: str


def launch_link(base_url: str, spec: Spec, urlpath: str = "") -> str:
    """Return the address of the page that launches a spec, below `base_url`."""
    # A spec is quoted already: no % of it is quoted again.
    link = f"{base_url}v2/{quote(str(spec), safe='/%')}"
    return f"{link}?{urlencode({'urlpath': urlpath}, safe='/')}" if urlpath else link


def check_urlpath(text: str) -> str:
    """Return the path to open in a server, without slashes in front.

    Raises
    ------
    BadRequestError
        If it is an address, or has what no address has.
    """
    text = text.strip()
    path = text.lstrip("/")
    if not path.isprintable() or "\\" in path:
        raise BadRequestError("The path to open has neither control characters nor backslashes.")
    if text.startswith("//") or _SCHEME.match(path):
        # Attack: a link that leads away from the server that has just come up, with its token.
        raise BadRequestError(
            "The path to open is one in the server, as lab/tree/index.ipynb, and not an address."
        )
    return path


def snippets(base_url: str, spec: Spec, urlpath: str = "") -> Snippets:
    """Make what is copied to other pages.

    Parameters
    ----------
    base_url : str
        With scheme and host: what is made stands on other sites.
    spec : Spec
    urlpath : str
        What to open in the server.
    """
    link, badge = launch_link(base_url, spec, urlpath), f"{base_url}badge.svg"
    opened = f' urlpath="{escape(urlpath)}"' if urlpath else ""
    return Snippets(
        link=link,
        markdown=f"[![{_ALT}]({badge})]({link})",
        rst=f".. image:: {badge}\n   :target: {link}\n   :alt: {_ALT}",
        html=f'<a href="{escape(link)}"><img src="{escape(badge)}" alt="{_ALT}"></a>',
        embed=(
            f'<script type="module" src="{escape(base_url)}static/binder-progress.js"></script>\n'
            f'<binder-progress hub="{escape(base_url)}" spec="{escape(str(spec))}"{opened}>'
            "</binder-progress>"
        ),
    )
