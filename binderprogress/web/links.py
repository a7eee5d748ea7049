"""Launch links, badges and embed codes for other pages."""

from __future__ import annotations

from html import escape
from urllib.parse import quote, urlencode

import msgspec

from ..core.specs import Spec
from ..core.urlpaths import check_urlpath, file_urlpath

__all__ = [
    "APPS",
    "TICKET",
    "Snippets",
    "app_path",
    "build_log_link",
    "check_urlpath",
    "launch_link",
    "snippets",
]

_ALT = "Launch with binderprogress"

TICKET = "ticket"
"""The query argument of a launch page for a ticket; see `tickets`."""

APPS = {"lab": "lab/tree/", "voila": "voila/render/", "path": ""}
"""The URL prefix under which each app of a Jupyter server opens a file. `path` is a plain path."""


class Snippets(msgspec.Struct, frozen=True, kw_only=True):
    """Snippets to copy to other pages, escaped for their markup languages."""

    link: str
    markdown: str
    rst: str
    html: str
    embed: str
    classic: str


def launch_link(
    base_url: str, spec: Spec, urlpath: str = "", *, ticket: str = "", lang: str = ""
) -> str:
    """Return the URL of the launch page of a spec.

    Parameters
    ----------
    base_url : str
        URL or path of this server, with a trailing slash.
    spec : Spec
    urlpath : str
        Path to open in the Jupyter server.
    ticket : str
        One-time ticket that makes confirmation unnecessary.
    lang : str
        The language of the page, if somebody has chosen it. Links to share have none.
    """
    # A spec is percent-encoded already.
    link = f"{base_url}v2/{quote(str(spec), safe='/%')}"
    arguments = (("urlpath", urlpath), (TICKET, ticket), ("lang", lang))
    query = {name: value for name, value in arguments if value}
    return f"{link}?{urlencode(query, safe='/')}" if query else link


def build_log_link(base_url: str, build_id: str) -> str:
    """Return the permanent URL of a build's log, for people.

    Parameters
    ----------
    base_url : str
        URL of this server, with a trailing slash.
    build_id : str
    """
    return f"{base_url}builds/{build_id}/log"


def app_path(app: str, path: str) -> str:
    """Return the path that opens a file in an app.

    Parameters
    ----------
    app : str
        One of `APPS`.
    path : str
        Path of a file, as `check_urlpath` returns it. If it is empty, so is the result.
    """
    prefix = APPS[app]
    if not prefix or not path:
        return path
    # A path that was copied from a running server has the prefix already.
    return path if path.startswith(prefix) else file_urlpath(path, prefix)


def snippets(
    base_url: str,
    spec: Spec,
    urlpath: str = "",
    *,
    static_path: str = "static/",
    badge_path: str = "badge.svg",
) -> Snippets:
    """Return the snippets for a spec.

    Parameters
    ----------
    base_url : str
        URL of this server with scheme and host, and a trailing slash.
    spec : Spec
    urlpath : str
        Path to open in the Jupyter server.
    static_path, badge_path : str
        Paths of the static files and of the badge, relative to `base_url`.
    """
    link, badge = launch_link(base_url, spec, urlpath), f"{base_url}{badge_path}"
    opened = f' urlpath="{escape(urlpath)}"' if urlpath else ""
    script = f'src="{escape(base_url + static_path)}binder-progress'
    # Shown until the script has defined the element, and if it never does.
    fallback = f'<a href="{escape(link)}">Launch {escape(str(spec))}</a>'
    element = (
        f'<binder-progress server="{escape(base_url)}" spec="{escape(str(spec))}"{opened}>'
        f"{fallback}</binder-progress>"
    )
    return Snippets(
        link=link,
        markdown=f"[![{_ALT}]({badge})]({link})",
        rst=f".. image:: {badge}\n   :target: {link}\n   :alt: {_ALT}",
        html=f'<a href="{escape(link)}"><img src="{escape(badge)}" alt="{_ALT}"></a>',
        embed=f'<script type="module" {script}.js"></script>\n{element}',
        classic=f'<script {script}.classic.js"></script>\n{element}',
    )
