"""A server that is killed again and again; `kills` does the same with more of everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.asynchronous import asynchronous
from .kills import Options, run


@pytest.mark.fault(
    part="The server",
    fault="is killed again and again at any moment, with launches and viewers (SQLite)",
    promise="each launch gets one server, every viewer gets every event once, nothing is left",
)
@asynchronous(60)
async def test_nothing_is_lost_with_sqlite(tmp_path: Path) -> None:
    figures = await run(Options(launches=8, viewers=24, times=3), tmp_path)
    assert figures.launches == figures.spawns > 8
