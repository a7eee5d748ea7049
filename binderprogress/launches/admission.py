"""Limits of running launches: in total, per user, and per client."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from ..core.client_address import client_network
from ..errors import TooManyRequestsError
from .caller import Caller
from .launch import Launch

__all__ = ["Admission"]

_BUSY = 60.0
_BUSY_CLIENT = 30.0


class Admission(msgspec.Struct, frozen=True):
    """Refuses launches above the limits.

    Attributes
    ----------
    in_all : int
        Maximum number of running launches.
    of_user, of_client : int
        Maximum per user where users log in, and per client elsewhere. 0 disables the limit. Attack:
        one client takes all launches, and keeps everyone else out.
    """

    in_all: int
    of_user: int
    of_client: int

    def check(self, caller: Caller, under_way: Collection[Launch]) -> None:
        """Check whether another launch may start.

        Raises
        ------
        TooManyRequestsError
            If a limit is reached.
        """
        if len(under_way) >= self.in_all:
            raise TooManyRequestsError(
                f"This server is busy with {len(under_way)} launches. Try again in a minute.",
                retry_after=_BUSY,
            )
        if caller.user:
            limit, whose = self.of_user, "You have"
            running = sum(launch.caller.user == caller.user for launch in under_way)
        else:
            limit, whose = self.of_client, "Your address has"
            client = client_network(caller.ip)
            running = sum(launch.client == client for launch in under_way) if client else 0
        if limit and running >= limit:
            raise TooManyRequestsError(
                f"{whose} {running} launches in progress, which is as many as this server allows. "
                "Try again when one of them is done.",
                retry_after=_BUSY_CLIENT,
            )
