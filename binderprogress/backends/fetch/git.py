"""Resolves refs of git repositories, local and remote. `archives` resolves records."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from traitlets import Bool, Dict, Enum, Float, Instance, Integer, List, Unicode, default
from traitlets.config import LoggingConfigurable

from ..._temporary import OwnedFolder
from ...core.log.diagnosis import diagnose
from ...core.log.reasons import failure
from ...core.redact import redact
from ...core.specs import Spec
from ...errors import ConfigError, LaunchFailedError, RefusedError
from ..base import ResolvedSpec
from ..processes.child import run
from ..processes.environment import git_environment, with_git_config
from ..processes.sandbox import sandboxed, why_no_sandbox
from .archives import Archives
from .network import Network
from .options import FetchPlan, FetchSettings, with_proxy
from .proxy import AddressRefusedError, FetchProxy
from .size_limit import Limits

__all__ = ["GitResolver", "git_environment", "local_path"]

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def local_path(repo_url: str) -> Path:
    """Return the folder that git opens for a file:// address.

    For git, all of it is the path, including "?" and "#".

    Raises
    ------
    ValueError
        If it is not a valid path.
    """
    path = unquote_to_bytes(repo_url.removeprefix("file://").removeprefix("localhost"))
    if b"\0" in path or not path.startswith(b"/"):
        raise ValueError(f"{repo_url[:100]!r} is not the address of a folder.")
    return Path(os.fsdecode(path))


class GitResolver(LoggingConfigurable):
    """Resolves refs to commits, with ``git ls-remote``."""

    local_folders = List(
        Unicode(),
        help="""
        Folders whose local repositories (file:// addresses) may be launched, with subfolders.

        The default is none, so that visitors cannot read the server's disk.
        """,
    ).tag(config=True)

    credentials = Bool(
        False,
        help="""
        Whether git may use the ssh keys and credential helpers of the server's user.

        If so, everyone who may launch can launch, and so read, all repositories of that user.
        """,
    ).tag(config=True)

    timeout = Float(30.0, help="Timeout of resolving a ref, in seconds.").tag(config=True)

    max_files = Integer(
        100_000,
        min=1,
        help="""
        Maximum number of files and folders of a repository with its submodules, or of a record.

        Files of records are counted while they are written. A repository is checked twice a second
        while git writes it, so it may exceed the limit for a moment before git is ended.
        """,
    ).tag(config=True)

    max_bytes = Integer(
        10 * 2**30, min=1, help="Maximum total size of these files, in bytes; see `max_files`."
    ).tag(config=True)

    max_ratio = Integer(
        200,
        min=1,
        help="Maximum ratio of the size of an unpacked archive to the size of the archive.",
    ).tag(config=True)

    pass_environment = List(
        Unicode(),
        help="""
        Names of additional environment variables for the processes that fetch and build.

        By default they get PATH, the language, proxies, certificates, package indexes, and the
        settings of the container engine. With the engine local, the code of repositories can read
        these variables. A "*" matches any characters.
        """,
    ).tag(config=True)

    resource_limits = Dict(
        key_trait=Enum(["as", "core", "cpu", "data", "fsize", "nofile", "nproc", "stack"]),
        value_trait=Integer(min=0),
        default_value={"core": 0, "fsize": 32 * 2**30, "nofile": 65536, "nproc": 16384},
        help="""
        Resource limits of the processes that fetch, and of builds of the engine local.

        The names are those of getrlimit(2) in lower case: "as" (bytes of address space), "core",
        "cpu" (seconds of each process), "fsize" (bytes of a file), "nofile", "nproc" (all processes
        of the user). Limits that are already lower are not changed.
        """,
    ).tag(config=True)

    sandbox = Enum(
        ["auto", "on", "off"],
        "auto",
        help="""
        Whether repositories are fetched and examined in a namespace, made with bubblewrap (Linux).

        "auto": where that works, unless GitResolver.credentials is set. "on": always; the server
        does not start where it does not work. "off": never.
        """,
    ).tag(config=True)

    _sandbox_works: bool | None = None
    network = Instance(Network, help="The hosts and addresses that may be connected to.")

    @default("network")
    def _default_network(self) -> Network:
        return Network(parent=self)

    archives = Instance(Archives, help="Resolves records.")

    @default("archives")
    def _default_archives(self) -> Archives:
        return Archives(parent=self, network=self.network)

    def fetch_settings(self, target: ResolvedSpec) -> FetchSettings:
        """Return the settings of the process that fetches a repository or record."""
        limits = Limits(self.max_files, self.max_bytes, self.max_ratio)
        return FetchSettings(target.spec.provider, limits)

    def environment(self, proxy: FetchProxy | None) -> dict[str, str]:
        """Return the environment variables of processes that fetch, with the proxy if any."""
        env = git_environment(
            credentials=self.credentials,
            more=self.pass_environment,
            restricted=proxy is not None,
            follow_redirects=self.network.follow_redirects,
        )
        return with_proxy(env, proxy.url) if proxy is not None else env

    async def check(self) -> dict[str, Any]:
        """Check that git is installed, and that there is a namespace if it is required."""
        await run(["git", "--version"], timeout=self.timeout)
        return {"sandbox": await self.uses_sandbox()}

    async def uses_sandbox(self) -> bool:
        """Return whether repositories are fetched in a namespace.

        Raises
        ------
        ConfigError
            If the configuration requires a namespace, and there is none.
        """
        if self._sandbox_works is None:
            reason = await self._why_no_sandbox()
            if reason and self.sandbox == "on":
                raise ConfigError(
                    f"c.GitResolver.sandbox is 'on', but repositories cannot be fetched in a "
                    f"namespace: {reason}."
                )
            if reason:
                # Not worth a message if the configuration asks for it.
                chosen = self.sandbox == "off" or self.credentials
                level = logging.DEBUG if chosen else logging.INFO
                self.log.log(level, "Repositories are fetched without a namespace: %s.", reason)
            self._sandbox_works = not reason
        return self._sandbox_works

    async def _why_no_sandbox(self) -> str:
        if self.sandbox == "off":
            return "c.GitResolver.sandbox is 'off'"
        if self.credentials:
            return "c.GitResolver.credentials needs the user's home folder"
        if reason := why_no_sandbox():
            return reason
        with OwnedFolder("sandbox") as folder:
            program = [sys.executable, "-c", "import binderprogress"]
            command = sandboxed(program, writable=Path(folder), folder=Path(folder))
            code, output = await run(command, timeout=self.timeout)
        return output.strip() or "bubblewrap does not work" if code else ""

    async def fetch_plan(self, target: ResolvedSpec, proxy: FetchProxy | None) -> FetchPlan:
        """Return the plan by which a build fetches a repository or record."""
        refspec = _extra_refspec(target.spec.ref)
        config = {"remote.origin.fetch": refspec} if refspec else {}
        return FetchPlan(
            self.fetch_settings(target),
            env=with_git_config(self.environment(proxy), config),
            limits=self.resource_limits,
            sandbox=await self.uses_sandbox(),
            # A local repository may have its objects elsewhere in the allowed folders.
            readable=self._local_folders() if target.spec.is_local else [],
        )

    async def resolve(self, spec: Spec) -> ResolvedSpec:
        """Look up the commit of a ref; see `base.Builder.resolve`."""
        if spec.is_record:
            return await self.archives.resolve(spec)
        await self._check_access(spec)
        if _COMMIT.fullmatch(spec.ref.lower()):
            # Servers do not list commits. Fetching will show whether it exists.
            return ResolvedSpec(spec, spec.ref.lower())
        # "^{}" is the commit behind an annotated tag.
        refs = await self._ls_remote(spec, spec.ref, spec.ref + "^{}")
        commit = _choose(refs, spec.ref)
        if commit is None:
            raise await self._no_such_ref(spec)
        return ResolvedSpec(spec, commit)

    async def find_ref(self, spec: Spec, refs: Sequence[str]) -> str:
        """Return the first of several refs that a repository has; see `base.RefFinder`."""
        if spec.is_record:
            return ""
        try:
            await self._check_access(spec)
            existing = await self._ls_remote(spec, *refs)
        except (LaunchFailedError, RefusedError):
            return ""  # `resolve` says what is wrong
        return next((ref for ref in refs if _choose(existing, ref)), "")

    async def _check_access(self, spec: Spec) -> None:
        """Refuse a repository that is not allowed here, before anything is started."""
        if spec.is_local:
            self._check_local(spec)
        elif spec.is_ssh and not self.credentials:
            raise RefusedError(
                "This server does not fetch over ssh. Use the https:// address of the repository, "
                f"such as {_https_url(spec.repo_url)}. The administrator can allow ssh with "
                "c.GitResolver.credentials."
            )
        await self._check_network(spec)

    def _local_folders(self) -> list[str]:
        return [str(Path(folder).expanduser().resolve()) for folder in self.local_folders]

    def _check_local(self, spec: Spec) -> None:
        # Resolved, so that a link in an allowed folder cannot point outside.
        try:
            path = local_path(spec.repo_url).resolve()
            is_allowed = any(path.is_relative_to(folder) for folder in self._local_folders())
            is_folder = is_allowed and path.is_dir()
        except (OSError, RuntimeError, ValueError):
            # Too long, circular links, or not a path at all.
            raise failure("private-or-missing", "The folder does not exist.") from None
        if not is_allowed:
            raise RefusedError(
                "This server does not launch local repositories from this folder. The "
                "administrator can allow it with c.GitResolver.local_folders."
            )
        if not is_folder:
            raise failure("private-or-missing", f"The folder {path} does not exist.")

    async def _ls_remote(self, spec: Spec, *patterns: str) -> dict[str, str]:
        output = await self._git(spec, ["ls-remote", "--", spec.clone_url, *patterns])
        rows = (line.split("\t", 1) for line in output.splitlines() if "\t" in line)
        return {name.strip(): commit for commit, name in rows if _COMMIT.fullmatch(commit)}

    async def _git(self, spec: Spec, arguments: Sequence[str]) -> str:
        try:
            async with self.network.proxy() as proxy:
                env = self.environment(proxy)
                code, output = await run(["git", *arguments], env=env, timeout=self.timeout)
                output = "\n".join([*(proxy.problems if proxy else ()), output])
        except TimeoutError:
            raise failure(
                "host-unreachable",
                f"The host of {spec.repo_url} did not respond within {self.timeout:g} seconds.",
            ) from None
        except FileNotFoundError as error:
            raise LaunchFailedError(
                "git is not installed on the server.",
                reason="internal",
                advice="Ask the administrator to install git.",
            ) from error
        if code:
            # git prints the address, which `url.<base>.insteadOf` of the user may have changed.
            output = redact(output)
            self.log.warning("git %s failed: %s", arguments[0], output.strip())
            raise await asyncio.to_thread(_refused_by_git, spec, output)
        return output

    async def _check_network(self, spec: Spec) -> None:
        """Reject an address that may not be connected to, before a process is started."""
        if spec.is_local or not self.network.is_restricted:
            return
        parts = urlsplit(spec.repo_url if "://" in spec.repo_url else f"ssh://{spec.repo_url}")
        if parts.scheme == "git":
            raise RefusedError(
                "This server does not support git:// addresses. Use the https:// address of the "
                "repository."
            )
        try:
            await self.network.resolve(unquote(parts.hostname or ""), 0)
        except AddressRefusedError as error:
            raise RefusedError(str(error)) from error
        except OSError:
            return  # git has a better message, or a proxy can resolve the name

    async def _no_such_ref(self, spec: Spec) -> LaunchFailedError:
        heads = await self._ls_remote(spec, "refs/heads/*")
        names = sorted(name.removeprefix("refs/heads/") for name in heads)
        if not names:
            message = f"The repository {spec.repo_url} is empty: it has no commits yet."
            advice = "Push a commit, and try again."
            return LaunchFailedError(message, reason="bad-ref", advice=advice)
        advice = "Its branches are: " + ", ".join(names[:8])
        advice += f" and {len(names) - 8} more." if len(names) > 8 else "."
        if spec.ref == "HEAD":
            message = f"The repository {spec.repo_url} has no default branch. Specify a branch."
        else:
            message = f"The branch, tag or commit {spec.ref!r} does not exist in {spec.repo_url}."
            advice += " A commit must be given with all 40 digits."
        subject = "" if spec.ref == "HEAD" else spec.ref
        return LaunchFailedError(message, reason="bad-ref", subject=subject, advice=advice)


def _https_url(repo_url: str) -> str:
    """Return the https address that most hosts have for an ssh address."""
    return re.sub(r"^(?:ssh://)?(?:[^@/]*@)?([^:/]++)(?::\d+(?=/))?[:/]+", r"https://\1/", repo_url)


def _extra_refspec(ref: str) -> str:
    """Return what git has to clone besides branches and tags; empty if the ref is one of these.

    Such as ``refs/pull/12/head``, the commit of a pull request. It is a pattern, because
    submodules are cloned with the same settings and must not be required to have this ref.
    """
    kind, _, name = ref.removeprefix("refs/").partition("/")
    if not ref.startswith("refs/") or kind in {"heads", "tags"} or "/" not in name:
        return ""
    folder = f"{kind}/{name.rpartition('/')[0]}"
    return f"+refs/{folder}/*:refs/remotes/origin/{folder}/*"


def _refused_by_git(spec: Spec, output: str) -> LaunchFailedError:
    if spec.is_local and "does not appear to be a git repository" in output:
        return LaunchFailedError(
            f"{local_path(spec.repo_url)} is not a git repository.",
            reason="private-or-missing",
            advice="Create one with git init, git add and git commit, or use the parent folder "
            "that is a git repository.",
        )
    if re.search(r"returned error: 30[1278]\b", output):
        return LaunchFailedError(
            f"The repository has moved: {spec.repo_url} leads to another address.",
            reason="private-or-missing",
            advice="Use its new address. The administrator can allow redirects with "
            "c.Network.follow_redirects.",
        )
    diagnosis = diagnose(output.splitlines(), otherwise="private-or-missing", kind="fetch")
    message = f"{diagnosis.message.removesuffix('.')} ({spec.repo_url})."
    return diagnosis.error(message)


def _choose(refs: dict[str, str], ref: str) -> str | None:
    """Pick a commit as git does: by the full name, then a tag, then a branch."""
    for name in (ref, f"refs/{ref}", f"refs/tags/{ref}", f"refs/heads/{ref}"):
        for candidate in (f"{name}^{{}}", name):
            if candidate in refs:
                return refs[candidate]
    return None
