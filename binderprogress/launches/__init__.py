"""Launches: started, shared, joined, cancelled, retried, finished."""

from .caller import Caller
from .fanout import Fanout
from .launch import Launch
from .launch_state import LaunchState
from .manager import LaunchManager
from .viewer import Format, Viewer

__all__ = ["Caller", "Fanout", "Format", "Launch", "LaunchManager", "LaunchState", "Viewer"]
