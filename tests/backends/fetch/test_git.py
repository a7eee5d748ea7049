from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from binderprogress.backends.base import ResolvedSpec
from binderprogress.backends.fetch.commit_date import read_commit_date
from binderprogress.backends.fetch.git import GitResolver, git_environment, local_path
from binderprogress.backends.fetch.isolated import fetch
from binderprogress.backends.fetch.options import FetchPlan, FetchSettings
from binderprogress.backends.fetch.size_limit import Limits
from binderprogress.backends.processes.child import run
from binderprogress.backends.processes.messages import ProgramError
from binderprogress.core.specs import Spec, from_address
from binderprogress.errors import LaunchFailedError, RefusedError

from ...support.asynchronous import asynchronous
from ...support.githttp import git_over_http
from ...support.repositories import commit, git, repository


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a repository that has all kinds of refs, and folders without a repository."""
    folder = tmp_path_factory.mktemp("git")
    many = repository(folder / "many")
    git(many, "tag", "light")
    git(many, "tag", "--annotate", "--message=A release", "v1")
    git(many, "switch", "--quiet", "--create", "feature/with/slash")
    commit(many, {"more.txt": "more"})
    git(many, "switch", "--quiet", "--create", "both")
    commit(many, {"more.txt": "even more"})
    git(many, "tag", "both", "main")
    git(many, "switch", "--quiet", "main")
    empty = folder / "empty"
    empty.mkdir()
    git(empty, "init", "--quiet", "--initial-branch=main")
    (folder / "plain").mkdir()
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    with git_over_http(folder) as address:
        yield address


@pytest.fixture
def resolver(folder: Path) -> GitResolver:
    return GitResolver(local_folders=[str(folder)])


def local(path: Path, ref: str = "") -> Spec:
    return from_address(path.as_uri(), ref)


def unchecked(repo_url: str, ref: str = "HEAD") -> Spec:
    """A spec that was not checked by the parser."""
    return Spec("git", repo_url, ref)


async def failed(resolver: GitResolver, spec: Spec) -> LaunchFailedError:
    with pytest.raises(LaunchFailedError) as caught:
        await resolver.resolve(spec)
    message = str(caught.value)
    assert message.endswith("."), "it is a sentence"
    assert "\n" not in message + caught.value.advice
    assert caught.value.advice.endswith(".")
    return caught.value


REFS = {
    "HEAD": "main",
    "main": "main",
    "refs/heads/main": "main",
    "heads/main": "main",
    "light": "main",
    # What a tag stands for, not the tag: that is no commit.
    "v1": "v1^{commit}",
    "refs/tags/v1": "v1^{commit}",
    "tags/v1": "v1^{commit}",
    "feature/with/slash": "feature/with/slash",
    # As git has it, a tag comes before a branch.
    "both": "refs/tags/both",
    "heads/both": "refs/heads/both",
}


@pytest.mark.parametrize("over", ["file", "http"])
@asynchronous(60)
async def test_refs(over: str, folder: Path, server: str, resolver: GitResolver) -> None:
    address = (folder / "many").as_uri() if over == "file" else f"{server}many/.git"
    for ref, expected in REFS.items():
        target = await resolver.resolve(from_address(address, ref))
        assert target.commit == git(folder / "many", "rev-parse", expected), ref
        assert re.fullmatch("[0-9a-f]{40}", target.commit)


@asynchronous(20)
async def test_specs_that_mean_the_same_have_one_key(folder: Path, resolver: GitResolver) -> None:
    keys = {
        (await resolver.resolve(local(folder / "many", ref))).key for ref in ("HEAD", "v1", "main")
    }
    assert len(keys) == 1


@asynchronous(20)
async def test_a_full_commit_is_taken_as_it_is(folder: Path, resolver: GitResolver) -> None:
    sha = git(folder / "many", "rev-parse", "main~0")
    assert (await resolver.resolve(local(folder / "many", sha))).commit == sha
    assert (await resolver.resolve(local(folder / "many", sha.upper()))).commit == sha


@asynchronous(20)
async def test_an_unknown_ref_names_the_branches(folder: Path, resolver: GitResolver) -> None:
    error = await failed(resolver, local(folder / "many", "mian"))
    assert error.reason == "bad-ref"
    assert "The branch, tag or commit 'mian' does not exist" in str(error)
    assert "both, feature/with/slash, main." in error.advice


@asynchronous(20)
async def test_half_a_commit_is_told_from_a_whole_one(folder: Path, resolver: GitResolver) -> None:
    sha = git(folder / "many", "rev-parse", "main")
    error = await failed(resolver, local(folder / "many", sha[:7]))
    assert "all 40 digits" in error.advice


@asynchronous(20)
async def test_a_long_list_of_branches_is_cut(tmp_path: Path) -> None:
    many = repository(tmp_path / "many")
    for number in range(20):
        git(many, "branch", f"b{number:02}")
    error = await failed(GitResolver(local_folders=[str(tmp_path)]), local(many, "none"))
    assert "b07 and 13 more." in error.advice


@asynchronous(20)
async def test_an_empty_repository(folder: Path, resolver: GitResolver) -> None:
    for ref in ("HEAD", "main"):
        error = await failed(resolver, local(folder / "empty", ref))
        assert error.reason == "bad-ref"
        assert "empty" in str(error)
        assert "Push a commit" in error.advice


@asynchronous(20)
async def test_a_repository_without_a_default_branch(tmp_path: Path) -> None:
    """Its HEAD is a branch that does not exist, but it has commits."""
    folder = repository(tmp_path / "renamed")
    git(folder, "branch", "--move", "main", "trunk")
    git(folder, "symbolic-ref", "HEAD", "refs/heads/main")
    error = await failed(GitResolver(local_folders=[str(tmp_path)]), local(folder))
    assert "no default branch" in str(error)
    assert "trunk" in error.advice


@asynchronous(20)
async def test_a_folder_that_is_no_repository(folder: Path, resolver: GitResolver) -> None:
    error = await failed(resolver, local(folder / "plain"))
    assert error.reason == "private-or-missing"
    assert f"{folder}/plain is not a git repository." in str(error)
    assert "git init" in error.advice


@asynchronous(20)
async def test_a_folder_that_is_not_there(folder: Path, resolver: GitResolver) -> None:
    error = await failed(resolver, local(folder / "nothing"))
    assert error.reason == "private-or-missing"
    assert "nothing" in str(error)


@asynchronous(20)
async def test_a_missing_and_a_private_repository(server: str, resolver: GitResolver) -> None:
    """git does not prompt for a password."""
    for name in ("nothing", "private/one"):
        error = await failed(resolver, from_address(f"{server}{name}"))
        assert error.reason == "private-or-missing"
        assert f"{server}{name}" in str(error)


@asynchronous(30)
async def test_a_host_that_cannot_be_reached(resolver: GitResolver) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        port = taken.getsockname()[1]
        for address in (
            f"http://127.0.0.1:{port}/a",
            f"git://127.0.0.1:{port}/a",
            "https://no-such-host.invalid/a",
        ):
            error = await failed(resolver, from_address(address))
            assert error.reason == "host-unreachable", address
            assert address in str(error)


@asynchronous(20)
async def test_a_host_that_never_answers() -> None:
    """It accepts the connection and sends nothing, so that only our timeout ends it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        began = time.monotonic()
        error = await failed(GitResolver(timeout=0.5), from_address(address))
    assert time.monotonic() - began < 6
    assert error.reason == "host-unreachable"
    assert "within 0.5 seconds" in str(error)


