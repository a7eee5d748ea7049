"""Attacks of a repository's author: files of the server, read through the repository.

Who launches a repository sees its log, and what ends up in its image. repo2docker reads some files
of a repository on the server: if one of them is a link to a key, or to ``/proc/self/environ``, with
the Hub's token in it, everybody who can push to a repository could read it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.sync.client import connect

from binderprogress.backends.fetch.checkout import (
    UnsafeCheckoutError,
    check_checkout,
    leads_outside,
)
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.backends.local.marker import MARKER
from binderprogress.core.log.reader import Record
from binderprogress.core.specs import from_address
from binderprogress.errors import LaunchFailedError

from ..support.asynchronous import asynchronous
from ..support.hostile import KINDS, SECRET, hostile, outside
from ..support.repositories import commit, git, repository
from ..support.standalone import Running, running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def secrets(folder: Path) -> Path:
    return outside(folder / "outside")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    """A real server with the engine local, which has a secret in its environment."""
    before = os.environ.get("JUPYTERHUB_API_TOKEN")
    os.environ["JUPYTERHUB_API_TOKEN"] = SECRET
    try:
        with running(folder, hub=False) as server:
            yield server
    finally:
        del os.environ["JUPYTERHUB_API_TOKEN"]
        if before is not None:
            os.environ["JUPYTERHUB_API_TOKEN"] = before


def launch(server: Running, checkout: Path) -> tuple[list[Any], str]:
    """Launch a repository; gives its events, and everything that the server says of it."""
    links = server.start(str(from_address(checkout.as_uri())))
    with connect(links["socket_url"]) as watching:
        said = [str(message) for message in watching]
    for part in ("", "/log", "/trace"):
        with urlopen(f"{server.url}api/launches/{links['id']}{part}", timeout=10) as answer:
            said.append(answer.read().decode())
    return [json.loads(event) for event in said[:-3]], "\n".join(said)


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_that_leads_outside_is_refused(
    server: Running, folder: Path, secrets: Path, kind: str
) -> None:
    """Nothing of what is behind the link is in any event, state, log or trace."""
    name = f"repository-{list(KINDS).index(kind)}"
    events, said = launch(server, hostile(folder / name, secrets, kind))
    failed, path = events[-1], KINDS[kind][0]
    assert failed["phase"] == "failed", failed
    assert failed["reason"] == "outside-link", failed
    assert failed["message"].startswith(f"{path} is a link that points outside"), failed
    assert failed["advice"]
    assert SECRET not in said
    assert "repositoryformatversion" not in said
    assert "\\u001b" not in said
    assert "\x1b" not in said
    assert not list(folder.glob("environments/*/repository"))


def test_links_that_stay_inside_are_kept(tmp_path: Path) -> None:
    """What is refused must not take with it what many repositories have."""
    for name in ("config", "data/deep", ".git/objects"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "config" / "requirements.txt").write_text("six\n")
    for path, target in {
        "binder": "config",
        "data/deep/up": "../../config/requirements.txt",
        "requirements.txt": "./data/../data/deep/up",
        "root": ".",
        "data/loop": "loop",
        "nowhere": "no/such/file",
        "binder.txt": "binder/requirements.txt",
    }.items():
        (tmp_path / path).symlink_to(target)
    os.link(tmp_path / "config" / "requirements.txt", tmp_path / "same")
    check_checkout(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    """A pipe, as an archive may hold one, would have a build wait until its time is over."""
    path = tmp_path / "data" / "requirements.txt"
    path.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
    elif os.geteuid() == 0:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 8))
    else:
        pytest.skip("only root makes devices")
    with pytest.raises(UnsafeCheckoutError, match=r"^data/requirements\.txt is neither a file"):
        check_checkout(tmp_path)


def test_a_hard_link_to_a_file_outside_is_refused(tmp_path: Path) -> None:
    """A tar file may hold hard links, which are no links to who looks at the file."""
    (tmp_path / "key").write_text(SECRET)
    (tmp_path / "checkout").mkdir()
    os.link(tmp_path / "key", tmp_path / "checkout" / "apt.txt")
    with pytest.raises(UnsafeCheckoutError, match=r"^apt\.txt is a hard link"):
        check_checkout(tmp_path / "checkout")


def test_a_link_tells_nothing_of_what_is_there(tmp_path: Path) -> None:
    """Otherwise whoever can push finds out which files there are, one launch a guess."""
    said = []
    for name, target in {"a": "/etc/passwd", "b": "/etc/no-such-file", "c": "/root/.ssh"}.items():
        checkout = tmp_path / name
        checkout.mkdir()
        (checkout / "runtime.txt").symlink_to(target)
        with pytest.raises(UnsafeCheckoutError) as refused:
            check_checkout(checkout)
        said.append(str(refused.value))
    assert len(set(said)) == 1
    assert "etc" not in said[0]


def test_a_tree_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    """It would use up the descriptors, and the stack of who removes it."""
    here = tmp_path
    for _ in range(220):
        here /= "d"
    here.mkdir(parents=True)
    with pytest.raises(UnsafeCheckoutError, match=r"^d has folders that are nested more than"):
        check_checkout(tmp_path)


def test_a_file_that_is_read_whole_is_not_too_large(tmp_path: Path) -> None:
    """10 GB of zeros take 10 MB in a git repository, and the server's memory when read."""
    (tmp_path / "data").mkdir()
    for name in ("data/requirements.txt", "runtime.txt"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(10 * 2**30)
    with pytest.raises(UnsafeCheckoutError, match=r"^runtime\.txt is larger than the 16 MiB"):
        check_checkout(tmp_path)


def test_links_that_lead_to_each_other_end_the_check(tmp_path: Path) -> None:
    """Each link doubles the way, so that 40 of them take for ever to follow."""
    links = {(f"l{n}",): "/".join([f"l{n + 1}", ".."] * 2 + [f"l{n + 1}"]) for n in range(60)}
    links |= {(f"m{n}",): "./" * 2000 + f"m{n + 1}" for n in range(3000)}
    steps = [2_000_000]
    for path in links:
        leads_outside(path, links, steps)
    assert steps[0] >= 0


def test_a_folder_that_is_swapped_for_a_link_during_the_check(tmp_path: Path) -> None:
    """The walk goes by descriptors: at worst it fails, it never looks at what is outside."""
    checkout, aside = tmp_path / "checkout", tmp_path / "aside"
    (checkout / "a").mkdir(parents=True)
    forbidden = tmp_path / "outside"
    forbidden.mkdir()
    os.mkfifo(forbidden / "secret-pipe")
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            (checkout / "a").rename(aside)
            (checkout / "a").symlink_to(forbidden)
            (checkout / "a").unlink()
            aside.rename(checkout / "a")

    thread = threading.Thread(target=swap)
    thread.start()
    outcomes = set()
    try:
        for _ in range(3000):
            try:
                check_checkout(checkout)
                outcomes.add("")
            except (UnsafeCheckoutError, OSError) as error:
                outcomes.add(str(error))
    finally:
        ended.set()
        thread.join()
    assert not [said for said in outcomes if "pipe" in said], outcomes


_NAMES = st.sampled_from(["a", "b", "c", "..", ".", "", ".git"])
_PATHS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map(tuple)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says what a link leads to")
@given(
    st.dictionaries(
        _PATHS, st.lists(_NAMES, min_size=1, max_size=6).map("/".join), min_size=1, max_size=5
    )
)
def test_the_kernel_agrees_on_what_leads_outside(
    tmp_path_factory: pytest.TempPathFactory, links: dict[tuple[str, ...], str]
) -> None:
    """No link that is let through is followed to a place outside, whatever else is there."""
    root = tmp_path_factory.mktemp("links") / "checkout"
    (root / ".git").mkdir(parents=True)
    made: dict[tuple[str, ...], str] = {}
    for path, target in links.items():
        parents = [path[:length] for length in range(1, len(path))]
        if target and not any(parent in made for parent in parents):
            place = root.joinpath(*path)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(place):
                place.symlink_to(target)
                made[path] = target
    for path in made:
        if not leads_outside(path, made):
            try:
                descriptor = os.open(root.joinpath(*path), os.O_PATH)
            except OSError:
                continue  # nothing there, or links in a circle
            reached = Path(f"/proc/self/fd/{descriptor}").readlink()
            os.close(descriptor)
            assert reached.is_relative_to(root)
            assert ".git" not in reached.relative_to(root).parts


@pytest.fixture
def builder(tmp_path: Path) -> LocalBuilder:
    return LocalBuilder(
        local_folders=[str(tmp_path)],
        environments=str(tmp_path / "environments"),
        base_packages=[],
        link_mode="hardlink",
    )


async def build(builder: LocalBuilder, checkout: Path) -> str:
    """Build a repository and return the log."""
    target = await builder.resolve(from_address(checkout.as_uri()))
    log: list[str] = []
    try:
        async for item in builder.build(target):
            if isinstance(item, Record):
                line = json.loads(str(item.raw))
                log.append(line["message"])
    except LaunchFailedError as error:
        log.append(str(error))
    return "".join(log)


@asynchronous(60)
async def test_a_postbuild_that_puts_a_link_in_the_place_of_start(
    builder: LocalBuilder, tmp_path: Path
) -> None:
    """What is checked before its code runs is checked again where we use it afterwards."""
    key = tmp_path / "key"
    key.write_text(SECRET)
    key.chmod(0o600)
    checkout = repository(tmp_path / "repository", {"postBuild": f"#!/bin/sh\nln -s {key} start\n"})
    log = await build(builder, checkout)
    assert "start is a symbolic link that points outside the repository" in log, log
    assert key.stat().st_mode & 0o777 == 0o600


@asynchronous(60)
async def test_a_postbuild_that_puts_a_link_in_the_place_of_the_marker(
    builder: LocalBuilder, tmp_path: Path
) -> None:
    """The builder would write over the file behind it."""
    key = tmp_path / "key"
    key.write_text(SECRET)
    script = f"#!/bin/sh\nln -s {key} ../{MARKER}\n"
    await build(builder, repository(tmp_path / "repository", {"postBuild": script}))
    assert key.read_text() == SECRET
    target = await builder.resolve(from_address((tmp_path / "repository").as_uri()))
    marker = builder.folder(target) / MARKER
    assert not marker.is_symlink()
    assert json.loads(marker.read_text())["start"] == ""


@asynchronous(60)
async def test_a_submodule_that_leads_outside(builder: LocalBuilder, tmp_path: Path) -> None:
    """A submodule's own repository ends below ours, and a link in it leads out of both."""
    secrets = outside(tmp_path / "outside")
    inner = repository(tmp_path / "inner")
    (inner / "environment.yml").symlink_to(f"{'../' * 30}{secrets}/environment.yml")
    commit(inner, {})
    checkout = repository(tmp_path / "outer")
    git(checkout, "-c", "protocol.file.allow=always", "submodule", "add", str(inner), "binder")
    commit(checkout, {})
    await asyncio.to_thread(_serve_and_build, builder, tmp_path, checkout)


def _serve_and_build(builder: LocalBuilder, tmp_path: Path, checkout: Path) -> None:
    from ..support.githttp import git_over_http

    with git_over_http(tmp_path) as address:
        git(checkout, "config", "-f", ".gitmodules", "submodule.binder.url", f"{address}inner")
        commit(checkout, {})
        log = asyncio.run(build(builder, checkout))
    assert "binder/environment.yml is a symbolic link that points outside" in log, log
    assert SECRET not in log
