"""The reasons why a launch fails, as data: patterns, a sentence and advice.

`diagnosis` searches a log for them. The browser uses the same patterns, see `browser_tables`.
"""

from __future__ import annotations

import msgspec

from ...errors import LaunchFailedError

__all__ = ["PATTERN_REASONS", "REASONS", "Reason", "failure"]


class Reason(msgspec.Struct, frozen=True):
    """One known cause of a failure.

    Attributes
    ----------
    key : str
        For programs and translations.
    pattern : str
        A regular expression that is searched for in each line. Empty: never searched for.
    sentence : str
        What happened.
    advice : str
        What to do.
    named : str
        What happened, naming the subject: ``{0}`` is the first group of `pattern` that matched.
    below : str
        A regular expression with one group, searched for in the matching line joined with the
        lines below it, because some programs wrap their messages. It gives ``{0}`` if `pattern`
        does not.
    """

    key: str
    pattern: str
    sentence: str
    advice: str
    named: str = ""
    below: str = ""


# The first reason that matches any line wins, so causes come before their consequences.
#
# Attack: the owner of the repository writes the log, so each pattern must take linear time. Each
# alternative begins with fixed text or `^`. A repetition after that stops before the next
# occurrence of the same text, or after a bounded number of characters. `.*` is allowed only after
# `^`. `tests/attacks/test_patterns.py` measures the time.
PATTERN_REASONS = [
    Reason(
        "no-engine",
        r"Cannot connect to the Docker daemon|Cannot connect to Podman|podman is not installed"
        r"|Docker client initialization error|commandline client must be installed"
        r"|The buildx plugin must be installed|Check if docker is running"
        r"|No such file or directory: '(?:docker|podman)'"
        r"|Container engine '[^']*' not found|podman does not work",
        "The container engine is not responding.",
        "Start Docker or Podman on the server, or use the engine 'local'.",
    ),
    Reason(
        "quota",
        r"Too many users running (\S+?)! Try again soon|Too many users on this BinderHub"
        r"|already has (?:the maximum of \d+ named servers|a running server)"
        r"|Active user limit exceeded|forbidden: exceeded quota: ",
        "The limit on running servers has been reached.",
        "Stop a server that you no longer need, or try again in a few minutes.",
        "The limit on running servers for {0} has been reached.",
    ),
    Reason(
        "rate-limited",
        # The waiting time is not shown: BinderHub gives the full period, not the remaining time.
        r"^Rate limit exceeded\. Try again in \d|GitHub rate limit exceeded|\btoomanyrequests: ",
        "Too many requests in a short time.",
        "Try again later.",
    ),
    Reason(
        "banned",
        r"^Sorry, (\S+) is not allowed to launch",
        "Launching this repository is not allowed here.",
        "Contact the administrator.",
        "Launching {0} is not allowed here.",
    ),
    Reason(
        "bad-spec",
        r"^No provider found for prefix (\S+)"
        r"|Spec is not of the form \"[^\"]+\", provided: \"([^\"]*)\""
        r"|Unsupported git url ([^\s,]+), protocol|^An unresolved ref is required"
        r"|`unresolved_ref` must be specified in the url",
        "The launch link is not valid.",
        "Check the link. It must name a provider, a repository and a branch, tag or commit.",
        "The launch link is not valid: {0}.",
    ),
    Reason(
        "unresolved",
        # BinderHub does not tell these cases apart.
        r"Could not resolve ref for (\S+?)\. Double check",
        "The repository does not exist or is private, or it has no such branch, tag or commit.",
        "Check the address for typos, and that the repository is public.",
        "{0} was not found: the repository does not exist or is private, or it has no such "
        "branch, tag or commit.",
    ),
    Reason(
        "bad-ref",
        r"Failed to check out ref '?([^\s']+)|not our ref ([0-9a-f]+)"
        r"|couldn't find remote ref (\S+)|unable to read tree \(?([0-9a-f]+)"
        r"|reference is not a tree: (\S+)"
        r"|Could not parse object '([^']+)'"
        r"|Remote branch (\S+) not found|pathspec '([^']+)' did not match",
        "The branch, tag or commit does not exist in the repository.",
        "Check its spelling, or leave it out to use the default branch.",
        "The branch, tag or commit {0} does not exist in the repository.",
    ),
    Reason(
        "unsafe-path",
        r"\bUnsafe file name ('[^']{1,150}'|\"[^\"]{1,150}\"): it ",
        "The name of a file is not safe to write.",
        "Ask the author to rename the file.",
        "The file name {0} is not safe to write.",
    ),
    Reason(
        "too-large",
        r"\bToo large for this server: ([^.]{1,100})\.",
        "The repository is too large for this server.",
        "Launch something smaller, or ask the administrator to raise the limit.",
        "The repository is too large for this server: {0}.",
    ),
    Reason(
        "address-refused",
        r"\bThis server may not connect to ([^\s,]{1,255})",
        "The repository is at an address that this server may not connect to.",
        "Use a public address, or ask the administrator to allow this one.",
        "This server may not connect to {0}.",
    ),
    Reason(
        "private-or-missing",
        r"Repository not found|does not appear to be a git repository|Authentication failed for '"
        r"|could not read (?:Username|Password)|Permission denied \(publickey"
        r"|The requested URL returned error: 40[134]|Host key verification failed"
        r"|\bfatal: repository '[^']*' (?:not found|does not exist)|want to use a secret Gist",
        "The repository does not exist, or it is private.",
        "Check the address for typos, and that the repository is public.",
    ),
    Reason(
        "python-unavailable",
        r"No interpreter found for Python (\S+)"
        r"|No download found for request: (?:cpython-)?([\w.]+)"
        r"|Invalid version request: Python \S{1,20} is not supported but (\S+) was requested"
        r"|Invalid version request: Python|Invalid runtime\.txt"
        r"|runtime\.txt version not supported|Python version compatible with pyproject\.toml"
        r"|^pyproject\.toml: requires-python .* is not valid"
        r"|python-build-standalone/releases/download/[^/]+/cpython-(\d+\.\d+\.\d+)",
        "The Python version that the repository asks for is not available here.",
        "Ask for a different version in runtime.txt or pyproject.toml, or remove the version.",
        "Python {0} is not available here.",
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
        "Check the address, and that the host is up. Then try again.",
        "The host {0} cannot be reached.",
    ),
    Reason(
        "outside-link",
        r"^(?:Error during build: )?(\S.{0,300}) is a (?:symbolic|hard) link that points outside",
        "A link in the repository points outside of it.",
        "Replace the link with a copy of the file, or with a relative link to a file in the "
        "repository.",
        "{0} is a link that points outside the repository.",
    ),
    Reason(
        "unsafe-file",
        r"^(?:Error during build: )?(\S.{0,300}) is neither a file, a folder nor"
        r"|^(?:Error during build: )?(\S.{0,300}) has folders that are nested more than"
        r"|^(?:Error during build: )?(\S.{0,300}) is larger than the \d+ MiB that are read"
        r"|^(?:Error during build: )?(\S.{0,300}) is one of too many symbolic links",
        "Something in the repository cannot be read safely.",
        "Remove it from the repository. The log says what is wrong with it.",
        "{0} cannot be read safely.",
    ),
    Reason(
        "resource-limit",
        r"File size limit exceeded|CPU time limit exceeded|Errno 27\] File too large"
        r"|Too many open files|fork: (?:retry: )?Resource temporarily unavailable"
        r"|was stopped by SIGXFSZ|was stopped by SIGXCPU",
        "The build exceeded a resource limit.",
        "Use smaller files or fewer processes, or ask the administrator to raise the limit.",
    ),
    Reason(
        "unsupported-file",
        r"^(?!\w+BuildPack )(\S+) is not supported without a container engine"
        r"|BuildPack is not supported without a container engine",
        "The repository has a file that is not supported without a container engine.",
        "Launch it with Docker or Podman (--engine docker), or list what it needs in "
        "requirements.txt.",
        "The repository has {0}, which is not supported without a container engine.",
    ),
    Reason(
        "out-of-memory",
        r"OOMKilled|\bOut of memory\b|Cannot allocate memory|\bMemoryError\b"
        r"|Killed signal terminated program"
        r"|exit (?:code|status):? (?:137|-9)\b|exited with (?:code|status):? (?:137|-9)\b"
        r"|non-zero (?:code|status):? (?:137|-9)\b",
        "There was not enough memory.",
        "Use fewer or smaller packages, or a larger machine.",
    ),
    Reason(
        "disk-full",
        r"No space left on device|disk quota exceeded",
        "The disk is full.",
        "Try again later. If this keeps happening, contact the administrator.",
    ),
    Reason(
        "conda-conflict",
        r"─ ([^\s─]+) [^─]*does not exist \(perhaps a typo|nothing provides requested (\S+)"
        r"|LibMambaUnsatisfiableError|Could not solve for environment specs"
        r"|ResolvePackageNotFound|UnsatisfiableError|PackagesNotFoundError",
        "Some packages in environment.yml do not exist, or they conflict with each other.",
        "Correct or relax the versions that the log names, and try again.",
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
        # uv prints its derivation. The last requirement in it is the one that conflicts.
        below=r"you require ([\w.\[\]-][^\s,]*(?:,[<>=!~][^\s,]+)*),"
        r" we can conclude that your requirements",
    ),
    Reason(
        "bad-requirement-file",
        r"Couldn't parse requirement|Invalid requirement|Could not open requirements file"
        r"|File not found: `[^`]*requirements",
        "requirements.txt is not valid.",
        "Correct the line that the log names. pip expects one requirement per line.",
    ),
    Reason(
        "package-build-failed",
        r"Failed building wheel for (\S+)|Could not build wheels for ([^\s,]+)"
        r"|Failed to build installable wheels for [^(]{0,60}\(([^\s,)]+)|Failed to build `([^`\s]+)"
        r"|^(?:ERROR: )?Failed to build (?!installable|image|the\b)([\w.-]+)$"
        r"|subprocess-exited-with-error|metadata-generation-failed",
        "A package could not be built.",
        "Use a version that has a wheel, or add what the package needs to build.",
        "The package {0} could not be built.",
    ),
    Reason(
        "postbuild-failed",
        r"postBuild (?:failed|exited|returned)"
        r"|postBuild[\"']? (?:returned a non-zero code|did not complete)"
        r"|postBuild\": while running runtime: exit status",
        "The repository's postBuild script failed.",
        "Run the script in a fresh clone to find out why. The log has its output.",
    ),
    Reason(
        "image-pull-failed",
        r"failed to find image (\S+): |pull access denied for ([^\s,]+)"
        r"|Back-off pulling image \"([^\"]+)\"|initializing source docker://([^\s]+): "
        r"|failed to resolve source metadata for (\S+): "
        r"|image pull back-off(?:: no such image (\S+))?|ImagePullBackOff|ErrImagePull"
        r"|manifest unknown",
        "An image could not be found or pulled.",
        "Check the image name after FROM, and that the registry is up. Then try again.",
        "The image {0} could not be found or pulled.",
    ),
    Reason(
        "no-jupyter",
        r"exec: \"(?:jupyter[\w-]*)\": executable file not found",
        "Jupyter is not installed in the image.",
        "Install jupyterlab in the image.",
    ),
    Reason(
        "server-did-not-answer",
        r"didn't respond in \d+ seconds|failed to respond",
        "The server started but did not respond in time.",
        "Try again. If this keeps happening, check what in the repository keeps Jupyter from "
        "starting.",
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
        "Try again. If this keeps happening, contact the administrator.",
    ),
    Reason(
        "build-step-failed",
        r"building at STEP|returned a non-zero code|did not complete successfully"
        r"|^\S+ exited with status [1-9]\d*\.$",
        "A step of the build failed.",
        "The log shows which one. Correct it and try again.",
    ),
    Reason(
        "spawn-failed",
        r"^Failed to (?:launch image|create temporary user for) |^Image \S+ for user \S+ failed to",
        "The server could not be started.",
        "Try again. See the log for details.",
    ),
    Reason(
        "refused",
        r"^Requests from .+ are not allowed$|^Invalid build token$",
        "This is not allowed here.",
        "Contact the administrator.",
    ),
    Reason(
        "internal",
        r"^Unhandled error watching for build events",
        "Something went wrong on the server.",
        "Contact the administrator. The server's log has the details.",
    ),
]
"""The reasons with a pattern, in the order in which they are tried."""

