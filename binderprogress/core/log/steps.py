"""Steps within a phase, recognised in the lines that builders print.

The formats are those of real output: Docker's classic builder (``Step 3/12 : RUN …``), podman and
buildah (``STEP 3/12: RUN …``, ``[2/2] STEP 3/12: …`` with several stages), buildx with
``--progress plain`` (``#8 [stage-1 3/12] RUN …``, then ``#8 CACHED`` or ``#8 DONE 1.2s``), git, and
repo2docker itself. Layers are counted in `layers`.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any

import msgspec

from ..phases import Phase
from .instructions import command_of
from .layers import PULLING, PUSHING, LayerReader, Layers, in_record

__all__ = [
    "BINDERHUB_AWAY",
    "BUILDPACK_NAMES",
    "HUB_AWAY",
    "LAYER_LABELS",
    "PATTERNS",
    "PREFIXES",
    "QUEUED",
    "STANDBY",
    "Step",
    "StepReader",
    "numbered",
]


class Step(msgspec.Struct, frozen=True):
    """A step within a phase.

    Attributes
    ----------
    key : str
        For programs and translations.
    label : str
        For people, in English.
    index, total : int
        The number of a numbered step or layer, counted from 1, and how many there are; else 0.
    cached : bool
        Whether the result of the step was cached.
    phase : Phase or None
        The phase that the step implies, if any.
    digest : str
        Of a numbered step: a hash of its instruction, which identifies it in other builds.
    command : str
        Of a numbered step: what its instruction does, shortened; see `command_of`.
    existing : int
        Of layers: how many of those before this one existed before, and took no time.
    """

    key: str
    label: str
    index: int = 0
    total: int = 0
    cached: bool = False
    phase: Phase | None = None
    digest: str = ""
    existing: int = 0
    command: str = ""

    @property
    def is_place(self) -> bool:
        """Whether it is a place in the queue of builds."""
        return self.key == "queued" and self.total > 0


def numbered(
    index: int, total: int, *, cached: bool = False, digest: str = "", command: str = ""
) -> Step:
    """Return the step "Step `index` of `total`"."""
    return Step(
        "step",
        f"Step {index} of {total}",
        index,
        total,
        cached,
        digest=digest,
        command=command,
    )


PATTERNS = {
    "classic": r"Step (\d{1,4})/(\d{1,4}) : ",
    "podman": r"(?:\[\d+/\d+\] )?STEP (\d{1,4})/(\d{1,4}): ",
    "buildx-step": r"#(\d{1,5}) \[(?:[^\]]* )?(\d{1,4})/(\d{1,4})\] ",
    "buildx-cached": r"#(\d{1,5}) CACHED\b",
    "buildx-end": r"#\d{1,5} (pushing|exporting) ",
    # Word characters only: the label is shown, and the owner of the repository writes the log.
    "buildpack": r"Using (\w{1,40}?)(?:BuildPack)? builder\s*$",
}
"""Patterns that are matched at the start of a line. The browser uses them, too."""

_COMPILED = {name: re.compile(pattern, re.ASCII) for name, pattern in PATTERNS.items()}
_CLASSIC, _PODMAN, _BUILDX_STEP, _BUILDX_CACHED, _BUILDX_END, _BUILDPACK = _COMPILED.values()

BUILDPACK_NAMES = {
    "JuliaProjectToml": "Julia",
    "JuliaRequire": "Julia",
    "LegacyBinderDocker": "Docker",
}
"""Readable names for some of repo2docker's buildpacks."""

_FETCHING, _BUILDING, _PUSHING = Phase.FETCHING, Phase.BUILDING, Phase.PUSHING

_PULL = Step("pulling-base", "Pulling the base image")
_PUSH = Step("pushing", "Pushing the image", phase=_PUSHING)
_REUSED = Step("reused", "Using the existing environment", phase=_BUILDING)
_SAVE = Step("saving", "Saving the image")

LAYER_LABELS = {PULLING: "Base image: layer {} of {}", PUSHING: "Layer {} of {}"}
"""Labels of the steps with layers, once the layers are known."""

STANDBY = Step("standby", "Took a server that stood ready")
"""The step of a launch that neither builds nor starts anything."""

QUEUED = Step("queued", "Waiting in the queue")
"""Waiting for a queue or a limit on concurrency."""

HUB_AWAY = Step("hub-away", "Waiting for JupyterHub to respond")
"""Waiting for a JupyterHub that restarts or cannot be reached."""

BINDERHUB_AWAY = Step("binderhub-away", "Waiting for the BinderHub to respond")
"""Waiting for a BinderHub that cannot be reached, and is tried again."""

PREFIXES: list[tuple[str, Step]] = [
    # BinderHub, until the build's pod exists.
    ("Waiting for build to start", QUEUED),
    ("Picked ", Step("found", "Found the repository", phase=_FETCHING)),
    ("Cloning into ", Step("cloning", "Cloning the repository", phase=_FETCHING)),
    ("Receiving objects:", Step("receiving", "Receiving the repository")),
    ("Resolving deltas:", Step("receiving", "Receiving the repository")),
    ("HEAD is now at ", Step("checked-out", "Checked out the commit", phase=_FETCHING)),
    ("Submodule ", Step("submodules", "Fetching submodules")),
    ("Reusing existing image", _REUSED),
    # The engine `local`, and uv.
    ("Reusing the environment ", _REUSED),
    ("Creating an environment ", Step("environment", "Creating an environment")),
    ("Installing Jupyter", Step("resolving-packages", "Resolving package versions")),
    ("Resolved ", Step("downloading-packages", "Downloading packages")),
    ("Prepared ", Step("installing-packages", "Installing packages")),
    ("Running postBuild", Step("postbuild", "Running postBuild")),
    ("Trying to pull ", _PULL),
    ("Fetching base image", _PULL),
    ("COMMIT ", _SAVE),
    ("Successfully tagged ", _SAVE),
    ("The push refers to ", _PUSH),
    ("Successfully pushed ", Step("pushed", "Pushed the image", phase=_PUSHING)),
    ("Pushing image", _PUSH),
]
"""The prefix of a line, and the step that it begins or finishes."""

