"""Builds images in pods on Kubernetes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

from traitlets import Bool, Dict, Float, Integer, List, Type, Unicode, default

from ...core.kubernetes.leftovers import Rules
from ...core.kubernetes.names import build_name, image_name
from ...core.kubernetes.placeholders import COMPONENT as PLACEHOLDER
from ...core.log.reasons import failure
from ...core.specs import Spec
from ...core.timing.estimator import TYPICAL
from ...errors import ConfigError, LaunchFailedError
from ..base import (
    PLAIN_CODEC,
    BackendProfile,
    BuildItems,
    BuildResult,
    Environment,
    Prepared,
    ResolvedSpec,
    ServerPlan,
    WaitForTurn,
)
from ..fetch.git import GitResolver
from .api import CUT, KubeApi, KubeError
from .build_pod import BuildPod
from .cleaner import PodCleaner
from .manifest import COMPONENT, IMAGE_BUILDERS, PodSettings, manifest, preferred_node
from .placeholders import Placeholders
from .pod_builder import PodBuild, PodBuilder
from .pod_repo2docker import PodRepo2docker
from .registry import Registry
from .watcher import PodWatcher

__all__ = ["KubernetesBuilder"]

_SELECTOR = f"component in ({COMPONENT},{PLACEHOLDER})"

_MOST_COMMITS = 1000
"""Maximum number of refs whose last commit is known."""

_FINISHED = 300.0
"""Seconds after which a pod that has ended is removed, if nobody has read its log."""

_LATE = 300.0
"""Seconds that Kubernetes has to end a pod whose deadline has passed."""


class KubernetesBuilder(GitResolver):
    """Builds an image of each commit in a pod, and pushes it to a registry."""

    namespace = Unicode(
        help="The namespace of build pods. The default is $BUILD_NAMESPACE, or that of this pod."
    ).tag(config=True)

    @default("namespace")
    def _default_namespace(self) -> str:
        return os.environ.get("BUILD_NAMESPACE") or _own_namespace()

    kubeconfig = Unicode(
        help="The file with the address of the cluster and the credentials. The default is the "
        "service account of the pod that this server runs in, or else ~/.kube/config."
    ).tag(config=True)

    pod_builder = Type(
        PodRepo2docker,
        klass=object,
        help="The class that says what a build pod runs, and how its log is read.",
    ).tag(config=True)

    build_image = Unicode(
        "quay.io/jupyterhub/repo2docker:2025.12.0",
        help="The image that has repo2docker, or what `pod_builder` runs.",
    ).tag(config=True)

    image_pull_secrets = List(
        Unicode(), help="The names of secrets with which `build_image` is pulled."
    ).tag(config=True)

    image_prefix = Unicode(
        help="Prefix of the names of images, with their registry: registry.example.org/prefix-"
    ).tag(config=True)

    docker_host = Unicode(
        "/var/run/docker.sock",
        help="The socket of docker or podman on the node. Empty: the build needs none.",
    ).tag(config=True)

    push_secret = Unicode(
        "binder-build-docker-config",
        help="The name of a secret whose config.json has the credentials for the registry. "
        "Empty: none.",
    ).tag(config=True)

    registry_credentials = Dict(
        help='Credentials for the registry, instead of `push_secret`: {"registry": …, "username": '
        '…, "password": …}. The pod gets them as an environment variable.'
    ).tag(config=True)

    git_credentials = Unicode(
        help="What git's credential helper answers in build pods, for private repositories."
    ).tag(config=True)

    resources = Dict(help='Resources of build pods, such as {"requests": {"memory": "1G"}}.').tag(
        config=True
    )

    node_selector = Dict(help="The labels of nodes that build.").tag(config=True)

    tolerations = List(
        Dict(), help="Taints of nodes that build, besides those of z2jh's user nodes."
    ).tag(config=True)

    sticky_builds = Bool(
        False,
        help="Whether builds of a repository prefer the same node, which has their layers. This "
        "needs the image builders of BinderHub's chart.",
    ).tag(config=True)

    extra_envs = Dict(help="Additional environment variables of build pods.").tag(config=True)

    appendix = Unicode(help="Lines that are added to each Dockerfile.").tag(config=True)

    repo2docker_extra_args = List(
        Unicode(), help="Additional arguments for jupyter-repo2docker, before the repository."
    ).tag(config=True)

    start_timeout = Float(
        60.0,
        min=0.0,
        help="Seconds for which Kubernetes may try to start a build pod in vain, such as if its "
        "image or a secret does not exist.",
    ).tag(config=True)

    active_deadline = Integer(
        4 * 3600, min=0, help="Seconds after which Kubernetes ends a build pod. 0: never."
    ).tag(config=True)

    request_timeout = Float(15.0, help="Timeout of a request, in seconds.").tag(config=True)

    patience = Float(
        120.0, help="Seconds for which a request is tried again while Kubernetes does not answer."
    ).tag(config=True)

    codec = PLAIN_CODEC

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not self.image_prefix:
            raise ConfigError(
                "Images need a registry that the cluster can pull from. Set "
                'c.KubernetesBuilder.image_prefix, such as "registry.example.org/binder-".'
            )
        self._program: PodBuilder = self.pod_builder(parent=self)
        if not isinstance(self._program, PodBuilder):
            raise ConfigError(
                f"c.KubernetesBuilder.pod_builder is {self.pod_builder.__name__}, which lacks a "
                "method of binderprogress.PodBuilder: program, record or failure."
            )
        self.registry = Registry(parent=self)
        self._api = KubeApi(
            self.namespace,
            kubeconfig=self.kubeconfig,
            timeout=self.request_timeout,
            patience=self.patience,
        )
        self._watcher = PodWatcher(self._api, _SELECTOR, log=self.log)
        self._placeholders = Placeholders(api=self._api, watcher=self._watcher, parent=self)
        self._installation = ""
        self._commits: dict[Spec, str] = {}
        """The last known commits of refs."""
        self.cleaner = PodCleaner(self._api, self._watcher, log=self.log)
        """Removes pods that nobody needs any more."""

    @property
    def profile(self) -> BackendProfile:
        """Properties of the backend. A build goes on in its pod without us."""
        return BackendProfile(
            typical=TYPICAL,
            reads_private=bool(self.git_credentials),
            builds_go_on=True,
            leaves_builds=True,
            finds=True,
            sizes=True,
        )

    async def check(self) -> dict[str, Any]:
        """Check that Kubernetes answers, and lets us see what happens to builds.

        Raises
        ------
        LaunchFailedError
            If it does not.
        """
        await super().check()
        try:
            await self._watcher.open()
            await self._api.pods(_SELECTOR)
        except (KubeError, *CUT) as error:
            raise _no_answer() from error
        return {"namespace": self.namespace}

    def image(self, resolved: ResolvedSpec) -> str:
        """Return the name of a commit's image."""
        spec = resolved.version or resolved.spec
        return image_name(spec, resolved.commit, prefix=self.image_prefix)

    async def resolve(self, spec: Spec) -> ResolvedSpec:
        """Look up the commit of a ref, and meanwhile ask the registry; see `base.Builder`.

        It is asked for the image of the ref's last commit. If that is still the one, the answer
        counts.
        """
        last = self._commits.get(spec, "")
        if last:
            self.registry.expect(image_name(spec, last, prefix=self.image_prefix))
        elif not spec.is_local:
            # Only the tag depends on the commit. That of a record may have another name.
            self.registry.warm(image_name(spec, "latest", prefix=self.image_prefix))
        resolved = await super().resolve(spec)
        if resolved.version is None and not spec.is_local:
            if len(self._commits) >= _MOST_COMMITS:
                # Attack: launches of more and more repositories.
                self._commits.clear()
            self._commits[spec] = resolved.commit
        return resolved

    async def build(self, resolved: ResolvedSpec) -> BuildItems:
        """Build the image in a pod, or find an existing one; see `base.Builder.build`."""
        image = self.image(resolved)
        name = _name(resolved)
        try:
            await self._watcher.open()
            # A pod that has ended may have a log that nobody has read.
            is_running = any(pod["metadata"]["name"] == name for pod in self._watcher.pods)
            if not is_running:
                if await self.registry.has(image):
                    yield BuildResult(image, found=True)
                    return
                # A pod of another server is joined at once.
                yield WaitForTurn()
                if await self.registry.has(image):
                    yield BuildResult(image, found=True)
                    return
            pod = BuildPod(
                self._api,
                self._watcher,
                await self._manifest(resolved, name=name, image=image),
                self._program,
                start_timeout=self.start_timeout,
                log=self.log,
            )
            async with aclosing(pod.records()) as records:
                async for record in records:
                    yield record
        except (KubeError, *CUT) as error:
            self.log.error("Kubernetes: %s", error)  # noqa: TRY400 - it is no bug
            raise _no_answer() from error
        yield BuildResult(image)

    async def find(self, resolved: ResolvedSpec) -> Environment | None:
        """Return an image that the registry has; see `base.Finder`."""
        image = self.image(resolved)
        if not await self.registry.has(image):
            return None
        created = await self.registry.created(image)
        return Environment(image, image.partition("/")[0], created)

    async def image_size(self, image: str) -> int:
        """Return the bytes of an image, as the registry says; see `base.Sizer`."""
        return await self.registry.size(image)

    async def cancel_build(self, resolved: ResolvedSpec) -> None:
        """Delete the pod of a build that nobody waits for; see `base.BuildCanceller`."""
        name = _name(resolved)
        pod = await self._api.pod(name)
        if pod is not None:
            await self._api.delete(name, uid=pod["metadata"]["uid"])

    @property
    def prepares(self) -> bool:
        """Whether room is kept for servers; see `base.Preparer`."""
        return self._placeholders.enabled

    async def prepare(
        self,
        plan: ServerPlan[ResolvedSpec],
        *,
        building: asyncio.Event,
        done: Callable[[Prepared], None],
    ) -> None:
        """Keep room for a server while its image is built; see `base.Preparer`."""
        await building.wait()
        await self._placeholders.hold(
            plan.key, build=_name(plan.resolved), installation=self._installation, done=done
        )

    async def discard(self, plan: ServerPlan[ResolvedSpec]) -> None:
        """Remove what a server that was killed has left; see `base.Preparer`."""
        if plan.resumed:
            await self._placeholders.remove(plan.key)

    def belong_to(self, installation: str) -> None:
        """Mark the pods that are created from now on; see `base.Cleaner`."""
        self._installation = installation

    async def clean_up(
        self, wanted: Callable[[], Awaitable[Sequence[ResolvedSpec] | None]]
    ) -> None:
        """Remove pods that nobody needs any more; see `base.Cleaner`."""

        async def names() -> set[str] | None:
            found = await wanted()
            return None if found is None else set(map(_name, found))

        deadline = self.active_deadline
        rules = Rules(
            installation=self._installation,
            finished_after=_FINISHED,
            aged_after=deadline + _LATE if deadline else 0.0,
        )
        await self.cleaner.clean_up(rules, names)

    async def close(self) -> None:
        """End what runs in the background."""
        await self._watcher.close()
        await self._api.close()
        await self.registry.close()

    async def _manifest(self, resolved: ResolvedSpec, *, name: str, image: str) -> dict[str, Any]:
        node = ""
        if self.sticky_builds:
            builders = await self._api.pods(IMAGE_BUILDERS)
            node = preferred_node(builders.items, resolved.address)
        settings = PodSettings(
            build_image=self.build_image,
            image_pull_secrets=self.image_pull_secrets,
            resources=self.resources,
            node_selector=self.node_selector,
            tolerations=self.tolerations,
            extra_envs=self.extra_envs,
            active_deadline=self.active_deadline,
            installation=self._installation,
        )
        build = PodBuild(repo_url=resolved.address, commit=resolved.commit, image=image)
        return manifest(settings, build, self._program.program(build), name=name, node=node)


def _name(resolved: ResolvedSpec) -> str:
    return build_name(resolved.version or resolved.spec, resolved.commit)


def _no_answer() -> LaunchFailedError:
    """Return the failure for viewers. The log has the address and the reason."""
    return failure("internal", "Kubernetes is not responding, or does not let this server build.")


def _own_namespace() -> str:
    try:
        with open("/var/run/secrets/kubernetes.io/serviceaccount/namespace") as file:  # noqa: PTH123
            return file.read().strip()
    except OSError:
        return "default"
