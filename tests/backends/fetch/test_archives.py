"""Records, resolved at a double of the archives, and fetched from it by the real repo2docker."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from binderprogress.backends.base import BuildResult, ResolvedSpec, WaitForTurn
from binderprogress.backends.fetch.archives import Archives
from binderprogress.backends.fetch.content_providers import RECORDS
from binderprogress.backends.fetch.isolated import RECORD_NAMES
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.backends.repo2docker.builder import Repo2dockerBuilder
from binderprogress.core.log.reader import LogReader
from binderprogress.core.specs import parse
from binderprogress.errors import LaunchFailedError, RefusedError

from ...support.archives import ArchivesDouble, Certificates, archives, certificates, zipped
from ...support.asynchronous import asynchronous
from ...support.long import usually

RESOURCE = "8f7c2f0341ef4180b0dbe97f59130756"
PERSISTENT = "doi%3A10.7910%2FDVN%2FTJCLKP"
CKAN = "https://ckan.example.org/data/dataset/turtles"
ACTIVITY = "93df7fd0-0edc-4ebf-bac7-fbf5f78de90b"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def double(made: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchivesDouble]:
    with archives(made, monkeypatch) as double:
        yield double


# -- the double


def zenodo(double: ArchivesDouble, key: str = "ada/penguins-v1.zip") -> None:
    double.zenodo({"penguins-1/index.ipynb": "{}", "penguins-1/data/a.csv": "1"}, key=key)


def figshare(double: ArchivesDouble) -> None:
    api = "api.figshare.com/v2/articles/9782777"
    double.put(f"{api}/versions", [{"version": n, "url": ""} for n in (1, 3, 2)])
    for version in (1, 3):
        file = f"figshare.com/files/{version}"
        double.put(
            f"{api}/versions/{version}",
            {
                "doi": f"10.6084/m9.figshare.9782777.v{version}",
                "files": [
                    {"name": "a.txt", "is_link_only": False, "download_url": f"https://{file}"},
                    {"name": "b.txt", "is_link_only": True, "download_url": "https://nowhere/"},
                ],
            },
        )
        double.put(file, f"version {version}".encode())


def dataverse(double: ArchivesDouble, *, restricted: bool = False) -> None:
    site = "dataverse.harvard.edu"
    double.doi("10.7910/DVN/TJCLKP", f"https://{site}/citation?persistentId=doi:10.7910/DVN/TJCLKP")
    double.put(
        "iqss.github.io/dataverse-installations/data/data.json",
        {"installations": [{"name": "Harvard", "hostname": site}]},
    )
    files = [
        {
            "label": "a.tab",
            "restricted": restricted,
            "directoryLabel": "data/raw",
            "dataFile": {"id": 7, "originalFileName": "a.csv"},
        }
    ]
    version = {"versionNumber": 2, "versionMinorNumber": 1, "files": files}
    answer = {"status": "OK", "data": {"id": 3035124, "latestVersion": version}}
    for persistent in ("doi:10.7910/DVN/TJCLKP", PERSISTENT):
        double.put(f"{site}/api/datasets/:persistentId?persistentId={persistent}", answer)
    double.put(f"{site}/api/access/datafile/7?format=original", b"1,2")


def hydroshare(double: ArchivesDouble) -> None:
    dates = [
        {"type": "valid", "start_date": "2019"},
        {"type": "modified", "start_date": "2020-03-24T00:16:48.123456Z"},
    ]
    double.put(f"www.hydroshare.org/hsapi/resource/{RESOURCE}/scimeta/elements", {"dates": dates})
    double.redirect(
        f"www.hydroshare.org/django_s3/download/bags/{RESOURCE}.zip",
        f"https://s3.hydroshare.org/bags/{RESOURCE}.zip",
    )
    double.put(
        f"s3.hydroshare.org/bags/{RESOURCE}.zip",
        zipped({f"{RESOURCE}/bagit.txt": "", f"{RESOURCE}/data/contents/temp/a.txt": "water"}),
    )


def ckan(double: ArchivesDouble) -> None:
    api = "ckan.example.org/data/api/3/action/"
    double.put(f"{api}status_show", {"success": True})
    package = {
        "metadata_modified": "2024-04-02T02:10:31.000000",
        "resources": [
            {"id": "1", "url": "https://ckan.example.org/files/turtles.csv"},
            {"id": "2", "url": ""},
        ],
    }
    double.put(f"{api}package_show?id=turtles", {"success": True, "result": package})
    older = {**package, "metadata_modified": "2023-04-02T02:10:31.000000"}
    double.put(
        f"{api}activity_data_show?id={ACTIVITY}&object_type=package",
        {"success": True, "result": older},
    )
    double.put("ckan.example.org/files/turtles.csv", b"sea,turtle")


def resolver() -> Archives:
    return Archives(ckan_sites=["https://ckan.example.org"])


def ckan_spec(address: str = CKAN) -> str:
    return f"ckan/{quote(address, safe='')}"


# -- resolving


@pytest.mark.parametrize(
    ("there", "spec", "commit", "source", "version"),
    [
        (
            zenodo,
            "zenodo/10.5281/zenodo.3242074",
            "3242074",
            "https://zenodo.org/record/3242074",
            "zenodo/10.5281/zenodo.3242074",
        ),
        (
            # The DOI of all versions: the latest is meant.
            zenodo,
            "zenodo/10.5281/zenodo.3242073",
            "3242074",
            "https://zenodo.org/record/3242074",
            "zenodo/10.5281/zenodo.3242074",
        ),
        (
            figshare,
            "figshare/10.6084/m9.figshare.9782777.v1",
            "9782777.v1",
            "https://figshare.com/articles/dataset/_/9782777/1",
            "figshare/10.6084/m9.figshare.9782777.v1",
        ),
        (
            figshare,
            "figshare/10.6084/m9.figshare.9782777",
            "9782777.v3",
            "https://figshare.com/articles/dataset/_/9782777/3",
            "figshare/10.6084/m9.figshare.9782777.v3",
        ),
        (
            dataverse,
            "dataverse/10.7910/DVN/TJCLKP",
            "3035124.v2.1",
            "https://dataverse.harvard.edu/dataset.xhtml?persistentId=doi:10.7910/DVN/TJCLKP",
            "dataverse/10.7910/DVN/TJCLKP",
        ),
        (
            hydroshare,
            f"hydroshare/{RESOURCE}",
            f"{RESOURCE}.v1585009008",
            f"https://www.hydroshare.org/resource/{RESOURCE}",
            f"hydroshare/{RESOURCE}",
        ),
        (ckan, ckan_spec(), "v1712023831", CKAN, ckan_spec()),
        (
            ckan,
            ckan_spec(f"{CKAN}?activity_id={ACTIVITY}"),
            "v1680401431",
            f"{CKAN}?activity_id={ACTIVITY}",
            ckan_spec(f"{CKAN}?activity_id={ACTIVITY}"),
        ),
        (
            ckan,
            ckan_spec(f"{CKAN}/history/{ACTIVITY}"),
            "v1680401431",
            f"{CKAN}/history/{ACTIVITY}",
            ckan_spec(f"{CKAN}/history/{ACTIVITY}"),
        ),
    ],
)
@asynchronous(20)
async def test_a_record_is_looked_up(
    there: Callable[[ArchivesDouble], None],
    spec: str,
    commit: str,
    source: str,
    version: str,
    double: ArchivesDouble,
) -> None:
    there(double)
    target = await resolver().resolve(parse(spec))
    assert target == ResolvedSpec(parse(spec), commit, source=source, version=parse(version))
    assert target.key == f"{source}@{commit}"


@asynchronous(20)
async def test_all_names_of_one_version_are_one_build(double: ArchivesDouble) -> None:
    zenodo(double)
    specs = [parse(f"zenodo/10.5281/zenodo.{number}") for number in (3242073, 3242074)]
    one, other = [await resolver().resolve(spec) for spec in specs]
    assert one.spec != other.spec
    assert one.key == other.key
    images = {Repo2dockerBuilder().image(target) for target in (one, other)}
    assert len(images) == 1
    assert images.pop().endswith(":3242074")
    assert LocalBuilder().folder(one) == LocalBuilder().folder(other)


_HANDLES = "doi.org/api/handles/"
_ARTICLE = "api.figshare.com/v2/articles/9782777/versions"
_ELEMENTS = f"www.hydroshare.org/hsapi/resource/{RESOURCE}/scimeta/elements"


@pytest.mark.parametrize(
    ("spec", "answers", "reason", "sentence"),
    [
        (
            "zenodo/10.5281/zenodo.1",
            {f"{_HANDLES}10.5281/zenodo.1": (404, {"responseCode": 100})},
            "private-or-missing",
            "https://doi.org/10.5281/zenodo.1 does not exist at doi.org.",
        ),
        (
            "zenodo/10.5281/zenodo.3242074",
            {"zenodo.org/api/records/3242074/files": (403, {"status": 403})},
            "private-or-missing",
            "https://doi.org/10.5281/zenodo.3242074 is not public at Zenodo.",
        ),
        (
            "zenodo/10.5281/zenodo.3242074",
            {"zenodo.org/api/records/3242074/files": (200, {"entries": []})},
            "private-or-missing",
            "https://doi.org/10.5281/zenodo.3242074 has no files.",
        ),
        (
            "zenodo/10.5281/zenodo.3242074",
            {"zenodo.org/records/3242074": (410, {})},
            "private-or-missing",
            "does not exist at zenodo.org.",
        ),
        (
            "zenodo/10.5281/zenodo.3242074",
            {"zenodo.org/record/3242074": (200, {})},
            "",
            "",
        ),
        (
            "zenodo/10.5281/zenodo.3242074",
            {"zenodo.org/api/records/3242074/files": (503, {})},
            "host-unreachable",
            "zenodo.org returned 503.",
        ),
        (
            "zenodo/10.5281/zenodo.3242074",
            {"zenodo.org/api/records/3242074/files": (200, ["entries"])},
            "internal",
            "The response of zenodo.org about https://doi.org/10.5281/zenodo.3242074 is not valid",
        ),
        (
            "figshare/10.6084/m9.figshare.9782777",
            {_ARTICLE: (404, {})},
            "private-or-missing",
            "does not exist at api.figshare.com.",
        ),
        (
            "figshare/10.6084/m9.figshare.9782777",
            {f"{_ARTICLE}/3": (200, {"doi": "10.6084/m9.figshare.9782777.v3", "files": []})},
            "private-or-missing",
            "has no public files.",
        ),
        (
            # A DOI of another archive, with a number that some article of Figshare has.
            "figshare/10.5281/zenodo.9782777",
            {},
            "private-or-missing",
            "https://doi.org/10.5281/zenodo.9782777 is not a DOI of Figshare.",
        ),
        (
            "figshare/10.5281/penguins",
            {},
            "private-or-missing",
            "is not a DOI of Figshare: it does not end with an article number.",
        ),
        (
            f"hydroshare/{RESOURCE}",
            {_ELEMENTS: (401, {})},
            "private-or-missing",
            f"{RESOURCE} is not public at HydroShare.",
        ),
        (
            f"hydroshare/{RESOURCE}",
            {_ELEMENTS: (200, {"dates": []})},
            "private-or-missing",
            "has no date of its last change.",
        ),
        (
            ckan_spec(),
            {"ckan.example.org/data/api/3/action/package_show?id=turtles": (404, {})},
            "private-or-missing",
            f"{CKAN} does not exist at ckan.example.org.",
        ),
    ],
)
@asynchronous(20)
async def test_what_cannot_be_fetched_is_said(
    spec: str,
    answers: dict[str, tuple[int, object]],
    reason: str,
    sentence: str,
    double: ArchivesDouble,
) -> None:
    for there in (zenodo, figshare, hydroshare, ckan):
        there(double)
    for address, (status, content) in answers.items():
        double.put(address, content, status=status)
    if not reason:
        # Also without a redirect, where its address is the record's.
        assert (await resolver().resolve(parse(spec))).commit == "3242074"
        return
    with pytest.raises(LaunchFailedError) as caught:
        await resolver().resolve(parse(spec))
    assert caught.value.reason == reason
    assert sentence in str(caught.value)
    assert caught.value.advice


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:9/dataset.xhtml?persistentId=doi:x", "is not at a known Dataverse"),
        ("http://[::1", "does not resolve to an address"),
    ],
)
@asynchronous(20)
async def test_a_doi_does_not_lead_to_what_only_this_machine_reaches(
    url: str, sentence: str, double: ArchivesDouble
) -> None:
    dataverse(double)
    double.doi("10.7910/DVN/TJCLKP", url)
    with pytest.raises(LaunchFailedError, match=sentence):
        await resolver().resolve(parse("dataverse/10.7910/DVN/TJCLKP"))


@asynchronous(20)
async def test_a_doi_of_another_archive_is_not_zenodos(double: ArchivesDouble) -> None:
    double.doi("10.7910/DVN/TJCLKP", "http://127.0.0.1:9/records/3")
    with pytest.raises(LaunchFailedError, match=r"is not at Zenodo, but at 127\.0\.0\.1:9"):
        await resolver().resolve(parse("zenodo/10.7910/DVN/TJCLKP"))


@asynchronous(20)
async def test_a_dataset_with_restricted_files_is_said_to_have_some(double: ArchivesDouble) -> None:
    dataverse(double, restricted=True)
    with pytest.raises(LaunchFailedError, match="has files that are not public"):
        await resolver().resolve(parse("dataverse/10.7910/DVN/TJCLKP"))


@asynchronous(20)
async def test_an_archive_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        # Nobody takes the connections.
        address = f"http://127.0.0.1:{server.getsockname()[1]}/dataset/a"
        archives = Archives(ckan_sites=["http://"], timeout=0.2)
        with pytest.raises(LaunchFailedError, match=r"CKAN did not respond within 0\.2") as caught:
            await archives.resolve(parse(ckan_spec(address)))
    assert caught.value.reason == "host-unreachable"
    archives = Archives(ckan_sites=["http://"])
    with pytest.raises(LaunchFailedError, match="did not respond: Connection refused"):
        await archives.resolve(parse(ckan_spec(address)))


@pytest.mark.parametrize("sites", [[], ["https://ckan.example.or"], ["https://ckan.example.org/x"]])
@asynchronous(20)
async def test_a_ckan_is_asked_only_where_it_is_allowed(sites: list[str]) -> None:
    with pytest.raises(RefusedError, match=r"not fetch from ckan\.example\.org\..*ckan_sites"):
        await Archives(ckan_sites=sites).resolve(parse(ckan_spec()))


# -- fetching


def builder(folder: Path) -> LocalBuilder:
    made = LocalBuilder(
        environments=str(folder / "environments"), base_packages=[], link_mode="hardlink"
    )
    made.archives = resolver()
    return made


async def fetched(builder: LocalBuilder, spec: str) -> tuple[str, Path]:
    """Build a record; return the log and the folder of the repository."""
    target = await builder.resolve(parse(spec))
    log = []
    async for item in builder.build(target):
        if isinstance(item, BuildResult):
            return "".join(log), Path(item.image) / "repository"
        if not isinstance(item, WaitForTurn):
            assert isinstance(item.raw, str)
            log.append(json.loads(item.raw)["message"])
    raise AssertionError("".join(log))


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


def files_in(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in found}


ENVIRONMENTS = [
    (
        zenodo,
        "zenodo/10.5281/zenodo.3242073",
        "Zenodo",
        {"index.ipynb": "{}", "data/a.csv": "1"},
    ),
    (figshare, "figshare/10.6084/m9.figshare.9782777", "Figshare", {"a.txt": "version 3"}),
    (dataverse, "dataverse/10.7910/DVN/TJCLKP", "Dataverse", {"data/raw/a.csv": "1,2"}),
    (hydroshare, f"hydroshare/{RESOURCE}", "Hydroshare", {"temp/a.txt": "water"}),
    (ckan, ckan_spec(), "CKAN", {"turtles.csv": "sea,turtle"}),
]


@pytest.mark.parametrize(
    ("there", "spec", "picked", "files"),
    usually(ENVIRONMENTS, ENVIRONMENTS[0]),
)
@asynchronous(60)
async def test_a_record_becomes_an_environment(
    there: Callable[[ArchivesDouble], None],
    spec: str,
    picked: str,
    files: dict[str, str],
    double: ArchivesDouble,
    tmp_path: Path,
) -> None:
    there(double)
    log, folder = await fetched(builder(tmp_path), spec)
    assert log.startswith(f"Picked {picked} content provider.\n")
    assert files_in(folder) == files
    assert (folder.parent / "venv" / "bin" / "python").exists()
    assert sorted(path.name for path in folder.parent.iterdir()) == [
        "binderprogress.json",
        "in-use",
        "repository",
        "venv",
    ]


FAILURES = [
    (
        # Attack: its file would be written outside of the folder of the repository.
        lambda double: zenodo(double, "../../../evil.txt"),
        "zenodo/10.5281/zenodo.3242074",
        {},
        "Unsafe file name '../../../evil.txt': it leads out of its folder.",
    ),
    (
        zenodo,
        "zenodo/10.5281/zenodo.3242074",
        {"zenodo.org/api/records/3242074": (200, {})},
        "The response of the archive is not valid",
    ),
    (
        dataverse,
        "dataverse/10.7910/DVN/TJCLKP",
        {"dataverse.harvard.edu/api/access/datafile/7?format=original": (403, {})},
        "403 Client Error: Forbidden for url: https://dataverse.harvard.edu/api/access",
    ),
    (
        hydroshare,
        f"hydroshare/{RESOURCE}",
        {f"s3.hydroshare.org/bags/{RESOURCE}.zip": (200, {})},
        "The response of the archive is not valid: BadZipFile",
    ),
    (
        ckan,
        ckan_spec(),
        {"ckan.example.org/data/api/3/action/status_show": (404, {})},
        f"repo2docker does not know how to fetch {CKAN}.",
    ),
]


@pytest.mark.parametrize(
    ("there", "spec", "answers", "sentence"),
    usually(FAILURES, FAILURES[0]),
)
@asynchronous(30)
async def test_a_fetch_that_fails_says_why(
    there: Callable[[ArchivesDouble], None],
    spec: str,
    answers: dict[str, tuple[int, object]],
    sentence: str,
    double: ArchivesDouble,
    tmp_path: Path,
) -> None:
    there(double)
    for address, (status, content) in answers.items():
        double.put(address, content, status=status)
    local = builder(tmp_path)
    target, log = await local.resolve(parse(spec)), ""
    with pytest.raises(LaunchFailedError):
        async for item in local.build(target):
            assert not isinstance(item, BuildResult)
            if not isinstance(item, WaitForTurn):
                log += json.loads(str(item.raw))["message"]
    assert sentence in log
    assert "Traceback" not in log
    assert "evil.txt" not in names_in(tmp_path)


FETCHED = [
    (
        zenodo,
        "zenodo/10.5281/zenodo.3242073",
        ["Picked Zenodo content provider.", "Fetching ada/penguins-v1.zip"],
    ),
    (
        hydroshare,
        f"hydroshare/{RESOURCE}",
        ["Picked Hydroshare content provider.", "Finished, cleaning up."],
    ),
]


@pytest.mark.parametrize(
    ("there", "spec", "lines"),
    usually(FETCHED, FETCHED[0]),
)
@asynchronous(60)
async def test_repo2docker_fetches_a_record(
    there: Callable[[ArchivesDouble], None], spec: str, lines: list[str], double: ArchivesDouble
) -> None:
    """As with the engines docker and podman, up to the build."""
    there(double)
    images = Repo2dockerBuilder(extra_args=["--no-build"])
    target, log, reader = await images.resolve(parse(spec)), "", LogReader()
    async for item in images.build(target):
        if isinstance(item, BuildResult):
            assert item.image == images.image(target)
        elif not isinstance(item, WaitForTurn) and (note := reader.read(str(item.raw))) is not None:
            log += note.message
    await images.close()
    assert [line for line in lines if line not in log] == []


def test_the_names_of_the_providers_are_those_of_repo2docker() -> None:
    assert {key: provider.__name__ for key, provider in RECORDS.items()} == RECORD_NAMES
