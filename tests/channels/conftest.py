"""The stores that must pass the tests here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from binderprogress.channels.base import ChannelStore
from binderprogress.channels.durable import DurableStore
from binderprogress.channels.memory import MemoryChannelStore

from ..support.channels import SuspendingChannelStore
from ..support.postgresql import empty_database, postgresql
from ..support.replicas import (
    ManyReplicas,
    MemoryReplicas,
    PostgreSQLReplicas,
    Replicas,
    SQLiteReplicas,
)

STORES: dict[str, Callable[[], ChannelStore]] = {
    "memory": MemoryChannelStore,
    # Of tests only: it is as strict as a store may be.
    "suspending": SuspendingChannelStore,
}

# Durable stores have further tests, those that several processes can use at once even more.
SINGLE = ["sqlite"]
SHARED = ["postgresql", "model"]


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture
def database_url(postgresql_url: str) -> Iterator[str]:
    """An empty database of PostgreSQL."""
    with empty_database(postgresql_url) as url:
        yield url


def of_kind(request: pytest.FixtureRequest) -> Replicas:
    if request.param == "sqlite":
        return SQLiteReplicas(request.getfixturevalue("tmp_path"))
    if request.param == "model":
        return MemoryReplicas()
    return PostgreSQLReplicas(request.getfixturevalue("database_url"))


@pytest.fixture(params=[*STORES, *SINGLE, *SHARED])
def store(request: pytest.FixtureRequest) -> ChannelStore:
    """A store; a durable one is open during an asynchronous test."""
    if request.param in STORES:
        return STORES[request.param]()
    return of_kind(request).new()


@pytest.fixture(params=[*SINGLE, *SHARED])
def replicas(request: pytest.FixtureRequest) -> Replicas:
    """Processes with a durable store, one after the other."""
    return of_kind(request)


@pytest.fixture(params=SHARED)
def many(request: pytest.FixtureRequest) -> ManyReplicas:
    """Processes with a durable store, at the same time."""
    found: ManyReplicas = of_kind(request)  # type: ignore[assignment] # `SHARED` are such
    return found


@pytest.fixture
def durable(replicas: Replicas) -> DurableStore:
    """A durable store; it is open during an asynchronous test."""
    return replicas.new()
