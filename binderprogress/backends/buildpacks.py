"""Which of repo2docker's buildpacks a repository needs."""

from __future__ import annotations

from typing import Any

__all__ = ["pick_buildpack"]


def pick_buildpack(base_image: str = "") -> Any:
    """Return repo2docker's buildpack for the repository in the current folder.

    It reads files that strangers wrote, so call it only in a process of its own.

    Parameters
    ----------
    base_image : str
        What its Dockerfile begins with.

    Raises
    ------
    ValueError, RuntimeError
        If the repository asks for something that repo2docker does not support.
    """
    # Imported here, since the process of a build needs none of it.
    from repo2docker.app import Repo2Docker

    for buildpack_class in Repo2Docker.buildpacks.default():
        buildpack = buildpack_class(base_image=base_image)
        if buildpack.detect():
            return buildpack
    return Repo2Docker.default_buildpack.default_value(base_image=base_image)
