"""What is stored of tokens, encrypted or not."""

from __future__ import annotations

import base64
import binascii
from typing import Protocol

from ...errors import ConfigError, StorageError
from ..keys import KEY_VARIABLE

__all__ = ["Cipher", "Keys", "Plain", "UnknownKeyError"]

_BYTES = 32
_HOW_TO = "Make one with: openssl rand -hex 32"

_TOKEN, _READY = b"token", b'"phase":"ready"'
"""What events with a token contain. Others that contain one of them are encrypted, too."""


class UnknownKeyError(StorageError):
    """Something was encrypted with a key that is not configured."""


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
        UnknownKeyError
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


class Keys:
    """Encrypts with the first of some keys, and decrypts with any of them.

    Parameters
    ----------
    text : str
        Keys of 32 bytes, as hexadecimal digits or as base64, separated by semicolons.

    Raises
    ------
    ConfigError
        If there is no key, one is not valid, or the package is missing.
    """

    def __init__(self, text: str) -> None:
        try:
            from cryptography.fernet import Fernet, InvalidToken, MultiFernet
        except ModuleNotFoundError as error:
            raise ConfigError(
                "Launches in PostgreSQL are encrypted with cryptography, which is not installed. "
                "Install it with: pip install 'binderprogress[postgresql]'"
            ) from error
        keys = [_key(number, each) for number, each in enumerate(text.split(";"), 1)]
        if not any(keys):
            raise ConfigError(
                "Launches in PostgreSQL contain tokens, and are encrypted. Set the environment "
                f"variable {KEY_VARIABLE} to a key, the same one for all replicas. {_HOW_TO}"
            )
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys if key])
        self._invalid = InvalidToken

    def seals(self, data: bytes) -> bool:
        """Whether events may contain a token."""
        return _TOKEN in data or _READY in data

    def seal(self, data: bytes) -> bytes:
        """Return the data, encrypted with the first key."""
        return self._fernet.encrypt(data)

    def unseal(self, data: bytes) -> bytes:
        """Return the decrypted data; see `Cipher.unseal`."""
        try:
            return self._fernet.decrypt(bytes(data))
        except self._invalid as error:
            raise UnknownKeyError(
                f"Launches were encrypted with a key that {KEY_VARIABLE} does not have. Add the "
                "earlier key after a semicolon."
            ) from error


def _key(number: int, text: str) -> bytes:
    """Return a key; nothing for an empty text."""
    text = text.strip()
    try:
        if len(text) == 2 * _BYTES:
            key = bytes.fromhex(text)
        else:
            # Both alphabets, with or without padding.
            padded = text.translate(str.maketrans("-_", "+/")).rstrip("=")
            key = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except (ValueError, binascii.Error):
        key = b"invalid"
    if key and len(key) != _BYTES:
        # Without the text, which is a secret.
        raise ConfigError(
            f"Key {number} of {KEY_VARIABLE} is not 32 bytes as hexadecimal digits or base64. "
            f"{_HOW_TO}"
        )
    return key
