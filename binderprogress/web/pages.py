"""The pages: front page, gallery, link page, launch page."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

from ..core import specs
from ..core.events import is_http_url
from ..core.specs import Spec, Target, is_address
from ..core.urlpaths import requested_urlpath
from ..errors import BadRequestError, NotFoundError
from .base import FORM, Handler
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
        self.finish(
            self.page(
                "index.html",
                cards=cards,
                site=self.caller.base_url,
                engine=self.web.front_page["engine"],
                **self.form_variables(),
            )
        )


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
            self.finish(self.page("go.html", slug=slug, items=gallery.items.values()))
            return
        lang = self.asked_language
        link = launch_link(self.web.base_url, item.spec, item.urlpath, lang=lang)
        self.redirect(link, status=302)


class LinkHandler(Handler):
    """GET and POST /link: a form that makes a link, badge and embed code, or launches."""

    @property
    def site(self) -> str:
        """The URL that links start with: scheme, host and base URL, with a trailing slash."""
        return self.caller.base_url

    def choices(self) -> dict[str, Any]:
        """Return template variables for a choice of providers. By default there is none."""
        return {"providers": {}, "provider": ""}

    async def get(self) -> None:
        """Show the form, and the snippets for the submitted values."""
        await self._respond()

    async def post(self) -> None:
        """Check the submitted values, and redirect to their snippets or to the launch.

        The values only get into a URL once they are checked: a password in a URL would stay in the
        browser's history and in logs.
        """
        await self._respond()

    async def _respond(self) -> None:
        values = {name: self.get_argument(name, "") for name in ("repo", "ref", "urlpath")}
        target: Target | None = None
        urlpath, errors = "", dict[str, str]()
        if any(values.values()):
            target, urlpath, errors = await self._read(**values)
        if errors:
            self.set_status(400)
        app = self.get_argument("app", "path" if values["urlpath"] else "lab")
        # Without a known app, the path is used as it is.
        app = app if app in APPS else "path"
        site, made, try_link, launched = self.site, None, "", ("", "")
        if target is not None and not errors:
            spec, path = target.spec, app_path(app, urlpath) or _opened_path(target, app)
            if self.get_argument("launch", ""):
                self._launch(spec, path)
                return
            if self._only_checks:
                self._redirect_to_snippets(**values, app=app)
                return
            made = snippets(
                site,
                spec,
                path,
                static_path=self.web.static_path,
                badge_path=self.web.badge_path,
            )
            try_link, launched = self.own_link(spec, path, base_url=site), (str(spec), path)
        self.finish(
            self.page(
                "link.html",
                site=site,
                app=app,
                errors=errors,
                made=made,
                launched=launched,
                try_link=try_link,
                **self.form_variables(),
                badge_path=self.web.badge_path,
                origins_setting=self.web.origins_setting,
                **self.choices(),
                **values,
            )
        )

    @property
    def _only_checks(self) -> bool:
        """Whether the request only checks the values: the browser is redirected to the snippets."""
        return self.request.method == "POST" and not self.get_argument("launch", "")

    def _redirect_to_snippets(self, **values: str) -> None:
        provider = self.get_argument("provider", "")
        link = self.page_url("link", provider=provider, **values)
        self.redirect(f"{link}#made", status=303)

    def _launch(self, spec: Spec, path: str) -> None:
        """Redirect to the launch page."""
        # Attack: a page of another site sends the browser here with a repository of its choice.
        ours = self.web.tickets.use(self.get_body_argument("launch", ""), self.user, FORM)
        ticket = self.web.tickets.make(self.user, str(spec)) if ours else ""
        lang = self.asked_language
        link = launch_link(self.web.base_url, spec, path, ticket=ticket, lang=lang)
        self.redirect(link, status=303)

    async def _read(
        self, repo: str, ref: str, urlpath: str
    ) -> tuple[Target | None, str, dict[str, str]]:
        """Return the target, the path to open, and error messages by field name."""
        errors: dict[str, str] = {}
        target, repo, ref = None, repo.strip(), ref.strip()
        if repo:
            target, errors = await self.read_repository(repo, ref)
        else:
            errors["repo"] = (
                "Enter a repository, such as https://github.com/binder-examples/requirements."
            )
        try:
            urlpath = check_urlpath(urlpath)
        except BadRequestError as error:
            errors["urlpath"] = str(error)
        return target, urlpath, errors

    async def read_repository(self, repo: str, ref: str) -> tuple[Target | None, dict[str, str]]:
        """Return what the submitted repository names, and error messages by field name."""
        target, field = None, "repo"
        try:
            target = specs.read_address(repo)
            field = "ref"
            if ref or self._only_checks:
                return (target.at(ref) if ref else target), {}
            return await self.read_address(repo), {}
        except BadRequestError as error:
            return target, {field: str(error)}


_OPENS = {"none", "same-tab", "new-tab"}
"""Values of the element's attribute `open`."""


def _opened_path(target: Target, app: str) -> str:
    """Return the path that an address opens: a file with the chosen app, a link unchanged."""
    if target.requested or app == "path" or not target.path:
        return target.urlpath
    return app_path(app, target.path)


class LaunchPageHandler(Handler):
    """GET /v2/{provider}/{spec}."""

    async def get(self, _: str) -> None:
        """Show the launch page. Its script starts the launch, or watches the one in its URL."""
        text = self.request.path.removeprefix(f"{self.web.base_url}v2/")
        if is_address(unquote(text)):
            await self._redirect_to_spec(text)
            return
        spec = self.read_spec(text)
        names = ("urlpath", "labpath", "filepath")
        urlpath = requested_urlpath({name: self.get_query_argument(name, "") for name in names})
        site = self.caller.base_url
        self.finish(
            self.page(
                "launch.html",
                site=site,
                url=launch_link(site, spec, urlpath),
                own=launch_link(self.web.base_url, spec, urlpath, lang=self.asked_language),
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
                open=self._open,
            )
        )

    @property
    def _open(self) -> str:
        """What the page does when the server is ready; see `Web.open_ready`."""
        wanted: str = self.get_query_argument("open", "")
        return wanted if wanted in _OPENS else self.web.open_ready

    async def _redirect_to_spec(self, text: str) -> None:
        """Redirect from /v2/<address> to the launch page of its spec."""
        # Browsers and proxies merge the two slashes.
        address = re.sub(r"^(https?):/+", r"\1://", unquote(text), flags=re.IGNORECASE)
        query = f"?{self.request.query}" if self.request.query else ""
        target = await self.read_address(address + query)
        lang = self.asked_language
        link = launch_link(self.web.base_url, target.spec, target.urlpath, lang=lang)
        self.redirect(link, status=302)

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
