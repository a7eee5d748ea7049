"""Builds with repo2docker in a pod, as BinderHub does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from ...core.log.reader import Record
from .pod_builder import PodBuild, PodProgram, PodVolume

__all__ = ["PodRepo2docker"]

_SOCKET = "/var/run/docker.sock"
_CONFIG = "config.json"


class _Settings(Protocol):
    """The settings of `KubernetesBuilder` that are repo2docker's."""

    @property
    def appendix(self) -> str: ...
    @property
    def repo2docker_extra_args(self) -> Sequence[str]: ...
    @property
    def docker_host(self) -> str: ...
    @property
    def push_secret(self) -> str: ...
    @property
    def registry_credentials(self) -> Mapping[str, Any]: ...
    @property
    def git_credentials(self) -> str: ...


class PodRepo2docker:
    """repo2docker, with the docker or podman of the node.

    Parameters
    ----------
    parent : KubernetesBuilder
        Has its settings, under BinderHub's names.
    """

    def __init__(self, *, parent: _Settings) -> None:
        self._settings = parent

    def program(self, build: PodBuild) -> PodProgram:
        """Return its command line; see `PodBuilder.program`."""
        settings = self._settings
        pushes = settings.push_secret or settings.registry_credentials
        return PodProgram(
            # The entry point of its image runs what follows.
            arguments=[
                "jupyter-repo2docker",
                f"--ref={build.commit}",
                f"--image={build.image}",
                "--no-clean",
                "--no-run",
                "--json-logs",
                "--user-name=jovyan",
                "--user-id=1000",
                *(["--appendix", settings.appendix] if settings.appendix else []),
                *(["--push"] if pushes else []),
                *settings.repo2docker_extra_args,
                build.repo_url,
            ],
            environment=self._environment(),
            volumes=self._volumes(),
        )

    def record(self, line: str) -> Record:
        """Return a line of its log; see `PodBuilder.record`."""
        return Record("repo2docker", line)

    def failure(self, exit_code: int) -> None:
        """Return nothing: its log says why it has failed."""

    def _environment(self) -> dict[str, str]:
        settings, values = self._settings, {}
        if settings.git_credentials:
            values["GIT_CREDENTIAL_ENV"] = settings.git_credentials
        if settings.registry_credentials:
            credentials = json.dumps(dict(settings.registry_credentials))
            values["CONTAINER_ENGINE_REGISTRY_CREDENTIALS"] = credentials
        return values

    def _volumes(self) -> list[PodVolume]:
        settings, volumes = self._settings, []
        if settings.docker_host:
            path = urlsplit(settings.docker_host).path
            source = {"hostPath": {"path": path, "type": "Socket"}}
            volumes.append(PodVolume(name="docker-socket", path=_SOCKET, source=source))
        if settings.push_secret and not settings.registry_credentials:
            volumes.append(
                PodVolume(
                    name="docker-config",
                    path=f"/root/.docker/{_CONFIG}",
                    source={"secret": {"secretName": settings.push_secret}},
                    file=_CONFIG,
                )
            )
        return volumes
