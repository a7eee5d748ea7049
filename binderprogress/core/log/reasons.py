"""Why a launch failed: recognised in the log, said in one sentence, with what to do."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Reversible

import msgspec

from ...errors import LaunchFailedError
from ..printable import plain
from .matching import Log, Matcher

__all__ = [
    "DRAWN",
    "EVIDENCE",
    "FLAGS",
    "LONGEST_LINE",
    "LONGEST_LOG",
    "LONGEST_SUBJECT",
    "MOST_LINES",
    "REASONS",
    "Diagnosis",
    "Reason",
    "diagnose",
    "failure",
]


class Reason(msgspec.Struct, frozen=True):
    """One known way to fail.

    Attributes
    ----------
    key : str
        For programs and translations.
    pattern : str
        A regular expression; a line that it is found in says so. Empty: never looked for.
    sentence : str
        What happened.
    advice : str
        What to do.
    named : str
        What happened, to what: ``{0}`` is the first group of `pattern` that matched.
    below : str
        An expression with one group, looked for in the line and those that follow, joined: some
        programs wrap their sentences. It gives ``{0}`` where `pattern` does not.
    """

    key: str
    pattern: str
    sentence: str
    advice: str
    named: str = ""
    below: str = ""


# The first that is found in the log wins, so the more telling ones come first: what went wrong
# before what went wrong because of it.
#
# Attack: whoever owns the repository writes the log. Each pattern takes linear time: of its
# alternatives, each begins with fixed text or `^`, and what repeats after it cannot run past the
# next place where that text begins, or only a bounded number of characters. No `.*` unless after
# `^`. `tests/attacks/test_patterns.py` measures it.
_TABLE = [
    Reason(
        "no-engine",
        r"Cannot connect to the Docker daemon|Cannot connect to Podman|podman is not installed"
        r"|Docker client initialization error|commandline client must be installed"
        r"|The buildx plugin must be installed|Check if docker is running"
        r"|No such file or directory: '(?:docker|podman)'"
        r"|Container engine '[^']*' not found|podman does not work",
        "The container engine does not answer.",
        "Start docker or podman on the server, or use the engine 'local'.",
    ),
    Reason(
        "quota",
        r"Too many users running (\S+?)! Try again soon|Too many users on this BinderHub"
        r"|already has (?:the maximum of \d+ named servers|a running server)"
        r"|Active user limit exceeded|forbidden: exceeded quota: ",
        "A limit on running servers is reached.",
        "Stop a server of yours that you do not need, or try again in a few minutes.",
        "The limit on running servers of {0} is reached.",
    ),
    Reason(
        "rate-limited",
        # How long to wait is left out: BinderHub names the whole period, not what is left of it.
        r"^Rate limit exceeded\. Try again in \d|GitHub rate limit exceeded|\btoomanyrequests: ",
        "Too many requests were made in a short time.",
        "Try again later.",
    ),
    Reason(
        "banned",
        r"^Sorry, (\S+) is not allowed to launch",
        "This repository may not be launched here.",
        "Ask whoever runs this server.",
        "The repository {0} may not be launched here.",
    ),
    Reason(
        "bad-spec",
        r"^No provider found for prefix (\S+)"
        r"|Spec is not of the form \"[^\"]+\", provided: \"([^\"]*)\""
        r"|Unsupported git url ([^\s,]+), protocol|^An unresolved ref is required"
        r"|`unresolved_ref` must be specified in the url",
        "What to launch is not understood.",
        "Check the link: it names a provider, a repository and a branch, tag or commit.",
        "What to launch is not understood: {0}.",
    ),
    Reason(
        "unresolved",
        # A BinderHub asks the provider, which answers the same to all of this.
        r"Could not resolve ref for (\S+?)\. Double check",
        "The repository is not there or is private, or it has no such branch, tag or commit.",
        "Check its address and the spelling, and that anyone may read it.",
        "For {0} there is no repository that anyone may read, or no such branch, tag or commit.",
    ),
    Reason(
        "bad-ref",
        r"Failed to check out ref '?([^\s']+)|not our ref ([0-9a-f]+)"
        r"|couldn't find remote ref (\S+)|unable to read tree \(?([0-9a-f]+)"
        r"|reference is not a tree: (\S+)"
        r"|Could not parse object '([^']+)'"
        r"|Remote branch (\S+) not found|pathspec '([^']+)' did not match",
        "The branch, tag or commit is not in the repository.",
        "Check its spelling, or leave it out to take the default branch.",
        "The branch, tag or commit {0} is not in the repository.",
    ),
    Reason(
        "unsafe-path",
        r"\bUnsafe file name ('[^']{1,150}'|\"[^\"]{1,150}\"): it ",
        "It has a file with a name that is not safe to write.",
        "Its author has to rename the file.",
        "It has a file with a name that is not safe to write: {0}.",
    ),
    Reason(
        "too-large",
        r"\bToo large for this server: ([^.]{1,100})\.",
        "It is too large for this server.",
        "Launch something smaller, or ask whoever runs this server to raise the limit.",
        "It is too large for this server: {0}.",
    ),
    Reason(
        "address-refused",
        r"\bThis server may not connect to ([^\s,]{1,255})",
        "It is at an address that this server may not connect to.",
        "Use an address that is public on the internet, or ask whoever runs this server to "
        "allow it.",
        "This server may not connect to {0}.",
    ),
    Reason(
        "private-or-missing",
        r"Repository not found|does not appear to be a git repository|Authentication failed for '"
        r"|could not read (?:Username|Password)|Permission denied \(publickey"
        r"|The requested URL returned error: 40[134]|Host key verification failed"
        r"|\bfatal: repository '[^']*' (?:not found|does not exist)|want to use a secret Gist",
        "The repository is not there, or it is private.",
        "Check its address, and that anyone may read it.",
    ),
    Reason(
        "python-unavailable",
        r"No interpreter found for (Python \S+)|No download found for request: (\S+)"
        r"|Invalid version request: (Python .+)|Invalid runtime\.txt"
        r"|runtime\.txt version not supported|Python version compatible with pyproject\.toml"
        r"|^pyproject\.toml: requires-python .* is not understood"
        r"|python-build-standalone/releases/download/[^/]+/cpython-(\d+\.\d+\.\d+)",
        "The Python that the repository asks for cannot be had here.",
        "Ask for another version in runtime.txt or pyproject.toml, or for none.",
        "The Python that the repository asks for cannot be had here: {0}.",
    ),
    Reason(
        "host-unreachable",
        r"Could not resolve host(?:name)?:? ([^\s;,]+)|unable to look up ([^\s:]+)"
        r"|Failed to connect to (\S+) port|connect to host (\S+) port"
        r"|fatal: unable to connect to ([^\s:]+)|Failed to resolve '([^']+)'"
        r"|Network is unreachable|No route to host"
        r"|Connection timed out|Operation timed out|Temporary failure in name resolution"
        r"|Name or service not known",
        "A host cannot be reached.",
        "Check the address, and whether that host is up; then try again.",
        "The host {0} cannot be reached.",
    ),
    Reason(
        "outside-link",
        r"^(?:Error during build: )?(\S.{0,300}) is a (?:symbolic|hard) link that leads outside",
        "A link in the repository leads outside of it.",
        "Replace the link with a copy of what it leads to, or let it lead to a file of the "
        "repository by a relative path.",
        "{0} is a link that leads outside the repository.",
    ),
    Reason(
        "unsafe-file",
        r"^(?:Error during build: )?(\S.{0,300}) is neither a file, a folder nor"
        r"|^(?:Error during build: )?(\S.{0,300}) has folders that are nested more than"
        r"|^(?:Error during build: )?(\S.{0,300}) is larger than the \d+ MiB that are read"
        r"|^(?:Error during build: )?(\S.{0,300}) is one of too many symbolic links",
        "There is something in the repository that cannot be read safely.",
        "Remove it from the repository; the log says what is wrong with it.",
        "{0} cannot be read safely.",
    ),
    Reason(
        "resource-limit",
        r"File size limit exceeded|CPU time limit exceeded|Errno 27\] File too large"
        r"|Too many open files|fork: (?:retry: )?Resource temporarily unavailable"
        r"|was stopped by SIGXFSZ|was stopped by SIGXCPU",
        "A limit on what a build may use was reached.",
        "Use less of it: smaller files, fewer processes. Whoever runs this server can raise it.",
    ),
    Reason(
        "unsupported-file",
        r"^(?!\w+BuildPack )(\S+) cannot be honoured without a container engine"
        r"|BuildPack cannot be honoured without a container engine",
        "The repository asks for what cannot be honoured without a container engine.",
        "Launch it with docker or podman (--engine docker), or ask for what it needs in "
        "requirements.txt.",
        "The repository has {0}, which cannot be honoured without a container engine.",
    ),
    Reason(
        "out-of-memory",
        r"OOMKilled|\bOut of memory\b|Cannot allocate memory|\bMemoryError\b"
        r"|Killed signal terminated program"
        r"|exit (?:code|status):? (?:137|-9)\b|exited with (?:code|status):? (?:137|-9)\b"
        r"|non-zero (?:code|status):? (?:137|-9)\b",
        "There was not enough memory.",
        "Ask for fewer or smaller packages, or for a larger machine.",
    ),
    Reason(
        "disk-full",
        r"No space left on device|disk quota exceeded",
        "The disk is full.",
        "Try again later; if it stays, tell who runs this server.",
    ),
    Reason(
        "conda-conflict",
        r"─ ([^\s─]+) [^─]*does not exist \(perhaps a typo|nothing provides requested (\S+)"
        r"|LibMambaUnsatisfiableError|Could not solve for environment specs"
        r"|ResolvePackageNotFound|UnsatisfiableError|PackagesNotFoundError",
        "The packages in environment.yml do not all exist, or cannot be installed together.",
        "Loosen or correct the versions that the log names, and try again.",
        "environment.yml asks for {0}, which is not in its channels.",
        below=r"(?:NotFoundError: The following packages are [^-:]{0,60}:"
        r"|ResolvePackageNotFound: ?) - (\S+)",
    ),
    Reason(
        "unsatisfiable-requirement",
        r"No matching distribution found for (.+)$"
        r"|No solution found when resolving dependencies"
        r"|Could not find a version that satisfies the requirement (\S+)"
        r"|ResolutionImpossible|these package versions have conflicting dependencies"
        r"|we can conclude that",
        "The requirements cannot all be satisfied.",
        "Correct the name or the version in requirements.txt, and try again.",
        "The requirement {0} cannot be satisfied.",
        # uv tells how it came to it; the last of it is what leaves the others no room.
        below=r"you require ([\w.\[\]-][^\s,]*(?:,[<>=!~][^\s,]+)*),"
        r" we can conclude that your requirements",
    ),
    Reason(
        "bad-requirement-file",
        r"Couldn't parse requirement|Invalid requirement|Could not open requirements file"
        r"|File not found: `[^`]*requirements",
        "requirements.txt is not understood.",
        "Correct the line that the log names: one requirement a line, as pip has it.",
    ),
    Reason(
        "package-build-failed",
        r"Failed building wheel for (\S+)|Could not build wheels for ([^\s,]+)"
        r"|Failed to build installable wheels for [^(]{0,60}\(([^\s,)]+)|Failed to build `([^`\s]+)"
        r"|^(?:ERROR: )?Failed to build (?!installable|image|the\b)([\w.-]+)$"
        r"|subprocess-exited-with-error|metadata-generation-failed",
        "A package could not be built.",
        "Ask for a version that has a wheel, or add what its build needs.",
        "The package {0} could not be built.",
    ),
    Reason(
        "postbuild-failed",
        r"postBuild (?:failed|exited|returned)"
        r"|postBuild[\"']? (?:returned a non-zero code|did not complete)"
        r"|postBuild\": while running runtime: exit status",
        "The repository's postBuild script failed.",
        "Run it by hand in a fresh clone to see why; the log has what it printed.",
    ),
    Reason(
        "image-pull-failed",
        r"failed to find image (\S+): |pull access denied for ([^\s,]+)"
        r"|Back-off pulling image \"([^\"]+)\"|initializing source docker://([^\s]+): "
        r"|failed to resolve source metadata for (\S+): "
        r"|image pull back-off(?:: no such image (\S+))?|ImagePullBackOff|ErrImagePull"
        r"|manifest unknown",
        "An image could not be found or pulled.",
        "Check the name after FROM, or that the registry is up; then try again.",
        "The image {0} could not be found or pulled.",
    ),
    Reason(
        "no-jupyter",
        r"exec: \"(?:jupyter[\w-]*)\": executable file not found",
        "The image has no Jupyter that could be started.",
        "Install jupyterlab in the image.",
    ),
    Reason(
        "server-did-not-answer",
        r"didn't respond in \d+ seconds|failed to respond",
        "The server was started but did not answer in time.",
        "Try again; if it stays, look in the repository for what keeps Jupyter from starting.",
    ),
    Reason(
        "no-node",
        r"Insufficient (?:cpu|memory)|0/\d+ nodes are available|Timeout waiting for.{0,60}Pending",
        "No machine had room for the server in time.",
        "Try again in a few minutes.",
    ),
    Reason(
        "start-timeout",
        r"did not start (?:with)?in \d+|failed to start in \d+ seconds"
        r"|Timeout.{0,30}spawn|Spawn failed: Timeout|took too long to launch",
        "The server did not start in time.",
        "Try again; if it stays, tell who runs this server.",
    ),
    Reason(
        "build-step-failed",
        r"building at STEP|returned a non-zero code|did not complete successfully"
        r"|^\S+ exited with status [1-9]\d*\.$",
        "A step of the build failed.",
        "The log shows which; correct it and try again.",
    ),
    Reason(
        "spawn-failed",
        r"^Failed to (?:launch image|create temporary user for) |^Image \S+ for user \S+ failed to",
        "The server could not be started.",
        "Try again; the log says more.",
    ),
    Reason(
        "refused",
        r"^Requests from .+ are not allowed$|^Invalid build token$",
        "This is not allowed here.",
        "Ask whoever runs this server.",
    ),
    Reason(
        "internal",
        r"^Unhandled error watching for build events",
        "Something went wrong on the server.",
        "Tell who runs it; its log has more.",
    ),
]

# These come from our own code, never from a log.
_OWN = [
    # The first two: from the browser's part, which knows only what comes over its connection.
    Reason(
        "unreachable",
        "",
        "The server does not answer any more.",
        "Check that you are online, and try again: what was built already is not built again.",
    ),
    Reason(
        "connection-lost",
        "",
        "The connection was lost after a server was asked for: it may be up by now all the same, "
        "and starting again starts another one.",
        "Start again if you need a server now; one that nobody uses is usually stopped by itself.",
    ),
    Reason(
        "left",
        "",
        "This page watches it no longer. A build that is under way goes on.",
        "Launch it again if you still want it.",
    ),
    Reason("hub-unreachable", "", "The JupyterHub does not answer.", "Try again in a minute."),
    Reason(
        "build-timeout",
        "",
        "The build took too long.",
        "Ask for fewer packages, or have the limit raised.",
    ),
    Reason(
        "build-failed", "", "The build failed.", "The log shows where; correct it and try again."
    ),
    Reason("build-interrupted", "", "The build was stopped from outside.", "Try again."),
    Reason("cancelled", "", "Cancelled.", "Launch it again if you still want it."),
    Reason("abandoned", "", "Cancelled, since nobody was watching.", "Launch it again."),
    Reason("shutdown", "", "The server that ran this launch was stopped.", "Launch it again."),
    Reason("unknown", "", "It failed.", "The log says more."),
]

REASONS = {reason.key: reason for reason in [*_TABLE, *_OWN]}
"""All reasons by their key."""

FLAGS = re.IGNORECASE | re.ASCII
"""How the patterns are meant. ASCII: as JavaScript takes ``\\w``, ``\\d`` and letters' case."""

