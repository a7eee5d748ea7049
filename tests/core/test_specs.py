from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.specs import PROVIDERS, Spec, from_address, looks_like_spec, parse
from binderprogress.errors import SpecError

HUB = "https://github.com/binder-examples/requirements"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Case(NamedTuple):
    provider: str
    repo_url: str
    ref: str
    spec: str
    """The spec as it is written again."""


def q(text: str) -> str:
    return quote(text, safe="")


def git(repo_url: str, ref: str = "HEAD") -> Case:
    return Case("git", repo_url, ref, f"git/{q(repo_url)}/{quote(ref)}")


def gh(ref: str = "HEAD", written: str = "") -> Case:
    return Case("gh", HUB, ref, f"gh/binder-examples/requirements/{written or ref}")


def gl(path: str, ref: str = "HEAD") -> Case:
    return Case("gl", f"https://gitlab.com/{path}", ref, f"gl/{q(path)}/{quote(ref)}")


def gist(ref: str = "HEAD") -> Case:
    return Case("gist", "https://gist.github.com/ada/0a1b2c3d", ref, f"gist/ada/0a1b2c3d/{ref}")


def check(spec: Spec, case: Case) -> None:
    assert (spec.provider, spec.repo_url, spec.ref, str(spec)) == case
    assert parse(str(spec)) == spec


SPECS = {
    "gh/binder-examples/requirements/HEAD": gh(),
    "gh/binder-examples/requirements/": gh(),
    "gh/binder-examples/requirements": gh(),
    "/gh/binder-examples/requirements/v1.0/": gh("v1.0"),
    "gh/binder-examples/requirements.git/main": gh("main"),
    "gh/binder-examples/requirements/feature/new": gh("feature/new"),
    "gh/binder-examples/requirements/feature%2Fnew": gh("feature/new"),
    "gh/binder-examples/requirements/issue%2312": gh("issue#12", "issue%2312"),
    "gh/binder-examples/requirements/100%25": gh("100%", "100%25"),
    f"gh/binder-examples/requirements/{COMMIT}": gh(COMMIT),
    "gist/ada/0a1b2c3d/HEAD": gist(),
    f"gist/ada/0a1b2c3d/{COMMIT}": gist(COMMIT),
    "gl/group%2Fproject/main": gl("group/project", "main"),
    "gl/group%2Fsub%2Fproject.git/main": gl("group/sub/project", "main"),
    "gl/group%2Fproject": gl("group/project"),
    f"git/{q('https://git.example.org/a/b.git')}/main": git(
        "https://git.example.org/a/b.git", "main"
    ),
    f"git/{q('file:///srv/repos/ok.git')}/main": git("file:///srv/repos/ok.git", "main"),
    f"git/{q('file:///srv/my repos/100%25 ok')}": git("file:///srv/my repos/100%25 ok"),
    f"git/{q('git@git.example.org:a/b.git')}/feature/x": git(
        "git@git.example.org:a/b.git", "feature/x"
    ),
}


@pytest.mark.parametrize("text", SPECS)
def test_parse(text: str) -> None:
    check(parse(text), SPECS[text])
    assert looks_like_spec(text.strip("/"))


