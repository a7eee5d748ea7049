"""Looking up records in archives: what is there now, and where just that is fetched from.

The archives' public addresses are fixed: repo2docker, which fetches, knows no others.
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
from . import archive_responses as answers
from .network import Network
from .proxy import FetchProxy

__all__ = ["Archives"]

_Answer = TypeVar("_Answer")

_DOI_ORG = "https://doi.org/"
_ZENODO = "https://zenodo.org/"
_FIGSHARE = "https://api.figshare.com/v2/articles/"
_HYDROSHARE = "https://www.hydroshare.org/hsapi/resource/"
# Of which of them a DOI's Dataverse has to be one; repo2docker reads the same variable.
_INSTALLATIONS_VARIABLE = "R2D_DATAVERSE_INSTALLATIONS_URL"
_INSTALLATIONS = "https://iqss.github.io/dataverse-installations/data/data.json"

_ZENODO_PATH = re.compile(r"/records?/(\d+)/?", re.ASCII)
# <anything>.<article>.v<version>; without a version, the latest is meant.
_FIGSHARE_DOI = re.compile(r"(.+\.(\d+))(?:\.v(\d+))?", re.ASCII | re.IGNORECASE)
_HEADERS = {"User-Agent": f"binderprogress/{__version__}"}
_REDIRECTS = 5
# The list of a dataset's files has some hundred bytes for each.
_LONGEST_ANSWER = 32 * 2**20


class Archives(LoggingConfigurable):
    """Finds out which version of a record an archive has."""

    timeout = Float(30.0, help="Seconds that looking up a record may take.").tag(config=True)

    ckan_sites = List(
        Unicode(),
        help="""
        Addresses of the CKANs whose datasets may be launched: ["https://demo.ckan.org/"]

        None by default. A dataset of a CKAN is a list of addresses, which may lead anywhere: this
        machine fetches them, so that whoever may edit a dataset there and launch it here reads
        what this machine can reach. "https://" allows all of them.
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

    network = Instance(Network, help="What may be connected to.")

    @default("network")
    def _default_network(self) -> Network:
        return Network(parent=self)

    def session(self) -> aiohttp.ClientSession:
        """Open a session; proxies are those of the environment, as for git and repo2docker."""
        return aiohttp.ClientSession(trust_env=True, headers=_HEADERS)

    async def resolve(self, spec: Spec) -> ResolvedSpec:
        """Look up what a record is now; see `base.Builder.resolve`."""
        if spec.provider == "ckan":
            self._check_site(spec)
        try:
            async with asyncio.timeout(self.timeout), self.network.proxy() as proxy:
                return await self._look_up(spec, proxy)
        except TimeoutError:
            raise failure(
                "host-unreachable",
                f"{RECORDS[spec.provider]} did not answer within {self.timeout:g} seconds.",
            ) from None

    async def _look_up(self, spec: Spec, proxy: FetchProxy | None) -> ResolvedSpec:
        async with self.session() as session:
            try:
                questions = _Questions(session, spec, proxy.url if proxy else None)
                return await _LOOK_UPS[spec.provider](spec, questions)
            except LaunchFailedError as error:
                if proxy is None or proxy.refused is None:
                    raise
                raise failure("address-refused", str(proxy.refused)) from error

    def _check_site(self, spec: Spec) -> None:
        sites = [site if site.endswith("/") else f"{site}/" for site in self.ckan_sites]
        if not spec.repo_url.startswith(tuple(sites)):
            raise RefusedError(
                f"This server fetches nothing from {urlsplit(spec.repo_url).netloc}. Whoever runs "
                "it can allow this CKAN with c.Archives.ckan_sites."
            )