_COMPILED = [
    (
        reason,
        Matcher(reason.pattern, FLAGS),
        re.compile(reason.below, FLAGS) if reason.below else None,
    )
    for reason in _TABLE
]
# ECMA-48's: control sequences, control strings (OSC, DCS, …), other escapes, controls. What is not
# finished ends with its line, so that one line cannot hide the next.
_LINE_END = re.compile(r"[\r\n]+")
DRAWN = "│├╰─▶× "
"""What programs draw in front of wrapped sentences."""

LONGEST_LINE = 2000
"""What stands beyond is not read for reasons; nobody could read its sentence either."""

LONGEST_LOG = 16_000
MOST_LINES = 400
"""As many characters and lines of a log are read for reasons, from its end."""

LONGEST_SUBJECT = 100
EVIDENCE = 6
"""How many lines of the log are told at most."""


class Diagnosis(msgspec.Struct, frozen=True):
    """What is known of a failure.

    Attributes
    ----------
    reason : str
        A key of `REASONS`.
    subject : str
        What it is about, as the requirement that cannot be satisfied; in the message already.
    message, advice : str
        One sentence each.
    evidence : list of str
        The lines that say so, in their order.
    """

    reason: str
    subject: str
    message: str
    advice: str
    evidence: list[str]


def failure(key: str, message: str = "") -> LaunchFailedError:
    """Return the error for a reason that is known, with its own sentence or another."""
    reason = REASONS[key]
    return LaunchFailedError(message or reason.sentence, reason=key, advice=reason.advice)


