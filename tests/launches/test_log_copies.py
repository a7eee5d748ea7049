"""Logs of builds on their way to the store. Replicas with a real one are in tests/web."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import pytest

from binderprogress.channels.shared_logs import KeptLog
from binderprogress.errors import StorageError
from binderprogress.launches import log_copies
from binderprogress.launches.log_copies import LogCopies

from ..support.asynchronous import asynchronous

BUILD = "begins-with-what-is-no-secret"

LOG = logging.getLogger("tests.log_copies")


class Away:
    """A store that is away at first; nobody reads from it."""

    def __init__(self, failures: int) -> None:
        self._failures = failures
        self.kept: dict[str, bytes] = {}

    async def put(self, log: KeptLog, parts: Iterable[bytes], *, key: str) -> None:
        if self._failures:
            self._failures -= 1
            raise StorageError("The database does not answer.")
        self.kept[log.build] = b"".join(parts)

    async def find(self, build: str) -> KeptLog | None:
        raise StorageError("The database does not answer.")

    async def part(self, build: str, number: int) -> bytes | None:
        raise NotImplementedError

    async def newest(self, key: str) -> KeptLog | None:
        raise StorageError("The database does not answer.")

    async def tidy(self, *, until: float, budget: int) -> None:
        raise NotImplementedError


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.fault(
    part="The launches' database",
    fault="is away when a build of one of several replicas ends",
    promise="its log is copied for other replicas when the database is back",
)
@asynchronous(10)
async def test_a_log_waits_for_a_store_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log_copies, "_PAUSES", (0.01, 0.02))
    (tmp_path / f"{BUILD}.log").write_text("text\n")
    store = Away(3)
    copies = LogCopies(store, patience=60.0, log=LOG)
    copies.send(tmp_path / f"{BUILD}.log", "key")
    # What is not there cannot be copied.
    copies.send(tmp_path / "missing-secret.log", "key")
    await copies.close()
    assert store.kept == {BUILD: b"text\n"}
    assert "the log of the build missin…: No such file or directory" in caplog.text
    impatient = LogCopies(Away(1), patience=0.0, log=LOG)
    impatient.send(tmp_path / f"{BUILD}.log", "key")
    await impatient.close()
    assert "the log of the build begins…: The database does not answer." in caplog.text
    assert "secret" not in caplog.text


@asynchronous(10)
async def test_a_server_that_stops_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log_copies, "_FINISH", 0.05)
    (tmp_path / f"{BUILD}.log").write_text("text\n")
    copies = LogCopies(Away(10**6), patience=60.0, log=LOG)
    copies.send(tmp_path / f"{BUILD}.log", "key")
    await copies.close()
    assert "The server stops while copying a log (begins…) to the database." in caplog.text


@asynchronous(10)
async def test_without_the_store_what_is_here_is_read(tmp_path: Path) -> None:
    copies = LogCopies(Away(0), patience=60.0, log=LOG)
    (tmp_path / f"{BUILD}.log").write_text("text\n")
    assert not await copies.fetch(tmp_path / f"{BUILD}.log")
    with pytest.raises(StorageError):
        await copies.fetch(tmp_path / "b.log")
    assert await copies.newest("key") is None
    assert names(tmp_path) == [f"{BUILD}.log"]
