"""Encoding and decoding of ``text/event-stream``.

The numbers in comments are clauses of the HTML standard, "Server-sent events": "Parsing an event
stream" (9.2.5) and "Interpreting an event stream" (9.2.6).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import StreamError

__all__ = ["Decoder", "ServerSentEvent", "comment", "encode"]

# 9.2.5, end-of-line. In UTF-8 these bytes are never part of another character, and decoding with
# "replace" never removes them, so bytes can be split before they are decoded.
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
        Its data lines, joined by line feeds.
    id : str
        The last event id when it was dispatched, which an earlier block may have set.
    """

    event: str = "message"
    data: str = ""
    id: str = ""


class Decoder:
    """Decodes the bytes of one connection into events.

    A block that is unfinished at the end of the stream is not dispatched.

    Parameters
    ----------
    max_block : int
        Maximum size of a block in bytes: its data lines and an unfinished line.
    last_event_id : str
        The id that the connection was opened with, if it resumes. Without it, a keepalive would
        reset the last event id of a resumed stream.

    Attributes
    ----------
    last_event_id : str
        The id to resume from: the last event id at the end of the last block.
    retry : int or None
        Milliseconds to wait before reconnecting, if the stream has set them.
    """

    def __init__(self, *, max_block: int = 16 * 2**20, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.retry: int | None = None
        self._max_block = max_block
        self._at_start = True
        self._after_cr = False
        self._partial = bytearray()
        self._data = bytearray()
        # The bytes of all data lines. Attack: nearly empty lines take more time than memory.
        self._read = 0
        self._event = ""
        self._id = last_event_id

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Decode more bytes and return the events that they complete.

        Parameters
        ----------
        chunk : bytes
            Any number of bytes, split anywhere.

        Raises
        ------
        StreamError
            If a block is larger than `max_block`. Every later call raises it again, and
            `last_event_id` stays that of the last event that was returned.
        """
        before = self.last_event_id
        self._check_size(before)
        if not chunk:
            return []
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        # A CR ends its line immediately, or the event would wait for the next chunk. An LF that
        # follows belongs to it.
        self._after_cr = chunk.endswith(b"\r")

        # Only the new bytes are searched, so the time is linear for chunks of any size.
        first, *others = _LINE_END.split(chunk)
        self._partial += first
        events = []
        for following in others:
            self._check_size(before)
            line = bytes(self._partial)
            self._partial = bytearray(following)
            if self._at_start:
                self._at_start = False
                line = line.removeprefix(_BOM)  # 9.2.5: one, at the start of the stream
            if line:
                self._field(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        self._check_size(before)
        return events

    def _field(self, line: bytes) -> None:
        """Process one line that is not blank (9.2.6, "process the field")."""
        # A comment begins with a colon: its name is empty, and ignored like any unknown name.
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
        elif name == b"retry" and value.isdigit():  # bytes.isdigit(): ASCII digits only
            # Attack: int() takes quadratic time for millions of digits, or raises. Longer numbers
            # are ignored.
            digits = value.lstrip(b"0")
            if len(digits) <= _RETRY_DIGITS:
                self.retry = int(digits or b"0")

    def _dispatch(self) -> ServerSentEvent | None:
        """End a block (9.2.6, "dispatch the event")."""
        # Step 1 comes before the check for data: a block with only an id sets the last event id.
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
        """Reject a line or a block that does not end."""
        if len(self._partial) + self._read > self._max_block:
            # The events of this chunk are not returned, so a client that resumes must get them.
            self.last_event_id = before
            # The bytes are kept, so that every later call raises, too.
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
    r"""Return one block.

    Parameters
    ----------
    data : str or bytes
        Any text, or its UTF-8. Readers get every line end as ``\n``, and every lone surrogate as
        U+FFFD.
    event : str, optional
        The type. If it is empty or missing, readers get ``message``.
    id : str, optional
        The id from which a client resumes after this event. An empty id resets the client's.
    retry : int, optional
        Milliseconds that clients wait before they reconnect.

    Raises
    ------
    StreamError
        If `event` or `id` contains characters that cannot be encoded, or `retry` is negative.
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
    """Return a comment. Clients ignore it, but it keeps an idle connection open."""
    return _lines(b": ", text) if text else b":\n\n"


def _lines(prefix: bytes, text: str | bytes) -> bytes:
    raw = text if isinstance(text, bytes) else _SURROGATE.sub("\ufffd", text).encode()
    return b"".join(b"%b%b\n" % (prefix, line) for line in _LINE_END.split(raw)) + b"\n"
