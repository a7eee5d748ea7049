"""What is stored of tokens, encrypted or not."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Cipher", "Plain"]


class Cipher(Protocol):
    """Encrypts what must not be readable in the database."""

    def seals(self, data: bytes) -> bool:
        """Whether events have to be encrypted."""
        ...

    def seal(self, data: bytes) -> bytes:
        """Return data as it is stored."""
        ...

    def unseal(self, data: bytes) -> bytes:
        """Return what `seal` got.

        Raises
        ------
        StorageError
            If it was encrypted with another key.
        """
        ...


class Plain:
    """Encrypts nothing: the file is private to its user."""

    def seals(self, data: bytes) -> bool:
        """Return False."""
        return False

    def seal(self, data: bytes) -> bytes:
        """Return the data."""
        return data

    def unseal(self, data: bytes) -> bytes:
        """Return the data."""
        return data
