"""Steps: what goes on within a phase, recognised in the lines that builders print.

The formats are read off real output: Docker's classic builder (``Step 3/12 : RUN …``), podman and
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
from .layers import PULLING, PUSHING, LayerReader, Layers, in_record

__all__ = [
    "BUILDPACK_NAMES",
    "LAYER_LABELS",
    "PATTERNS",
    "PREFIXES",
    "QUEUED",
    "Step",
    "StepReader",
    "numbered",
]


class Step(msgspec.Struct, frozen=True):
    """The finer label within a phase.

    Attributes
    ----------
    key : str
        For programs and translations.
    label : str
        For people.
    index, total : int
        Of numbered steps, and of the layers of a pull or push, which and of how many; else 0.
    cached : bool
        Whether its result was there already.
    phase : Phase or None
        The phase that the line gives away, where it does.
    digest : str
        Of numbered steps: the same wherever the instruction is the same, to know it again in other
        builds.
    there : int
        Of layers: how many of those before it were there already, and took no time.
    """

    key: str
    label: str
    index: int = 0
    total: int = 0
    cached: bool = False
    phase: Phase | None = None
    digest: str = ""
    there: int = 0


def numbered(index: int, total: int, *, cached: bool = False, digest: str = "") -> Step:
    """Return the step "Step `index` of `total`"."""
    return Step("step", f"Step {index} of {total}", index, total, cached, digest=digest)


PATTERNS = {
    "classic": r"Step (\d{1,4})/(\d{1,4}) : ",
    "podman": r"(?:\[\d+/\d+\] )?STEP (\d{1,4})/(\d{1,4}): ",
    "buildx-step": r"#(\d{1,5}) \[(?:[^\]]* )?(\d{1,4})/(\d{1,4})\] ",
    "buildx-cached": r"#(\d{1,5}) CACHED\b",
    "buildx-end": r"#\d{1,5} (pushing|exporting) ",
    # Only words: the label is shown, and whoever owns the repository writes the log.
    "buildpack": r"Using (\w{1,40}?)(?:BuildPack)? builder\s*$",
}
"""What lines look like from their beginning on; the browser reads these, too."""

_COMPILED = {name: re.compile(pattern, re.ASCII) for name, pattern in PATTERNS.items()}
_CLASSIC, _PODMAN, _BUILDX_STEP, _BUILDX_CACHED, _BUILDX_END, _BUILDPACK = _COMPILED.values()

BUILDPACK_NAMES = {
    "JuliaProjectToml": "Julia",
    "JuliaRequire": "Julia",
    "LegacyBinderDocker": "Docker",
}
"""Of repo2docker's names, those that are none for people."""

_FETCHING, _BUILDING, _PUSHING = Phase.FETCHING, Phase.BUILDING, Phase.PUSHING

_PULL = Step("pulling-base", "Pulling the base image")
_PUSH = Step("pushing", "Pushing the image", phase=_PUSHING)
_SAVE = Step("saving", "Saving the image")

LAYER_LABELS = {PULLING: "Base image: layer {} of {}", PUSHING: "Layer {} of {}"}
"""What the steps with layers are called, once there are some."""

QUEUED = Step("queued", "Waiting in the queue")
"""Nothing goes on: there is a queue, or a limit on how many may at once."""

