"""The program that fetches imports only what its provider needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROVIDER = """\
import sys
from binderprogress.backends.fetch.fetch_program import _provider_class
from binderprogress.backends.fetch.options import FetchSettings
from binderprogress.backends.fetch.safe_files import Limits

settings = FetchSettings(sys.argv[1], Limits(10, 10**6, 10))
provider = _provider_class(settings)
assert provider.settings is settings
base = next(one for one in provider.__mro__ if one.__module__.startswith("repo2docker."))
print(base.__module__, *sorted(sys.modules))
"""


@pytest.mark.parametrize("provider", ["gh", "git", "zenodo", "ckan"])
def test_a_provider_needs_requests_only_for_records(provider: str) -> None:
    """Importing all of repo2docker takes longer than to clone a small repository."""
    command = [sys.executable, "-c", _PROVIDER, provider]
    base, *modules = subprocess.check_output(command, text=True).split()
    name = provider if provider in ("zenodo", "ckan") else "git"
    assert base == f"repo2docker.contentproviders.{name}"
    assert ("requests" in modules) == (name != "git")
    if name == "git":
        assert not {"asyncio", "docker", "jinja2", "traitlets.config"} & set(modules)
