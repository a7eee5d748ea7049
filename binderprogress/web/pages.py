"""Pages for people."""

from __future__ import annotations

import json
from typing import Any

from ..core import specs
from ..core.events import is_http_url
from ..core.specs import Spec
from ..errors import BadRequestError, NotFoundError
from .base import Handler
from .links import APPS, TICKET, check_urlpath, launch_link, path_in, snippets
from .security_headers import IMAGE_POLICY

__all__ = [
    "FrontHandler",
    "GoHandler",
    "LaunchPageHandler",
    "LinkHandler",
    "NotFoundHandler",
    "PictureHandler",
]

_FORM = "link"
"""Stands in the ticket of the form, where that of a link has a spec; no spec has this form."""


class FrontHandler(Handler):
    """GET /."""

    def get(self) -> None:
        """Show what can be launched."""
        gallery, base_url = self.web.gallery_items, self.web.base_url
        self.set_policy(*gallery.picture_origins)
        cards = [
            {
                "item": item,
                "link": self.own_link(item.spec, item.urlpath),
                "picture": item.picture_url(base_url),
            }
            for item in gallery.items.values()
        ]
        site, more = self.caller.base_url, dict(self.web.front_page)
        if not is_http_url(more["hub_url"]):
            more["hub_url"] = ""
        self.finish(self.web.render("index.html", cards=cards, site=site, **more))


class PictureHandler(Handler):
    """GET /gallery/{file}: the pictures of the gallery, from memory."""

    def get(self, name: str) -> None:
        """Send a picture."""
        picture = self.web.gallery_items.pictures.get(name)
        if picture is None:
            raise NotFoundError("There is no such picture.")
        self.set_header("Content-Type", picture.content_type)
        self.set_header("Cache-Control", "max-age=3600")
        self.set_header("Content-Security-Policy", IMAGE_POLICY)
        # Chats and social networks show it with a link.
        self.set_header("Cross-Origin-Resource-Policy", "cross-origin")
        self.finish(picture.data)


class GoHandler(Handler):
    """GET /go/{slug}: an entry of the gallery by its name."""

    def get(self, slug: str) -> None:
        """Send the browser on to the page that launches it."""
        gallery = self.web.gallery_items
        item = gallery.items.get(slug)
        if item is None:
            self.set_status(404)
            self.finish(self.web.render("go.html", slug=slug, items=gallery.items.values()))
            return
        self.redirect(launch_link(self.web.base_url, item.spec, item.urlpath), status=302)


