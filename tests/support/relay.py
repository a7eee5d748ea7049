"""Forwards ports of this machine's loopback to that of a network namespace.

``python -m tests.support.relay NAMESPACE PORT…`` prints a line when it listens.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

_CLONE_NEWNET = 0x40000000  # linux/sched.h


async def main(namespace: str, ports: list[int]) -> None:
    """Forward until this is killed."""
    listening = {port: _listen(port) for port in ports}
    # These sockets stay where they are. Those that are made from now on are in the namespace.
    descriptor = os.open(namespace, os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
    for port, sock in listening.items():
        await asyncio.start_server(_forward_to(port), sock=sock)
    print("listening", flush=True)
    await asyncio.Event().wait()


def _listen(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(128)
    return sock


def _forward_to(port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
    # The loop itself does not keep them.
    tasks: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_forward(port, reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return begin


async def _forward(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        there, back = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        # Nothing listens there, or not yet.
        writer.transport.abort()
        return
    await asyncio.gather(_copy(reader, back), _copy(there, writer))
    for each in (writer, back):
        each.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # one side has gone; the other one learns of it
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.write_eof()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], [int(port) for port in sys.argv[2:]]))