# Address and ref.
ADDRESSES = {
    (HUB, ""): gh(),
    (f" {HUB}/\n", " main "): gh("main"),
    (f"{HUB}.git", ""): gh(),
    ("http://github.com/binder-examples/requirements", ""): gh(),
    ("git://github.com/binder-examples/requirements.git", ""): gh(),
    ("HTTPS://GitHub.com/binder-examples/requirements", ""): gh(),
    (f"{HUB}?tab=readme-ov-file#readme", ""): gh(),
    (f"{HUB}/tree/main", ""): gh("main"),
    (f"{HUB}/tree/feature/new", ""): gh("feature/new"),
    (f"{HUB}/tree/issue%2312", ""): gh("issue#12", "issue%2312"),
    (f"{HUB}/commit/{COMMIT}", ""): gh(COMMIT),
    (f"{HUB}/tree", ""): gh(),
    # What is said aloud counts more than what is in the address.
    (f"{HUB}/tree/main", "v1.0"): gh("v1.0"),
    ("https://gist.github.com/ada/0a1b2c3d", ""): gist(),
    ("https://gist.github.com/ada/0a1b2c3d.git", ""): gist(),
    (f"https://gist.github.com/ada/0a1b2c3d/{COMMIT}", ""): gist(COMMIT),
    (f"https://gist.github.com/ada/0a1b2c3d/{COMMIT}", "HEAD"): gist(),
    ("https://gitlab.com/group/project", ""): gl("group/project"),
    ("https://gitlab.com/group/sub/project.git", "main"): gl("group/sub/project", "main"),
    ("https://gitlab.com/group/sub/project/-/tree/feature/new", ""): gl(
        "group/sub/project", "feature/new"
    ),
    (f"https://gitlab.com/group/project/-/commit/{COMMIT}", ""): gl("group/project", COMMIT),
    ("https://gitlab.com/group/project/-/tree/issue%2312", ""): gl("group/project", "issue#12"),
    ("https://gitlab.com/group/project/-/tree/main", "v1"): gl("group/project", "v1"),
    # Elsewhere it is plain git.
    ("https://gist.github.com/0a1b2c3d.git", ""): git("https://gist.github.com/0a1b2c3d.git"),
    ("https://git.example.org:8443/a/b.git", "main"): git(
        "https://git.example.org:8443/a/b.git", "main"
    ),
    ("ssh://git@git.example.org:22/a/b.git", ""): git("ssh://git@git.example.org:22/a/b.git"),
    ("git@github.com:ada/b.git", ""): git("git@github.com:ada/b.git"),
    ("ada.l@git-1.example.org:b.git", ""): git("ada.l@git-1.example.org:b.git"),
    ("file:///srv/repos/ok.git", ""): git("file:///srv/repos/ok.git"),
    ("file:///srv/my repos/100%25.git", ""): git("file:///srv/my repos/100%25.git"),
    ("file:///srv/100%.git", ""): git("file:///srv/100%.git"),
    ("file:/srv/ok", ""): git("file:///srv/ok"),
    ("FILE:///srv/ok", ""): git("file:///srv/ok"),
    ("file://localhost/srv/ok", ""): git("file:///srv/ok"),
}


@pytest.mark.parametrize(("address", "ref"), ADDRESSES)
def test_from_address(address: str, ref: str) -> None:
    check(from_address(address, ref), ADDRESSES[address, ref])


REFS = [
    "main",
    "v1.0",
    "feature/new",
    "a-b_c+d",
    "é",
    "@",
    "a@b",
    "issue#12",
    "100%",
    "{a}",
    COMMIT,
]


@pytest.mark.parametrize("ref", REFS)
def test_refs(ref: str) -> None:
    assert from_address("https://git.example.org/a", ref).ref == ref
    assert parse(f"git/{q('https://git.example.org/a')}/{q(ref)}").ref == ref
    assert parse("gh/a/b").at(ref) == Spec("gh", "https://github.com/a/b", ref)


@pytest.mark.parametrize("ref", ["", "/", "//"])
def test_no_ref_is_the_default_branch(ref: str) -> None:
    assert from_address("https://git.example.org/a", ref).ref == "HEAD"
    assert parse("gh/a/b/main").at(ref).ref == "HEAD"


TITLES = {
    "gh/binder-examples/requirements": "binder-examples/requirements",
    "gl/group%2Fsub%2Fproject": "sub/project",
    f"git/{q('file:///srv/my%20repos/ok%20one.git')}": "ok one",
    f"git/{q('file:///srv/a%0Ab%1b')}": "ab",
    f"git/{q('file:///')}": "file:///",
    f"git/{q('git@git.example.org:group/project.git')}": "group/project",
    f"git/{q('git@git.example.org:project.git')}": "project",
    f"git/{q('https://git.example.org:8443/project/')}": "git.example.org:8443/project",
    f"git/{q('https://git.example.org/a/b.git')}": "a/b",
}


@pytest.mark.parametrize("spec", TITLES)
def test_title(spec: str) -> None:
    assert parse(spec).title == TITLES[spec]


@pytest.mark.parametrize(
    ("spec", "local"),
    [("gh/a/b", False), (f"git/{q('file:///a')}", True), (f"git/{q('git@a:file:b')}", False)],
)
def test_is_local(spec: str, local: bool) -> None:
    assert parse(spec).is_local is local


