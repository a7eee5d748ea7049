"""Specs of BinderHub's repo providers, and the requests they come from."""

from __future__ import annotations

from typing import Any

import msgspec

from ...backends.base import ResolvedSpec
from ...core.specs import Spec

__all__ = ["BinderHubResolvedSpec", "ProviderSpec", "Visit"]


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """Details of a request that are needed after its handler has finished.

    Attributes
    ----------
    user : str
        The user who is logged in. Empty if BinderHub has no login.
    launch_host : str
        The address of this BinderHub in badges and in the `ready` event, with a trailing slash.
    build_token : bool
        Whether the request had a valid build token.
    host, origin : str
        The host and the origin of the request, for the event log.
    """

    user: str
    launch_host: str
    build_token: bool
    host: str
    origin: str


class ProviderSpec(Spec, frozen=True, kw_only=True):
    """A spec of any of BinderHub's repo providers.

    Attributes
    ----------
    text : str
        The spec after the provider's prefix, quoted as in the request.
    visit : Visit
    build_only : bool
        Whether to build only, and start no server.
    """

    text: str
    visit: Visit
    build_only: bool = False

    def __str__(self) -> str:
        return f"{self.provider}/{self.text}"


class BinderHubResolvedSpec(ResolvedSpec, frozen=True, kw_only=True):
    """A repository at one commit, with BinderHub's names for it.

    Attributes
    ----------
    spec : ProviderSpec
    provider : binderhub.repoproviders.RepoProvider
        Has the repository's quota and credentials.
    image, build_name : str
        The names of the image and of the build.
    ref_url, resolved_spec : str
        The web page and the spec of the repository at this commit.
    """

    spec: ProviderSpec
    provider: Any
    image: str
    build_name: str
    ref_url: str
    resolved_spec: str

    @property
    def key(self) -> str:
        """The image's name, which identifies a build in BinderHub."""
        return self.image

    def at(self, commit: str) -> BinderHubResolvedSpec | None:
        """Return another commit of the repository; see `ResolvedSpec.at`.

        None if the spec of a commit does not end with the commit, as that of a record.
        """
        text, spec = self.resolved_spec, self.spec
        if not (self.commit and text.endswith(f"/{self.commit}")):
            return None
        text = text.removesuffix(self.commit) + commit
        return msgspec.structs.replace(
            self,
            spec=msgspec.structs.replace(spec, ref=commit, text=text, build_only=False),
            commit=commit,
            notice="",
            build_only=False,
            image=f"{self.image.rpartition(':')[0]}:{commit}",
            resolved_spec=text,
        )

    @property
    def labels(self) -> dict[str, str]:
        """The labels of BinderHub's metrics."""
        return {"provider": self.provider.name, "repo": self.spec.repo_url}

    def binder_fields(self, *, launch_host: str, client_ip: str) -> dict[str, str]:
        """Return the fields of the `ready` event, from BinderHub's repo provider."""
        return {
            "binder_ref_url": self.ref_url,
            # BinderHub may be configured with another host than the one in the request.
            "binder_launch_host": self.spec.visit.launch_host,
            "binder_request": f"v2/{self.spec}",
            "binder_persistent_request": f"v2/{self.spec.provider}/{self.resolved_spec}",
            "binder_client_ip": client_ip,
        }