def diagnose(lines: Reversible[str], *, otherwise: str = "unknown") -> Diagnosis:
    """Find out from the last lines of a log why it failed.

    Parameters
    ----------
    lines : sequence of str
        In their order; read from the end, as far as `LONGEST_LOG` and `MOST_LINES` allow.
    otherwise : str
        The reason where no line tells; the last lines are the evidence then.
    """
    log = Log(_last_lines(lines))
    for reason, matcher, below in _COMPILED:
        found = matcher.find(log)
        if found:
            name = next((group for _, match in found for group in match.groups() if group), "")
            evidence = [log.lines[at] for at, _ in found]
            if not name and below is not None:
                name, wrapped = _look_below(below, log.lines[found[0][0] :][:EVIDENCE])
                evidence = wrapped or evidence
            subject = _subject(name) if reason.named else ""
            sentence = reason.named.format(subject) if subject else reason.sentence
            return Diagnosis(reason.key, subject, sentence, reason.advice, evidence[:EVIDENCE])
    reason = REASONS[otherwise]
    return Diagnosis(reason.key, "", reason.sentence, reason.advice, log.lines[-EVIDENCE:])


def _last_lines(messages: Reversible[str]) -> list[str]:
    """Return the last lines that say something, plain, as far as a diagnosis reads."""
    lines: deque[str] = deque()
    characters = count = 0
    for message in reversed(messages):
        # A message may be more than one line.
        for line in reversed(_LINE_END.split(message[-LONGEST_LOG:])):
            text = line[:LONGEST_LINE]
            characters += len(text)
            count += 1
            if characters > LONGEST_LOG or count > MOST_LINES:
                return list(lines)
            if text := plain(text).strip():
                lines.appendleft(text)
    return list(lines)


def _look_below(pattern: re.Pattern[str], lines: list[str]) -> tuple[str, list[str]]:
    """Return the name that is in some of the first lines, joined, and those lines."""
    for count in range(1, len(lines) + 1):
        joined = " ".join(line.lstrip(DRAWN) for line in lines[:count])[:LONGEST_LINE]
        if (match := pattern.search(joined)) is not None:
            return match[1], lines[:count]
    return "", []


def _subject(name: str) -> str:
    # Not from the front: ".binder/Dockerfile" has its dot there.
    name = name.strip(" ,:;'\"`").rstrip(".,:;'\"` ")
    return name[:LONGEST_SUBJECT] + "…" if len(name) > LONGEST_SUBJECT else name
