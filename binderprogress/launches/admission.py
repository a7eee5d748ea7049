"""Lets launches begin, within limits: in total, per user, and per client."""

from __future__ import annotations

from collections.abc import Callable, Collection

from ..channels.durable import LeaseLimit
from ..core.client_address import client_network
from ..errors import LeaseLimitError, ServerStoppingError, StorageError, TooManyRequestsError
from .caller import Caller
from .launch import Launch
from .ledger import Ledger
from .stored import LAUNCHES

__all__ = ["Admission"]

_BUSY = 60.0
_BUSY_CLIENT = 30.0


class Admission:
    """Refuses launches above the limits, and all while the server is being stopped.

    Launches of this process are counted here. Where other replicas share the store, it counts those
    of all replicas, too, in the transaction that stores the launch.

    Parameters
    ----------
    ledger : Ledger
    in_all : int
        Maximum number of running launches.
    of_user, of_client : int
        Maximum per user where users log in, and per client elsewhere. 0 disables the limit. Attack:
        one client takes all launches, and keeps everyone else out.
    running : callable
        Returns the launches of this process that have not ended, but for those that begin.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        in_all: int,
        of_user: int,
        of_client: int,
        running: Callable[[], Collection[Launch]],
    ) -> None:
        self.beginning: set[Launch] = set()
        """Launches whose first event is being stored."""
        self._ledger = ledger
        self._in_all = in_all
        self._of_user = of_user
        self._of_client = of_client
        self._running = running
        self._is_closed = False

    def close(self) -> None:
        """Let nothing begin any more."""
        self._is_closed = True

    def check(self, caller: Caller) -> None:
        """Check whether another launch may begin in this process.

        Raises
        ------
        TooManyRequestsError
            If a limit is reached.
        ServerStoppingError
            If the server is being stopped.
        """
        self._refuse_if_closed()
        under_way = [*self.beginning, *self._running()]
        if len(under_way) >= self._in_all:
            raise _too_many(len(under_way))
        user, client = caller.user, client_network(caller.ip)
        if (limit := self._own_limit(user, client)) is not None:
            count = sum(
                launch.caller.user == user and (bool(user) or launch.client == client)
                for launch in under_way
            )
            if count >= limit.most:
                raise _too_many_of_one(count, is_user=bool(user))

    async def begin(self, launch: Launch) -> None:
        """Store the first event of a launch. Nothing is done for it before.

        Raises
        ------
        TooManyRequestsError
            If there are too many launches in all replicas.
        ServerStoppingError
            If the server is being stopped.
        StorageError
            If it cannot be stored.
        """
        user, client = launch.caller.user, launch.client
        limits = [LeaseLimit(most=self._in_all, prefix=LAUNCHES)]
        if (own := self._own_limit(user, client)) is not None:
            limits.append(own)
        self.beginning.add(launch)
        try:
            key = "" if user else client
            await self._ledger.begin(launch, user=user, client=key, limits=limits, patient=False)
            await launch.open()
            self._refuse_if_closed()
        except LeaseLimitError as error:
            launch.forget()
            if error.number:
                raise _too_many_of_one(error.count, is_user=bool(user)) from error
            raise _too_many(error.count) from error
        except BaseException as error:
            launch.forget()
            self._ledger.undo(launch)
            if isinstance(error, StorageError):
                raise StorageError(
                    "This server cannot store launches at the moment. Try again in a minute."
                ) from error
            raise
        finally:
            self.beginning.discard(launch)

    def _own_limit(self, user: str, client: str) -> LeaseLimit | None:
        """Return the limit of a user, or of a client without one; None if there is none."""
        most = self._of_user if user else self._of_client
        if not most or not (user or client):
            return None
        return LeaseLimit(most=most, prefix=LAUNCHES, user=user, client="" if user else client)

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise ServerStoppingError


def _too_many(count: int) -> TooManyRequestsError:
    return TooManyRequestsError(
        f"This server is busy with {count} launches. Try again in a minute.", retry_after=_BUSY
    )


def _too_many_of_one(count: int, *, is_user: bool) -> TooManyRequestsError:
    whose = "You have" if is_user else "Your address has"
    return TooManyRequestsError(
        f"{whose} {count} launches in progress, which is as many as this server allows. "
        "Try again when one of them is done.",
        retry_after=_BUSY_CLIENT,
    )
