"""What the process that fetches is told by the server that starts it."""

from __future__ import annotations

import os

import msgspec

from .safe_files import Limits

__all__ = ["FetchSettings", "take_settings"]

VARIABLE = "BINDERPROGRESS_FETCH"


class FetchSettings(msgspec.Struct, frozen=True):
    """How one repository or record is fetched.

    Attributes
    ----------
    provider : str
        Of its spec.
    limits : Limits
    """

    provider: str
    limits: Limits

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that hand it to a child process."""
        return {VARIABLE: msgspec.json.encode(self).decode()}


def take_settings() -> FetchSettings:
    """Return what the server put into the environment, and remove it from there.

    What is fetched runs later in the same process's children: it is not theirs to read.
    """
    return msgspec.json.decode(os.environ.pop(VARIABLE), type=FetchSettings)
