"""The images that were built here: which there are, which are used, and how they are removed.

Only images with our label count. A container engine does not note when an image was last used, so
there is a file for each image, whose time says so.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from ..disk import GRACE
from ..processes.child import run

__all__ = [
    "COMMITTED_LABEL",
    "ENVIRONMENT_LABEL",
    "LABEL",
    "REPOSITORY_LABEL",
    "REUSED_LABEL",
    "Image",
    "ImageDetails",
    "Images",
]

LABEL = "binderprogress.built"
"""The label of images that were built here. `repo2docker_config.py` sets it."""

COMMITTED_LABEL = "binderprogress.committed"
"""The label with the time of the commit, in seconds since 1970."""

ENVIRONMENT_LABEL = "binderprogress.environment"
"""The label with what identifies an environment that images of other commits can have, too."""

REPOSITORY_LABEL = "binderprogress.repository"
"""The label with what identifies the repository of such an environment."""

REUSED_LABEL = "binderprogress.reused"
"""The label with the name of the image whose environment an image has."""

_TIMEOUT = 60.0


class Image(msgspec.Struct, frozen=True):
    """An image on this machine.

    Attributes
    ----------
    name : str
    size : int
        Its size in bytes, as the engine says it. Layers that images share count in each.
    last_used : float
        Seconds since the epoch.
    in_use : bool
        Whether a container uses it, running or not.
    """

    name: str
    size: int
    last_used: float
    in_use: bool


class ImageDetails(msgspec.Struct, frozen=True):
    """What an engine says of an image.

    Attributes
    ----------
    created : float
        Seconds since 1970.
    labels : dict of str to str
    """

    created: float
    labels: dict[str, str]

    @property
    def committed(self) -> float | None:
        """When the commit in it was made, in seconds since 1970; None if that is not known."""
        label = self.labels.get(COMMITTED_LABEL, "")
        return float(label) if re.fullmatch("[0-9]{1,12}", label) else None


class Images:
    """The images of a container engine that were built here.

    Parameters
    ----------
    engine : str
        ``docker`` or ``podman``.
    folder : Path
        For the files with the times of use.
    """

    def __init__(self, engine: str, folder: Path) -> None:
        self._engine = engine
        self._folder = folder

    def use(self, name: str) -> None:
        """Note that an image is used now.

        Raises
        ------
        OSError
            If it cannot be noted.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file(name).touch()

    async def created(self, name: str) -> float | None:
        """Return when an image was made, in seconds since 1970.

        None if there is no image of this name, or if the engine does not answer.
        """
        details = await self.details(name)
        return None if details is None else details.created

    async def details(self, name: str) -> ImageDetails | None:
        """Return when an image was made, and its labels; None as `created` does."""
        code, output = await self._run(["image", "inspect", "--", name])
        if code:
            return None
        (details,) = msgspec.json.decode(output[: output.rindex("]") + 1])
        return _details(details)

    async def of(self, repository: str) -> dict[str, ImageDetails]:
        """Return the images of a repository by their names, the oldest first.

        Parameters
        ----------
        repository : str
            The value of `REPOSITORY_LABEL`.
        """
        names = await self._names(f"label={REPOSITORY_LABEL}={repository}")
        details = map(_details, await self._inspect("image", names) if names else [])
        pairs = zip(names, details, strict=True)
        return dict(sorted(pairs, key=lambda pair: pair[1].created))

    async def find(self) -> list[Image]:
        """Return the images, the least recently used first. Empty if the engine does not answer."""
        names = await self._names(f"label={LABEL}")
        if not names:
            return []
        details, used = await self._inspect("image", names), await self._used()
        images = [
            Image(name, one["Size"], self._last_used(name, one), _id(one["Id"]) in used)
            for name, one in zip(names, details, strict=True)
        ]
        return sorted(images, key=lambda image: image.last_used)

    async def remove(self, image: Image, *, unused_for: float = GRACE) -> bool:
        """Remove an image, unless it is in use. The engine refuses that, too.

        Parameters
        ----------
        image : Image
        unused_for : float
            Seconds for which it must not have been used.

        Returns
        -------
        bool
            Whether it was removed.
        """
        if image.in_use or time.time() - image.last_used < unused_for:
            return False
        code, _ = await self._run(["rmi", "--", image.name])
        if code:
            return False
        await asyncio.to_thread(self._file(image.name).unlink, missing_ok=True)
        return True

    async def shrink(self, budget: int) -> list[Image]:
        """Remove the least recently used images until the others fit, and return them.

        Parameters
        ----------
        budget : int
            Bytes.
        """
        images = await self.find()
        total = sum(image.size for image in images)
        removed = []
        for image in images:
            if total <= budget:
                break
            if await self.remove(image):
                total -= image.size
                removed.append(image)
        return removed

    async def remove_stopped_builds(self) -> int:
        """Remove containers of podman's builds that were stopped or killed. Return their number.

        docker's builds leave none. Nothing is removed while any build of podman runs on this
        machine. The container of a step before the label is set, the first one, is not recognised.
        """
        if self._engine != "podman":
            return 0
        code, output = await self._run(["ps", "--all", "--external", "--format", "json"])
        containers = msgspec.json.decode(output) if not code and output.strip() else []
        ours = ["images", "--all", "--quiet", "--no-trunc", "--filter", f"label={LABEL}"]
        images = {_id(line) for line in await self._lines(ours)}
        stopped = [
            container["Id"]
            for container in containers or ()
            if str(container["State"]).lower() == "storage" and container["ImageID"] in images
        ]
        # After listing them: a build that begins now has others.
        if not stopped or await asyncio.to_thread(_is_building):
            return 0
        code, _ = await self._run(["rm", "--force", "--", *stopped])
        return 0 if code else len(stopped)

    async def _used(self) -> set[str]:
        """Return the ids of the images that containers use."""
        containers = await self._lines(["ps", "--all", "--quiet"])
        if not containers:
            return set()
        return {_id(one["Image"]) for one in await self._inspect("container", containers)}

    async def _names(self, condition: str) -> list[str]:
        listing = ["images", "--filter", condition, "--format", "{{.Repository}}:{{.Tag}}"]
        return [name for name in await self._lines(listing) if not name.endswith(":<none>")]

    async def _inspect(self, kind: str, names: Sequence[str]) -> list[dict[str, Any]]:
        # If one has been removed meanwhile, the others are printed nevertheless.
        _, output = await self._run([kind, "inspect", "--", *names])
        found: list[dict[str, Any]] = msgspec.json.decode(output[: output.rindex("]") + 1])
        return found

    async def _lines(self, arguments: Sequence[str]) -> list[str]:
        code, output = await self._run(arguments)
        return [] if code else output.split("\n")[:-1]

    async def _run(self, arguments: Sequence[str]) -> tuple[int, str]:
        return await run([self._engine, *arguments], timeout=_TIMEOUT, keep_daemons=True)

    def _last_used(self, name: str, details: dict[str, Any]) -> float:
        try:
            return self._file(name).stat().st_mtime
        except FileNotFoundError:
            return _created(details)

    def _file(self, name: str) -> Path:
        return self._folder / hashlib.sha256(name.encode()).hexdigest()


def _details(details: dict[str, Any]) -> ImageDetails:
    return ImageDetails(_created(details), details["Config"].get("Labels") or {})


def _created(details: dict[str, Any]) -> float:
    # Nanoseconds have too many digits for Python.
    return datetime.fromisoformat(f"{details['Created'][:19]}+00:00").timestamp()


def _is_building() -> bool:
    """Whether a build of podman or buildah runs on this machine."""
    import psutil  # part of the extra "repo2docker"

    for process in psutil.process_iter():
        try:
            program, *arguments = process.cmdline() or [""]
        except psutil.Error:
            continue  # it has ended
        if Path(program).name in ("podman", "buildah") and {"build", "bud"} & set(arguments):
            return True
    return False


def _id(text: str) -> str:
    return text.removeprefix("sha256:")
