"""`requirements-dev.lock` fits `pyproject.toml`; no package index is asked."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
STALE = "requirements-dev.lock is stale; run `make lock`"


def _direct(project: dict[str, Any], extra: str = "") -> set[Requirement]:
    """Return what an extra requires, with what the project's own extras in it require."""
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    direct = set()
    for requirement in map(Requirement, lines):
        if requirement.name == project["name"]:
            for own in requirement.extras:
                direct |= _direct(project, own)
        else:
            direct.add(requirement)
    return direct


def _pins(lock: str) -> dict[str, set[str]]:
    """Return the locked versions of each package: one for each Python, at most."""
    pins: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([a-z0-9.-]+)(?:\[[a-z,-]+\])?==([^ ;\\]+)", lock, re.MULTILINE
    ):
        pins.setdefault(name, set()).add(version)
    return pins


def _named_directly(lock: str) -> set[str]:
    """Return the packages of which the lock says that the project itself requires them."""
    direct = set()
    for entry in re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE):
        if "(pyproject.toml)" in entry:
            direct.add(re.split(r"[\[=]", entry, maxsplit=1)[0])
    return direct


def test_the_lock_has_what_the_project_requires() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = (ROOT / "requirements-dev.lock").read_text()
    direct, pins = _direct(project) | _direct(project, "dev"), _pins(lock)
    assert direct and pins
    for requirement in direct:
        for version in pins.get(canonicalize_name(requirement.name), {""}):
            assert version and requirement.specifier.contains(version, prereleases=True), (
                f"{requirement}, but {version or 'nothing'} is locked: {STALE}"
            )
    assert _named_directly(lock) == {canonicalize_name(one.name) for one in direct}, STALE


def test_every_locked_package_has_hashes() -> None:
    lock = (ROOT / "requirements-dev.lock").read_text()
    for entry in re.findall(r"^[a-z0-9.-]+(?:\[[a-z,-]+\])?==.*(?:\n .*)*", lock, re.MULTILINE):
        assert "--hash=sha256:" in entry, entry
