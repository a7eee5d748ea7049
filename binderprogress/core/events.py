"""The event: one record of a launch, normalised, numbered and timed.

The JSON Schema of the wire is made from the types here (`json_schema`), and the browser's types
from that.
"""

from __future__ import annotations

from inspect import cleandoc
from math import exp
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from ..errors import StreamError
from .phases import TERMINAL, Phase

__all__ = [
    "ENCODED_OVERHEAD",
    "Curve",
    "Encoded",
    "Event",
    "decode",
    "encode",
    "is_http_url",
    "json_schema",
]

Percent = Annotated[float, Meta(ge=0, le=100)]
Seconds = Annotated[float, Meta(ge=0)]


class Curve(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename={"from_": "from"}):
    """How the bar moves until the next event.

    Δt seconds after the event it stands at ``from + (to − from)·(1 − exp(−Δt/tau))``.
    """

    from_: Percent
    to: Percent
    tau: Annotated[float, Meta(gt=0)]

    def at(self, seconds: float) -> float:
        """Return where the bar stands `seconds` after the event, in percent."""
        return self.from_ + (self.to - self.from_) * (1 - exp(-max(seconds, 0.0) / self.tau))


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One record of a launch, as viewers get it.

    It is BinderHub's object with more in it. Fields that say nothing are left out.
    """

    id: Annotated[int, Meta(ge=1, description="Its number in the launch; there are no gaps.")]
    phase: Phase
    time: Annotated[float, Meta(description="When: seconds since 1970, UTC.")]
    elapsed: Annotated[Seconds, Meta(description="Seconds since the build, or the launch, began.")]
    progress: Annotated[Percent, Meta(description="Where the bar stands; 100 only when ready.")]
    message: Annotated[
        str,
        Meta(
            description="A line of the log, as the source wrote it: plain text with ANSI colours, "
            "ending in a line feed, or in a carriage return when the next line overwrites it."
        ),
    ] = ""
    step: Annotated[str, Meta(description="What goes on within the phase, in plain words.")] = ""
    step_key: Annotated[str, Meta(description="The step's name for programs, as 'pulling'.")] = ""
    step_index: Annotated[int, Meta(ge=0, description="Of numbered steps and layers: which.")] = 0
    step_total: Annotated[
        int, Meta(ge=0, description="Of numbered steps and layers: of how many.")
    ] = 0
    step_digest: Annotated[
        str, Meta(description="Of numbered steps: the same for the same instruction in any build.")
    ] = ""
    step_cached: Annotated[
        bool, Meta(description="Of numbered steps: whether its result was there already.")
    ] = False
    curve: Annotated[
        Curve | None, Meta(description="How the bar moves until the next event; none: it stands.")
    ] = None
    eta: Annotated[Seconds | None, Meta(description="Seconds until ready, as a median.")] = None
    eta_low: Annotated[Seconds | None, Meta(description="… as a lower quartile.")] = None
    eta_high: Annotated[Seconds | None, Meta(description="… as an upper quartile.")] = None
    eta_late: Annotated[
        Seconds | None, Meta(description="Seconds until it takes longer than nine of ten do.")
    ] = None
    attempt: Annotated[int, Meta(ge=1, description="Which try at starting the server.")] = 1
    reason: Annotated[str, Meta(description="On failed and cancelled: why, for programs.")] = ""
    subject: Annotated[
        str,
        Meta(
            description="On failed: what it is about, as the requirement that cannot be satisfied."
        ),
    ] = ""
    advice: Annotated[str, Meta(description="On failed: what to do, in one sentence.")] = ""
    evidence: Annotated[
        list[str], Meta(description="On failed: the lines of the log that say why.")
    ] = []
    imageName: Annotated[str, Meta(description="On built: the image or environment.")] = ""  # noqa: N815 - BinderHub's name
    url: Annotated[str, Meta(description="On ready: the server, http or https.")] = ""
    token: Annotated[str, Meta(description="On ready: what opens the server.")] = ""
    image: str = ""
    repo_url: str = ""
    binder_ref_url: str = ""
    binder_launch_host: str = ""
    binder_request: str = ""
    binder_persistent_request: str = ""
    binder_client_ip: str = ""
    source: Annotated[
        dict[str, Any] | None,
        Meta(description="What the source said beyond this, under its own names. Do not trust."),
    ] = None

    def __post_init__(self) -> None:
        if self.url and not is_http_url(self.url):
            raise StreamError("A server's address must begin with http:// or https://.")
        if self.progress >= 100 and self.phase is not Phase.READY:
            raise StreamError("The bar is full only when the server is ready.")

    @property
    def terminal(self) -> bool:
        """Whether this ends its launch."""
        return self.phase in TERMINAL


class Encoded(msgspec.Struct, eq=False, gc=False):
    """An event in the bytes that go out, made once and shared by all viewers.

    It does not hold the event itself, which would take nearly three times the memory.

    Attributes
    ----------
    id : int
        The event's number.
    sse : bytes
        A whole block of ``text/event-stream``, its number in front.
    """

    id: int
    sse: bytes

    @classmethod
    def of(cls, event: Event) -> Encoded:
        """Encode an event."""
        # JSON has no bare line breaks, so the data is one line.
        return cls(event.id, b"id: %d\ndata: %b\n\n" % (event.id, _encoder.encode(event)))

    @property
    def event(self) -> Event:
        """The event, decoded each time."""
        return _decoder.decode(self.json)

    @property
    def json(self) -> bytes:
        """What goes into a WebSocket message."""
        return self.sse[self.sse.index(b"{") : -2]

    def moved(self, by: int) -> Encoded:
        """Return the same event with a higher number."""
        number = self.id + by
        # Its number is the first field of an event, and never its last.
        rest = self.sse[self.sse.index(b",") :]
        return Encoded(number, b'id: %d\ndata: {"id":%d%b' % (number, number, rest))


ENCODED_OVERHEAD = 120
"""Bytes of memory that an encoded event takes beside its own: objects, and its place in a list.

CPython takes 33 for a `bytes`, 32 for the struct, 32 for the number, up to 9 for the place in a
list, and its allocator rounds up to 16 each; `tests/launches/test_budget.py` measures it.
"""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """Return the event as JSON."""
    return _encoder.encode(event)


def decode(data: bytes | str) -> Event:
    """Read an event from JSON.

    Raises
    ------
    StreamError
        If it is none.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        # Not UTF-8, or nested without end: a remote server may send what it likes.
        raise StreamError(f"This is not an event: {error}") from error


def is_http_url(url: str) -> bool:
    """Whether `url` may be opened: http or https, with a host, without control characters."""
    if any(ord(character) <= 32 or ord(character) == 127 for character in url):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of an event on the wire."""
    schema = msgspec.json.schema(Event)
    for definition in schema["$defs"].values():
        # Docstrings. Python 3.13 and msgspec 0.23 dedent them; older ones do not.
        if "description" in definition:
            definition["description"] = cleandoc(definition["description"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A binderprogress event",
        **schema,
    }
