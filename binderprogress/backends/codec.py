"""Encodes what a backend needs to go on with a launch after the server was restarted."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from ..errors import StorageError

__all__ = ["Codec"]

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
        self._spec = msgspec.msgpack.Decoder(spec)
        self._resolved = msgspec.msgpack.Decoder(resolved)
        self._result = msgspec.msgpack.Decoder(result)

    def encode(self, value: S | R | B) -> bytes:
        """Encode a spec, a resolved spec, or the result of a build."""
        return msgspec.msgpack.encode(value)

    def spec(self, data: bytes) -> S:
        """Decode a spec.

        Raises
        ------
        StorageError
            If it cannot be decoded, such as what a newer version has stored. So do the others.
        """
        return _decode(self._spec, data)

    async def resolved(self, data: bytes) -> R:
        """Decode a resolved spec."""
        return _decode(self._resolved, data)

    def result(self, data: bytes) -> B:
        """Decode the result of a build."""
        return _decode(self._result, data)


def _decode(decoder: msgspec.msgpack.Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except msgspec.DecodeError as error:
        raise StorageError(f"What is stored of a launch cannot be decoded: {error}") from error
