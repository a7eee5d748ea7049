"""What can be looked up of repositories without launching them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..backends.base import AnyBackend, Finder, RefFinder
from ..core.log.reasons import REASONS
from ..core.specs import Spec
from ..errors import LaunchFailedError, NotFoundError
from .shared_builds import SharedBuilds

__all__ = ["ImageState", "Lookups"]


class ImageState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the environment of a commit is built.

    Attributes
    ----------
    spec : str
        As it was asked for.
    commit : str
        The commit of its ref. Empty if only another server knows it.
    exists : bool or None
        Whether a launch would build nothing. None: only another server knows it.
    building : bool
        Whether this server is building it.
    image : str
        The name of the image. Empty if there is none.
    where : str
        Where it is: a registry, a container engine, or `local`. Empty if it does not exist.
    built : float or None
        When it was built, in seconds since 1970, if that is known.
    """

    spec: str
    commit: str
    exists: bool | None
    building: bool
    image: str = ""
    where: str = ""
    built: float | None = None


class Lookups:
    """Looks up refs and environments, for a `LaunchManager`."""

    _backend: AnyBackend
    _builds: SharedBuilds

    async def find_ref(self, spec: Spec, refs: Sequence[str]) -> str:
        """Return the first of several refs that a repository has. Empty if it is not known."""
        backend = self._backend
        return await backend.find_ref(spec, refs) if isinstance(backend, RefFinder) else ""

    async def find_image(self, spec: Spec) -> ImageState:
        """Return whether the environment of a spec is built.

        Raises
        ------
        NotFoundError
            If the repository or its ref cannot be found. Attack: whoever may not read a repository
            finds out from the answer whether it exists.
        RefusedError
            If the repository is not allowed here.
        """
        backend = self._backend
        try:
            resolved = await backend.resolve(spec)
        except LaunchFailedError as error:
            raise NotFoundError(REASONS["unresolved"].sentence) from error
        is_building = any(build.resolved.key == resolved.key for build in self._builds.running)
        state = ImageState(
            spec=str(spec), commit=resolved.commit, exists=None, building=is_building
        )
        if not (backend.profile.finds and isinstance(backend, Finder)):
            return state
        found = await backend.find(resolved)
        if found is None:
            return msgspec.structs.replace(state, exists=False)
        return msgspec.structs.replace(
            state,
            exists=True,
            # The folder of an environment is not an image, and contains the name of a user.
            image="" if found.image.startswith("/") else found.image,
            where=found.where,
            built=found.built,
        )
