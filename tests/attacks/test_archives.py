"""Records that want to be written where they do not belong, or to fill the disk.

The attacker publishes a record at an archive, which anyone may do, and launches it, or lets a
visitor launch it by a link. Names of files and what is in archives are the attacker's choice. What
they could win is a file outside of the record's folder, with the rights of the server's user:
``~/.ssh/authorized_keys``, or the environment of another repository.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZipFile, ZipInfo

import pytest

from binderprogress.backends.base import BuildResult, WaitForTurn
from binderprogress.backends.fetch.archives import Archives
from binderprogress.backends.fetch.safe_files import UnsafePathError, checked_path
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.backends.repo2docker.builder import Repo2dockerBuilder
from binderprogress.core.log.diagnosis import diagnose
from binderprogress.core.specs import parse
from binderprogress.errors import LaunchFailedError

from ..support.archives import ArchivesDouble, Certificates, archives, certificates, zipped
from ..support.asynchronous import asynchronous
from ..support.long import usually
from ..support.repositories import git

RESOURCE = "8f7c2f0341ef4180b0dbe97f59130756"
SPECS = {
    "zenodo": "zenodo/10.5281/zenodo.3242074",
    "figshare": "figshare/10.6084/m9.figshare.9782777.v1",
    "dataverse": "dataverse/10.7910/DVN/TJCLKP",
    "hydroshare": f"hydroshare/{RESOURCE}",
    "ckan": "ckan/https%3A%2F%2Fckan.example.org%2Fdataset%2Fturtles",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def double(made: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchivesDouble]:
    with archives(made, monkeypatch) as double:
        yield double


# -- records, each with a file whose name is given


def zenodo(double: ArchivesDouble, name: str) -> None:
    double.zenodo({"a.txt": "a"}, key=name)


def figshare(double: ArchivesDouble, name: str) -> None:
    file = {"name": name, "is_link_only": False, "download_url": "https://figshare.com/files/1"}
    article = {"doi": "10.6084/m9.figshare.9782777.v1", "files": [file]}
    double.put("api.figshare.com/v2/articles/9782777/versions/1", article)
    double.put("figshare.com/files/1", b"evil")


def dataverse(double: ArchivesDouble, name: str) -> None:
    site, persistent = "dataverse.harvard.edu", "doi:10.7910/DVN/TJCLKP"
    double.doi("10.7910/DVN/TJCLKP", f"https://{site}/citation?persistentId={persistent}")
    known = {"installations": [{"name": "Harvard", "hostname": site}]}
    double.put("iqss.github.io/dataverse-installations/data/data.json", known)
    folder, _, label = name.rpartition("/")
    file = {"label": label, "restricted": False, "directoryLabel": folder, "dataFile": {"id": 7}}
    version = {"versionNumber": 1, "versionMinorNumber": 0, "files": [file]}
    answer = {"status": "OK", "data": {"id": 1, "latestVersion": version}}
    for one in (persistent, persistent.replace(":", "%3A").replace("/", "%2F")):
        double.put(f"{site}/api/datasets/:persistentId?persistentId={one}", answer)
    double.put(f"{site}/api/access/datafile/7?format=original", b"evil")


def hydroshare(double: ArchivesDouble, bag: bytes) -> None:
    dates = [{"type": "modified", "start_date": "2020-03-24T00:16:48.123456Z"}]
    double.put(f"www.hydroshare.org/hsapi/resource/{RESOURCE}/scimeta/elements", {"dates": dates})
    bags = f"s3.hydroshare.org/bags/{RESOURCE}.zip"
    double.redirect(f"www.hydroshare.org/django_s3/download/bags/{RESOURCE}.zip", f"https://{bags}")
    double.put(bags, bag)


def ckan(double: ArchivesDouble, *resources: Mapping[str, str]) -> None:
    api = "ckan.example.org/api/3/action/"
    double.put(f"{api}status_show", {"success": True})
    package = {"metadata_modified": "2024-04-02T02:10:31.000000", "resources": resources}
    double.put(f"{api}package_show?id=turtles", {"success": True, "result": package})


def ckan_id(double: ArchivesDouble, name: str) -> None:
    """A file is called by its id where its address ends in a slash."""
    ckan(double, {"id": name, "url": "https://ckan.example.org/files/"})
    double.put("ckan.example.org/files/", b"evil")


def ckan_address(double: ArchivesDouble, name: str) -> None:
    ckan(double, {"id": "1", "url": f"https://ckan.example.org/files/{name}"})
    double.put(f"ckan.example.org/files/{name}", b"evil")


def zipped_at_zenodo(double: ArchivesDouble, name: str) -> None:
    double.zenodo({"safe/a.txt": "a", name: "evil"})


def zipped_at_hydroshare(double: ArchivesDouble, name: str) -> None:
    hydroshare(double, zipped({f"{RESOURCE}/data/contents/{name}": "evil"}))


# -- what becomes of them


class Result(NamedTuple):
    log: str
    reason: str
    folder: Path | None

    @property
    def files(self) -> dict[str, str]:
        assert self.folder is not None, self.log
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_text() for path in found}


def builder(folder: Path, **limits: int) -> LocalBuilder:
    made = LocalBuilder(
        environments=str(folder / "environments"),
        base_packages=[],
        link_mode="hardlink",
        local_folders=[str(folder)],
        **limits,
    )
    made.archives = Archives(ckan_sites=["https://ckan.example.org"])
    return made


async def launched(local: LocalBuilder, spec: str) -> Result:
    target, log = await local.resolve(parse(spec)), ""
    try:
        async for item in local.build(target):
            if isinstance(item, BuildResult):
                return Result(log, "", Path(item.image) / "repository")
            if not isinstance(item, WaitForTurn):
                log += json.loads(str(item.raw))["message"]
    except LaunchFailedError as error:
        return Result(log, diagnose(log.splitlines(), otherwise=error.reason).reason, None)
    raise AssertionError(log)


def evil_in(folder: Path, pattern: str) -> set[Path]:
    return {path for path in folder.glob(pattern) if "evil" in path.name.lower()}


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def refused(folder: Path, spec: str, reason: str, **limits: int) -> None:
    """Launch, and see that it failed as it should, and that nothing was left by it."""
    before = evil_in(Path("/tmp"), "evil*")
    result = await launched(builder(folder / "in" / "it", **limits), spec)
    assert result.reason == reason, result.log
    assert "Traceback" not in result.log
    assert evil_in(folder, "**/*") == set()
    assert evil_in(Path("/tmp"), "evil*") == before


# -- names


HOSTILE = {
    "above": "../../../evil.txt",
    "above, from below": "a/b/../../../../evil.txt",
    "of the whole machine": "/tmp/evil.txt",
    "another system's above": "..\\..\\evil.txt",
    "a drive": "C:evil.txt",
    "git's configuration": ".git/config",
    "git's configuration, where case does not count": "a/.GIT/hooks/evil",
    "a terminal's escape": "evil\x1b[2J.txt",
    "two lines": "evil\n.txt",
    "too long for a disk": "evil" * 70,
    "too deep": "a/" * 80 + "evil.txt",
}


RECORDS = [
    (zenodo, SPECS["zenodo"], HOSTILE["above"]),
    (zenodo, SPECS["zenodo"], HOSTILE["of the whole machine"]),
    (figshare, SPECS["figshare"], HOSTILE["above"]),
    (dataverse, SPECS["dataverse"], HOSTILE["above"]),
    (ckan_id, SPECS["ckan"], HOSTILE["of the whole machine"]),
]


@pytest.mark.parametrize(
    ("there", "spec", "name"),
    usually(RECORDS, RECORDS[0], RECORDS[1]),
)
@asynchronous(30)
async def test_a_records_file_is_not_written_outside_of_its_folder(
    there: Callable[[ArchivesDouble, str], None],
    spec: str,
    name: str,
    double: ArchivesDouble,
    tmp_path: Path,
) -> None:
    """The archive names the files: above all CKAN's ids, which were used as they came."""
    there(double, name)
    await refused(tmp_path, spec, "unsafe-path")


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_no_name_is_written_that_means_another_place(name: str) -> None:
    """On this system or on another, or that is no name at all."""
    with pytest.raises(UnsafePathError, match="Unsafe file name"):
        checked_path(name)


