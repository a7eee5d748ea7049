"""What is fuzzed: each takes any bytes, and raises if a promise does not hold for them.

Attack: whoever owns a repository writes its log, a Hub or BinderHub that was taken over writes its
stream, and anybody names a spec. None of them may raise, or keep the server busy.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable

import msgspec

from binderprogress.core import sse
from binderprogress.core.binderhub.stream import BinderHubLaunch, read_record
from binderprogress.core.events import Encoded
from binderprogress.core.log.diagnosis import LONGEST_SUBJECT, diagnose
from binderprogress.core.log.reader import Normalizer, Note, Record
from binderprogress.core.log.reasons import REASONS
from binderprogress.core.printable import plain
from binderprogress.core.specs import from_address, parse
from binderprogress.errors import SpecError, StreamError

__all__ = ["LONGEST", "TARGETS"]

LONGEST = 16_384
"""Bytes of one input."""

_SMALL = 48


def fuzz_sse(data: bytes) -> None:
    """A stream is read the same however it is cut, and what is read can be written again."""
    whole = _decode([data])
    if len(data) <= _SMALL:
        cuts = range(len(data) + 1)
    else:
        cuts = range((at := zlib.crc32(data) % len(data)), at + 1)
    for at in cuts:
        assert _decode([data[:at], data[at:]]) == whole, f"cut at {at}"
    for event in whole or []:
        id_ = event.id or None
        again = _decode([sse.encode(event.data, event=event.event, id=id_)])
        # All line ends come back as one kind.
        expected = event.data.replace("\r\n", "\n").replace("\r", "\n")
        assert again is not None
        assert [(one.event, one.data) for one in again] == [(event.event, expected)]


def _decode(chunks: list[bytes]) -> list[sse.ServerSentEvent] | None:
    decoder = sse.Decoder(max_block=4096)
    try:
        return [event for chunk in chunks for event in decoder.feed(chunk)]
    except StreamError:
        return None


def fuzz_log(data: bytes) -> None:
    """Any line of a log becomes a note that can be sent."""
    normalizer = Normalizer()
    for line in data.decode("utf-8", "replace").splitlines(keepends=True):
        _check(normalizer.read(Record("repo2docker", line)))


def fuzz_jupyterhub(data: bytes) -> None:
    """Any object of a Hub's progress stream becomes a note that can be sent."""
    normalizer = Normalizer()
    for record in _objects(data):
        _check(normalizer.read(Record("jupyterhub", record)))


def fuzz_binderhub(data: bytes) -> None:
    """Whatever a BinderHub's stream says, it becomes events in order that can be sent."""
    launch = BinderHubLaunch("https://hub.example.org/", began=0.0, began_utc=0.0)
    for count, text in enumerate(data.decode("utf-8", "replace").split("\n")):
        launch.take(read_record(text), now=float(count))
    for before, event in zip([None, *launch.events], launch.events, strict=False):
        assert Encoded.of(event).event == event
        assert before is None or (before.id + 1 == event.id and not before.terminal)


def fuzz_reasons(data: bytes) -> None:
    """Any log has a reason, whose subject and evidence are plain text."""
    found = diagnose(data.decode("utf-8", "replace").split("\n"))
    assert found.reason in REASONS
    assert len(found.subject) <= LONGEST_SUBJECT + 1
    assert len(found.evidence) <= 6
    for text in (found.subject, *found.evidence):
        assert plain(text) == text
    msgspec.json.encode(found)


def fuzz_specs(data: bytes) -> None:
    """What is not refused can be written, and reads back the same."""
    text = data.decode("utf-8", "surrogateescape")
    for read in (parse, from_address):
        try:
            spec = read(text)
        except SpecError as error:
            assert str(error)
            continue
        assert parse(str(spec)) == spec
        assert spec.title
        assert spec.title.isprintable()


def _objects(data: bytes) -> list[dict[str, object]]:
    objects = []
    for line in data.split(b"\n"):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        objects += [value] if isinstance(value, dict) else []
    return objects


def _check(note: Note | None) -> None:
    if note is not None:
        msgspec.json.encode(note)
        assert not note.message or note.message[-1] in "\r\n"


TARGETS: dict[str, Callable[[bytes], None]] = {
    "binderhub": fuzz_binderhub,
    "jupyterhub": fuzz_jupyterhub,
    "log": fuzz_log,
    "reasons": fuzz_reasons,
    "specs": fuzz_specs,
    "sse": fuzz_sse,
}
