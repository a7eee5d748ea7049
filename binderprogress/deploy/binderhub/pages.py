"""Our pages, in BinderHub."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import quote

import jwt
import msgspec

from ...core import specs
from ...core.archive_specs import DOI
from ...core.specs import Spec, Target
from ...errors import BinderProgressError
from ...web.own_launches import OwnLaunchesPageHandler
from ...web.pages import (
    FrontHandler,
    GoHandler,
    LaunchPageHandler,
    LinkHandler,
    PictureHandler,
)
from .handlers import TOKEN_COOKIE, Guarded

__all__ = [
    "BinderHubFrontHandler",
    "BinderHubGoHandler",
    "BinderHubLaunchPageHandler",
    "BinderHubLinkHandler",
    "BinderHubOwnLaunchesPageHandler",
    "BinderHubPictureHandler",
]


class BinderHubLaunchPageHandler(Guarded, LaunchPageHandler):
    """/v2/{provider}/{spec}."""

    def read_spec(self, text: str) -> Spec:
        """Read the spec, and set the build token for its launch."""
        prefix, _, text = text.partition("/")
        spec = self.find_spec(prefix, text)
        self._set_build_token(str(spec))
        return spec

    def _set_build_token(self, spec: str) -> None:
        """Set a build token, as BinderHub's page does, so that the rate limit does not apply."""
        seconds = self.settings["build_token_expires_seconds"]
        content = {"exp": int(time.time()) + seconds, "aud": spec, "origin": self.token_origin()}
        self.set_cookie(
            TOKEN_COOKIE,
            jwt.encode(content, key=self.settings["build_token_secret"], algorithm="HS256"),
            path=f"{self.web.base_url}api/launches",
            max_age=seconds,
            httponly=True,
            secure=self.request.protocol == "https",
            samesite="Strict",
        )


class BinderHubOwnLaunchesPageHandler(Guarded, OwnLaunchesPageHandler):
    """/launches."""


class BinderHubFrontHandler(Guarded, FrontHandler):
    """/: the gallery, or the form if the gallery is empty."""

    def get(self) -> None:
        """Show the gallery, or redirect to the form."""
        if self.web.gallery_items.items:
            super().get()
        else:
            self.redirect(f"{self.web.base_url}link")


class BinderHubPictureHandler(Guarded, PictureHandler):
    """/gallery/{file}."""


class BinderHubGoHandler(Guarded, GoHandler):
    """/go/{slug}."""


class BinderHubLinkHandler(Guarded, LinkHandler):
    """/link: the form, with BinderHub's repo providers, each with its own form of a spec."""

    @property
    def site(self) -> str:
        """The address that links start with, from BinderHub's configuration."""
        return str(self.get_badge_base_url() or self.caller.base_url)

    def choices(self) -> dict[str, Any]:
        """Return the providers, and the selected one."""
        providers = self.settings["repo_providers"]
        names = {
            prefix: _display(provider).get("displayName") or provider.name.default_value or prefix
            for prefix, provider in providers.items()
        }
        selected = self.get_argument("provider", "")
        return {
            "providers": names,
            "provider": selected if selected in names else next(iter(names)),
        }

    async def read_repository(self, repo: str, ref: str) -> tuple[Target | None, dict[str, str]]:
        """Read what was typed, in the form that the selected provider expects."""
        prefix = self.choices()["provider"]
        try:
            # On the front page, nobody selects a provider for a DOI.
            is_doi = DOI.fullmatch(repo) and not self.get_argument("provider", "")
            if is_doi or (prefix in specs.PROVIDERS and specs.has_host(repo)):
                # The host of an address takes precedence over the selected provider.
                target = specs.read_address(repo, ref)
                spec = self.find_spec(target.spec.provider, str(target.spec).partition("/")[2])
                return msgspec.structs.replace(target, spec=spec), {}
            return Target(self.find_spec(*self._spec_parts(prefix, repo, ref))), {}
        except BinderProgressError as error:
            return None, {"repo": str(error)}

    def _spec_parts(self, prefix: str, repo: str, ref: str) -> tuple[str, str]:
        """Return the prefix of the provider, and the rest of the spec."""
        display = _display(self.settings["repo_providers"][prefix])
        text = re.sub(r"^https?://(?:dx\.)?doi\.org/", "", repo).strip("/")
        if display.get("repo", {}).get("urlEncode"):
            text = quote(text, safe="")
        refs = display.get("ref", {})
        if refs.get("enabled", True):
            text = f"{text}/{quote(ref or refs.get('default', 'HEAD'), safe='/')}"
        return prefix, text


def _display(provider: Any) -> dict[str, Any]:
    """Return how BinderHub's form shows a provider. BinderHub has this since 2025."""
    display_config: dict[str, Any] = getattr(provider, "display_config", {})
    return display_config
