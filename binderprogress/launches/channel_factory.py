"""Makes the channels of launches and builds, and restores those that are stored."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from ..channels.base import ChannelStore, Meter
from ..errors import ChannelNotFoundError
from .channel import Channel
from .retries import Waiting
from .storing import Storing

__all__ = ["Channels"]


class Channels:
    """Makes channels in a store.

    Parameters
    ----------
    store : ChannelStore
    patience : float, optional
        Seconds for which events wait in memory while the store is away.
    waiting : Waiting, optional
        Counts what waits for the store.
    meter : Meter, optional
        Counts the memory of all events.
    log : logging.Logger, optional
        The operator's.
    """

    def __init__(
        self,
        store: ChannelStore,
        *,
        patience: float = 0.0,
        waiting: Waiting | None = None,
        meter: Meter | None = None,
        log: logging.Logger | logging.LoggerAdapter[Any] | None = None,
    ) -> None:
        self.meter = meter or Meter()
        self._work = Storing(
            store,
            patience=patience,
            waiting=waiting or Waiting(),
            meter=self.meter,
            log=log or logging.getLogger(__name__),
        )
        durable = self._work.durable
        self.are_shared = durable is not None and durable.is_shared
        """Whether other replicas may write and read them."""

    def make(self, channel_id: str = "", *, first: int = 1, lease: str = "") -> Channel:
        """Return a new channel. It is created in the store when it is opened.

        Parameters
        ----------
        channel_id : str
            Empty: a random one.
        first : int
            The number of its first event.
        lease : str
            The launch or build that it belongs to.
        """
        return Channel(self._work, channel_id or secrets.token_hex(16), first=first, lease=lease)

    async def restore(self, channel_id: str, *, lease: str = "") -> Channel | None:
        """Return a channel of a durable store; None if there is none of this id.

        Raises
        ------
        StorageError
            If the store cannot be read.
        """
        store = self._work.durable
        assert store is not None  # noqa: S101 - no other keeps channels
        try:
            state = await store.describe(channel_id)
        except ChannelNotFoundError:
            return None
        newest = await store.read(channel_id, state.last - 1, limit=1)
        channel = self.make(channel_id, lease=lease)
        channel.restore(state, newest[0] if state.last >= state.first else None)
        return channel

    async def close(self) -> None:
        """Cancel what is still being stored."""
        await self._work.close()
