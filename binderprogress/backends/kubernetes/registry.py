"""Asks a container registry whether it has an image, and how large it is."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.request import parse_http_list, parse_keqv_list

import aiohttp
import msgspec
from traitlets import Float, Unicode
from traitlets.config import LoggingConfigurable
from yarl import URL

from ..._responses import read_text
from ...errors import ConfigError, StreamError

__all__ = ["Registry"]

_ACCEPT = ", ".join(
    [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ]
)
_HUB = "registry-1.docker.io"
# The key of Docker Hub in the files of docker.
_HUB_KEY = "https://index.docker.io/v1/"
_LARGEST_ANSWER = 4 * 2**20
# Seconds before its end at which a token is not used any more.
_TOKEN_MARGIN = 10.0
# Seconds for which a registry that asks for no token is not asked in advance again.
_OPEN = 60.0
# Repositories whose authorization is kept, and images that were expected.
_MOST_KEPT = 1000
# Seconds for which it counts that an expected image is there.
_FRESH = 10.0


class _Token(msgspec.Struct, frozen=True):
    token: str = ""
    access_token: str = ""
    expires_in: float = 60.0


class _Authorization(msgspec.Struct, frozen=True):
    """The header that lets us read a repository, and until when, in monotonic seconds."""

    header: str
    until: float


class _Blob(msgspec.Struct, frozen=True):
    size: int = 0
    digest: str = ""


class _Config(msgspec.Struct, frozen=True):
    created: str = ""


class _Manifest(msgspec.Struct, frozen=True):
    """A manifest of an image, or an index of those for several platforms."""

    layers: list[_Blob] = []
    manifests: list[_Blob] = []
    config: _Blob = _Blob()


class Registry(LoggingConfigurable):
    """A registry with the API of the OCI distribution specification."""

    url = Unicode(
        help="Address of the registry, such as https://registry.example.org. The default is that "
        "of the image, with https."
    ).tag(config=True)

    username = Unicode(help="The user name. The default is that of `docker_config`.").tag(
        config=True
    )

    password = Unicode(help="The password or token of the user.").tag(config=True)

    docker_config = Unicode(
        help="A config.json of docker with the credentials of registries. Empty: none."
    ).tag(config=True)

    timeout = Float(10.0, help="Timeout of a request, in seconds.").tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._session: aiohttp.ClientSession | None = None
        # By the address of the registry and the name of the repository.
        self._kept: dict[tuple[URL, str], _Authorization] = {}
        self._warming: dict[tuple[URL, str], asyncio.Task[None]] = {}
        # When expected images were asked for that are there.
        self._there: dict[tuple[URL, str, str], float] = {}

    async def close(self) -> None:
        """Close all connections."""
        warming = list(self._warming.values())
        for task in warming:
            task.cancel()
        await asyncio.gather(*warming, return_exceptions=True)
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def warm(self, image: str) -> None:
        """Begin to connect and to get a token, for requests about an image that will follow.

        They wait for it. If it fails, they do the same themselves.

        Parameters
        ----------
        image : str
            The name of the image with its host. Its tag does not matter.
        """
        host, name, _ = _split(image)
        kept = self._kept.get((URL(self.url or f"https://{host}"), name))
        if kept is None or kept.until <= monotonic():
            self.expect(image)

    def expect(self, image: str) -> None:
        """Begin to ask whether it has an image, because `has` will probably be asked next.

        That waits for the answer then. If it is no, or an error, it asks itself.

        Parameters
        ----------
        image : str
            The name of the image with its host and tag.
        """
        host, name, tag = _split(image)
        key = URL(self.url or f"https://{host}"), name
        if key in self._warming:
            return
        task = asyncio.create_task(self._warm(*key, tag), name=f"warm {key[0].host}")
        self._warming[key] = task
        task.add_done_callback(lambda _: self._warming.pop(key))

    async def _warm(self, base: URL, name: str, tag: str) -> None:
        began = monotonic()
        try:
            status, _ = await self._send(base, name, f"manifests/{tag}", method="HEAD")
            if status == 200:
                if len(self._there) >= _MOST_KEPT:
                    # Attack: launches of more and more repositories.
                    self._there.clear()
                self._there[base, name, tag] = began
        except (aiohttp.ClientError, TimeoutError, ValueError, StreamError, ConfigError) as error:
            self.log.debug("The registry %s is not ready: %s", base.host, error or "no answer")

    async def has(self, image: str) -> bool:
        """Return whether it has an image.

        Also False if it does not say: the image is built then, which overwrites it.

        Parameters
        ----------
        image : str
            The name of the image with its host and tag.

        Raises
        ------
        ConfigError
            If the credentials cannot be read.
        """
        host, name, tag = _split(image)
        base = URL(self.url or f"https://{host}")
        await self._warmed(base, name)
        # Each answer counts for one question.
        asked = self._there.pop((base, name, tag), None)
        if asked is not None and monotonic() - asked < _FRESH:
            return True
        try:
            status, _ = await self._manifest(base, name, tag, method="HEAD")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self.log.warning("The registry %s does not answer: %s", base.host, error or "no answer")
            return False
        if status not in {200, 401, 403, 404}:
            self.log.warning("The registry %s answered %d for %s.", base.host, status, image)
        return status == 200

    async def size(self, image: str) -> int:
        """Return the bytes that have to be downloaded for an image; 0 if that is not known.

        Parameters
        ----------
        image : str
            The name of the image with its host and tag. If it is for several platforms, the first
            one counts.

        Raises
        ------
        ConfigError
            If the credentials cannot be read.
        """
        host, name, tag = _split(image)
        base = URL(self.url or f"https://{host}")
        try:
            manifest = await self._first_manifest(base, name, tag)
        except (aiohttp.ClientError, TimeoutError, ValueError, StreamError) as error:
            self.log.warning("The registry %s does not answer: %s", base.host, error or "no answer")
            return 0
        return sum(blob.size for blob in [*manifest.layers, manifest.config])

    async def created(self, image: str) -> float | None:
        """Return when an image was built, in seconds since 1970; None if that is not known.

        Parameters
        ----------
        image : str
            The name of the image with its host and tag.

        Raises
        ------
        ConfigError
            If the credentials cannot be read.
        """
        host, name, tag = _split(image)
        base = URL(self.url or f"https://{host}")
        try:
            manifest = await self._first_manifest(base, name, tag)
            if not manifest.config.digest:
                return None
            status, text = await self._ask(base, name, f"blobs/{manifest.config.digest}")
            config = msgspec.json.decode(text, type=_Config) if status == 200 else _Config()
            return datetime.fromisoformat(config.created).timestamp() if config.created else None
        except (aiohttp.ClientError, TimeoutError, ValueError, StreamError) as error:
            self.log.warning("The registry %s does not answer: %s", base.host, error or "no answer")
            return None

    async def _first_manifest(self, base: URL, name: str, tag: str) -> _Manifest:
        """Return the manifest of an image, for the first platform. Without one, it is empty."""
        _, manifest = await self._manifest(base, name, tag)
        if manifest.manifests:
            _, manifest = await self._manifest(base, name, manifest.manifests[0].digest)
        return manifest

    async def _manifest(
        self, base: URL, name: str, reference: str, *, method: str = "GET"
    ) -> tuple[int, _Manifest]:
        """Ask for a manifest, and return the status and what it says. With HEAD, it is empty."""
        status, text = await self._ask(base, name, f"manifests/{reference}", method=method)
        if method == "HEAD" or status != 200:
            return status, _Manifest()
        return status, msgspec.json.decode(text, type=_Manifest)

    async def _ask(
        self, base: URL, name: str, path: str, *, method: str = "GET"
    ) -> tuple[int, str]:
        """Ask for something of a repository, and return the status and the body."""
        await self._warmed(base, name)
        return await self._send(base, name, path, method=method)

    async def _warmed(self, base: URL, name: str) -> None:
        if (warming := self._warming.get((base, name))) is not None:
            await asyncio.wait([warming])

    async def _send(self, base: URL, name: str, path: str, *, method: str) -> tuple[int, str]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self.timeout), trust_env=True
            )
        session, key = self._session, (base, name)
        user, password = self._credentials(base)
        auth = aiohttp.encode_basic_auth(user, password) if user else ""
        url = base / "v2" / name / path
        headers = {"Accept": _ACCEPT}
        if kept := self._authorization(key):
            headers["Authorization"] = kept
        async with session.request(method, url, headers=headers, allow_redirects=True) as answer:
            challenge = answer.headers.get("WWW-Authenticate", "")
            if answer.status != 401:
                if key not in self._kept:
                    # It needs none, so there is nothing to get ready for a while.
                    self._keep(key, _Authorization("", monotonic() + _OPEN))
                return answer.status, await _read(answer, method)
        authorization = await _authorize(session, name, challenge, auth=auth)
        if authorization is None:
            return 401, ""
        self._keep(key, authorization)
        headers["Authorization"] = authorization.header
        async with session.request(method, url, headers=headers, allow_redirects=True) as answer:
            return answer.status, await _read(answer, method)

    def _keep(self, key: tuple[URL, str], authorization: _Authorization) -> None:
        if len(self._kept) >= _MOST_KEPT:
            # Attack: launches of more and more repositories.
            self._kept.clear()
        self._kept[key] = authorization

    def _authorization(self, key: tuple[URL, str]) -> str:
        """Return the header for a repository, if one is known and valid; else empty."""
        kept = self._kept.get(key)
        return kept.header if kept is not None and monotonic() < kept.until else ""

    def _credentials(self, base: URL) -> tuple[str, str]:
        if self.username or not self.docker_config:
            return self.username, self.password
        try:
            auths = json.loads(Path(self.docker_config).read_text()).get("auths", {})
            keys = [str(base), str(base.host), f"{base.host}:{base.port}", f"https://{base.host}"]
            keys += [_HUB_KEY] if base.host == _HUB else []
            entry: dict[str, str] = next((auths[key] for key in keys if key in auths), {})
            user, _, password = base64.b64decode(entry.get("auth", "")).decode().partition(":")
        except (OSError, ValueError, AttributeError, binascii.Error) as error:
            raise ConfigError(
                f"{self.docker_config} cannot be read: {error}. Correct it, or set "
                "c.Registry.docker_config to another file."
            ) from error
        return user, password


async def _read(answer: aiohttp.ClientResponse, method: str) -> str:
    if method == "HEAD" or answer.status != 200:
        return ""
    return await read_text(answer, _LARGEST_ANSWER)


async def _authorize(
    session: aiohttp.ClientSession, name: str, challenge: str, *, auth: str
) -> _Authorization | None:
    """Return what a registry's challenge asks for; None if we have no credentials."""
    scheme, _, fields = challenge.partition(" ")
    if scheme.lower() == "bearer":
        asked = monotonic()
        given = await _token(session, parse_keqv_list(parse_http_list(fields)), name, auth)
        until = asked + given.expires_in - _TOKEN_MARGIN
        return _Authorization(f"Bearer {given.token or given.access_token}", until)
    # Not kept: the file with the credentials may change.
    return _Authorization(auth, 0.0) if auth else None


async def _token(
    session: aiohttp.ClientSession,
    challenge: dict[str, str],
    name: str,
    auth: str,
) -> _Token:
    """Get a token that may read a repository, as the registry's challenge says."""
    query = {"scope": f"repository:{name}:pull"}
    if service := challenge.get("service"):
        query["service"] = service
    realm = URL(challenge.get("realm", "")).update_query(query)
    headers = {"Authorization": auth} if auth else {}
    async with session.get(realm, headers=headers, raise_for_status=True) as answer:
        return msgspec.json.decode(await read_text(answer, _LARGEST_ANSWER), type=_Token)


def _split(image: str) -> tuple[str, str, str]:
    """Return the host, the name and the tag of an image."""
    name, _, tag = image.rpartition(":")
    host, slash, rest = name.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        return _HUB, name if slash else f"library/{name}", tag
    return (_HUB if host == "docker.io" else host), rest, tag
