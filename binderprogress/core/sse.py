"""The framing of ``text/event-stream``: write blocks, read them back as bytes come in.

The rules are those of the HTML standard, "Server-sent events", whose clauses are named below:
"Parsing an event stream" (9.2.5) and "Interpreting an event stream" (9.2.6).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import StreamError

__all__ = ["Decoder", "ServerSentEvent", "comment", "encode"]

# 9.2.5, end-of-line. In UTF-8 these bytes are never part of another character, and a decoder that
# replaces never swallows them, so splitting bytes and decoding later is the same as the reverse.
_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"
_RETRY_DIGITS = 18

_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_IN_EVENT = re.compile("[\r\n\ud800-\udfff]")
_NOT_IN_ID = re.compile("[\r\n\0\ud800-\udfff]")


class ServerSentEvent(NamedTuple):
    """One event, as an ``EventSource`` would dispatch it.

    Attributes
    ----------
    event : str
        Its type.
    data : str
        Its lines, joined by line feeds, without a last one.
    id : str
        The last event id in force when it was dispatched: not always one of its own.
    """

    event: str = "message"
    data: str = ""
    id: str = ""


class Decoder:
    """Bytes of one connection in, events out.

    A block that the stream's end leaves unfinished is never dispatched.

    Parameters
    ----------
    max_block : int
        How many bytes an unfinished line and the data lines before it in its block may take.
    last_event_id : str
        What this connection was opened with, if it resumes. Without it, a keepalive of a resumed
        stream would set the last event id to nothing.

    Attributes
    ----------
    last_event_id : str
        Where to resume: the id in force at the last end of a block.
    retry : int or None
        How long to wait before connecting again, in milliseconds, if the stream said so.
    """

    def __init__(self, *, max_block: int = 16 * 2**20, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.retry: int | None = None
        self._max_block = max_block
        self._at_start = True
        self._after_cr = False
        self._partial = bytearray()
        self._data = bytearray()
        # Attack: lines that are nearly empty take more time than memory.
        self._read = 0
        self._event = ""
        self._id = last_event_id

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Read what came in and return the events that it completes.

        Parameters
        ----------
        chunk : bytes
            Any number of bytes, cut anywhere.

        Raises
        ------
        StreamError
            If a block grows beyond `max_block`. Nothing more can be read then, and
            `last_event_id` is that of the last event that was returned.
        """
        before = self.last_event_id
        self._check_size(before)
        if not chunk:
            return []
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        # A CR ends its line at once, or the event would wait for the next chunk; the LF that may
        # follow belongs to it.
        self._after_cr = chunk.endswith(b"\r")

        # Only what is new is searched: time stays linear however small the chunks are.
        first, *others = _LINE_END.split(chunk)
        self._partial += first
        events = []
        for following in others:
            self._check_size(before)
            line = bytes(self._partial)
            self._partial = bytearray(following)
            if self._at_start:
                self._at_start = False
                line = line.removeprefix(_BOM)  # 9.2.5: one, and only in front of everything
            if line:
                self._field(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        self._check_size(before)
        return events

    def _field(self, line: bytes) -> None:
        """Take one line that is not blank (9.2.6, "process the field")."""
        # A comment begins with the colon: its name is empty and, as any unknown one, ignored.
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data += value
            self._data += b"\n"
            self._read += len(line)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():  # of bytes: ASCII digits only
            # Attack: int() of millions of digits takes quadratic time, or raises. What is beyond
            # 64 bits is ignored.
            digits = value.lstrip(b"0")
            if len(digits) <= _RETRY_DIGITS:
                self.retry = int(digits or b"0")

    def _dispatch(self) -> ServerSentEvent | None:
        """End a block (9.2.6, "dispatch the event")."""
        # Step 1 comes before the look at the data: a block with nothing but an id moves on.
        self.last_event_id = self._id
        data, self._data = self._data, bytearray()
        self._read = 0
        event, self._event = self._event, ""
        if not data:
            return None
        del data[-1]
        return ServerSentEvent(
            event or "message", data.decode("utf-8", "replace"), self.last_event_id
        )

    def _check_size(self, before: str) -> None:
        """Refuse a line that never ends, and a block that never does."""
        if len(self._partial) + self._read > self._max_block:
            # The events of this chunk are lost with the error; whoever resumes must get them.
            self.last_event_id = before
            # What is too long stays, and so every feed from now on is refused.
            raise StreamError(
                f"The server sent more than {self._max_block} bytes without finishing an event."
            )


def encode(
    data: str | bytes,
    *,
    event: str | None = None,
    id: str | None = None,  # noqa: A002 - the field's name in the stream
    retry: int | None = None,
) -> bytes:
    r"""Return one whole block.

    Parameters
    ----------
    data : str or bytes
        Any text (or its UTF-8). All its line ends come back as ``\n``, and halves of surrogate
        pairs, which UTF-8 cannot say, as U+FFFD.
    event : str, optional
        The type; when empty or left out, readers see ``message``.
    id : str, optional
        Where a reader that has seen this resumes. An empty one makes readers forget theirs.
    retry : int, optional
        After how many milliseconds readers connect again.

    Raises
    ------
    StreamError
        If `event` or `id` cannot be written so that it is read back the same, or `retry` is
        negative.
    """
    block = bytearray()
    if event is not None:
        if _NOT_IN_EVENT.search(event):
            raise StreamError("The type of an event must not contain line breaks or surrogates.")
        block += b"event: %b\n" % event.encode()
    if id is not None:
        if _NOT_IN_ID.search(id):
            raise StreamError("An event's id must not contain line breaks, NUL or surrogates.")
        block += b"id: %b\n" % id.encode()
    if retry is not None:
        if retry < 0:
            raise StreamError("The time to wait before connecting again must not be negative.")
        block += b"retry: %d\n" % retry
    return bytes(block) + _lines(b"data: ", data)


def comment(text: str = "") -> bytes:
    """Return a comment, which readers ignore: it keeps an idle connection open."""
    return _lines(b": ", text) if text else b":\n\n"


def _lines(prefix: bytes, text: str | bytes) -> bytes:
    raw = text if isinstance(text, bytes) else _SURROGATE.sub("\ufffd", text).encode()
    return b"".join(b"%b%b\n" % (prefix, line) for line in _LINE_END.split(raw)) + b"\n"