class _Questions:
    """What is asked about one record.

    Parameters
    ----------
    session : aiohttp.ClientSession
    spec : Spec
    proxy : str, optional
        The address of a proxy.
    """

    def __init__(self, session: aiohttp.ClientSession, spec: Spec, proxy: str | None) -> None:
        self._session = session
        self._proxy = proxy
        self._archive = RECORDS[spec.provider]
        self._page = spec.repo_url

    async def ask(self, address: str, kind: type[_Answer], **params: str) -> _Answer:
        """Return the JSON that is at an address."""
        _, body = await self._get(address, "application/json", params)
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            # RecursionError: it is nested too deeply. ValueError: a number has too many digits.
            host = urlsplit(address).netloc
            raise LaunchFailedError(
                f"What {host} says of {self._page} is not understood: {error}.",
                reason="internal",
                advice="Try again later. If this keeps happening, contact the administrator.",
            ) from error

    async def follow(self, address: str) -> str:
        """Return the address that one leads to in the end."""
        return (await self._get(address, "text/html", {}))[0]

    async def doi(self, spec: Spec) -> SplitResult:
        """Return the address that a DOI stands for."""
        handle = spec.repo_url.removeprefix(_DOI_ORG)
        found = await self.ask(f"{_DOI_ORG}api/handles/{handle}", answers.Handle)
        for value in found.values:
            if value.type == "URL" and isinstance(value.data.value, str):
                with suppress(ValueError):
                    return urlsplit(value.data.value)
        raise self.missing("leads nowhere")

    def missing(self, why: str) -> LaunchFailedError:
        """Return the error that says why there is nothing to fetch."""
        return failure("private-or-missing", f"{self._page} {why}.")

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
                    raise self.missing(f"is not there: {host} does not know it")
                if response.status in {401, 403}:
                    raise self.missing(f"is not for everyone: {self._archive} does not show it")
                if response.status != 200:
                    raise failure("host-unreachable", f"{host} answered {response.status}.")
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > _LONGEST_ANSWER:
                        raise self.missing("is too large: the list of its files has no end")
                return str(response.url), bytes(body)
        except (aiohttp.ClientError, ValueError) as error:
            # ValueError: what is an address to us need not be one to aiohttp.
            message = f"{host} did not answer: {explain(error)}."
            raise failure("host-unreachable", message) from error


async def _zenodo(spec: Spec, questions: _Questions) -> ResolvedSpec:
    leads_to = await questions.doi(spec)
    if leads_to.netloc not in {"zenodo.org", "www.zenodo.org"}:
        raise questions.missing(f"is not at Zenodo, but at {leads_to.netloc[:100]}")
    # Only its pages know which version a DOI of all versions is now; the API does not.
    landed = urlsplit(await questions.follow(_ZENODO + leads_to.path.lstrip("/")))
    found = _ZENODO_PATH.fullmatch(landed.path)
    if landed.netloc != "zenodo.org" or not found:
        raise questions.missing("leads to no record of Zenodo")
    record = found[1]
    files = await questions.ask(f"{_ZENODO}api/records/{record}/files", answers.ZenodoFiles)
    if not files.entries:
        raise questions.missing("has no files")
    prefix, _, suffix = _doi_of(spec).partition("/")
    own = suffix.lower().startswith("zenodo.")
    return ResolvedSpec(
        spec,
        record,
        source=f"{_ZENODO}record/{record}",
        version=specs.parse(f"zenodo/{prefix}/zenodo.{record}") if own else spec,
    )


async def _figshare(spec: Spec, questions: _Questions) -> ResolvedSpec:
    doi = _FIGSHARE_DOI.fullmatch(_doi_of(spec))
    if not doi:
        raise questions.missing("is no DOI of Figshare: it ends with no number of an article")
    stem, article, version = doi.groups()
    if not version:
        # repo2docker would take the first.
        versions = await questions.ask(
            f"{_FIGSHARE}{article}/versions", list[answers.FigshareVersion]
        )
        version = str(max((one.version for one in versions), default=1))
    found = await questions.ask(f"{_FIGSHARE}{article}/versions/{version}", answers.FigshareArticle)
    # Else a DOI of another archive that ends with the number of an article would do.
    if re.sub(r"\.v\d+$", "", found.doi.lower()) != stem.lower():
        raise questions.missing("is no DOI of Figshare")
    if all(file.is_link_only for file in found.files):
        raise questions.missing("has no files that anyone may read")
    return ResolvedSpec(
        spec,
        f"{article}.v{version}",
        source=f"https://figshare.com/articles/dataset/_/{article}/{version}",
        version=specs.parse(f"figshare/{stem}.v{version}"),
    )


