"""The configuration of the store."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from traitlets.config import Config

from binderprogress.channels.config import Storage
from binderprogress.channels.database.store import DatabaseStore
from binderprogress.channels.durable import DurableStore
from binderprogress.channels.keys import KEY_VARIABLE
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.errors import ConfigError

from ..support.asynchronous import asynchronous
from ..support.replicas import KEY, LOG
from .test_durable_conformance import running, with_channel


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


def test_launches_in_memory(home: Path) -> None:
    assert isinstance(Storage(url="memory").open_store(), MemoryChannelStore)
    assert not home.exists()


@asynchronous(30)
async def test_by_default_it_is_a_file_in_the_users_data_folder(home: Path) -> None:
    store = Storage(log=LOG).open_store()
    assert isinstance(store, DurableStore)
    file = home / "binderprogress" / "launches.sqlite"
    # It is not connected yet.
    assert not file.exists()
    async with running(store):
        await with_channel(store)
        assert file.stat().st_mode & 0o777 == 0o600


@asynchronous(30)
async def test_settings_are_those_of_the_store(tmp_path: Path) -> None:
    settings = {"url": f"sqlite:///{tmp_path}/x.sqlite", "window": 0, "disk_budget": 1000}
    store = Storage(config=Config(Storage=settings), log=LOG).open_store()
    assert isinstance(store, DatabaseStore)
    assert (store._windows.size, store._budget) == (0, 1000)
    # It is reserved for this process.
    assert (tmp_path / "x.sqlite.lock").exists()


def test_postgresql_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    storage = Storage(url="postgresql://127.0.0.1/x", log=LOG)
    with pytest.raises(ConfigError, match=r"BINDERPROGRESS_CRYPT_KEY.*openssl rand -hex 32"):
        storage.open_store()
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert isinstance(storage.open_store(), DurableStore)


def test_without_the_packages_launches_are_in_memory_and_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        assert isinstance(Storage(log=LOG).open_store(), MemoryChannelStore)
    assert "pip install 'binderprogress[storage]'" in caplog.text
    with pytest.raises(ConfigError, match=r"binderprogress\[storage\]"):
        Storage(url="sqlite:////srv/launches.sqlite").open_store()


@asynchronous(30)
async def test_a_second_server_of_a_user_keeps_its_launches_in_memory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage = Storage(log=LOG)
    first, second = storage.open_store(), storage.open_store()
    assert isinstance(first, DurableStore)
    assert isinstance(second, MemoryChannelStore)
    assert "Launches end with this server" in caplog.text
    assert "is used by another process" in caplog.text
    async with running(first):
        assert isinstance(storage.open_store(), MemoryChannelStore)
    # Another server can have it now.
    assert isinstance(storage.open_store(), DurableStore)


def test_a_file_that_is_configured_is_not_replaced_silently(tmp_path: Path) -> None:
    storage = Storage(url=f"sqlite:///{tmp_path}/launches.sqlite", log=LOG)
    first = storage.open_store()
    assert isinstance(first, DurableStore)
    with pytest.raises(ConfigError, match="is used by another process"):
        storage.open_store()


def test_a_folder_that_cannot_be_written_is_no_reason_not_to_serve(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home.write_text("a file")
    with caplog.at_level(logging.WARNING):
        assert isinstance(Storage(log=LOG).open_store(), MemoryChannelStore)
    assert "Launches end with this server" in caplog.text