@pytest.mark.parametrize(
    "text", ["https://github.com/a/b", "gh", "gh/a", "./gh/a/b", "zenodo/", "doi/a"]
)
def test_what_does_not_look_like_a_spec(text: str) -> None:
    assert not looks_like_spec(text)


# Round trips --------------------------------------------------------------------------------------

printable = st.characters(codec="utf-8", exclude_categories=["C", "Z"])
refs = st.text(
    st.characters(
        codec="utf-8",
        exclude_categories=["C", "Z"],
        exclude_characters="~^:?*[\\",
        max_codepoint=0x2FFF,
    )
    | st.sampled_from("/.@{-%#+"),
    max_size=40,
).filter(lambda ref: ".." not in ref and "@{" not in ref and ref.strip("/")[:1] != "-")
names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
hosts = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True)
paths = st.text(printable | st.sampled_from("ab/%. -_:@"), max_size=40)
addresses = st.one_of(
    st.builds("https://{}/a{}".format, hosts, paths),
    st.builds("{}://git@{}/{}".format, st.sampled_from(["ssh", "git"]), hosts, paths),
    st.builds("file:///{}".format, paths.filter(lambda path: not set(path) & set("?#"))),
    st.builds("{}@{}:a{}".format, names, hosts, paths),
    st.builds(
        "https://{}/{}".format,
        st.sampled_from(["github.com", "gitlab.com", "gist.github.com"]),
        # Without the prefix, it may be a page of the site: gitlab.com/s, github.com/explore.
        st.builds("kim-{}/{}".format, names, names),
    ),
)


@given(addresses, refs)
def test_an_address_is_read_back(address: str, ref: str) -> None:
    spec = from_address(address, ref)
    assert parse(str(spec)) == spec
    assert parse(f"/{spec}/") == spec
    assert looks_like_spec(str(spec))
    assert str(spec).isascii()
    assert spec.title


@given(st.sampled_from(["gh", "gist", "gl"]), names, names, refs)
def test_a_spec_of_a_site_is_read_back(provider: str, owner: str, name: str, ref: str) -> None:
    slash = "%2F" if provider == "gl" else "/"
    spec = parse(f"{provider}/{owner}{slash}{name}/{q(ref)}")
    assert spec.ref == (ref.strip("/") or "HEAD")
    assert parse(str(spec)) == spec


@given(st.text() | st.text("gh/lisgt%2F:.@-é\n\ud800"))
def test_any_text_is_read_or_refused_in_a_sentence(text: str) -> None:
    for read in (parse, from_address):
        try:
            spec = read(text)
        except SpecError as error:
            assert str(error).endswith((".", ")."))
        else:
            assert spec.provider in PROVIDERS
            assert spec.repo_url.isprintable()
            assert not spec.repo_url.startswith("-")


# Attacks ------------------------------------------------------------------------------------------


def refuses(address: str, match: str) -> None:
    for attempt in (
        lambda: from_address(address),
        lambda: parse(f"git/{q(address)}/HEAD"),
    ):
        with pytest.raises(SpecError, match=match):
            attempt()


@pytest.mark.parametrize(
    "address",
    [
        "-oProxyCommand=touch${IFS}x",
        "--upload-pack=touch x",
        "--config=core.sshCommand=x",
        " --upload-pack=touch x",
    ],
)
def test_an_address_that_is_an_option(address: str) -> None:
    # git, and repo2docker, would take it for one of theirs and run what it names.
    refuses(address, "not the address of a repository")


@pytest.mark.parametrize(
    "address", ["-oProxyCommand=x@host:path", "git@-oProxyCommand=x:path", "git@host:-path"]
)
def test_an_option_in_an_scp_like_address(address: str) -> None:
    # ssh would take the user or the host for an option, and the other side the path.
    refuses(address, "not the address of a repository")


@pytest.mark.parametrize(
    "address",
    [
        "ssh://-oProxyCommand=x/path",
        "ssh://git@-oProxyCommand=x/path",
        "ssh://%2doProxyCommand=x/path",
        "ssh://git@%2DoProxyCommand=x/path",
        "git://-x/path",
    ],
)
def test_a_host_that_is_an_option(address: str) -> None:
    # CVE-2017-1000117: git handed it to ssh, unquoted.
    refuses(address, "has no valid host")


