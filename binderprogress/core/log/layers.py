"""Counting the layers of an image while it is pulled or pushed.

The formats are those of real output: docker (``4f50a35f1c79: Pull complete``), BuildKit with
``--progress plain`` (``#4 extracting sha256:… 0.3s done``, ``#9 pushing layer sha256:…``), podman
and buildah (``Copying blob sha256:…``, with more only on a terminal), and the records of older
releases of repo2docker, which contain docker's status of each layer besides ``Pushing image``.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Any, NamedTuple

__all__ = ["LINES", "MOST", "PATTERNS", "PULLING", "PUSHING", "LayerReader", "Layers", "in_record"]

PULLING, PUSHING = "pulling-base", "pushing"
"""The steps that have layers."""

MOST = 500
"""Maximum number of layers that are counted; an image has at most 127.

Attack: a log that keeps naming new layers would fill the memory.
"""

# States of a layer. The browser's tables contain them.
_BEGUN, _DONE, _EXISTED = "begun", "done", "there"

LINES = [
    ("Preparing", PUSHING, _BEGUN),
    ("Pushing", PUSHING, _BEGUN),
    ("Pushed", PUSHING, _DONE),
    ("Layer already exists", PUSHING, _EXISTED),
    ("Mounted from ", PUSHING, _EXISTED),
    ("Pulling fs layer", PULLING, _BEGUN),
    ("Downloading", PULLING, _BEGUN),
    ("Verifying Checksum", PULLING, _BEGUN),
    ("Download complete", PULLING, _BEGUN),
    ("Extracting", PULLING, _BEGUN),
    ("Pull complete", PULLING, _DONE),
    ("Already exists", PULLING, _EXISTED),
]
"""Docker's status of a layer (a prefix), the step, and the state of the layer."""

PATTERNS = {
    "docker": r"([0-9a-f]{12}): ",
    "podman": r"Copying blob (?:sha256:)?([0-9a-f]{12})[0-9a-f]*( done| skipped)?",
    # A blob without a time existed before: a manifest, or a layer that was pulled earlier.
    "buildx": r"#\d{1,5} (pushing layer |extracting |)(?:sha256:)?([0-9a-f]{12,64})"
    r"( \S+ / \S+)?( [\d.]+s)?( done)?\s*$",
}
"""Patterns of lines about layers, matched at the start of a line."""

_DOCKER, _PODMAN, _BUILDX = (re.compile(pattern, re.ASCII) for pattern in PATTERNS.values())


class Layers(NamedTuple):
    """The progress of a pull or a push.

    Attributes
    ----------
    key : str
        Key of the step: `PULLING` or `PUSHING`.
    total : int
        Number of layers that were named so far.
    done : int
        Number of layers that are done.
    existing : int
        Number of done layers that existed before, and took no time.
    """

    key: str
    total: int
    done: int
    existing: int


class LayerReader:
    """Counts layers line by line. The counts never decrease."""

    def __init__(self) -> None:
        self._counts = {PULLING: _Count(PULLING), PUSHING: _Count(PUSHING)}

    def docker(self, line: str) -> Layers | None:
        """Read a line such as ``4f50a35f1c79: Pull complete``."""
        match = _DOCKER.match(line)
        if match is None:
            return None
        for beginning, key, state in LINES:
            if line.startswith(beginning, match.end()):
                return self._counts[key].take(match[1], state)
        return None

    def buildx(self, line: str) -> Layers | None:
        """Read a line of BuildKit about a blob that it downloads, extracts or pushes."""
        match = _BUILDX.match(line)
        if match is None:
            return None
        action, name, size, time, done = match.groups()
        if not action:
            # A download. The layer is done when it is extracted.
            return self._counts[PULLING].take(name, _BEGUN) if size and time else None
        key = PULLING if action.startswith("extracting") else PUSHING
        return self._counts[key].take(name, _DONE if done else _BEGUN)

    def podman(self, line: str, key: str) -> Layers | None:
        """Read a line such as ``Copying blob sha256:…``.

        Parameters
        ----------
        line : str
        key : str
            `PULLING` or `PUSHING`: podman prints the same for both.
        """
        if line.startswith("Copying config "):
            return self._counts[key].finish()
        match = _PODMAN.match(line)
        if match is None:
            return None
        return self._counts[key].take(match[1], _PODMAN_STATES[match[2]])


_PODMAN_STATES = {" done": _DONE, " skipped": _EXISTED, None: _BEGUN}


class _Count:
    def __init__(self, key: str) -> None:
        self._key = key
        self._is_done: dict[str, bool] = {}
        self._done = self._existing = 0

    def take(self, name: str, state: str) -> Layers | None:
        if name not in self._is_done:
            if len(self._is_done) >= MOST:
                return None
            self._is_done[name] = False
        if state != _BEGUN and not self._is_done[name]:
            self._is_done[name] = True
            self._done += 1
            self._existing += state == _EXISTED
        return Layers(self._key, len(self._is_done), self._done, self._existing)

    def finish(self) -> Layers | None:
        """Count all layers as done."""
        if not self._is_done:
            return None
        self._is_done = dict.fromkeys(self._is_done, True)
        self._done = len(self._is_done)
        return Layers(self._key, self._done, self._done, self._existing)


def in_record(layers: Any) -> Layers | None:
    """Count the layers in a record of repo2docker.

    Parameters
    ----------
    layers : dict
        Docker's status of each layer: ``{"4f50a35f1c79": {"status": "Pushed"}, …}``.

    Returns
    -------
    Layers or None
        None for anything else.
    """
    if not isinstance(layers, dict) or not layers:
        return None
    states = [_state(layer) for layer in islice(layers.values(), MOST)]
    existing = states.count(_EXISTED)
    return Layers(PUSHING, len(states), states.count(_DONE) + existing, existing)


def _state(layer: Any) -> str:
    status = layer.get("status") if isinstance(layer, dict) else None
    if not isinstance(status, str):
        return _BEGUN
    return next((state for beginning, _, state in LINES if status.startswith(beginning)), _BEGUN)
