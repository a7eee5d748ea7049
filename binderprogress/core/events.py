"""The event, which is one numbered and timed record of a launch.

`json_schema` generates the JSON Schema of the wire from these types. The browser's types are
generated from the schema.
"""

from __future__ import annotations

from inspect import cleandoc
from math import exp
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from ..errors import StreamError
from .phases import TERMINAL, Phase

__all__ = [
    "ENCODED_OVERHEAD",
    "Curve",
    "DoneAhead",
    "Earlier",
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

    Δt seconds after the event, it is at ``from + (to − from)·(1 − exp(−Δt/tau))`` percent.
    """

    from_: Percent
    to: Percent
    tau: Annotated[float, Meta(gt=0)]

    def at(self, seconds: float) -> float:
        """Return the bar's position `seconds` after the event, in percent."""
        if seconds <= 0:
            return self.from_
        return self.from_ + (self.to - self.from_) * (1 - exp(-seconds / self.tau))


class Earlier(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An earlier version of the repository, whose environment exists."""

    spec: Annotated[str, Meta(description="What to launch.")]
    commit: str
    date: Annotated[float, Meta(description="Seconds since 1970, UTC.")]
    date_of: Annotated[
        Literal["commit", "build", "launch"],
        Meta(
            description="What the date is that of: the commit, or if that is not known the build "
            "of its environment, or else its last launch."
        ),
    ]


class DoneAhead(msgspec.Struct, frozen=True, gc=False):
    """Something that was done at the same time as something else that the launch waited for."""

    what: Annotated[str, Meta(description="A key, such as 'jupyterhub-user'.")]
    label: Annotated[str, Meta(description="What was done, for people.")]
    start: Annotated[Seconds, Meta(description="Seconds since the launch began.")]
    end: Annotated[Seconds, Meta(description="Seconds since the launch began.")]
    saved: Annotated[
        Seconds,
        Meta(
            description="Seconds by which the launch is faster than if it had been done afterwards."
        ),
    ]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One record of a launch, as viewers get it.

    It has the fields of BinderHub's events, and more. Fields with their default value are omitted.
    """

    id: Annotated[int, Meta(ge=1, description="Number of the event in its launch, without gaps.")]
    phase: Phase
    time: Annotated[float, Meta(description="Seconds since 1970, UTC.")]
    elapsed: Annotated[Seconds, Meta(description="Seconds since the build or the launch began.")]
    progress: Annotated[Percent, Meta(description="Position of the bar; 100 only when ready.")]
    phases: Annotated[
        list[Phase],
        Meta(
            description="On the first event: the phases that this launch can have until it is "
            "ready, in their order. Without it, they may be any."
        ),
    ] = []
    message: Annotated[
        str,
        Meta(
            description="A line of the log, as the source wrote it: plain text with ANSI colours, "
            "ending in a line feed, or in a carriage return if the next line overwrites it."
        ),
    ] = ""
    step: Annotated[str, Meta(description="The step within the phase, in plain words.")] = ""
    step_key: Annotated[
        str, Meta(description="The step's name for programs, such as 'pulling'.")
    ] = ""
    step_index: Annotated[
        int, Meta(ge=0, description="Of numbered steps and layers: the number, counted from 1.")
    ] = 0
    step_total: Annotated[
        int, Meta(ge=0, description="Of numbered steps and layers: how many there are.")
    ] = 0
    step_digest: Annotated[
        str, Meta(description="Of numbered steps: identifies the instruction in any build.")
    ] = ""
    step_cached: Annotated[
        bool, Meta(description="Of numbered steps: whether the result was cached.")
    ] = False
    step_command: Annotated[
        str,
        Meta(
            description="Of numbered steps: what the instruction does, shortened. The owner of the "
            "repository wrote it."
        ),
    ] = ""
    curve: Annotated[
        Curve | None,
        Meta(description="How the bar moves until the next event; without it, the bar stands."),
    ] = None
    eta: Annotated[Seconds | None, Meta(description="Seconds until ready: the median.")] = None
    eta_low: Annotated[
        Seconds | None, Meta(description="Seconds until ready: the lower quartile.")
    ] = None
    eta_high: Annotated[
        Seconds | None, Meta(description="Seconds until ready: the upper quartile.")
    ] = None
    eta_latest: Annotated[
        Seconds | None,
        Meta(description="Seconds until ready: nine of ten such launches take no longer."),
    ] = None
    eta_late: Annotated[
        Seconds | None,
        Meta(description="Seconds until the launch takes longer than nine of ten others."),
    ] = None
    attempt: Annotated[
        int,
        Meta(
            ge=1,
            description="Number of the attempt to build, and then to start a server. It never "
            "decreases.",
        ),
    ] = 1
    reason: Annotated[
        str, Meta(description="On failed and cancelled: the reason, for programs.")
    ] = ""
    subject: Annotated[
        str,
        Meta(
            description="On failed: what the message is about, such as the requirement that cannot "
            "be satisfied."
        ),
    ] = ""
    problem: Annotated[
        str,
        Meta(
            description="While launching: what keeps the server from starting, in one sentence. "
            "The fields from `reason` to `line` have then the values that they would have on "
            "failed. The Hub still tries, and the next event without it says that it succeeded."
        ),
    ] = ""
    advice: Annotated[str, Meta(description="On failed: what to do, in one sentence.")] = ""
    evidence: Annotated[
        list[str], Meta(description="On failed: the lines of the log that show the reason.")
    ] = []
    fault: Annotated[
        Literal["", "repository", "request", "server", "network", "unknown"],
        Meta(
            description="On failed: who can fix it. The author of the repository, the person who "
            "launched it, the operator of the server, or nobody (network)."
        ),
    ] = ""
    retry: Annotated[
        bool | None, Meta(description="On failed: whether launching again can help.")
    ] = None
    file: Annotated[str, Meta(description="On failed: the file in the repository to change.")] = ""
    line: Annotated[
        int, Meta(ge=0, description="On failed: the line in `file`, from 1; 0 if unknown.")
    ] = 0
    build_id: Annotated[
        str,
        Meta(
            description="On the first event of a build: its id. Its log can be read at "
            "builds/{build_id}/log below the server's address, also when the launch is forgotten."
        ),
    ] = ""
    earlier: Annotated[
        Earlier | None,
        Meta(
            description="Once, when a build begins: an earlier version that can be launched "
            "meanwhile, if the server offers that."
        ),
    ] = None
    ahead: Annotated[
        list[DoneAhead],
        Meta(
            description="On ready: what was done at the same time as something else that the "
            "launch waited for."
        ),
    ] = []
    imageName: Annotated[str, Meta(description="On built: the image or environment.")] = ""  # noqa: N815 - BinderHub's name
    url: Annotated[
        str, Meta(description="On ready: the address of the Jupyter server, http or https.")
    ] = ""
    token: Annotated[str, Meta(description="On ready: the token of the Jupyter server.")] = ""
    image: str = ""
    repo_url: str = ""
    binder_ref_url: str = ""
    binder_launch_host: str = ""
    binder_request: str = ""
    binder_persistent_request: str = ""
    binder_client_ip: str = ""
    source: Annotated[
        dict[str, Any] | None,
        Meta(description="Other fields of the source, under their own names. Not trusted."),
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
    """An encoded event, shared by all viewers.

    The event itself is not kept: that would take nearly three times the memory.

    Attributes
    ----------
    id : int
        The event's number.
    sse : bytes
        A block of ``text/event-stream``, beginning with the number.
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
        """The event as JSON, for a WebSocket message."""
        return self.sse[self.sse.index(b"{") : -2]

    def moved(self, by: int) -> Encoded:
        """Return the same event with a number that is higher by `by`."""
        number = self.id + by
        # The number is the first field of an event, and never the only one.
        rest = self.sse[self.sse.index(b",") :]
        return Encoded(number, b'id: %d\ndata: {"id":%d%b' % (number, number, rest))


ENCODED_OVERHEAD = 120
"""Bytes of memory that an encoded event takes in addition to its content.

CPython needs 33 for a `bytes`, 32 for the struct, 32 for the number, up to 9 for an entry of a
list, and its allocator rounds each up to 16. `tests/launches/test_budget.py` measures it.
"""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """Return the event as JSON."""
    return _encoder.encode(event)


def decode(data: bytes | str) -> Event:
    """Decode an event from JSON.

    Raises
    ------
    StreamError
        If it is not an event.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        # A remote server may send invalid UTF-8, or deeply nested JSON.
        raise StreamError(f"This is not an event: {error}") from error


def is_http_url(url: str) -> bool:
    """Whether `url` is http or https, with a host and without control characters."""
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
        # Docstrings. Python before 3.13 with msgspec before 0.23 does not dedent them.
        definition["description"] = cleandoc(definition["description"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A binderprogress event",
        **schema,
    }