class LinkHandler(Handler):
    """GET /link: a form that makes link, badge and embed for a repository, or launches it."""

    @property
    def site(self) -> str:
        """Where links lead to, with scheme and host and a slash at its end."""
        return self.caller.base_url

    def choices(self) -> dict[str, Any]:
        """Return what can be chosen, for the template: nothing, where an address says it all."""
        return {"providers": {}, "provider": ""}

    def get(self) -> None:
        """Show the form, and what it makes of what was typed."""
        self._answer()

    def post(self) -> None:
        """Launch what was typed: sent by the form's second button."""
        self._answer()

    def _answer(self) -> None:
        typed = {name: self.get_argument(name, "") for name in ("repo", "ref", "urlpath")}
        spec, urlpath, errors = self._read(**typed) if any(typed.values()) else (None, "", {})
        if errors:
            self.set_status(400)
        app = self.get_argument("app", "path" if typed["urlpath"] else "lab")
        # A path without an app is one in the server.
        app = app if app in APPS else "path"
        site, made, try_link = self.site, None, ""
        if spec is not None and not errors:
            path = path_in(app, urlpath)
            if self.get_argument("launch", ""):
                self._launch(spec, path)
                return
            made = snippets(
                site,
                spec,
                path,
                static_path=self.web.static_path,
                badge_path=self.web.badge_path,
            )
            try_link = self.own_link(spec, path, base_url=site)
        self.finish(
            self.web.render(
                "link.html",
                site=site,
                app=app,
                errors=errors,
                made=made,
                try_link=try_link,
                ticket=self.make_ticket(_FORM),
                xsrf=self.xsrf_token.decode() if self.web.access.lists else "",
                badge_path=self.web.badge_path,
                origins_setting=self.web.origins_setting,
                **self.choices(),
                **typed,
            )
        )

    def _launch(self, spec: Spec, path: str) -> None:
        """Send the browser on to the launch."""
        # Attack: any page can lead the browser to this address, with a repository that it names.
        ours = self.web.tickets.use(self.get_body_argument("launch", ""), self.user, _FORM)
        ticket = self.web.tickets.make(self.user, str(spec)) if ours else ""
        link = launch_link(self.web.base_url, spec, path, ticket=ticket)
        self.redirect(link, status=303)

    def _read(self, repo: str, ref: str, urlpath: str) -> tuple[Spec | None, str, dict[str, str]]:
        """Read the form; what is wrong is a sentence under the name of its field."""
        errors: dict[str, str] = {}
        spec, repo, ref = None, repo.strip(), ref.strip()
        if repo:
            spec, errors = self.read_repository(repo, ref)
        else:
            errors["repo"] = (
                "Name a repository, as https://github.com/binder-examples/requirements."
            )
        try:
            urlpath = check_urlpath(urlpath)
        except BadRequestError as error:
            errors["urlpath"] = str(error)
        return spec, urlpath, errors

    def read_repository(self, repo: str, ref: str) -> tuple[Spec | None, dict[str, str]]:
        """Read what was typed: the spec, or what is wrong under the name of its field."""
        spec, field = None, "repo"
        try:
            spec = specs.parse(repo) if specs.looks_like_spec(repo) else specs.from_address(repo)
            field = "ref"
            return (spec.at(ref) if ref else spec), {}
        except BadRequestError as error:
            return spec, {field: str(error)}


class LaunchPageHandler(Handler):
    """GET /v2/{provider}/{spec}."""

    def get(self, _: str) -> None:
        """Show the page that launches it, or goes on watching what its address names."""
        spec = self.read_spec(self.request.path.removeprefix(f"{self.web.base_url}v2/"))
        urlpath = self.get_query_argument("urlpath", "")
        for argument, prefix in (("labpath", "lab/tree/"), ("filepath", "tree/")):
            path = self.get_query_argument(argument, "")
            if path and not urlpath:
                urlpath = prefix + path.lstrip("/")
        urlpath = check_urlpath(urlpath)
        site = self.caller.base_url
        self.finish(
            self.web.render(
                "launch.html",
                site=site,
                url=launch_link(site, spec, urlpath),
                item=self.web.gallery_items.find(spec, urlpath),
                request=json.dumps({"spec": str(spec)}),
                spec=str(spec),
                title=spec.title,
                repo_url=spec.repo_url,
                repo_link=spec.repo_url if is_http_url(spec.repo_url) else "",
                ref=spec.ref,
                provider=specs.PROVIDERS.get(spec.provider, spec.provider),
                urlpath=urlpath,
                ask=self._asks(spec),
            )
        )

    def _asks(self, spec: Spec) -> bool:
        """Whether the page asks before it starts the launch.

        No header says who led the browser here: a browser sends no `Sec-Fetch-Site` over plain
        http, "none" is also a link in a mail, and on a shared origin, as below a JupyterHub, the
        Referer's path is whatever another user's page wants it to be. Only a ticket of one of our
        own pages does.
        """
        if not self.web.confirm_foreign:
            return False
        ticket = self.get_query_argument(TICKET, "")
        return not self.web.tickets.use(ticket, self.user, str(spec))


class NotFoundHandler(Handler):
    """Everything else."""

    public = True

    async def prepare(self) -> None:
        """Say that there is nothing."""
        await super().prepare()
        raise NotFoundError("There is nothing at this address.")
