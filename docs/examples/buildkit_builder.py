"""Builds repositories with a Dockerfile in pods, with BuildKit instead of repo2docker."""

import json
from typing import Any

from binderprogress import LaunchFailedError, PodBuild, PodProgram, PodVolume, Record


class BuildKitBuilder:
    """Runs BuildKit without a daemon, so nodes need neither docker nor podman."""

    def __init__(self, *, parent: Any) -> None:
        # The KubernetesBuilder, with its settings.
        self.push_secret = parent.push_secret

    def program(self, build: PodBuild) -> PodProgram:
        """Return what the pod of a build runs. It has to push the image."""
        credentials = PodVolume(
            name="docker-config",
            path="/home/user/.docker/config.json",
            source={"secret": {"secretName": self.push_secret}},
            file="config.json",
        )
        return PodProgram(
            command=["buildctl-daemonless.sh"],
            arguments=[
                *("build", "--progress=plain", "--frontend=dockerfile.v0"),
                f"--opt=context={build.repo_url}.git#{build.commit}",
                f"--output=type=image,name={build.image},push=true",
            ],
            environment={"BUILDKITD_FLAGS": "--oci-worker-no-process-sandbox"},
            volumes=[credentials] if self.push_secret else [],
        )

    def record(self, line: str) -> Record:
        """Return a line of the log as repo2docker writes it: as JSON with its phase."""
        return Record("repo2docker", json.dumps({"phase": "building", "message": line}))

    def failure(self, exit_code: int) -> LaunchFailedError | None:
        """Return what an exit code means, if the log does not say it."""
        if exit_code == 127:
            return LaunchFailedError("The build image has no BuildKit.", reason="internal")
        return None
