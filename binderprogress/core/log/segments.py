"""The steps of a log, and which of them failed.

Builders print the lines of one step after those of another, BuildKit interleaves them, and after a
failure all of them repeat what was printed already. What follows a failure (``returned a non-zero
code``, ``Error during build: …``) says which command failed, not why; that is the verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

__all__ = ["Line", "Log", "Segment", "is_noise", "read_log", "without_stamp"]


class Line(NamedTuple):
    """A line of the log.

    Attributes
    ----------
    number : int
        Its place among the lines that were given, from 0.
    text : str
        Without what a builder puts in front of it.
    printed : bool
        Whether the program that the step runs has printed it, and not the builder.
    """

    number: int
    text: str
    printed: bool = True


class Segment(msgspec.Struct):
    """The lines of one step.

    Attributes
    ----------
    kind : str
        One of `reasons.KINDS`, or empty if it is not known.
    title : str
        The instruction or the command.
    lines : list of Line
    failed : bool
        Whether the builder says that this step failed.
    """

    kind: str
    title: str = ""
    lines: list[Line] = []
    failed: bool = False

    @property
    def file(self) -> str:
        """The file of the repository that the step installs from; empty if it is not known."""
        for pattern in _FILES:
            if (match := pattern.search(self.title)) is not None:
                return match[1].removeprefix("./")
        return ""


class Log(msgspec.Struct):
    """A log that was read.

    Attributes
    ----------
    segment : Segment
        The step that failed: the one that the builder says failed, else the last one.
    command, code : str
        The command that failed, and its exit code, where a builder says so.
    failed : bool
        Whether a builder says that something failed.
    said : str
        What repo2docker says of the failure in its own words, unless that is only the command.
    dockerfile : bool
        Whether the repository has its own Dockerfile.
    dockerfile_line : int
        The line of the Dockerfile that failed, from 1; 0 if it is not known.
    """

    segment: Segment
    command: str = ""
    code: str = ""
    failed: bool = False
    said: str = ""
    dockerfile: bool = False
    dockerfile_line: int = 0


PATTERNS = {
    # BuildKit's vertices: "#17 6.120 text", "#17 [2/9] RUN …", "#17 ERROR: …".
    "vertex": r"#(\d{1,5}) (\d{1,7}\.\d{1,4} ?)?(.*)",
    "stamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d) "
    r"(?!\[(?:Normal|Warning)\])(.*)",
    "event": r"\S{1,40}Z \[(?:Normal|Warning)\] ",
    "instruction": r"(?:(?:\[\d{1,4}/\d{1,4}\] )?STEP|Step) \d{1,4}/\d{1,4} ?: (.*)",
    "vertex_title": r"\[(?:internal\] |[^\]]{0,60}\] )(.*)",
    "context": r" {0,6}\d{1,6} \|(?: |$)",
    "dockerfile": r"\S{0,200}Dockerfile\S{0,60}:(\d{1,6})$",
    "command_classic": r"The command '(.*)' returned a non-zero code: (\d{1,9})",
    "command_buildkit": r"(?:ERROR: )?(?:failed to (?:build|solve): ){0,3}process \"(.*)\" "
    r"did not complete successfully: exit code: (\d{1,9})",
    "command_podman": r"(?:Error: )?building at STEP \"(?:RUN )?(.*)\": "
    r"(?:while running runtime: )?exit status (\d{1,9})",
    "command_local": r"(\S{1,100}) exited with (?:status|code) (-?\d{1,9})\.$",
    "repo2docker": r"Error during build: (.*)",
    "repo2docker_command": r"Command '\[|Command \[",
    "builder": r"Using (\w{1,40}?)(?:BuildPack)? builder\s*$",
    "noise": r"---> |Removing intermediate container|time: [\d.]{1,12}$|-{6,}$"
    r"|\[end of output\]$|note: This |hint: See above",
}
"""What lines look like from their beginning on; the browser reads these, too."""

STARTS = [
    ("Picked ", "fetch"),
    ("Cloning into ", "fetch"),
    ("Submodule ", "submodule"),
    ("Cloning submodule ", "submodule"),
    ("Creating an environment ", "pip"),
    ("Installing Jupyter", "pip"),
    ("Installing packages", "pip"),
    ("Running postBuild", "postbuild"),
    ("Successfully built ", "push"),
    ("Successfully tagged ", "push"),
    ("Pushing image", "push"),
    ("The push refers to ", "push"),
    ("Found built image, launching", "spawn"),
    ("Launching server", "spawn"),
    ("Launch attempt ", "spawn"),
    ("Server requested", "spawn"),
]
"""The beginning of a line that begins a step, and the kind of that step."""

COMMANDS = [
    ("postbuild", r"\bpostBuild\b"),
    ("conda", r"\b(?:micro)?mamba\b|\bconda\b|MAMBA_EXE|CONDA_EXE"),
    ("pip", r"\bpip[\d.]* |\bpipenv\b|\bpoetry\b|\buv "),
    ("apt", r"\bapt(?:-get)? "),
    ("r", r"\bRscript\b|\bR --|install\.packages"),
    ("julia", r"\bjulia\b"),
    ("nix", r"\bnix-|\bnix "),
    ("npm", r"\bnpm\b|\bjlpm\b|\byarn\b|jupyter.lab"),
]
"""Kinds of steps, and what their commands have in them."""

FILES = [
    r"(?<!\S)(?:-r|--requirement)[ =]\\?\"?([^\s\"\\&]{1,200})",
    r"--file \\?\"?([^\s\"\\&]{1,200})",
    r"(?:^|[\s\"'])([^\s\"']{0,200}?(?:install\.R|postBuild|DESCRIPTION|default\.nix))\b",
]
"""Commands of repo2docker, and the file that they install from."""

_FILES = [re.compile(text, re.ASCII) for text in FILES]
_COMPILED = {name: re.compile(text, re.ASCII) for name, text in PATTERNS.items()}
_KINDS = [(kind, re.compile(text, re.ASCII)) for kind, text in COMMANDS]
_FETCHING = {"", "fetch", "submodule"}
_FAILED_TO = ("ERROR: failed to solve: ", "ERROR: failed to build: ")
_VERDICTS = ("command_classic", "command_buildkit", "command_podman", "command_local")


def kind_of(instruction: str) -> str:
    """Return the kind of a step by its instruction, as ``RUN pip install six``."""
    word = instruction.split(" ", 1)[0].upper()
    if word == "FROM" or "load metadata for" in instruction:
        return "from"
    if word in {"COPY", "ADD"}:
        return "copy"
    if instruction.startswith(("exporting to ", "pushing ")):
        return "push"
    return next((kind for kind, pattern in _KINDS if pattern.search(instruction)), "run")


def without_stamp(text: str) -> str:
    """Return an event of Kubernetes without its time; other lines as they are."""
    match = _COMPILED["event"].match(text)
    return text if match is None else text[match.end() :]


def is_noise(text: str) -> bool:
    """Whether a line says nothing to people."""
    return not text.strip(" \t") or _COMPILED["noise"].match(text.lstrip(" \t")) is not None


def read_log(lines: Iterable[tuple[int, str]], *, kind: str = "") -> Log:
    """Split a log into steps, and find the one that failed.

    Parameters
    ----------
    lines : iterable of (int, str)
        Plain text without line ends, and the number of each line.
    kind : str
        The kind of step that the log begins in, if it is known.
    """
    reader = _Reader(kind)
    for number, text in lines:
        reader.read(number, text)
    return reader.log()


class _Reader:
    """Reads lines in their order."""

    def __init__(self, kind: str) -> None:
        self._segment = Segment(kind)
        self._segments = [self._segment]
        self._vertices: dict[str, Segment] = {}
        self._verdicts: list[Line] = []
        self._in_recap = False
        self._log = Log(self._segment)

    def read(self, number: int, text: str) -> None:
        if (match := _COMPILED["stamp"].match(text)) is not None:
            text = match[1]
        if text.startswith("#") and (match := _COMPILED["vertex"].match(text)) is not None:
            self._vertex(number, match[1], match[3], printed=bool(match[2]))
        elif not self._is_repeated(text):
            self._plain(number, text)

    def log(self) -> Log:
        failed = [segment for segment in self._segments if segment.failed]
        with_lines = [segment for segment in self._segments if segment.lines or segment.title]
        segment = (failed or with_lines or self._segments)[-1]
        segment.lines = [*segment.lines, *self._verdicts]
        self._log.segment = segment
        return self._log

    # -- BuildKit

    def _vertex(self, number: int, name: str, text: str, *, printed: bool) -> None:
        segment = self._vertices.get(name)
        if segment is None:
            segment = self._vertices[name] = Segment("run")
            self._segments.append(segment)
        self._segment = segment
        if printed:
            segment.lines.append(Line(number, text))
        elif text.startswith("ERROR: "):
            segment.failed = self._log.failed = True
            if not self._conclude(number, text, segment):
                segment.lines.append(Line(number, text.removeprefix("ERROR: ")))
        elif (title := _title(text)) and not segment.title:
            segment.title, segment.kind = title, kind_of(title)
        elif text.startswith("pushing "):
            segment.kind = "push"

    def _is_repeated(self, text: str) -> bool:
        """Whether BuildKit only repeats here what it has printed already, or shows its file."""
        if text == "------":
            self._in_recap = not self._in_recap and bool(self._vertices)
            return bool(self._vertices)
        if self._in_recap:
            return True
        if not self._vertices:
            return False
        if (match := _COMPILED["context"].match(text)) is not None:
            return True
        if (match := _COMPILED["dockerfile"].match(text)) is not None:
            self._log.dockerfile_line = int(match[1])
            return True
        return bool(text) and not text.strip("-")

    # -- all others

    def _plain(self, number: int, text: str) -> None:
        if (match := _COMPILED["instruction"].match(text)) is not None:
            self._begin(kind_of(match[1]), match[1])
        elif (match := _COMPILED["builder"].match(text)) is not None:
            self._log.dockerfile = "Docker" in match[1]
            self._begin("detect", text)
        elif (kind := self._started(text)) is not None:
            if kind != self._segment.kind:
                self._begin(kind, text)
            self._segment.lines.append(Line(number, text, printed=False))
        elif not self._conclude(number, text, self._segment):
            self._segment.lines.append(Line(number, text))

    def _begin(self, kind: str, title: str) -> None:
        self._segment = Segment(kind, title)
        self._segments.append(self._segment)

    def _started(self, text: str) -> str | None:
        for beginning, kind in STARTS:
            if text.startswith(beginning):
                # What a postBuild clones is not the repository.
                is_inner = kind in _FETCHING and self._segment.kind not in _FETCHING
                return None if is_inner else kind
        return None

    def _conclude(self, number: int, text: str, segment: Segment) -> bool:
        """Read a line that says what failed, and whether it is one."""
        for name in _VERDICTS:
            if (match := _COMPILED[name].match(text)) is not None:
                self._log.command, self._log.code = _short(match[1]), match[2]
                if not segment.title and name != "command_local":
                    segment.title = match[1]
                    segment.kind = segment.kind or kind_of(match[1])
                return self._add_verdict(number, text)
        if (match := _COMPILED["repo2docker"].match(text)) is not None:
            if _COMPILED["repo2docker_command"].match(match[1]) is None:
                self._log.said = match[1].strip(" \t")
            return self._add_verdict(number, text)
        return text.startswith(_FAILED_TO) and self._add_verdict(number, text)

    def _add_verdict(self, number: int, text: str) -> bool:
        self._verdicts.append(Line(number, text, printed=False))
        self._log.failed = True
        return True


def _title(text: str) -> str:
    """Return the instruction of a vertex of BuildKit, if a line names it."""
    if (match := _COMPILED["vertex_title"].match(text)) is not None:
        return match[1]
    return text if text.startswith("exporting to ") else ""


def _short(command: str) -> str:
    """Return a command without the shell around it."""
    command = command.removeprefix("/bin/sh -c ")
    return command.removeprefix("TIMEFORMAT='time: %3R' bash -c 'time ").strip(" '")
