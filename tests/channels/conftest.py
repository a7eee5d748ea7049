"""The stores that must pass the tests here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from binderprogress.channels.base import ChannelStore
from binderprogress.channels.durable import DurableStore
from binderprogress.channels.memory import MemoryChannelStore

from ..support.channels import SuspendingChannelStore
from ..support.replicas import Replicas, SQLiteReplicas

STORES: dict[str, Callable[[], ChannelStore]] = {
    "memory": MemoryChannelStore,
    # Of tests only: it is as strict as a store may be.
    "suspending": SuspendingChannelStore,
}


# Durable stores, which have further tests.
DURABLE: dict[str, Callable[[Path], Replicas]] = {"sqlite": SQLiteReplicas}


@pytest.fixture(params=[*STORES, *DURABLE])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ChannelStore:
    if request.param in STORES:
        return STORES[request.param]()
    return DURABLE[request.param](tmp_path).new()


@pytest.fixture(params=DURABLE)
def replicas(request: pytest.FixtureRequest, tmp_path: Path) -> Replicas:
    """Processes with a durable store."""
    return DURABLE[request.param](tmp_path)


@pytest.fixture
def durable(replicas: Replicas) -> DurableStore:
    """A durable store; it is open during an asynchronous test."""
    return replicas.new()
