"""What is put on other pages for a repository: link, badge, embed; and what they open."""

from __future__ import annotations

from html import escape
from urllib.parse import quote, urlencode

import msgspec

from ..core.specs import Spec
from ..core.urlpaths import check_urlpath, file_urlpath

__all__ = ["APPS", "TICKET", "Snippets", "check_urlpath", "launch_link", "path_in", "snippets"]

_ALT = "Launch with binderprogress"

TICKET = "ticket"
"""The argument of a launch's page that has a ticket of ours."""

APPS = {"lab": "lab/tree/", "voila": "voila/render/", "path": ""}
"""Below which path an app of a Jupyter server opens a file; `path`: in the server itself."""


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
    return path if path.startswith(prefix) else file_urlpath(path, prefix)


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
