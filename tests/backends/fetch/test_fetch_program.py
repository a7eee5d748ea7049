"""The program that fetches imports only what its provider needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROVIDER = """\
import sys
from binderprogress.backends.fetch.fetch_program import _provider_class
from binderprogress.backends.fetch.options import FetchSettings
from binderprogress.backends.fetch.size_limit import Limits

settings = FetchSettings(sys.argv[1], Limits(10, 10**6, 10))
provider = _provider_class(settings)
assert provider.settings is settings
print(*[one.__module__ for one in provider.__mro__], "and", *sorted(sys.modules))
"""


def _imported(provider: str) -> tuple[set[str], set[str]]:
    """Return the modules of a provider's classes, and all modules that are imported."""
    command = [sys.executable, "-c", _PROVIDER, provider]
    classes, _, modules = subprocess.check_output(command, text=True).partition(" and ")
    return set(classes.split()), set(modules.split())


@pytest.mark.parametrize("provider", ["gh", "git"])
def test_git_needs_no_repo2docker(provider: str) -> None:
    """Importing it takes longer than to clone a small repository."""
    classes, modules = _imported(provider)
    assert "binderprogress.backends.fetch.git_provider" in classes
    assert not {"repo2docker", "requests", "asyncio", "traitlets"} & modules


@pytest.mark.parametrize("provider", ["zenodo", "ckan"])
def test_records_are_fetched_by_repo2docker(provider: str) -> None:
    classes, _ = _imported(provider)
    assert f"repo2docker.contentproviders.{provider}" in classes
