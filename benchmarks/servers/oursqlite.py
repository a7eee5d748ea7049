"""binderprogress with launches in SQLite, as `serve` keeps them."""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import Any

from . import ours


def main(connection: Connection, streams: int, options: dict[str, Any]) -> None:
    ours.main(connection, streams, {**options, "store": "sqlite"})
