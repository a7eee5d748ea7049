"""Launches: started, shared, joined, cancelled, retried, finished."""

from .launch import Caller, Launch, LaunchState
from .manager import LaunchManager
from .viewer import Viewer

__all__ = ["Caller", "Launch", "LaunchManager", "LaunchState", "Viewer"]
