"""The stores that must pass the tests here."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from binderprogress.channels.base import ChannelStore
from binderprogress.channels.memory import MemoryChannelStore

from ..support.channels import SuspendingChannelStore

STORES: dict[str, Callable[[], ChannelStore]] = {
    "memory": MemoryChannelStore,
    # Of tests only: it is as strict as a store may be.
    "suspending": SuspendingChannelStore,
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> ChannelStore:
    return STORES[request.param]()