@pytest.mark.parametrize("address", ["ssh://-oProxyCommand=x@host/p", "ssh://%2doProxy@host/p"])
def test_a_user_that_is_an_option(address: str) -> None:
    # "ssh -oProxyCommand=x@host" is an option, too.
    refuses(address, "dash")


@pytest.mark.parametrize(
    "address", ["ext::sh -c whoami", "fd::17", "ext::sh -c whoami% >&2", "remote-x://host/a"]
)
def test_a_transport_that_runs_a_command(address: str) -> None:
    # git's remote helpers: "ext" runs whatever follows.
    refuses(address, "not the address of a repository")


@pytest.mark.parametrize("address", ["https::ext::sh -c x", "ssh::x", "git@ext::sh -c x"])
def test_a_transport_behind_one_that_is_allowed(address: str) -> None:
    refuses(address, "has no valid host|not the address of a repository")


def test_a_transport_behind_file() -> None:
    refuses("file::ext::sh -c x", "file:///path")


@pytest.mark.parametrize(
    "address",
    [
        "https://ada:secret@git.example.org/a",
        "https://ghp_token@github.com/a/b",
        "https://:secret@git.example.org/a",
        "ssh://ada:secret@git.example.org/a",
    ],
)
def test_a_password_in_an_address(address: str) -> None:
    # It would stand in logs, links and lists of processes, for everyone.
    refuses(address, "password or token")


@pytest.mark.parametrize(
    "character", ["\n", "\r", "\0", "\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\ud800"]
)
def test_a_control_character_in_an_address(character: str) -> None:
    # A line break forges a line of the log or of git's credentials; an escape, what a terminal
    # shows; U+202E turns the rest round; half a surrogate pair cannot be written at all.
    with pytest.raises(SpecError, match="control characters"):
        from_address(f"https://git.example.org/a{character}b")


@pytest.mark.parametrize("quoted", ["%0A", "%00", "%1b", "%e2%80%ae"])
def test_a_quoted_control_character_in_a_spec(quoted: str) -> None:
    with pytest.raises(SpecError, match="control characters"):
        parse(f"git/https%3A%2F%2Fgit.example.org%2Fa{quoted}b/HEAD")
    with pytest.raises(SpecError, match="not a valid branch"):
        parse(f"gh/a/b/main{quoted}")


@pytest.mark.parametrize("address", ["file://evil.example/share", "file:srv/a", "file://srv"])
def test_a_file_of_another_machine_or_of_nowhere(address: str) -> None:
    # On some systems the host of a file address is asked for it, with the server's identity.
    refuses(address, "file:///path")


@pytest.mark.parametrize("address", ["file:///srv/open?/../../secret", "file:///srv/open#/../x"])
def test_a_file_whose_path_is_longer_for_git_than_for_the_check(address: str) -> None:
    # For git "?" is part of the path; who checks the path of a URL sees it end there.
    refuses(address, "%3F")


@pytest.mark.parametrize(
    "address", ["FILE:///etc", "File:/etc", " file:///etc", "\u00a0file:///etc"]
)
def test_a_local_file_in_disguise_is_seen_as_one(address: str) -> None:
    # Or the folders that the operator allows would not be asked for it.
    for spec in (from_address(address), parse(f"git/{q(address)}")):
        assert spec.is_local
        assert spec.repo_url == "file:///etc"


@pytest.mark.parametrize(
    "ref",
    {
        "an option of git's": "--upload-pack=touch x",
        "an option, short": "-x",
        "an option behind a slash": "/--upload-pack=x",
        "a range": "main..evil",
        "out of the folder of refs": "../../config",
        "what was there before": "main@{1}",
        "a parent": "main^",
        "an ancestor": "main~1",
        "a path inside": "main:secret",
        "a pattern": "ma*n",
        "another": "ma?n",
        "and another": "ma[i]n",
        "a backslash": "a\\b",
        "a blank": "a b",
        "a line break": "a\nb",
        "an escape": "a\x1bb",
        "a direction": "a\u202eb",
        "half a surrogate pair": "a\ud800b",
    }.values(),
)
def test_a_ref_that_is_more_than_a_name(ref: str) -> None:
    # git would read it as an option or as an expression, and lists of refs would match others.
    with pytest.raises(SpecError, match="not a valid branch"):
        from_address("https://git.example.org/a", ref)
    with pytest.raises(SpecError, match="not a valid branch"):
        parse("gh/a/b/main").at(ref)


