"""What replicas tell each other of a transaction."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from .session import Session
from .tables import from_text, to_text

__all__ = ["TOPIC", "Notice", "announce", "decode"]

TOPIC = "binderprogress"
"""The name under which PostgreSQL passes notices on."""

_MAX_PAYLOAD = 7900
"""Bytes. PostgreSQL allows fewer than 8000."""


class Notice(msgspec.Struct, rename={"sender": "s", "channels": "c", "leases": "l"}):
    """What has changed in a transaction, or a part of it. Names are as in the tables."""

    sender: str
    channels: list[str] = []
    leases: list[str] = []


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Notice)


def announce(session: Session) -> None:
    """Tell other replicas what a transaction changes, once it is committed."""
    payloads = _payloads(session.replica, list(session.channels), list(session.leases))
    session.notify(TOPIC, list(payloads))


def _payloads(sender: str, channels: list[str], leases: list[str]) -> Iterator[str]:
    notice = Notice(sender)
    size = 0
    for kind, names in (("channels", channels), ("leases", leases)):
        for name in map(to_text, names):
            # Quotes, a comma, and backslashes that are doubled.
            needed = 2 * len(name) + 3
            if size and size + needed + len(sender) + 40 > _MAX_PAYLOAD:
                yield _encoder.encode(notice).decode()
                notice, size = Notice(sender), 0
            getattr(notice, kind).append(name)
            size += needed
    if size:
        yield _encoder.encode(notice).decode()


def decode(payload: str) -> Notice:
    """Return a notice, with the names as they are.

    Raises
    ------
    ValueError
        If it is not one of ours.
    """
    notice = _decoder.decode(payload)
    notice.channels = [from_text(name) for name in notice.channels]
    notice.leases = [from_text(name) for name in notice.leases]
    return notice