@pytest.mark.parametrize("name", usually(["..", ".", ".git"], ".."))
@asynchronous(30)
async def test_a_ckan_address_that_ends_in_no_name(
    name: str, double: ArchivesDouble, tmp_path: Path
) -> None:
    """What an address ends in is the file's name, also where it is a folder's."""
    ckan_address(double, name)
    if name != ".git":
        # requests normalises the address itself.
        double.put("ckan.example.org/files/", b"evil")
        double.put("ckan.example.org/", b"evil")
    await refused(tmp_path, SPECS["ckan"], "unsafe-path")


MEMBERS = [
    (zipped_at_zenodo, "../../../evil.txt"),
    (zipped_at_zenodo, "/tmp/evil.txt"),
    (zipped_at_zenodo, "..\\evil.txt"),
    # Below a folder of the bag, a path that begins with a slash is none of the machine.
    (zipped_at_hydroshare, "../../../evil.txt"),
    (zipped_at_hydroshare, "..\\evil.txt"),
]


@pytest.mark.parametrize(
    ("there", "name"),
    usually(MEMBERS, MEMBERS[0], MEMBERS[3]),
)
@asynchronous(30)
async def test_a_zip_files_member_is_not_written_outside_of_its_folder(
    there: Callable[[ArchivesDouble, str], None], name: str, double: ArchivesDouble, tmp_path: Path
) -> None:
    """The archive is refused as a whole: what has such a name was made to attack."""
    there(double, name)
    spec = SPECS["zenodo" if there is zipped_at_zenodo else "hydroshare"]
    await refused(tmp_path, spec, "unsafe-path")


