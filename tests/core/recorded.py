"""The streams in tests/data/streams, recorded from the real programs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from binderprogress.core import sse
from binderprogress.core.log.reader import Normalizer, Note, Record

FOLDER = Path(__file__).parents[1] / "data" / "streams"

REPO2DOCKER = sorted(path.name for path in FOLDER.glob("repo2docker-*.jsonl"))
HUB = sorted(path.name for path in FOLDER.glob("hub-progress-*.txt") if "errors" not in path.name)
BINDERHUB = sorted(path.name for path in FOLDER.glob("binderhub-build-*.txt"))


def lines(name: str) -> list[str]:
    """Return the lines of the output of a process, with line ends."""
    return (FOLDER / name).read_bytes().decode().splitlines(keepends=True)


def records(name: str) -> list[dict[str, Any]]:
    """Return the data of the events in an HTTP response."""
    header, _, body = (FOLDER / name).read_bytes().partition(b"\r\n\r\n")
    assert b"text/event-stream" in header
    # Some were recorded by a client that joins the chunks itself.
    if re.match(rb"[0-9a-f]+\r\n", body):
        body = _join_chunks(body)
    return [json.loads(event.data) for event in sse.Decoder().feed(body)]


def notes(name: str) -> list[Note]:
    """Return the notes of a stream."""
    normalizer = Normalizer()
    if name.startswith("repo2docker"):
        made = [normalizer.read(Record("repo2docker", line)) for line in lines(name)]
    elif name.startswith("hub"):
        made = [normalizer.read(Record("jupyterhub", record)) for record in records(name)]
    else:
        made = [normalizer.read(Record("binderhub", record)) for record in records(name)]
    return [note for note in made if note is not None]


def _join_chunks(body: bytes) -> bytes:
    joined = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        joined += body[:length]
        assert body[length : length + 2] == b"\r\n"
        body = body[length + 2 :]
    return joined
