"""Launches: started, shared, joined, cancelled, retried, finished."""

from .caller import Caller
from .fanout import Fanout, Format, Viewer
from .launch import Launch
from .launch_state import LaunchState
from .manager import LaunchManager

__all__ = ["Caller", "Fanout", "Format", "Launch", "LaunchManager", "LaunchState", "Viewer"]
