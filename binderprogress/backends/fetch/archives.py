"""Resolves records of archives: their current version, and the address to fetch it from.

The public addresses of the archives are fixed, because repo2docker fetches from the same ones.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

import aiohttp
import msgspec
from traitlets import Float, Instance, List, TraitError, Unicode, default, validate
from traitlets.config import LoggingConfigurable

from ..._version import __version__
from ...core import specs
from ...core.log.reasons import failure
from ...core.redact import redact_address, without_credentials
from ...core.specs import RECORDS, Spec
from ...errors import LaunchFailedError, RefusedError
from ..base import ResolvedSpec
from ..connection_errors import explain
from . import archive_responses as responses
from .network import Network
from .proxy import FetchProxy

__all__ = ["Archives"]

_Response = TypeVar("_Response")

_DOI_ORG = "https://doi.org/"
_ZENODO = "https://zenodo.org/"
_FIGSHARE = "https://api.figshare.com/v2/articles/"
_HYDROSHARE = "https://www.hydroshare.org/hsapi/resource/"
# The list of known Dataverse installations. repo2docker reads the same variable.
_INSTALLATIONS_VARIABLE = "R2D_DATAVERSE_INSTALLATIONS_URL"
_INSTALLATIONS = "https://iqss.github.io/dataverse-installations/data/data.json"

_ZENODO_PATH = re.compile(r"/records?/(\d+)/?", re.ASCII)
# <anything>.<article>.v<version>; without a version, it is the latest one.
_FIGSHARE_DOI = re.compile(r"(.+\.(\d+))(?:\.v(\d+))?", re.ASCII | re.IGNORECASE)
_HEADERS = {"User-Agent": f"binderprogress/{__version__}"}
_REDIRECTS = 5
# The list of a dataset's files has some hundred bytes for each file.
_LONGEST_RESPONSE = 32 * 2**20


class Archives(LoggingConfigurable):
    """Resolves records to their current version."""

    timeout = Float(30.0, help="Timeout of resolving a record, in seconds.").tag(config=True)

    ckan_sites = List(
        Unicode(),
        help="""
        Addresses of CKAN sites whose datasets may be launched: ["https://demo.ckan.org/"]

        The default is none. A dataset of CKAN is a list of arbitrary addresses, which this machine
        fetches. So everyone who can edit a dataset and launch it can read what this machine can
        reach. "https://" allows all sites.
        """,
    ).tag(config=True)

    @validate("ckan_sites")
    def _validate_sites(self, proposal: Any) -> Any:
        for site in proposal["value"]:
            if without_credentials(site) != site:
                raise TraitError(
                    f"c.Archives.ckan_sites has a user or a password in {redact_address(site)!r}. "
                    "Records are fetched without a login."
                )
        return proposal["value"]

    network = Instance(Network, help="The hosts and addresses that may be connected to.")

    @default("network")
    def _default_network(self) -> Network:
        return Network(parent=self)

    def session(self) -> aiohttp.ClientSession:
        """Open a session. It uses the proxies of the environment, as git and repo2docker do."""
        return aiohttp.ClientSession(trust_env=True, headers=_HEADERS)

    async def resolve(self, spec: Spec) -> ResolvedSpec:
        """Look up the current version of a record; see `base.Builder.resolve`."""
        if spec.provider == "ckan":
            self._check_site(spec)
        try:
            async with asyncio.timeout(self.timeout), self.network.proxy() as proxy:
                return await self._look_up(spec, proxy)
        except TimeoutError:
            raise failure(
                "host-unreachable",
                f"{RECORDS[spec.provider]} did not respond within {self.timeout:g} seconds.",
            ) from None

    async def _look_up(self, spec: Spec, proxy: FetchProxy | None) -> ResolvedSpec:
        async with self.session() as session:
            try:
                client = _ArchiveClient(session, spec, proxy.url if proxy else None)
                return await _LOOK_UPS[spec.provider](spec, client)
            except LaunchFailedError as error:
                if proxy is None or proxy.refused is None:
                    raise
                raise failure("address-refused", str(proxy.refused)) from error

    def _check_site(self, spec: Spec) -> None:
        sites = [site if site.endswith("/") else f"{site}/" for site in self.ckan_sites]
        if not spec.repo_url.startswith(tuple(sites)):
            raise RefusedError(
                f"This server does not fetch from {urlsplit(spec.repo_url).netloc}. The "
                "administrator can allow this CKAN site with c.Archives.ckan_sites."
            )


class _ArchiveClient:
    """Sends the requests about one record.

    Parameters
    ----------
    session : aiohttp.ClientSession
    spec : Spec
    proxy : str, optional
        Address of a proxy.
    """

    def __init__(self, session: aiohttp.ClientSession, spec: Spec, proxy: str | None) -> None:
        self._session = session
        self._proxy = proxy
        self._archive = RECORDS[spec.provider]
        self._page = spec.repo_url

    async def get(self, address: str, kind: type[_Response], **params: str) -> _Response:
        """Return the decoded JSON at an address."""
        _, body = await self._get(address, "application/json", params)
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            # RecursionError: too deeply nested. ValueError: a number has too many digits.
            host = urlsplit(address).netloc
            raise LaunchFailedError(
                f"The response of {host} about {self._page} is not valid: {error}.",
                reason="internal",
                advice="Try again later. If this keeps happening, contact the administrator.",
            ) from error

    async def follow(self, address: str) -> str:
        """Return the address after all redirects."""
        return (await self._get(address, "text/html", {}))[0]

    async def doi(self, spec: Spec) -> SplitResult:
        """Return the address that a DOI resolves to."""
        name = spec.repo_url.removeprefix(_DOI_ORG)
        handle = await self.get(f"{_DOI_ORG}api/handles/{name}", responses.Handle)
        for value in handle.values:
            if value.type == "URL" and isinstance(value.data.value, str):
                with suppress(ValueError):
                    return urlsplit(value.data.value)
        raise self.missing("does not resolve to an address")

    def missing(self, problem: str) -> LaunchFailedError:
        """Return the error for a record that cannot be fetched."""
        return failure("private-or-missing", f"{self._page} {problem}.")

    async def _get(self, address: str, kind: str, params: dict[str, str]) -> tuple[str, bytes]:
        host = urlsplit(address).netloc
        try:
            async with self._session.get(
                address,
                params=params,
                headers={"Accept": kind},
                max_redirects=_REDIRECTS,
                proxy=self._proxy,
            ) as response:
                if response.status in {404, 410}:
                    raise self.missing(f"does not exist at {host}")
                if response.status in {401, 403}:
                    raise self.missing(f"is not public at {self._archive}")
                if response.status != 200:
                    raise failure("host-unreachable", f"{host} returned {response.status}.")
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > _LONGEST_RESPONSE:
                        raise self.missing("is too large: its list of files is too long")
                return str(response.url), bytes(body)
        except (aiohttp.ClientError, ValueError) as error:
            # ValueError: aiohttp does not accept all addresses that we do.
            message = f"{host} did not respond: {explain(error)}."
            raise failure("host-unreachable", message) from error


async def _zenodo(spec: Spec, client: _ArchiveClient) -> ResolvedSpec:
    target = await client.doi(spec)
    if target.netloc not in {"zenodo.org", "www.zenodo.org"}:
        raise client.missing(f"is not at Zenodo, but at {target.netloc[:100]}")
    # A DOI of all versions is redirected to the latest one by the page, but not by the API.
    page = urlsplit(await client.follow(_ZENODO + target.path.lstrip("/")))
    match = _ZENODO_PATH.fullmatch(page.path)
    if page.netloc != "zenodo.org" or not match:
        raise client.missing("is not a record of Zenodo")
    record = match[1]
    files = await client.get(f"{_ZENODO}api/records/{record}/files", responses.ZenodoFiles)
    if not files.entries:
        raise client.missing("has no files")
    prefix, _, suffix = _doi_of(spec).partition("/")
    own = suffix.lower().startswith("zenodo.")
    return ResolvedSpec(
        spec,
        record,
        source=f"{_ZENODO}record/{record}",
        version=specs.parse(f"zenodo/{prefix}/zenodo.{record}") if own else spec,
    )


async def _figshare(spec: Spec, client: _ArchiveClient) -> ResolvedSpec:
    doi = _FIGSHARE_DOI.fullmatch(_doi_of(spec))
    if not doi:
        raise client.missing("is not a DOI of Figshare: it does not end with an article number")
    stem, article, version = doi.groups()
    if not version:
        # Without one, repo2docker would fetch the first version.
        versions = await client.get(
            f"{_FIGSHARE}{article}/versions", list[responses.FigshareVersion]
        )
        version = str(max((each.version for each in versions), default=1))
    details = await client.get(
        f"{_FIGSHARE}{article}/versions/{version}", responses.FigshareArticle
    )
    # A DOI of another archive may also end with an article number.
    if re.sub(r"\.v\d+$", "", details.doi.lower()) != stem.lower():
        raise client.missing("is not a DOI of Figshare")
    if all(file.is_link_only for file in details.files):
        raise client.missing("has no public files")
    return ResolvedSpec(
        spec,
        f"{article}.v{version}",
        source=f"https://figshare.com/articles/dataset/_/{article}/{version}",
        version=specs.parse(f"figshare/{stem}.v{version}"),
    )


async def _dataverse(spec: Spec, client: _ArchiveClient) -> ResolvedSpec:
    url = await client.doi(spec)
    address = os.environ.get(_INSTALLATIONS_VARIABLE) or _INSTALLATIONS
    known = await client.get(address, responses.Installations)
    # Attack: a DOI may resolve to an address that only this machine can reach.
    if url.netloc not in {each.hostname for each in known.installations}:
        raise client.missing(f"is not at a known Dataverse: {url.netloc[:100]}")
    persistent = parse_qs(url.query).get("persistentId", [""])[0]
    base = f"{url.scheme}://{url.netloc}"
    dataset = (
        await client.get(
            f"{base}/api/datasets/:persistentId", responses.Dataverse, persistentId=persistent
        )
    ).data
    latest = dataset.latest_version
    if not latest.files:
        raise client.missing("has no files")
    if any(file.restricted for file in latest.files):
        raise client.missing("has files that are not public")
    return ResolvedSpec(
        spec,
        f"{dataset.id}.v{latest.version_number}.{latest.version_minor_number}",
        source=f"{base}/dataset.xhtml?persistentId={quote(persistent, safe=':/')}",
        version=spec,
    )


async def _hydroshare(spec: Spec, client: _ArchiveClient) -> ResolvedSpec:
    resource = spec.repo_url.rpartition("/")[2]
    elements = await client.get(
        f"{_HYDROSHARE}{resource}/scimeta/elements", responses.HydroShareElements
    )
    date = next((date.start_date for date in elements.dates if date.type == "modified"), None)
    try:
        modified = msgspec.convert(date, datetime)
    except msgspec.ValidationError:
        raise client.missing("has no date of its last change") from None
    return ResolvedSpec(spec, f"{resource}.v{_epoch(modified)}", source=spec.repo_url, version=spec)


async def _ckan(spec: Spec, client: _ArchiveClient) -> ResolvedSpec:
    page = urlsplit(spec.repo_url)
    prefix, _, rest = page.path.partition("/dataset/")
    dataset, *more = rest.split("/")
    activity = parse_qs(page.query).get("activity_id", [""])[0]
    if more[:1] == ["history"] and len(more) > 1:
        activity = more[1]
    api = f"{page.scheme}://{page.netloc}{prefix}/api/3/action/"
    if activity:
        response = await client.get(
            f"{api}activity_data_show", responses.Ckan, id=activity, object_type="package"
        )
    else:
        response = await client.get(f"{api}package_show", responses.Ckan, id=unquote(dataset))
    package = response.result
    if not any(resource.url for resource in package.resources):
        raise client.missing("has no files")
    return ResolvedSpec(
        spec, f"v{_epoch(package.metadata_modified)}", source=spec.repo_url, version=spec
    )


_LOOK_UPS: dict[str, Callable[[Spec, _ArchiveClient], Awaitable[ResolvedSpec]]] = {
    "zenodo": _zenodo,
    "figshare": _figshare,
    "dataverse": _dataverse,
    "hydroshare": _hydroshare,
    "ckan": _ckan,
}


def _doi_of(spec: Spec) -> str:
    return unquote(spec.repo_url.removeprefix(_DOI_ORG)).rstrip("/")


def _epoch(date: datetime) -> int:
    """Return a time in seconds since 1970. Without a time zone, it is UTC."""
    return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
