"""The servers that are measured, ours and its peers, each in a process of its own.

All of them send the same events (`payload`) to whoever connects, when they are told to (`Order`).
"""

from .running import MISSING, SERVERS, Running, running

__all__ = ["MISSING", "SERVERS", "Running", "running"]
