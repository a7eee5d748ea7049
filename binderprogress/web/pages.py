"""The pages: front page, gallery, link page, launch page."""

from __future__ import annotations

import json
from typing import Any

from ..core import specs
from ..core.events import is_http_url
from ..core.specs import Spec
from ..errors import BadRequestError, NotFoundError
from .base import Handler
from .links import APPS, TICKET, app_path, check_urlpath, launch_link, snippets
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
"""The purpose of the link page's ticket. It is not a valid spec, so links cannot use it."""


class FrontHandler(Handler):
    """GET /."""

    def get(self) -> None:
        """Show the front page."""
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
    """GET /gallery/{file}: the gallery's pictures, which are kept in memory."""

    def get(self, name: str) -> None:
        """Send a picture."""
        picture = self.web.gallery_items.pictures.get(name)
        if picture is None:
            raise NotFoundError("This picture does not exist.")
        self.set_header("Content-Type", picture.content_type)
        self.set_header("Cache-Control", "max-age=3600")
        self.set_header("Content-Security-Policy", IMAGE_POLICY)
        # Chats and social networks show it in link previews.
        self.set_header("Cross-Origin-Resource-Policy", "cross-origin")
        self.finish(picture.data)


class GoHandler(Handler):
    """GET /go/{slug}: short links to the entries of the gallery."""

    def get(self, slug: str) -> None:
        """Redirect to the launch page of an entry."""
        gallery = self.web.gallery_items
        item = gallery.items.get(slug)
        if item is None:
            self.set_status(404)
            self.finish(self.web.render("go.html", slug=slug, items=gallery.items.values()))
            return
        self.redirect(launch_link(self.web.base_url, item.spec, item.urlpath), status=302)


class LinkHandler(Handler):
    """GET and POST /link: a form that makes a link, badge and embed code, or launches."""

    @property
    def site(self) -> str:
        """The URL that links start with: scheme, host and base URL, with a trailing slash."""
        return self.caller.base_url

    def choices(self) -> dict[str, Any]:
        """Return template variables for a choice of providers. By default there is none."""
        return {"providers": {}, "provider": ""}

    def get(self) -> None:
        """Show the form, and the snippets for the submitted values."""
        self._respond()

    def post(self) -> None:
        """Launch the submitted repository."""
        self._respond()

    def _respond(self) -> None:
        values = {name: self.get_argument(name, "") for name in ("repo", "ref", "urlpath")}
        spec, urlpath, errors = self._read(**values) if any(values.values()) else (None, "", {})
        if errors:
            self.set_status(400)
        app = self.get_argument("app", "path" if values["urlpath"] else "lab")
        # Without a known app, the path is used as it is.
        app = app if app in APPS else "path"
        site, made, try_link = self.site, None, ""
        if spec is not None and not errors:
            path = app_path(app, urlpath)
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
                **values,
            )
        )

    def _launch(self, spec: Spec, path: str) -> None:
        """Redirect to the launch page."""
        # Attack: a page of another site sends the browser here with a repository of its choice.
        ours = self.web.tickets.use(self.get_body_argument("launch", ""), self.user, _FORM)
        ticket = self.web.tickets.make(self.user, str(spec)) if ours else ""
        link = launch_link(self.web.base_url, spec, path, ticket=ticket)
        self.redirect(link, status=303)

    def _read(self, repo: str, ref: str, urlpath: str) -> tuple[Spec | None, str, dict[str, str]]:
        """Return the spec, the path to open, and error messages by field name."""
        errors: dict[str, str] = {}
        spec, repo, ref = None, repo.strip(), ref.strip()
        if repo:
            spec, errors = self.read_repository(repo, ref)
        else:
            errors["repo"] = (
                "Enter a repository, such as https://github.com/binder-examples/requirements."
            )
        try:
            urlpath = check_urlpath(urlpath)
        except BadRequestError as error:
            errors["urlpath"] = str(error)
        return spec, urlpath, errors

    def read_repository(self, repo: str, ref: str) -> tuple[Spec | None, dict[str, str]]:
        """Return the spec of the submitted repository, and error messages by field name."""
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
        """Show the launch page. Its script starts the launch, or watches the one in its URL."""
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
        """Whether the page asks for confirmation before it starts the launch.

        It does unless the URL has a valid ticket. Headers cannot tell which page the visitor came
        from: browsers send no `Sec-Fetch-Site` over plain http, its value "none" includes links in
        mails, and on a shared origin, as with JupyterHub, other users' pages can choose the path
        in the Referer.
        """
        if not self.web.confirm_foreign:
            return False
        ticket = self.get_query_argument(TICKET, "")
        return not self.web.tickets.use(ticket, self.user, str(spec))


class NotFoundHandler(Handler):
    """Everything else."""

    public = True

    async def prepare(self) -> None:
        """Respond with 404."""
        await super().prepare()
        raise NotFoundError("There is nothing at this URL.")