@asynchronous(20)
async def test_git_is_not_installed(monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    error = await failed(GitResolver(), from_address(f"{server}many"))
    assert "git is not installed" in str(error)


# -- local repositories that must not be read


@asynchronous(20)
async def test_no_folder_is_allowed_by_default(folder: Path) -> None:
    with pytest.raises(RefusedError, match=r"c\.GitResolver\.local_folders"):
        await GitResolver().resolve(local(folder / "many"))


@asynchronous(30)
async def test_folders_beside_the_allowed_ones_are_refused(folder: Path, tmp_path: Path) -> None:
    """Attack: reading another folder of the server, by its name or indirectly."""
    allowed = tmp_path / "allowed"
    inside = repository(allowed / "in side")
    secret = repository(tmp_path / "secret")
    repository(tmp_path / "allowed-too")
    (allowed / "link").symlink_to(secret)
    (allowed / "C#x").mkdir()
    (allowed / "C").mkdir()
    resolver = GitResolver(local_folders=[str(allowed)])
    base = allowed.as_uri()
    assert (await resolver.resolve(local(inside))).commit == git(inside, "rev-parse", "HEAD")
    for address in (
        secret.as_uri(),
        (tmp_path / "allowed-too").as_uri(),  # its name begins in the same way
        f"{base}/link",
        f"{base}/../secret",
        f"{base}/in%20side/../../secret",
        f"{base}/%2e%2e/secret",
        f"{base}%2f..%2fsecret",
        # To a parser of addresses the path ends at "#"; to git it goes on.
        f"{base}/C#x/../../secret",
        f"{base}/C%23x/../../secret",
        f"file://localhost{secret}",
    ):
        with pytest.raises(RefusedError):
            await resolver.resolve(unchecked(address))


@asynchronous(20)
async def test_addresses_that_are_no_path(folder: Path, resolver: GitResolver) -> None:
    """Attack: for any address, the error is a sentence and not a traceback."""
    (folder / "circle").unlink(missing_ok=True)
    (folder / "circle").symlink_to(folder / "circle")
    for address in (
        f"{folder.as_uri()}/%00",
        f"{folder.as_uri()}/{'x' * 300}",
        f"{folder.as_uri()}/circle/a",
        "file://relative/path",
    ):
        error = await failed(resolver, unchecked(address))
        assert error.reason == "private-or-missing"


@asynchronous(20)
async def test_percent_encoded_names(tmp_path: Path) -> None:
    """The folder that is checked is the one that git opens."""
    resolver = GitResolver(local_folders=[str(tmp_path)])
    for name in ("with space", "with#hash", "with?mark", "with%25", "ünï"):
        path = repository(tmp_path / name)
        target = await resolver.resolve(local(path))
        assert target.commit == git(path, "rev-parse", "HEAD")
        assert local_path(target.spec.repo_url) == path
    raw = os.fsencode(tmp_path) + b"/\xff"
    os.rename(tmp_path / "ünï", raw)  # noqa: PTH104 - a name that is no text
    spec = unchecked("file://" + quote(raw))
    assert (await resolver.resolve(spec)).commit


@asynchronous(20)
async def test_the_allowed_folder_may_be_the_repository_or_a_link(tmp_path: Path) -> None:
    path = repository(tmp_path / "one")
    (tmp_path / "link").symlink_to(path)
    for allowed in (path, tmp_path / "link"):
        assert await GitResolver(local_folders=[str(allowed)]).resolve(local(path))


# -- the environment that git runs in


@asynchronous(30)
async def test_submodules_do_not_reach_the_servers_own_folders(
    tmp_path: Path, server: str, folder: Path
) -> None:
    """Attack: a repository with a submodule at file:///home/…/private."""
    secret = repository(tmp_path / "secret", {"key": "secret"})
    outer = repository(folder / "outer")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "--quiet", secret.as_uri())
    commit(outer, {})
    clone = tmp_path / "clone"
    arguments = ["clone", "--quiet", "--recurse-submodules", f"{server}outer/.git", str(clone)]
    code, output = await run(
        ["git", *arguments], env=git_environment(credentials=False), timeout=20
    )
    assert code, output
    assert "transport 'file' not allowed" in output
    assert not [path for path in clone.rglob("key") if path.is_file()]