PREFIXES: list[tuple[str, Step]] = [
    # What a BinderHub says until the pod of a build is there.
    ("Waiting for build to start", QUEUED),
    ("Picked ", Step("found", "Found the repository", phase=_FETCHING)),
    ("Cloning into ", Step("cloning", "Cloning the repository", phase=_FETCHING)),
    ("Receiving objects:", Step("receiving", "Receiving the repository")),
    ("Resolving deltas:", Step("receiving", "Receiving the repository")),
    ("HEAD is now at ", Step("checked-out", "Checked out the commit", phase=_FETCHING)),
    ("Submodule ", Step("submodules", "Fetching submodules")),
    ("Reusing existing image", Step("reused", "Using the existing image", phase=_BUILDING)),
    # What `sources/localbuild.py` and uv say.
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
"""The beginning of a line, and what it says."""

_BY_FIRST_WORD: dict[str, list[tuple[str, Step]]] = {}
for _prefix, _step in PREFIXES:
    _BY_FIRST_WORD.setdefault(_prefix.split(" ", 1)[0], []).append((_prefix, _step))
_MOST_VERTICES = 2000
"""Steps of buildx that are remembered, until their end is seen.

Attack: a log that begins ever new ones would fill the memory, long after its lines are left out.
"""
# What else a line begins with that says something; "" of " ---> Using cache".
_FIRST_WORDS = {*_BY_FIRST_WORD, "STEP", "Step", "-->", "", "Copying", "Using"}
_FIRST_SIGNS = {"#", "["}


class StepReader:
    """Recognises steps line by line; it remembers layers, and which buildx vertex is which step."""

    def __init__(self) -> None:
        self._vertices: dict[str, Step] = {}
        self._layers = LayerReader()
        self._last: Step | None = None

    def read(self, line: str, layers: Any = None) -> Step | None:
        """Return the step that `line` begins or finishes, if it does either.

        Parameters
        ----------
        line : str
        layers : dict, optional
            What the record of the line says of layers; see `in_record`.
        """
        step = self._recognise(line)
        if step is None:
            return None
        if layers is not None and step is _PUSH and (found := in_record(layers)) is not None:
            step = _of_layers(found)
        self._last = step
        return step

    def _recognise(self, line: str) -> Step | None:
        word = line.split(" ", 1)[0]
        # An ordinary line costs two lookups and no regular expression.
        if word not in _FIRST_WORDS and line[:1] not in _FIRST_SIGNS and line[12:14] != ": ":
            return None
        if line.startswith("#"):
            return self._buildx(line)
        if line.startswith(("STEP ", "[")):
            return self._numbered(_PODMAN.match(line))
        if line.startswith("Step "):
            return self._numbered(_CLASSIC.match(line))
        if line[12:14] == ": " and (found := self._layers.docker(line)) is not None:
            return _of_layers(found)
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
        # Most lines are the output of a command, behind the seconds that it has run.
        said = line.partition(" ")[2]
        if said.startswith("["):
            match = _BUILDX_STEP.match(line)
            if match is None:
                return None
            step = _valid(int(match[2]), int(match[3]), match)
            if step is not None and len(self._vertices) < _MOST_VERTICES:
                self._vertices[match[1]] = step
            return step
        if said.startswith("CACHED"):
            match = _BUILDX_CACHED.match(line)
            step = self._vertices.get(match[1]) if match is not None else None
            return step and msgspec.structs.replace(step, cached=True)
        if said.startswith(("sha256:", "extracting ", "pushing layer ")):
            found = self._layers.buildx(line)
            return _of_layers(found) if found is not None else None
        match = _BUILDX_END.match(line)
        if match is None:
            return None
        return _PUSH if match[1] == "pushing" else _SAVE

    def _copying(self, line: str) -> Step | None:
        """Read what podman says of a pull and of a push alike: after a build, it is a push."""
        pushes = self._last is not None and self._last.key in {_SAVE.key, PUSHING}
        found = self._layers.podman(line, PUSHING if pushes else PULLING)
        if found is None:
            return None
        # Without a terminal it tells of no end: then nobody knows which layer it is at.
        return _of_layers(found) if found.done else (_PUSH if pushes else _PULL)


def _of_layers(found: Layers) -> Step:
    key, total, done, there = found
    index = min(done + 1, total)
    return msgspec.structs.replace(
        _PUSH if key == PUSHING else _PULL,
        label=LAYER_LABELS[key].format(index, total),
        index=index,
        total=total,
        there=there,
    )


def _valid(index: int, total: int, match: re.Match[str]) -> Step | None:
    # A repository may print what it likes: "Step 9/3" is not a step.
    if not 1 <= index <= total:
        return None
    instruction = match.string[match.end() :].strip()
    digest = blake2b(instruction.encode("utf-8", "replace"), digest_size=6).hexdigest()
    return numbered(index, total, digest=digest)
