"""Splits the output of processes into lines."""

from __future__ import annotations

__all__ = ["Lines"]


class Lines:
    """Splits output into lines, independent of the pieces in which it arrives.

    Parameters
    ----------
    longest : int
        Maximum size of a line in bytes. Longer lines are split.
    """

    def __init__(self, *, longest: int) -> None:
        self._longest = longest
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Add a piece and return the lines that it completes."""
        data = self._rest + data
        # bytes.splitlines() splits only at "\n", "\r" and "\r\n".
        lines = data.splitlines(keepends=True)
        # The last line may continue, or its "\r" may be half of a "\r\n".
        self._rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        if len(data) > self._longest:
            lines = [piece for line in lines for piece in self._split(line)]
            *pieces, self._rest = self._split(self._rest)
            lines += pieces
        return [line.decode("utf-8", "replace") for line in lines]

    def pause(self) -> list[str]:
        r"""Return a line that ends in ``\r``, if no ``\n`` has followed for a while."""
        return self.end() if self._rest.endswith(b"\r") else []

    def end(self) -> list[str]:
        """Return the last line, if it has no line end."""
        rest, self._rest = self._rest, b""
        return [rest.decode("utf-8", "replace")] if rest else []

    def _split(self, line: bytes) -> list[bytes]:
        pieces = []
        while len(line) > self._longest:
            at = self._longest
            while at > self._longest - 3 and line[at] & 0xC0 == 0x80:
                at -= 1  # not within a UTF-8 character
            pieces.append(line[:at])
            line = line[at:]
        return [*pieces, line]
