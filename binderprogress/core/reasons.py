"""Why a launch failed: recognised in the log, said in one sentence, with what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from ..errors import LaunchFailedError

__all__ = ["REASONS", "Diagnosis", "Reason", "diagnose", "failure", "plain"]


class Reason(msgspec.Struct, frozen=True):
    """One known way to fail.

    Attributes
    ----------
    key : str
        For programs and translations.
    pattern : str
        A regular expression; a line that it is found in says so. Empty: never looked for.
    sentence : str
        What happened. ``{0}`` is the expression's first group.
    advice : str
        What to do.
    """

    key: str
    pattern: str
    sentence: str
    advice: str


# The first that is found in the log wins, so the more telling ones come first.
_TABLE = [
    Reason(
        "bad-ref",
        r"Failed to check out (?:ref|the) '?([^']+?)'?(?: branch.*)?$"
        r"|unable to read tree|not our ref",
        "The branch, tag or commit {0} is not in the repository.",
        "Check its spelling, or leave it out to take the default branch.",
    ),
    Reason(
        "private-or-missing",
        r"Repository not found|does not appear to be a git repository|Authentication failed"
        r"|could not read Username|Permission denied \(publickey"
        r"|The requested URL returned error: 40[134]"
        r"|^fatal: repository '.*' (?:not found|does not exist)",
        "The repository is not there, or it is private.",
        "Check its address, and that anyone may read it.",
    ),
    Reason(
        "host-unreachable",
        r"Could not resolve host(?:name)?:? ([^\s;,]+)|unable to look up ([^\s:]+)"
        r"|Failed to connect to (\S+)|Connection refused|Connection timed out"
        r"|Network is unreachable|Operation timed out",
        "The host {0} of the repository cannot be reached.",
        "Check the address, and whether that host is up; then try again.",
    ),
    Reason(
        "unsupported-file",
        r"^(\S+) cannot be honoured without a container engine",
        "The repository has {0}, which cannot be honoured without a container engine.",
        "Launch it with docker or podman (--engine docker), or ask for what it needs in "
        "requirements.txt.",
    ),
    Reason(
        "python-unavailable",
        r"No interpreter found for (Python [^\s]+)|No download found for request: (\S+)",
        "{0}, which runtime.txt asks for, cannot be had on this machine.",
        "Ask for another version in runtime.txt, or leave that file out.",
    ),
    Reason(
        "conda-conflict",
        r"LibMambaUnsatisfiableError|Could not solve for environment specs"
        r"|ResolvePackageNotFound|UnsatisfiableError|PackagesNotFoundError",
        "The packages in environment.yml cannot be installed together.",
        "Loosen or correct the versions that the log names, and try again.",
    ),
    Reason(
        "unsatisfiable-requirement",
        r"No matching distribution found for (.+)$"
        r"|No solution found when resolving dependencies"
        r"|Could not find a version that satisfies the requirement (\S+)"
        r"|ResolutionImpossible|was not found in the package registry",
        "The requirement {0} cannot be satisfied.",
        "Correct its name or version in requirements.txt, and try again.",
    ),
    Reason(
        "bad-requirement-file",
        r"Couldn't parse requirement|Invalid requirement|error: .*requirements\.txt",
        "requirements.txt is not understood.",
        "Correct the line that the log names: one requirement a line, as pip has it.",
    ),
    Reason(
        "package-build-failed",
        r"Failed to build [`']?([^`'\s]+)|Failed building wheel for (\S+)"
        r"|subprocess-exited-with-error|metadata-generation-failed",
        "The package {0} could not be built.",
        "Ask for a version that has a wheel, or add what its build needs.",
    ),
    Reason(
        "out-of-memory",
        r"OOMKilled|Out of memory|Cannot allocate memory|MemoryError"
        r"|exit(?:ed with)? (?:code|status) 137",
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
        "postbuild-failed",
        r"postBuild (?:failed|exited|returned)|chmod \+x .*postBuild.*(?:exit|non-zero)",
        "The repository's postBuild script failed.",
        "Run it by hand in a fresh clone to see why; the log has what it printed.",
    ),
    Reason(
        "image-pull-failed",
        r"ImagePullBackOff|ErrImagePull|image pull back-off|failed to find image|pull access denied"
        r"|manifest unknown|initializing source docker://",
        "An image could not be pulled.",
        "Check the name after FROM, or that the registry is up; then try again.",
    ),
    Reason(
        "no-engine",
        r"Cannot connect to the Docker daemon|Docker client initialization error"
        r"|commandline client must be installed|The buildx plugin must be installed"
        r"|podman.* (?:is not installed|command not found)|Check if docker is running",
        "The container engine does not answer.",
        "Start docker or podman on the server, or use the engine 'local'.",
    ),
    Reason(
        "no-node",
        r"Insufficient (?:cpu|memory)|0/\d+ nodes are available|Timeout waiting for.*Pending",
        "No machine had room for the server in time.",
        "Try again in a few minutes.",
    ),
    Reason(
        "server-did-not-answer",
        r"didn't respond in (\d+ seconds)|failed to respond|did not start within|Timeout.*spawn"
        r"|took too long to launch",
        "The server was started but did not answer in time.",
        "Try again; if it stays, look in the repository for what keeps Jupyter from starting.",
    ),
    Reason(
        "build-step-failed",
        r"(?:building at STEP|returned a non-zero code"
        r"|process \"(.+)\" did not complete successfully)",
        "A step of the build failed.",
        "The log shows which; correct it and try again.",
    ),
]

# These come from our own code, never from a log.
_OWN = [
    Reason("hub-unreachable", "", "The JupyterHub does not answer.", "Try again in a minute."),
    Reason("spawn-failed", "", "The server could not be started.", "Try again; the log says more."),
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
    Reason("refused", "", "This is not allowed here.", "Ask whoever runs this server."),
    Reason("cancelled", "", "Cancelled.", ""),
    Reason("abandoned", "", "Cancelled, since nobody was watching.", "Launch it again."),
    Reason("shutdown", "", "The server that ran this launch was stopped.", "Launch it again."),
    Reason(
        "internal", "", "Something went wrong on the server.", "Tell who runs it; its log has more."
    ),
    Reason("unknown", "", "It failed.", "The log says more."),
]

REASONS = {reason.key: reason for reason in [*_TABLE, *_OWN]}
"""All reasons by their key."""

_COMPILED = [(reason, re.compile(reason.pattern, re.IGNORECASE)) for reason in _TABLE]
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])|[\x00-\x08\x0b-\x1f\x7f]"
)
# A line that is longer than this is not read for reasons; nobody could read its sentence either.
_LONGEST = 2000
_EVIDENCE = 6


class Diagnosis(msgspec.Struct, frozen=True):
    """What is known of a failure.

    Attributes
    ----------
    reason : str
        A key of `REASONS`.
    message, advice : str
        One sentence each.
    evidence : list of str
        The lines that say so, in their order.
    """

    reason: str
    message: str
    advice: str
    evidence: list[str]


def failure(key: str, message: str = "") -> LaunchFailedError:
    """Return the error for a reason that is known, with its own sentence or another."""
    reason = REASONS[key]
    return LaunchFailedError(message or reason.sentence, reason=key, advice=reason.advice)


def plain(text: str) -> str:
    """Return `text` without escape sequences and control characters."""
    return _ESCAPES.sub("", text)


def diagnose(lines: Iterable[str], *, otherwise: str = "unknown") -> Diagnosis:
    """Find out from the last lines of a log why it failed.

    Parameters
    ----------
    lines : iterable of str
        In their order.
    otherwise : str
        The reason where no line tells; the last lines are the evidence then.
    """
    cleaned = [text for line in lines if (text := plain(line[:_LONGEST]).strip())]
    for reason, pattern in _COMPILED:
        found = [(line, match) for line in cleaned if (match := pattern.search(line))]
        if found:
            subject = next((g for _, match in found for g in match.groups() if g), "")
            # Without the name, the sentence has to do without it too.
            sentence = re.sub(r"\s+", " ", reason.sentence.format(subject.strip()))
            return Diagnosis(
                reason.key,
                sentence.replace(" ,", ","),
                reason.advice,
                [line for line, _ in found][:_EVIDENCE],
            )
    reason = REASONS[otherwise]
    return Diagnosis(reason.key, reason.sentence, reason.advice, cleaned[-_EVIDENCE:])
