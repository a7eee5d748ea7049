"""What can be done for a server while its environment is built."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import msgspec

__all__ = ["Prepared", "Preparer", "ServerPlan"]

R = TypeVar("R")


class ServerPlan(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """A Jupyter server that will be requested when its environment is built.

    Attributes
    ----------
    name, key, user : str
        Those of the later request; see `LaunchRequest`.
    resolved : ResolvedSpec
        What is built.
    resumed : bool
        Whether it was planned before a restart. Then something may have been prepared.
    """

    name: str
    key: str
    user: str = ""
    resolved: R
    resumed: bool = False


class Prepared(msgspec.Struct, frozen=True):
    """Something that was done for a server before it was requested.

    Attributes
    ----------
    what : str
        A key, such as ``jupyterhub-user``.
    label : str
        What was done, for people.
    seconds : float
        How long that took. The launch need not wait for it any more.
    """

    what: str
    label: str
    seconds: float


@runtime_checkable
class Preparer(Protocol):
    """What a builder, launcher or backend may be besides: able to prepare servers.

    A plan ends in a request with the same key, or in `discard`.
    """

    @property
    def prepares(self) -> bool:
        """Whether there is anything that it can do."""
        ...

    async def prepare(
        self, plan: Any, *, building: asyncio.Event, done: Callable[[Prepared], None]
    ) -> None:
        """Do what the request of a server will need, while its environment is built.

        It never fails: what cannot be done is left to the launch. It is cancelled when the
        environment is there, or the launch ends, and gives back then what it holds only until the
        server is requested. It may be called again for the same plan, after a restart.

        Parameters
        ----------
        plan : ServerPlan
        building : asyncio.Event
            Set when the build begins: nothing could be reused, and its turn has come. What costs
            something is not done before.
        done : callable
            Called with each thing that is done.
        """
        ...

    async def discard(self, plan: Any) -> None:
        """Remove what was prepared and is still there: the server will not be requested.

        Raises
        ------
        LaunchFailedError
            If that is not done yet. It goes on in the background; see `Remover`.
        """
        ...
