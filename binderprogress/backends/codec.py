"""Encodes what a backend needs to go on with a launch after the server was restarted."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from ..errors import StoredStateError

__all__ = ["Codec", "decode"]

S = TypeVar("S")
R = TypeVar("R")
B = TypeVar("B")
T = TypeVar("T")


class Codec(Generic[S, R, B]):
    """Encodes specs, resolved specs and build results as bytes, and decodes them again.

    Parameters
    ----------
    spec, resolved, result : type
        Structs of msgspec: what the backend takes, and what its `resolve` and `build` return.
    """

    def __init__(self, spec: type[S], resolved: type[R], result: type[B]) -> None:
        self._types = spec, resolved, result

    def encode(self, value: S | R | B) -> bytes:
        """Encode a spec, a resolved spec, or the result of a build."""
        return msgspec.msgpack.encode(value)

    def spec(self, data: bytes) -> S:
        """Decode a spec.

        Raises
        ------
        StoredStateError
            If it cannot be decoded, such as what a newer version has stored. So do the others.
        """
        return decode(data, self._types[0])

    async def resolved(self, data: bytes) -> R:
        """Decode a resolved spec."""
        return decode(data, self._types[1])

    def result(self, data: bytes) -> B:
        """Decode the result of a build."""
        return decode(data, self._types[2])


def decode(data: bytes, kind: type[T]) -> T:
    """Decode a value.

    Raises
    ------
    StoredStateError
        If it cannot be decoded.
    """
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise StoredStateError(f"What is stored of a launch cannot be decoded: {error}") from error