@asynchronous(30)
async def test_only_safe_protocols() -> None:
    """Attack: "ext::" is a command to run."""
    for address in ("ext::sh -c 'echo yes >&2'", "fd::1"):
        code, output = await run(
            ["git", "ls-remote", "--", address], env=git_environment(credentials=False), timeout=20
        )
        assert code
        assert "not allowed" in output


@asynchronous(20)
async def test_strangers_do_not_use_the_servers_keys(resolver: GitResolver) -> None:
    """Attack: visitors read what the server's user can read over ssh or a credential helper."""
    for address in ("ssh://git@127.0.0.1/private.git", "git@127.0.0.1:private.git"):
        with pytest.raises(RefusedError, match=r"https://.*GitResolver\.credentials"):
            await resolver.resolve(from_address(address))
    for credentials, expected in ((False, ""), (True, "ours")):
        env = {**git_environment(credentials=credentials)}
        helper = ["git", "-c", "credential.helper=ours", "config", "credential.helper"]
        _, output = await run(helper, env=env, timeout=10)
        # Of several the last counts, and an empty one takes back those before it.
        assert output.strip() == expected or not credentials
    resolver.credentials = True
    error = await failed(resolver, from_address("ssh://git@127.0.0.1:1/private.git"))
    assert error.reason == "host-unreachable"


@asynchronous(20)
async def test_a_git_hook_that_starts_us_does_not_lead_git_astray(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here, other = repository(tmp_path / "here"), repository(tmp_path / "other")
    commit(other, {"more": "more"})
    monkeypatch.setenv("GIT_DIR", str(here / ".git"))
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "ext")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "kept")
    env = git_environment(credentials=False, more=["GIT_CONFIG_*"])
    command = ["git", "-C", str(other), "rev-parse", "HEAD"]
    assert await run(command, env=env, timeout=10) == (0, git(other, "rev-parse", "HEAD") + "\n")
    command = ["git", "config", "user.name"]
    assert await run(command, env=env, timeout=10) == (0, "kept\n")
    assert (await GitResolver(local_folders=[str(other)]).resolve(local(other))).commit


