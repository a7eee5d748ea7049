"""Builds images with BinderHub's repo providers, registry and build class."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import unquote

import msgspec
from binderhub.builder import (
    BUILD_COUNT,
    BUILD_TIME,
    BUILDS_INPROGRESS,
    _get_image_basename_and_tag,
)
from tornado.httpclient import HTTPClientError
from tornado.queues import Queue
from traitlets.config import LoggingConfigurable

from ...backends.base import BackendProfile, BuildItems, BuildResult, Environment, WaitForTurn
from ...backends.codec import Codec, decode
from ...core.log.diagnosis import diagnose
from ...core.log.reader import Record
from ...core.phases import COURSE, UNPUSHED, Phase
from ...core.timing.estimator import TYPICAL
from ...errors import LaunchFailedError
from .build_watch import BuildWatch
from .names import build_name, image_name
from .quota import check_quota
from .requests import BinderHubResolvedSpec, ProviderSpec

__all__ = ["BinderHubBuilder", "BinderHubCodec"]


class _StoredSpec(msgspec.Struct, frozen=True, kw_only=True):
    spec: ProviderSpec
    commit: str
    build_only: bool
    image: str
    build_name: str
    ref_url: str
    resolved_spec: str


class BinderHubCodec(Codec[ProviderSpec, BinderHubResolvedSpec, BuildResult]):
    """Encodes resolved specs without BinderHub's repo provider, which is made anew.

    Parameters
    ----------
    make_provider : callable
        Return the provider of a prefix and the text of a spec.
    """

    def __init__(self, make_provider: Callable[[str, str], Any]) -> None:
        super().__init__(ProviderSpec, BinderHubResolvedSpec, BuildResult)
        self._make_provider = make_provider

    def encode(self, value: ProviderSpec | BinderHubResolvedSpec | BuildResult) -> bytes:
        """Encode a value; see `Codec.encode`."""
        if not isinstance(value, BinderHubResolvedSpec):
            return super().encode(value)
        fields = {name: getattr(value, name) for name in _StoredSpec.__struct_fields__}
        return msgspec.msgpack.encode(_StoredSpec(**fields))

    async def resolved(self, data: bytes) -> BinderHubResolvedSpec:
        """Decode a resolved spec; see `Codec.resolved`."""
        stored = decode(data, _StoredSpec)
        return BinderHubResolvedSpec(
            **msgspec.structs.asdict(stored),
            provider=self._make_provider(stored.spec.provider, stored.spec.text),
        )


class BinderHubBuilder(LoggingConfigurable):
    """Looks up and builds images as BinderHub does.

    Parameters
    ----------
    settings : mapping
        Settings of BinderHub's Tornado application.
    """

    def __init__(self, settings: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._settings = settings
        self.codec = BinderHubCodec(self.provider)

    @property
    def profile(self) -> BackendProfile:
        """The profile of builds. Without a registry, nothing is pushed."""
        typical = dict(TYPICAL)
        phases = COURSE
        if not self._settings["use_registry"]:
            phases = UNPUSHED
            del typical[Phase.PUSHING]
        # BinderHub's repo providers may have tokens for private repositories.
        return BackendProfile(
            typical=typical, phases=phases, reads_private=True, builds_go_on=True, finds=True
        )

    def provider(self, prefix: str, text: str) -> Any:
        """Return BinderHub's repo provider for a spec.

        Raises
        ------
        Exception
            If the spec is not valid. Providers raise exceptions of any class.
        """
        provider_class = self._settings["repo_providers"][prefix]
        return provider_class(config=self._settings["traitlets_config"], spec=text)

    # -- the protocol of `base.Builder`

    async def resolve(self, spec: ProviderSpec) -> BinderHubResolvedSpec:
        """Resolve the ref with the provider; see `base.Builder.resolve`."""
        provider = self.provider(spec.provider, spec.text)
        ref, notice = await self._resolve_ref(provider, spec), ""
        if ref is None:
            message, missing_ref = _unresolved(provider, _key(spec)), provider.unresolved_ref
            shown = _unresolved(provider, _readable(spec))
            spec, provider, ref = await self._at_head(provider, spec)
            if ref is None:
                raise await asyncio.to_thread(_diagnosed, message, shown)
            notice = (
                f"{shown}\n"
                f"Trying again with HEAD instead of {missing_ref}. Please update your links."
            )
        return BinderHubResolvedSpec(
            spec=spec,
            commit=ref,
            notice=notice,
            build_only=spec.build_only,
            provider=provider,
            image=image_name(provider, ref, self._settings["image_prefix"]),
            build_name=build_name(provider, ref),
            ref_url=await provider.get_resolved_ref_url(),
            resolved_spec=await provider.get_resolved_spec(),
        )

    async def build(self, resolved: BinderHubResolvedSpec) -> BuildItems:
        """Use the existing image, or build it; see `base.Builder.build`."""
        if await self._image_exists(resolved.image):
            yield BuildResult(resolved.image, found=True)
            return
        yield WaitForTurn()
        await check_quota(self._settings, resolved)
        watch = BuildWatch(await self._executor(resolved), pool=self._settings["build_pool"])
        began, outcome = time.perf_counter(), ""
        with BUILDS_INPROGRESS.track_inprogress():
            yield _waiting_record("Waiting for build to start...\n")
            try:
                async with aclosing(watch.lines()) as lines:
                    async for line in lines:
                        yield Record("repo2docker", line)
                outcome = "success"
            except LaunchFailedError:
                outcome = "failure"
                raise
            finally:
                # This frees BinderHub's threads. The build itself continues in the cluster.
                await watch.stop()
                if outcome:
                    BUILD_TIME.labels(status=outcome).observe(time.perf_counter() - began)
                    BUILD_COUNT.labels(status=outcome, **resolved.labels).inc()
        yield BuildResult(resolved.image)

    async def find(self, resolved: BinderHubResolvedSpec) -> Environment | None:
        """Return an image that exists; see `base.Finder`."""
        if not await self._image_exists(resolved.image):
            return None
        host = resolved.image.partition("/")[0] if self._settings["use_registry"] else "docker"
        return Environment(resolved.image, host)

    # -- refs

    async def _resolve_ref(self, provider: Any, spec: ProviderSpec) -> str | None:
        try:
            ref = await provider.get_resolved_ref()
        except Exception as error:
            self.log.warning("Could not resolve %s: %r", spec, error)
            message = f"Error resolving ref for {_readable(spec)}: {error}"
            raise await asyncio.to_thread(_diagnosed, message, message) from error
        return None if ref is None else str(ref)

    async def _at_head(
        self, provider: Any, spec: ProviderSpec
    ) -> tuple[ProviderSpec, Any, str | None]:
        """Try HEAD if a default branch on GitHub may have been renamed.

        BinderHub delays the build by 10 s so that people read the notice. Here, it stays visible.
        """
        if provider.name != "GitHub" or provider.unresolved_ref not in {"master", "main"}:
            return spec, provider, None
        text = f"{spec.text.rpartition('/')[0]}/HEAD"
        provider = self.provider(spec.provider, text)
        head = msgspec.structs.replace(spec, text=text, ref="HEAD")
        try:
            return head, provider, await self._resolve_ref(provider, head)
        except LaunchFailedError:
            # Report the error of the requested branch instead.
            return head, provider, None

    # -- images

    async def _image_exists(self, image: str) -> bool:
        if not self._settings["use_registry"]:
            return await asyncio.wrap_future(self._settings["executor"].submit(_is_local, image))
        for _ in range(3):
            try:
                manifest = await self._settings["registry"].get_image_manifest(
                    *_get_image_basename_and_tag(image)
                )
                return bool(manifest)
            except HTTPClientError:
                self.log.exception("Failed to get image manifest for %s", image)
        return False

    async def _executor(self, target: BinderHubResolvedSpec) -> Any:
        """Return a build executor of BinderHub, with the credentials for the registry."""
        executor = self._settings["build_class"](
            parent=self._settings["traitlets_parent"],
            q=Queue(),
            name=target.build_name,
            repo_url=target.spec.repo_url,
            ref=target.commit,
            image_name=target.image,
            git_credentials=target.provider.git_credentials,
        )
        if not self._settings["use_registry"]:
            executor.push_secret = ""
            return executor
        credentials = await self._settings["registry"].get_credentials(
            *_get_image_basename_and_tag(target.image)
        )
        if credentials:
            executor.registry_credentials = credentials
        return executor


def _is_local(image: str) -> bool:
    import docker  # a dependency of BinderHub; only needed without a registry

    try:
        docker.from_env(version="auto").images.get(image)
    except docker.errors.ImageNotFound:
        return False
    return True


def _waiting_record(message: str) -> Record:
    return Record("binderhub", {"phase": "waiting", "message": message})


def _key(spec: ProviderSpec) -> str:
    return f"{spec.provider}:{spec.text}"


def _readable(spec: ProviderSpec) -> str:
    """Return a spec as people read it. That of an address is quoted."""
    return unquote(_key(spec))


def _unresolved(provider: Any, key: str) -> str:
    sentences = [
        f"Could not resolve ref for {key}. Double check your URL and that your repo is public."
    ]
    if provider.name == "GitHub" and provider.unresolved_ref in {"master", "main"}:
        if provider.unresolved_ref == "master":
            sentences.append('GitHub has changed default branches from "master" to "main".')
        sentences.append("Tip: HEAD will always resolve to a repository's default branch.")
    return " ".join(sentences)


def _diagnosed(message: str, shown: str) -> LaunchFailedError:
    """Return the failure with BinderHub's message, which its clients expect, and our reason."""
    return diagnose([message], otherwise="unresolved").error(shown)
