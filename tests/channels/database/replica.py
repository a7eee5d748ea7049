"""A process with a store, which writes events as fast as they are stored. For `test_processes`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from binderprogress.channels.database.store import DatabaseStore
from binderprogress.core.events import Encoded, Event
from binderprogress.core.phases import Phase
from binderprogress.errors import LeaseLostError, StorageError


def line(number: int, writer: str) -> Encoded:
    return Encoded.of(
        Event(
            id=number,
            phase=Phase.BUILDING,
            time=0.0,
            elapsed=0.0,
            progress=0.0,
            message=f"line {number} of {writer}",
        )
    )


async def main(url: str, name: str, channel: str, seconds: float) -> None:
    """Begin a lease, or go on with it; print what is stored, and why it ended."""
    store = DatabaseStore(
        url,
        keys=os.environ["BINDERPROGRESS_CRYPT_KEY"],
        lasts=seconds,
        timeout=seconds,
        log=logging.getLogger(),
    )
    await store.open()
    await store.lease(name, b"state")
    await store.create(channel, lease=name)
    number, writer = 1, store.replica
    while True:
        batch = [line(number + n, writer) for n in range(3)]
        try:
            await store.append(channel, batch, expected=number - 1)
        except LeaseLostError:
            print("lost", number, flush=True)
            break
        except StorageError as error:
            print("failed", error, flush=True)
            await asyncio.sleep(0.01)  # the store does not say when it is back
            continue
        number += 3
        print("stored", number - 1, flush=True)
    await store.shutdown()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])))