@pytest.mark.parametrize(
    ("refs", "ref"),
    [
        (["feature/with/slash/notes", "feature/with/slash", "feature/with"], "feature/with/slash"),
        (["v1/notes", "v1"], "v1"),
        (["main/notes", "main"], "main"),
        (["nothing/at/all", "nothing/at", "nothing"], ""),
        # The end of a name is not a name.
        (["slash"], ""),
    ],
)
@asynchronous(20)
async def test_the_longest_ref_that_exists(
    folder: Path, server: str, refs: list[str], ref: str
) -> None:
    resolver = GitResolver(local_folders=[str(folder)])
    assert await resolver.find_ref(local(folder / "many"), refs) == ref
    assert await resolver.find_ref(from_address(f"{server}many"), refs) == ref


@asynchronous(20)
async def test_no_ref_is_found_where_there_is_nothing_to_see(
    folder: Path, resolver: GitResolver
) -> None:
    """Errors are reported when the launch resolves the spec."""
    assert await resolver.find_ref(local(folder / "plain"), ["a/b", "a"]) == ""
    assert await resolver.find_ref(local(Path("/etc")), ["a/b", "a"]) == ""
    assert await resolver.find_ref(from_address("10.5281/zenodo.1"), ["a/b", "a"]) == ""


@asynchronous(60)
async def test_a_pull_request_is_fetched(folder: Path, server: str, tmp_path: Path) -> None:
    """Its commit is in no branch; a submodule has no such ref."""
    repository(folder / "part")
    outer = repository(folder / "requested")
    git(outer, "submodule", "--quiet", "add", f"{server}part/.git", "sub")
    git(outer, "commit", "--quiet", "--message=A submodule")
    git(outer, "switch", "--quiet", "--create", "theirs")
    commit(outer, {"theirs.txt": "a change"})
    git(outer, "update-ref", "refs/pull/12/head", "HEAD")
    git(outer, "switch", "--quiet", "main")
    git(outer, "branch", "--quiet", "-D", "theirs")
    resolver = GitResolver(local_folders=[str(folder)], sandbox="off")
    resolved = await resolver.resolve(local(outer, "refs/pull/12/head"))
    plan = await resolver.fetch_plan(resolved, None)
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    log = list(fetch(plan, resolved.address, resolved.commit, checkout))
    assert (checkout / "theirs.txt").read_text() == "a change"
    assert any((checkout / "sub").iterdir()), log


@asynchronous(60)
async def test_git_runs_in_this_process_if_nothing_would_isolate_another(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start of another Python takes longer than to clone a small repository."""

    def start(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("binderprogress.backends.fetch.isolated.program_messages", start)
    resolver = GitResolver(local_folders=[str(folder)], sandbox="off", resource_limits={})
    resolved = await resolver.resolve(local(repository(folder / "alone")))
    plan = await resolver.fetch_plan(resolved, None)

    def fetched(commit: str, name: str, plan: FetchPlan = plan) -> Path:
        checkout = tmp_path / name / "checkout"
        checkout.mkdir(parents=True)
        list(fetch(plan, resolved.address, commit, checkout))
        return checkout

    checkout = fetched(resolved.commit, "whole")
    assert (checkout / "README.md").is_file()
    assert read_commit_date(checkout) is not None
    with pytest.raises(ProgramError, match=r"^git exited with status 128\.$"):
        fetched("0" * 40, "missing")
    settings = FetchSettings("git", Limits(max_files=1, max_bytes=10**6, max_ratio=10))
    with pytest.raises(ProgramError, match="more than 1 files"):
        fetched(resolved.commit, "large", plan._replace(settings=settings))


def test_gitlab_is_not_asked_at_the_address_of_a_page() -> None:
    """It redirects git from there, and a restricted git follows no redirects."""
    spec = from_address("https://gitlab.com/group/demo/-/tree/main")
    assert spec.repo_url == "https://gitlab.com/group/demo"
    assert ResolvedSpec(spec, "0" * 40).address == "https://gitlab.com/group/demo.git"


@pytest.mark.parametrize(
    "address",
    ["git@github.com:kim/demo.git", "ssh://git@github.com:22/kim/demo.git"],
)
@asynchronous(20)
async def test_an_ssh_address_is_refused_with_the_one_that_works(
    resolver: GitResolver, address: str
) -> None:
    with pytest.raises(RefusedError, match=r"https://github\.com/kim/demo\.git"):
        await resolver.resolve(unchecked(address))