@asynchronous(30)
async def test_a_link_in_a_zip_file_leads_nowhere(double: ArchivesDouble, tmp_path: Path) -> None:
    """A link to a folder of the machine, and then a member that is to be written through it."""
    (tmp_path / "target").mkdir()
    link = ZipInfo("link")
    link.external_attr = 0o120777 << 16
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        archive.writestr(link, str(tmp_path / "target"))
        archive.writestr("link/evil.txt", "evil")
    double.zenodo({})
    double.put("zenodo.org/api/records/3242074/files/penguins/content", buffer.getvalue())
    await refused(tmp_path, SPECS["zenodo"], "unsafe-path")


@asynchronous(30)
async def test_a_git_folder_does_not_come_out_of_a_zip_file(
    double: ArchivesDouble, tmp_path: Path
) -> None:
    """Its config may name commands, which the next git in that folder runs."""
    double.zenodo({"x/a.txt": "a", "x/.git/config": "[core]\nfsmonitor = touch evil\n"})
    result = await launched(builder(tmp_path), SPECS["zenodo"])
    assert result.files == {"a.txt": "a"}


@asynchronous(30)
async def test_two_files_that_are_one_where_case_does_not_count(
    double: ArchivesDouble, tmp_path: Path
) -> None:
    """What was looked at is not what is there in the end."""
    double.zenodo({"x/Evil.txt": "good", "x/evil.TXT": "evil"})
    await refused(tmp_path, SPECS["zenodo"], "unsafe-path")


# -- sizes


@asynchronous(30)
async def test_a_file_that_never_ends(double: ArchivesDouble, tmp_path: Path) -> None:
    """It is not downloaded until the disk is full; it names no length that could be looked at."""
    ckan(double, {"id": "1", "url": "https://ckan.example.org/files/evil.csv"})
    double.endless("ckan.example.org/files/evil.csv")
    result = await launched(builder(tmp_path, max_bytes=10**7), SPECS["ckan"])
    assert result.reason == "too-large", result.log
    assert bytes_in(tmp_path) < 2 * 10**7


@asynchronous(30)
async def test_an_answer_that_never_ends(double: ArchivesDouble, tmp_path: Path) -> None:
    """The list of files is read into memory; between looking it up and fetching, it may change."""
    ckan(double, {"id": "1", "url": "https://ckan.example.org/files/a.csv"})
    local = builder(tmp_path)
    target = await local.resolve(parse(SPECS["ckan"]))
    double.endless("ckan.example.org/api/3/action/package_show?id=turtles")
    log = ""
    with pytest.raises(LaunchFailedError):
        async for item in local.build(target):
            log += json.loads(str(getattr(item, "raw", "{}"))).get("message", "")
    assert "a list of files that is too long" in log


