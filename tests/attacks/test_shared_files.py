"""What one repository could change in another one's environment, or pass off as it.

The attacker is a repository's author: its ``postBuild`` and its notebooks run as the server's user
with the engine ``local``. That user's files are open to them, and the documentation says so. But
nobody should be harmed without such an intention, by a ``sed -i`` in an installed package.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from binderprogress.backends.base import BuildResult, ResolvedSpec
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.backends.local.jupyter_server import copy_repository
from binderprogress.backends.repo2docker.builder import Repo2dockerBuilder
from binderprogress.core.specs import parse

from ..support.asynchronous import asynchronous
from ..support.repositories import repository


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalBuilder:
    # Links are made only within one file system.
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    return LocalBuilder(
        local_folders=[str(tmp_path)],
        environments=str(tmp_path / "environments"),
        base_packages=["six"],
    )


async def build(builder: LocalBuilder, folder: Path) -> Path:
    spec = parse(f"git/{folder.as_uri().replace('/', '%2F')}/HEAD")
    target, log = await builder.resolve(spec), ""
    async for item in builder.build(target):
        if isinstance(item, BuildResult):
            return Path(item.image)
        log += str(getattr(item, "raw", ""))
    raise AssertionError(log)


POISON = """#!/bin/sh
for file in "$VIRTUAL_ENV"/lib/python*/site-packages/six.py; do echo 'evil = True' >> "$file"; done
"""


def six_of(environment: Path) -> Path:
    (six,) = environment.glob("venv/lib/python*/site-packages/six.py")
    return six


@asynchronous(90)
async def test_a_post_build_does_not_write_into_another_environment(
    builder: LocalBuilder, tmp_path: Path
) -> None:
    """It changes a package in its own environment; uv's cache and all others shared that file."""
    victim = await build(builder, repository(tmp_path / "victim", {"a.txt": "a"}))
    attacker = await build(builder, repository(tmp_path / "attacker", {"postBuild": POISON}))
    later = await build(builder, repository(tmp_path / "later", {"a.txt": "b"}))
    assert "evil = True" in six_of(attacker).read_text()
    for environment in (victim, later):
        assert "evil" not in six_of(environment).read_text()
    assert not [one for one in (tmp_path / "uv-cache").rglob("six.py") if "evil" in one.read_text()]


@asynchronous(60)
async def test_no_file_of_an_environment_has_a_second_name(
    builder: LocalBuilder, tmp_path: Path
) -> None:
    """Not only in packages: whatever has two names can be written by the other one."""
    environment = await build(builder, repository(tmp_path / "victim", {"a.txt": "a"}))
    shared = [
        path
        for path in environment.rglob("*")
        if path.is_file() and not path.is_symlink() and path.stat().st_nlink > 1
    ]
    assert shared == []


def test_a_notebook_does_not_write_into_the_repository_that_others_start_from(
    tmp_path: Path,
) -> None:
    """Each server has a copy, which shares no file with the checkout, and no mode that others use.

    A file of the checkout that has two names keeps that to itself.
    """
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "a.txt").write_text("good")
    os.link(checkout / "a.txt", checkout / "b.txt")
    copy_repository(checkout, tmp_path / "homes" / "ada" / "default")
    copy = tmp_path / "homes" / "ada" / "default" / "a.txt"
    copy.write_text("evil")
    assert (checkout / "a.txt").read_text() == "good"
    assert copy.with_name("b.txt").read_text() == "good"


def target(address: str) -> ResolvedSpec:
    return ResolvedSpec(
        parse(f"git/{address.replace('/', '%2F').replace(':', '%3A')}/HEAD"), "0" * 40
    )


def digest(name: str) -> str:
    return name.rpartition("-")[2].partition(":")[0]


def test_no_image_has_the_name_of_another_repositorys() -> None:
    """Of 32 bits, one of 65,000 addresses has the digest of another: found in a second.

    Whoever looks longer finds one for the address that they want, and their image is then run
    for it.
    """
    seen: dict[str, str] = {}
    for number in range(300_000):
        address = f"https://git.example.org/{number}/penguins"
        short = hashlib.sha256(address.encode()).hexdigest()[:8]
        if short in seen:
            break
        seen[short] = address
    else:
        pytest.fail("no two addresses share 32 bits of their digests")
    # The names differ in nothing but the digest.
    one, other = (
        Repo2dockerBuilder().image(target(found)).replace(str(found), "")
        for found in (seen[short], address)
    )
    assert digest(one) != digest(other)


def test_names_have_128_bits(tmp_path: Path) -> None:
    """Both an image's and an environment's; and docker takes a name of that length."""
    one = target(f"https://git.example.org/{'a' * 200}/{'b' * 200}")
    image = Repo2dockerBuilder().image(one)
    assert len(digest(image)) * 4 >= 128
    assert len(image.partition(":")[0]) <= 255
    folder = LocalBuilder(environments=str(tmp_path)).folder(one)
    assert len(digest(folder.name)) * 4 >= 128
