"""What is put on other pages for a repository: link, badge, embed; and what they open."""

from __future__ import annotations

import re
from html import escape
from urllib.parse import quote, urlencode

import msgspec

from ..core.specs import Spec
from ..errors import BadRequestError

__all__ = ["APPS", "TICKET", "Snippets", "check_urlpath", "launch_link", "path_in", "snippets"]

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_ALT = "Launch with binderprogress"

TICKET = "ticket"
"""The argument of a launch's page that has a ticket of ours."""

APPS = {"lab": "lab/tree/", "voila": "voila/render/", "path": ""}
"""Below which path an app of a Jupyter server opens a file; `path`: in the server itself."""

# What may be in the name of a file, and means something else in an address.
_NAME_IN_PATH = str.maketrans({"%": "%25", "?": "%3F", "#": "%23"})


class Snippets(msgspec.Struct, frozen=True, kw_only=True):
    """What to copy, ready for its language."""

    link: str
    markdown: str
    rst: str
    html: str
    embed: str
    classic: str


def launch_link(base_url: str, spec: Spec, urlpath: str = "", *, ticket: str = "") -> str:
    """Return the address of the page that launches a spec, below `base_url`."""
    # A spec is quoted already: no % of it is quoted again.
    link = f"{base_url}v2/{quote(str(spec), safe='/%')}"
    query = {name: value for name, value in (("urlpath", urlpath), (TICKET, ticket)) if value}
    return f"{link}?{urlencode(query, safe='/')}" if query else link


def check_urlpath(text: str) -> str:
    """Return the path to open in a server, without slashes in front.

    Raises
    ------
    BadRequestError
        If it is an address, or has what no address has.
    """
    text = text.strip()
    path = text.lstrip("/")
    # As a browser, a proxy or the server may read it.
    plain = re.split(r"[?#]", text, maxsplit=1)[0]
    for quoted, character in (("%2e", "."), ("%2f", "/"), ("%5c", "\\")):
        plain = re.sub(quoted, lambda _, to=character: to, plain, flags=re.IGNORECASE)
    if not path.isprintable() or "\\" in path + plain:
        raise BadRequestError("The path to open has neither control characters nor backslashes.")
    leaves = plain.startswith("//") or ".." in plain.split("/")
    if leaves or _SCHEME.match(plain.lstrip("/")):
        # Attack: a link that leads away from the server that has just come up, with its token.
        raise BadRequestError(
            "The path to open is one in the server, as lab/tree/index.ipynb, and not an address."
        )
    return path


def path_in(app: str, path: str) -> str:
    """Return the path to open so that an app shows a file.

    Parameters
    ----------
    app : str
        One of `APPS`.
    path : str
        As `check_urlpath` returns it; empty: nothing in particular is opened.
    """
    prefix = APPS[app]
    if not prefix or not path:
        return path
    # Who copied it from a running server has it whole.
    return path if path.startswith(prefix) else prefix + path.translate(_NAME_IN_PATH)


def snippets(
    base_url: str,
    spec: Spec,
    urlpath: str = "",
    *,
    static_path: str = "static/",
    badge_path: str = "badge.svg",
) -> Snippets:
    """Make what is copied to other pages.

    Parameters
    ----------
    base_url : str
        With scheme and host: what is made stands on other sites.
    spec : Spec
    urlpath : str
        What to open in the server.
    static_path, badge_path : str
        Where the browser's files and the badge are, below `base_url`.
    """
    link, badge = launch_link(base_url, spec, urlpath), f"{base_url}{badge_path}"
    opened = f' urlpath="{escape(urlpath)}"' if urlpath else ""
    script = f'src="{escape(base_url + static_path)}binder-progress'
    element = (
        f'<binder-progress server="{escape(base_url)}" spec="{escape(str(spec))}"{opened}>'
        "</binder-progress>"
    )
    return Snippets(
        link=link,
        markdown=f"[![{_ALT}]({badge})]({link})",
        rst=f".. image:: {badge}\n   :target: {link}\n   :alt: {_ALT}",
        html=f'<a href="{escape(link)}"><img src="{escape(badge)}" alt="{_ALT}"></a>',
        embed=f'<script type="module" {script}.js"></script>\n{element}',
        classic=f'<script {script}.classic.js"></script>\n{element}',
    )