@pytest.mark.long
@asynchronous(30)
async def test_more_files_than_a_folder_takes(double: ArchivesDouble, tmp_path: Path) -> None:
    """A disk has no more files than inodes, and a ZIP file holds a million in a few bytes each."""
    double.zenodo({f"x/evil{number}": "" for number in range(200)})
    await refused(tmp_path, SPECS["zenodo"], "too-large", max_files=100)


@pytest.mark.parametrize("there", usually(["zenodo", "hydroshare"], "zenodo"))
@asynchronous(60)
async def test_a_zip_bomb(there: str, double: ArchivesDouble, tmp_path: Path) -> None:
    """300 kB that become 300 MB."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        archive.writestr(f"{RESOURCE}/data/contents/zeros.csv", bytes(300 * 2**20))
    if there == "zenodo":
        double.zenodo({})
        double.put("zenodo.org/api/records/3242074/files/penguins/content", buffer.getvalue())
    else:
        hydroshare(double, buffer.getvalue())
    result = await launched(builder(tmp_path), SPECS[there])
    assert result.reason == "too-large", result.log
    assert "more than 200 times larger" in result.log
    assert bytes_in(tmp_path) < 80 * 2**20


@asynchronous(30)
async def test_an_answer_that_was_compressed_without_being_asked(
    double: ArchivesDouble, tmp_path: Path
) -> None:
    """HTTP's own compression is a bomb as well: 60 kB on the wire that become 60 MB."""
    ckan(double, {"id": "1", "url": "https://ckan.example.org/files/evil.csv"})
    bomb = gzip.compress(bytes(60 * 2**20))
    headers = {"Content-Encoding": "gzip"}
    double.put("ckan.example.org/files/evil.csv", bomb, headers=headers)
    result = await launched(builder(tmp_path, max_bytes=10**7), SPECS["ckan"])
    assert result.reason == "too-large", result.log


@pytest.mark.long
@asynchronous(30)
async def test_compression_that_takes_as_much_memory_as_it_says(
    double: ArchivesDouble, tmp_path: Path
) -> None:
    """LZMA has a dictionary of up to 4 GB, whose size the archive names."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_LZMA) as archive:
        archive.writestr("x/evil.txt", "evil")
    double.zenodo({})
    double.put("zenodo.org/api/records/3242074/files/penguins/content", buffer.getvalue())
    result = await launched(builder(tmp_path), SPECS["zenodo"])
    assert "has an unsupported compression" in result.log
    assert result.folder is None


@pytest.mark.long
@asynchronous(60)
async def test_a_git_bomb(tmp_path: Path) -> None:
    """A few objects, each of which is ten times in the next: together ten million files."""
    repository = tmp_path / "bomb"
    repository.mkdir()
    git(repository, "init", "--quiet")
    blob = git(repository, "hash-object", "-w", "--stdin", stdin="boom").strip()
    entry = f"100644 blob {blob}"
    for _ in range(7):
        lines = "".join(f"{entry}\tevil{number}\n" for number in range(10))
        entry = f"040000 tree {git(repository, 'mktree', stdin=lines).strip()}"
    commit = git(repository, "commit-tree", "-m", "boom", entry.split()[-1]).strip()
    git(repository, "update-ref", "HEAD", commit)
    local = builder(tmp_path, max_files=1000)
    result = await launched(local, f"git/{repository.as_uri().replace('/', '%2F')}/{commit}")
    assert result.reason == "too-large", result.log


@pytest.mark.long
@asynchronous(60)
async def test_repo2docker_writes_no_file_outside_of_its_folder_either(
    double: ArchivesDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With docker and podman, another process fetches: it is held to the same."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    ckan_id(double, str(tmp_path / "evil.txt"))
    images = Repo2dockerBuilder(extra_args=["--no-build"])
    images.archives = Archives(ckan_sites=["https://ckan.example.org"])
    target, log = await images.resolve(parse(SPECS["ckan"])), ""
    with pytest.raises(LaunchFailedError):
        async for item in images.build(target):
            log += str(getattr(item, "raw", ""))
    assert "Unsafe file name" in log
    assert not (tmp_path / "evil.txt").exists()
