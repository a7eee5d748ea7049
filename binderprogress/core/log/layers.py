"""Layers of an image that is pulled or pushed: how many there are, and how many are done.

The formats are read off real output: docker (``4f50a35f1c79: Pull complete``), BuildKit with
``--progress plain`` (``#4 extracting sha256:… 0.3s done``, ``#9 pushing layer sha256:…``), podman
and buildah (``Copying blob sha256:…``, with more only on a terminal), and the records of older
releases of repo2docker, which have docker's own words for each layer beside ``Pushing image``.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Any, NamedTuple

__all__ = ["LINES", "MOST", "PATTERNS", "PULLING", "PUSHING", "LayerReader", "Layers", "in_record"]

PULLING, PUSHING = "pulling-base", "pushing"
"""The steps that have layers."""

MOST = 500
"""Layers that are counted; an image has at most 127.

Attack: a log that names ever new ones.
"""

_BEGUN, _DONE, _THERE = "begun", "done", "there"

LINES = [
    ("Preparing", PUSHING, _BEGUN),
    ("Pushing", PUSHING, _BEGUN),
    ("Pushed", PUSHING, _DONE),
    ("Layer already exists", PUSHING, _THERE),
    ("Mounted from ", PUSHING, _THERE),
    ("Pulling fs layer", PULLING, _BEGUN),
    ("Downloading", PULLING, _BEGUN),
    ("Verifying Checksum", PULLING, _BEGUN),
    ("Download complete", PULLING, _BEGUN),
    ("Extracting", PULLING, _BEGUN),
    ("Pull complete", PULLING, _DONE),
    ("Already exists", PULLING, _THERE),
]
"""What docker says of a layer, from its beginning on; the step, and what becomes of the layer."""

PATTERNS = {
    "docker": r"([0-9a-f]{12}): ",
    "podman": r"Copying blob (?:sha256:)?([0-9a-f]{12})[0-9a-f]*( done| skipped)?",
    # Without a time, it was there: a manifest, or what was pulled before.
    "buildx": r"#\d{1,5} (pushing layer |extracting |)(?:sha256:)?([0-9a-f]{12,64})"
    r"( \S+ / \S+)?( [\d.]+s)?( done)?\s*$",
}
"""Lines about layers, from their beginning on."""

_DOCKER, _PODMAN, _BUILDX = (re.compile(pattern, re.ASCII) for pattern in PATTERNS.values())


class Layers(NamedTuple):
    """How far a pull or a push is.

    Attributes
    ----------
    key : str
        The step that they are layers of.
    total : int
        Layers that were named so far.
    done : int
        How many of them are done.
    there : int
        How many of those that are done were there already, and took no time.
    """

    key: str
    total: int
    done: int
    there: int


class LayerReader:
    """Counts layers line by line; a number never goes back."""

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
        """Read a line of BuildKit's about a blob, a layer that it extracts, or one it pushes."""
        match = _BUILDX.match(line)
        if match is None:
            return None
        doing, name, size, time, done = match.groups()
        if not doing:
            # A download; it is done when it is extracted.
            return self._counts[PULLING].take(name, _BEGUN) if size and time else None
        key = PULLING if doing.startswith("extracting") else PUSHING
        return self._counts[key].take(name, _DONE if done else _BEGUN)

    def podman(self, line: str, key: str) -> Layers | None:
        """Read a line such as ``Copying blob sha256:…``, which does not say which way.

        Parameters
        ----------
        line : str
        key : str
            Which way.
        """
        if line.startswith("Copying config "):
            return self._counts[key].finish()
        match = _PODMAN.match(line)
        if match is None:
            return None
        return self._counts[key].take(match[1], _PODMANS[match[2]])


_PODMANS = {" done": _DONE, " skipped": _THERE, None: _BEGUN}


class _Count:
    def __init__(self, key: str) -> None:
        self._key = key
        self._is_done: dict[str, bool] = {}
        self._done = self._there = 0

    def take(self, name: str, state: str) -> Layers | None:
        if name not in self._is_done:
            if len(self._is_done) >= MOST:
                return None
            self._is_done[name] = False
        if state != _BEGUN and not self._is_done[name]:
            self._is_done[name] = True
            self._done += 1
            self._there += state == _THERE
        return Layers(self._key, len(self._is_done), self._done, self._there)

    def finish(self) -> Layers | None:
        """Take all that have begun for done."""
        if not self._is_done:
            return None
        self._is_done = dict.fromkeys(self._is_done, True)
        self._done = len(self._is_done)
        return Layers(self._key, self._done, self._done, self._there)


def in_record(layers: Any) -> Layers | None:
    """Count the layers of a record of repo2docker's.

    Parameters
    ----------
    layers : dict
        Of each layer, what docker says: ``{"4f50a35f1c79": {"status": "Pushed"}, …}``. Anything
        else has none.
    """
    if not isinstance(layers, dict) or not layers:
        return None
    states = [_state(layer) for layer in islice(layers.values(), MOST)]
    there = states.count(_THERE)
    return Layers(PUSHING, len(states), states.count(_DONE) + there, there)


def _state(layer: Any) -> str:
    status = layer.get("status") if isinstance(layer, dict) else None
    if not isinstance(status, str):
        return _BEGUN
    return next((state for beginning, _, state in LINES if status.startswith(beginning)), _BEGUN)