@pytest.mark.parametrize("ref", ["--upload-pack=x", "main%2E%2Eevil", "a%20b", "%2Dx", "a%5Cb"])
def test_a_quoted_ref_that_is_more_than_a_name(ref: str) -> None:
    for start in ("gh/a/b", "gist/a/b", "gl/a%2Fb", f"git/{q('https://a/b')}"):
        with pytest.raises(SpecError, match="not a valid branch"):
            parse(f"{start}/{ref}")


@pytest.mark.parametrize(
    "name", ["..", ".", "-a", "a%2Fb", "a@b", "a:b", "a b", "é", "a\n", ".git", ""]
)
def test_a_name_that_leads_elsewhere(name: str) -> None:
    # github.com/../x is another page, github.com/a@b another thing to those who split at the "@".
    for spec in (f"gh/{name}/x/main", f"gh/x/{name}/main", f"gist/x/{name}/main"):
        if spec != "gh/.git/x/main":
            with pytest.raises(SpecError, match="spec has the form"):
                parse(spec)
    for spec in (f"gl/x%2F{name}/main", f"gl/x%2F{name}%2Fx/main"):
        if spec not in {"gl/x%2Fa%2Fb/main", "gl/x%2Fa%2Fb%2Fx/main", "gl/x%2F.git%2Fx/main"}:
            with pytest.raises(SpecError, match="spec has the form"):
                parse(spec)


@pytest.mark.parametrize("spec", ["gl/project/main", "gl/-/main", "gl/", "gh/", "gh/a", "gist/a"])
def test_a_spec_that_is_not_whole(spec: str) -> None:
    with pytest.raises(SpecError, match="spec has the form"):
        parse(spec)


@pytest.mark.parametrize("address", ["https://gitlab.com/-/x", "https://github.com/../x"])
def test_an_address_of_a_site_that_names_no_repository(address: str) -> None:
    with pytest.raises(SpecError, match=r"is not the address|has the form"):
        from_address(address)


@pytest.mark.parametrize("text", ["", "/", "swhid/1/2", "GH/a/b", "x" * 2000])
def test_an_unknown_provider(text: str) -> None:
    with pytest.raises(SpecError, match="The providers are gh, gl, gist, git") as caught:
        parse(text)
    # A wrong address is not to fill the page.
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["", " ", "a", "/srv/repo", "host/a/b", "mailto:a@b"])
def test_what_is_no_address(text: str) -> None:
    refuses(text, "not the address of a repository")


@pytest.mark.parametrize("address", ["https://", "https:///a/b", "ssh://git@/a", "http://:80/a"])
def test_an_address_without_a_host(address: str) -> None:
    refuses(address, "has no valid host")


def test_an_address_that_is_half_one_of_ipv6() -> None:
    refuses("https://[::1/a", "has a malformed host or port")


@pytest.mark.parametrize("character", ["a", "é", " a", "%"])
def test_an_endless_spec(character: str) -> None:
    # It would go into every event, log line and link.
    long = character * 3000
    for attempt in (
        lambda: parse(long),
        lambda: parse(f"gh/a/b/{long}"),
        lambda: parse(f"git/{q('https://a/b')}/{'é' * 1900}"),
        lambda: from_address(f"https://git.example.org/{long}"),
        lambda: from_address("https://git.example.org/a", long.replace(" ", "")),
        lambda: from_address(HUB, long.replace(" ", "")),
    ):
        with pytest.raises(SpecError, match="longer than 2048"):
            attempt()


def test_the_longest_spec() -> None:
    spec = from_address("https://git.example.org/a", "b" * (2048 - 38))
    assert len(str(spec)) == 2048
    assert parse(str(spec)) == spec


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ssh://git@example.org/a.git", True),
        ("git@example.org:a/b.git", True),
        ("https://example.org/a.git", False),
        ("git://example.org/a.git", False),
        ("file:///srv/a", False),
        ("https://github.com/a/b", False),
    ],
)
def test_what_is_fetched_over_ssh(address: str, *, expected: bool) -> None:
    assert from_address(address).is_ssh is expected
