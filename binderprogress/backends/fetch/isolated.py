"""Fetching in a process of its own, and the check of what was fetched.

The process of a build calls this: `local.build_program`, or repo2docker as its content provider.
The server decides how (see `GitResolver.fetch_plan`) and passes that in the environment.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from repo2docker.contentproviders.base import ContentProvider, ContentProviderException

from ..processes.child import limited
from ..processes.messages import ProgramError, program_messages
from ..processes.sandbox import sandboxed
from .checkout import check_checkout
from .content_providers import content_provider
from .options import FetchPlan

__all__ = ["fetch", "isolated_provider", "provider_name"]


def fetch(plan: FetchPlan, repo_url: str, ref: str, checkout: Path) -> Iterator[str]:
    """Fetch into a folder, then check that nothing in it leads outside.

    Parameters
    ----------
    plan : FetchPlan
    repo_url, ref : str
        What to fetch.
    checkout : Path
        An empty folder. Its parent is for this build only, and can be written to meanwhile.

    Yields
    ------
    str
        Lines of the log.

    Raises
    ------
    ContentProviderException
        It was not fetched; the message is a sentence.
    UnsafeCheckoutError
        It leads outside.
    """
    # Nobody else is to change what is checked, until it has been read.
    checkout.chmod(0o700)
    # Archives are unpacked from the current folder.
    aside = checkout.with_name("fetching")
    aside.mkdir(mode=0o700)
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
    env = {**plan.env, **plan.settings.environment, "TMPDIR": str(aside)}
    try:
        argv = limited(argv, plan.limits)
        try:
            yield from program_messages(argv, env=env, cwd=aside, activity="Fetching")
        except ProgramError as error:
            raise ContentProviderException(str(error)) from None
        try:
            check_checkout(checkout)
        except ValueError:
            # rm, since Python's own way ends at trees that are too deep.
            subprocess.run(["rm", "-rf", "--", str(checkout)], check=True)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def isolated_provider(plan: FetchPlan) -> type[ContentProvider]:
    """Return the content provider for repo2docker that fetches as this plan says."""

    class Isolated(ContentProvider):  # type: ignore[misc] # repo2docker has no types
        """Fetches in a process of its own."""

        def detect(self, repo: str, ref: str | None = None, extra_args: Any = None) -> Any:
            return {"repo": repo, "ref": ref or "HEAD"}

        def fetch(self, spec: Any, output_dir: str, yield_output: bool = False) -> Iterator[str]:
            yield from fetch(plan, spec["repo"], spec["ref"], Path(output_dir))

    # repo2docker logs it, and the name is what people know.
    Isolated.__name__ = provider_name(plan)
    return Isolated


def provider_name(plan: FetchPlan) -> str:
    """Return what repo2docker calls what fetches."""
    return str(content_provider(plan.settings).__name__)