_BY_FIRST_WORD: dict[str, list[tuple[str, Step]]] = {}
for _prefix, _step in PREFIXES:
    _BY_FIRST_WORD.setdefault(_prefix.split(" ", 1)[0], []).append((_prefix, _step))
_MOST_VERTICES = 2000
"""Maximum number of buildx steps that are remembered.

Attack: a log that keeps beginning new steps would fill the memory, even after the limit on log
lines.
"""
# First words of all lines that may be a step; "" is that of " ---> Using cache".
_FIRST_WORDS = {*_BY_FIRST_WORD, "STEP", "Step", "-->", "", "Copying", "Using"}
_FIRST_CHARACTERS = {"#", "["}


class StepReader:
    """Recognises steps line by line. It remembers layers, and the step of each buildx vertex."""

    def __init__(self) -> None:
        self._vertices: dict[str, Step] = {}
        self._layers = LayerReader()
        self._last: Step | None = None

    def read(self, line: str, layers: Any = None) -> Step | None:
        """Return the step that `line` begins or finishes, if any.

        Parameters
        ----------
        line : str
        layers : dict, optional
            The layers in the record of the line, see `in_record`.
        """
        step = self._recognise(line)
        if step is None:
            return None
        if layers is not None and step is _PUSH and (counted := in_record(layers)) is not None:
            step = _of_layers(counted)
        self._last = step
        return step

    def _recognise(self, line: str) -> Step | None:
        word = line.split(" ", 1)[0]
        # An ordinary line costs two lookups and no regular expression.
        if word not in _FIRST_WORDS and line[:1] not in _FIRST_CHARACTERS and line[12:14] != ": ":
            return None
        if line.startswith("#"):
            return self._buildx(line)
        if line.startswith(("STEP ", "[")):
            return self._numbered(_PODMAN.match(line))
        if line.startswith("Step "):
            return self._numbered(_CLASSIC.match(line))
        if line[12:14] == ": " and (layers := self._layers.docker(line)) is not None:
            return _of_layers(layers)
        if line.startswith(("--> Using cache", " ---> Using cache")):
            last = self._last
            return (
                msgspec.structs.replace(last, cached=True)
                if last is not None and last.total
                else None
            )
        for prefix, step in _BY_FIRST_WORD.get(word, ()):
            if line.startswith(prefix):
                return step
        if word == "Copying":
            return self._copying(line)
        if word == "Using" and (match := _BUILDPACK.match(line)) is not None:
            name = BUILDPACK_NAMES.get(match[1], match[1])
            return Step("detected", f"Building with {name}", phase=_BUILDING)
        return None

    @staticmethod
    def _numbered(match: re.Match[str] | None) -> Step | None:
        if match is None:
            return None
        return _valid(int(match[1]), int(match[2]), match)

    def _buildx(self, line: str) -> Step | None:
        # Most lines are the output of a command, after the number of seconds that it has run.
        rest = line.partition(" ")[2]
        if rest.startswith("["):
            match = _BUILDX_STEP.match(line)
            if match is None:
                return None
            step = _valid(int(match[2]), int(match[3]), match)
            if step is not None and len(self._vertices) < _MOST_VERTICES:
                self._vertices[match[1]] = step
            return step
        if rest.startswith("CACHED"):
            match = _BUILDX_CACHED.match(line)
            step = self._vertices.get(match[1]) if match is not None else None
            return step and msgspec.structs.replace(step, cached=True)
        if rest.startswith(("sha256:", "extracting ", "pushing layer ")):
            layers = self._layers.buildx(line)
            return _of_layers(layers) if layers is not None else None
        match = _BUILDX_END.match(line)
        if match is None:
            return None
        return _PUSH if match[1] == "pushing" else _SAVE

    def _copying(self, line: str) -> Step | None:
        """Read a line of podman, which is the same for a pull and a push."""
        # After a build, it is a push.
        pushes = self._last is not None and self._last.key in {_SAVE.key, PUSHING}
        layers = self._layers.podman(line, PUSHING if pushes else PULLING)
        if layers is None:
            return None
        # Without a terminal, podman does not report when a layer is done.
        return _of_layers(layers) if layers.done else (_PUSH if pushes else _PULL)


def _of_layers(layers: Layers) -> Step:
    key, total, done, existing = layers
    index = min(done + 1, total)
    return msgspec.structs.replace(
        _PUSH if key == PUSHING else _PULL,
        label=LAYER_LABELS[key].format(index, total),
        index=index,
        total=total,
        existing=existing,
    )


def _valid(index: int, total: int, match: re.Match[str]) -> Step | None:
    # A repository may print anything: "Step 9/3" is not a step.
    if not 1 <= index <= total:
        return None
    instruction = match.string[match.end() :].strip()
    digest = blake2b(instruction.encode("utf-8", "replace"), digest_size=6).hexdigest()
    return numbered(index, total, digest=digest, command=command_of(instruction))