# Set by our own code, never searched for in a log.
_OWN_REASONS = [
    # The first two are set by the browser, when its connection fails.
    Reason(
        "unreachable",
        "",
        "The server is no longer responding.",
        "Check that you are online, and try again. A finished build is not repeated.",
    ),
    Reason(
        "connection-lost",
        "",
        "The connection was lost while the server was starting. It may be running by now, and "
        "launching again starts another one.",
        "Launch again if you need a server now. Servers that nobody uses are usually stopped.",
    ),
    Reason(
        "left",
        "",
        "This page stopped watching the launch. A build that is running continues.",
        "Launch again if you still need it.",
    ),
    Reason("hub-unreachable", "", "JupyterHub is not responding.", "Try again in a minute."),
    Reason(
        "build-timeout",
        "",
        "The build took too long.",
        "Use fewer packages, or ask the administrator to raise the limit.",
    ),
    Reason(
        "build-failed", "", "The build failed.", "The log shows where. Correct it and try again."
    ),
    Reason("build-interrupted", "", "The build was interrupted.", "Try again."),
    Reason("cancelled", "", "Cancelled.", "Launch again if you still need it."),
    Reason("abandoned", "", "Cancelled, because nobody was watching.", "Launch again."),
    Reason("shutdown", "", "The server shut down during the launch.", "Launch again."),
    Reason(
        "storage",
        "",
        "The server could not store this launch.",
        "Try again in a minute. If this keeps happening, contact the administrator.",
    ),
    Reason("unknown", "", "The launch failed.", "See the log for details."),
]

REASONS = {reason.key: reason for reason in [*PATTERN_REASONS, *_OWN_REASONS]}
"""All reasons by their key."""


def failure(key: str, message: str = "") -> LaunchFailedError:
    """Return the error for a reason, with the reason's own sentence unless `message` is given."""
    reason = REASONS[key]
    return LaunchFailedError(message or reason.sentence, reason=key, advice=reason.advice)
