"""Picks repo2docker's buildpack for a repository."""

from __future__ import annotations

from typing import Any

__all__ = ["pick_buildpack"]


def pick_buildpack(base_image: str = "") -> Any:
    """Return repo2docker's buildpack for the repository in the current folder.

    It reads untrusted files, so call it only in a separate process.

    Parameters
    ----------
    base_image : str
        The base image of the Dockerfile.

    Raises
    ------
    ValueError, RuntimeError
        If the repository asks for something that repo2docker does not support.
    """
    # Imported here, because the process of a build does not need it.
    from repo2docker.app import Repo2Docker

    for buildpack_class in Repo2Docker.buildpacks.default():
        buildpack = buildpack_class(base_image=base_image)
        if buildpack.detect():
            return buildpack
    return Repo2Docker.default_buildpack.default_value(base_image=base_image)
