"""What a request asks BinderHub for, and what it is found to be."""

from __future__ import annotations

from typing import Any

import msgspec

from ...backends.base import ResolvedSpec
from ...core.specs import Spec

__all__ = ["BinderHubResolvedSpec", "ProviderSpec", "Visit"]


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed of a request after it was answered.

    Attributes
    ----------
    user : str
        Who is logged in; empty where nobody has to be.
    launch_host : str
        The address that badges and the `ready` event name, with a slash at its end.
    build_token : bool
        Whether it came with a build token.
    host, origin : str
        For the launch event: where it came to, and from.
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
        What stands behind the provider's prefix, quoted as it was.
    visit : Visit
    build_only : bool
        Whether no server is wanted.
    """

    text: str
    visit: Visit
    build_only: bool = False

    def __str__(self) -> str:
        return f"{self.provider}/{self.text}"


class BinderHubResolvedSpec(ResolvedSpec, frozen=True, kw_only=True):
    """A repository at one ref, with the names that BinderHub gives to it.

    Attributes
    ----------
    spec : ProviderSpec
    provider : binderhub.repoproviders.RepoProvider
        It knows the repository's quota and credentials.
    image, build_name : str
        Of the image, and of what builds it.
    ref_url, resolved_spec : str
        Where the repository can be looked at, and its spec, both at this ref.
    """

    spec: ProviderSpec
    provider: Any
    image: str
    build_name: str
    ref_url: str
    resolved_spec: str

    @property
    def key(self) -> str:
        """The image's name: what BinderHub tells builds apart by."""
        return self.image

    @property
    def labels(self) -> dict[str, str]:
        """The labels of BinderHub's metrics."""
        return {"provider": self.provider.name, "repo": self.spec.repo_url}

    def binder_fields(self, *, launch_host: str, client_ip: str) -> dict[str, str]:
        """Return the fields as BinderHub's providers know them."""
        return {
            "binder_ref_url": self.ref_url,
            # BinderHub may be configured to name another host than the one that was asked.
            "binder_launch_host": self.spec.visit.launch_host,
            "binder_request": f"v2/{self.spec}",
            "binder_persistent_request": f"v2/{self.spec.provider}/{self.resolved_spec}",
            "binder_client_ip": client_ip,
        }
