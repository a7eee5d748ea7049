"""What a backend may be able to do besides what `base.Backend` demands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from ..core.specs import Spec
from .codec import Codec

__all__ = [
    "BuildCanceller",
    "Cleaner",
    "Environment",
    "Finder",
    "KeyMaker",
    "RefFinder",
    "Remover",
    "Resumable",
    "Sizer",
]


class Environment(msgspec.Struct, frozen=True):
    """An environment that exists.

    Attributes
    ----------
    image : str
        As in the result of a build: the name of an image, or the folder of an environment.
    where : str
        Where it is: a registry, a container engine, or ``local``.
    built : float or None
        When it was built, in seconds since 1970. None: that is not known.
    committed : float or None
        When its commit was made, in seconds since 1970. None: that is not known.
    """

    image: str
    where: str
    built: float | None = None
    committed: float | None = None


@runtime_checkable
class Finder(Protocol):
    """What a builder or backend may be besides: able to say whether an environment exists.

    See `BackendProfile.finds`.
    """

    async def find(self, resolved: Any) -> Environment | None:
        """Return the environment of a commit; None if it has to be built, or if nobody knows.

        Raises
        ------
        LaunchFailedError
            If it cannot be looked up.
        """
        ...


@runtime_checkable
class RefFinder(Protocol):
    """What a builder may be besides: able to say which refs a repository has."""

    async def find_ref(self, spec: Spec, refs: Sequence[str]) -> str:
        """Return the first of several refs that a repository has; empty if it has none of them.

        Also empty if the repository cannot be reached, or is not allowed here: resolving it says
        why.
        """
        ...


@runtime_checkable
class Resumable(Protocol):
    """What a builder or backend may be besides: able to go on with launches after a restart."""

    @property
    def codec(self) -> Codec[Any, Any, Any] | None:
        """Encodes what it needs for that. None: it cannot."""
        ...


@runtime_checkable
class KeyMaker(Protocol):
    """What a launcher or backend may be besides: able to choose the keys of requests."""

    def new_key(self, resolved: Any) -> str:
        """Return a key that no other request has; see `LaunchRequest.key`."""
        ...


@runtime_checkable
class Remover(Protocol):
    """What a launcher or backend may be besides: able to go on after `stop` has failed."""

    async def removed(self, request: Any) -> bool:
        """Wait for the removal of a server that `stop` could not remove.

        Returns
        -------
        bool
            Whether it is removed. False: nobody tries any more.
        """
        ...


@runtime_checkable
class BuildCanceller(Protocol):
    """What a builder or backend may be besides: able to end builds that go on without it.

    See `BackendProfile.builds_go_on`.
    """

    async def cancel_build(self, resolved: Any) -> None:
        """End a build that nobody waits for."""
        ...


@runtime_checkable
class Cleaner(Protocol):
    """What a builder or backend may be besides: able to remove what builds have left elsewhere.

    See `BackendProfile.leaves_builds`.
    """

    def belong_to(self, installation: str) -> None:
        """Mark what is made from now on as made by an installation: replicas that share a store."""
        ...

    async def clean_up(self, wanted: Callable[[], Awaitable[Sequence[Any] | None]]) -> None:
        """Remove what nobody needs any more. Only one replica does it.

        Parameters
        ----------
        wanted : callable
            Return the resolved specs that the installation is building. None: that is not known.
        """
        ...


@runtime_checkable
class Sizer(Protocol):
    """What a builder or backend may be besides: able to say how large images are.

    See `BackendProfile.sizes`.
    """

    async def image_size(self, image: str) -> int:
        """Return the bytes that have to be downloaded for an image; 0 if that is not known."""
        ...
