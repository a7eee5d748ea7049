"""Fetches, usually in a separate process, and checks the checkout.

It is called by the process of a build: by `local.build_program`, or by repo2docker as its content
provider. The server passes the plan in the environment, see `GitResolver.fetch_plan`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..processes.limits import limited
from ..processes.messages import ProgramError, program_messages
from ..processes.sandbox import sandboxed
from .checkout import check_checkout
from .git_provider import clone
from .options import FetchPlan
from .size_limit import TooLargeError

__all__ = ["RECORD_NAMES", "fetch", "isolated_provider", "provider_name"]

# repo2docker's names of the content providers of records.
RECORD_NAMES = {
    "zenodo": "Zenodo",
    "figshare": "Figshare",
    "dataverse": "Dataverse",
    "hydroshare": "Hydroshare",
    "ckan": "CKAN",
}


def fetch(plan: FetchPlan, repo_url: str, ref: str, checkout: Path) -> Iterator[str]:
    """Fetch into a folder, and check that no link in it points outside.

    Parameters
    ----------
    plan : FetchPlan
    repo_url, ref : str
        The address and the commit to fetch.
    checkout : Path
        An empty folder. Its parent is used only by this build, and is writable while fetching.

    Yields
    ------
    str
        Lines of the log.

    Raises
    ------
    ProgramError
        If fetching fails. The message is a sentence.
    UnsafeCheckoutError
        If a path is not safe to read.
    """
    # No other user may change the checkout between the check and its use.
    checkout.chmod(0o700)
    # Archives are unpacked from the current folder.
    aside = checkout.with_name("fetching")
    aside.mkdir(mode=0o700)
    env = {**plan.env, "TMPDIR": str(aside)}
    is_git = plan.settings.provider not in RECORD_NAMES
    try:
        if is_git and not (plan.sandbox or plan.limits):
            # Nothing would isolate another process, whose start takes longer than to clone a small
            # repository.
            yield from _cloned(plan, repo_url, ref, checkout, env=env, aside=aside)
        else:
            yield from _fetched_by_program(plan, repo_url, ref, checkout, env=env, aside=aside)
        try:
            check_checkout(checkout)
        except ValueError:
            # shutil.rmtree fails for trees that are too deep.
            subprocess.run(["rm", "-rf", "--", str(checkout)], check=True)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _cloned(
    plan: FetchPlan,
    repo_url: str,
    ref: str,
    checkout: Path,
    *,
    env: Mapping[str, str],
    aside: Path,
) -> Iterator[str]:
    try:
        yield from clone(repo_url, ref, checkout, plan.settings.limits, env=env, aside=aside)
    except subprocess.CalledProcessError as error:
        raise ProgramError(f"git exited with status {error.returncode}.") from error
    except TooLargeError as error:
        raise ProgramError(str(error)) from error


def _fetched_by_program(
    plan: FetchPlan,
    repo_url: str,
    ref: str,
    checkout: Path,
    *,
    env: Mapping[str, str],
    aside: Path,
) -> Iterator[str]:
    task = {"repo_url": repo_url, "ref": ref, "checkout": str(checkout)}
    argv = [
        sys.executable,
        "-P",
        "-u",
        "-m",
        "binderprogress.backends.fetch.fetch_program",
        json.dumps(task),
    ]
    if plan.sandbox:
        writable = checkout.parent
        argv = sandboxed(argv, writable=writable, folder=aside, readable=plan.readable)
    argv = limited(argv, plan.limits)
    env = {**env, **plan.settings.environment}
    yield from program_messages(argv, env=env, cwd=aside, activity="Fetching")


def isolated_provider(plan: FetchPlan) -> type:
    """Return a content provider for repo2docker that fetches by a plan."""
    # Imported here, because the process of a local build does not need it.
    from repo2docker.contentproviders.base import ContentProvider, ContentProviderException

    class Isolated(ContentProvider):  # type: ignore[misc] # repo2docker has no types
        """Fetches in a separate process."""

        def detect(self, repo: str, ref: str | None = None, extra_args: Any = None) -> Any:
            return {"repo": repo, "ref": ref or "HEAD"}

        def fetch(self, spec: Any, output_dir: str, yield_output: bool = False) -> Iterator[str]:
            try:
                yield from fetch(plan, spec["repo"], spec["ref"], Path(output_dir))
            except ProgramError as error:
                raise ContentProviderException(str(error)) from None

    # repo2docker logs this name.
    Isolated.__name__ = provider_name(plan)
    return Isolated


def provider_name(plan: FetchPlan) -> str:
    """Return repo2docker's name of the content provider."""
    return RECORD_NAMES.get(plan.settings.provider, "Git")