async def _dataverse(spec: Spec, questions: _Questions) -> ResolvedSpec:
    url = await questions.doi(spec)
    address = os.environ.get(_INSTALLATIONS_VARIABLE) or _INSTALLATIONS
    known = await questions.ask(address, answers.Installations)
    # Attack: a DOI may lead to what only this machine reaches.
    if url.netloc not in {one.hostname for one in known.installations}:
        raise questions.missing(f"is at no Dataverse that is known: {url.netloc[:100]}")
    persistent = parse_qs(url.query).get("persistentId", [""])[0]
    base = f"{url.scheme}://{url.netloc}"
    dataset = (
        await questions.ask(
            f"{base}/api/datasets/:persistentId", answers.Dataverse, persistentId=persistent
        )
    ).data
    latest = dataset.latest_version
    if not latest.files:
        raise questions.missing("has no files")
    if any(file.restricted for file in latest.files):
        raise questions.missing("has files that not everyone may read")
    return ResolvedSpec(
        spec,
        f"{dataset.id}.v{latest.version_number}.{latest.version_minor_number}",
        source=f"{base}/dataset.xhtml?persistentId={quote(persistent, safe=':/')}",
        version=spec,
    )


async def _hydroshare(spec: Spec, questions: _Questions) -> ResolvedSpec:
    resource = spec.repo_url.rpartition("/")[2]
    found = await questions.ask(
        f"{_HYDROSHARE}{resource}/scimeta/elements", answers.HydroShareElements
    )
    date = next((date.start_date for date in found.dates if date.type == "modified"), None)
    try:
        modified = msgspec.convert(date, datetime)
    except msgspec.ValidationError:
        raise questions.missing("does not say when it was last changed") from None
    return ResolvedSpec(spec, f"{resource}.v{_epoch(modified)}", source=spec.repo_url, version=spec)


async def _ckan(spec: Spec, questions: _Questions) -> ResolvedSpec:
    page = urlsplit(spec.repo_url)
    prefix, _, rest = page.path.partition("/dataset/")
    dataset, *more = rest.split("/")
    activity = parse_qs(page.query).get("activity_id", [""])[0]
    if more[:1] == ["history"] and len(more) > 1:
        activity = more[1]
    api = f"{page.scheme}://{page.netloc}{prefix}/api/3/action/"
    if activity:
        found = await questions.ask(
            f"{api}activity_data_show", answers.Ckan, id=activity, object_type="package"
        )
    else:
        found = await questions.ask(f"{api}package_show", answers.Ckan, id=unquote(dataset))
    if not any(resource.url for resource in found.result.resources):
        raise questions.missing("has no files")
    return ResolvedSpec(
        spec, f"v{_epoch(found.result.metadata_modified)}", source=spec.repo_url, version=spec
    )


_LOOK_UPS: dict[str, Callable[[Spec, _Questions], Awaitable[ResolvedSpec]]] = {
    "zenodo": _zenodo,
    "figshare": _figshare,
    "dataverse": _dataverse,
    "hydroshare": _hydroshare,
    "ckan": _ckan,
}


def _doi_of(spec: Spec) -> str:
    return unquote(spec.repo_url.removeprefix(_DOI_ORG)).rstrip("/")


def _epoch(date: datetime) -> int:
    """Return a time in seconds; where it names no zone, it is UTC."""
    return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
