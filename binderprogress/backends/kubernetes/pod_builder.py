"""The interface of what builds images in pods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from ...core.log.reader import Record
from ...errors import LaunchFailedError

__all__ = ["PodBuild", "PodBuilder", "PodProgram", "PodVolume"]


class PodBuild(msgspec.Struct, frozen=True, kw_only=True):
    """One build.

    Attributes
    ----------
    repo_url : str
        The address of the repository.
    commit : str
        The commit, or the version of a record.
    image : str
        The name of the image, with its registry and tag. It has to be there when the pod has ended.
    """

    repo_url: str
    commit: str
    image: str


class PodVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume of the pod, and where the container has it.

    Attributes
    ----------
    name : str
    path : str
        In the container.
    source : mapping
        What it is, as in a manifest: ``{"emptyDir": {}}``.
    file : str
        The one file of the volume that is at `path`; empty: all of it is below.
    """

    name: str
    path: str
    source: Mapping[str, Any]
    file: str = ""


class PodProgram(msgspec.Struct, frozen=True, kw_only=True):
    """What a container runs.

    Attributes
    ----------
    arguments : sequence of str
        Of the entry point.
    command : sequence of str
        The entry point; empty: that of the image.
    environment : mapping of str to str
        Variables, besides `KubernetesBuilder.extra_envs`.
    volumes : sequence of PodVolume
    """

    arguments: Sequence[str]
    command: Sequence[str] = ()
    environment: Mapping[str, str] = {}
    volumes: Sequence[PodVolume] = ()


@runtime_checkable
class PodBuilder(Protocol):
    """What builds in a pod. It is made with ``parent``, the `KubernetesBuilder`."""

    def program(self, build: PodBuild) -> PodProgram:
        """Return what the container runs for a build."""
        ...

    def record(self, line: str) -> Record:
        """Return the record that a line of the log is; it may lack its line end."""
        ...

    def failure(self, exit_code: int) -> LaunchFailedError | None:
        """Return what an exit code other than 0 means; None: the log says it."""
        ...
