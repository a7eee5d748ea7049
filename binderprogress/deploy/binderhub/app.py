"""BinderHub's application, with our handlers in front of its own."""

from __future__ import annotations

import sys
from typing import Any

from binderhub.app import BinderHub

from ...errors import BinderProgressError
from .extension import BinderProgress
from .lifecycle import Lifecycle

__all__ = ["BinderProgress", "BinderProgressHub", "extend", "main"]


class BinderProgressHub(BinderHub):
    """BinderHub with launches that can be resumed and shared, and that show their progress."""

    progress: BinderProgress
    """After `initialize`."""

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """Initialize BinderHub, then add our endpoints in front."""
        self._lifecycle = Lifecycle(self)
        super().initialize(*args, **kwargs)
        self._lifecycle.attach()

    def start(self, run_loop: bool = True) -> None:
        """Serve until SIGINT or SIGTERM."""
        self._lifecycle.start(super().start, run_loop=run_loop)

    def stop(self) -> None:
        """End all launches, and stop serving."""
        self._lifecycle.stop(super().stop)


def extend(hub: BinderHub) -> None:
    """Let a BinderHub add our endpoints when it starts. Does nothing if it does so already.

    Only this instance is changed, not its class, and only its methods `start` and `stop`.

    Parameters
    ----------
    hub : BinderHub
        It may still be loading its configuration.
    """
    if isinstance(hub, BinderProgressHub) or "start" in vars(hub):
        return
    lifecycle = Lifecycle(hub)
    own_start, own_stop = hub.start, hub.stop

    def start(run_loop: bool = True) -> None:
        try:
            lifecycle.attach()
            lifecycle.start(own_start, run_loop=run_loop)
        except BinderProgressError as error:
            sys.exit(str(error))

    def stop() -> None:
        lifecycle.stop(own_stop)

    hub.start, hub.stop = start, stop


def main() -> None:
    """Run BinderHub with binderprogress."""
    try:
        BinderProgressHub.launch_instance()
    except BinderProgressError as error:
        sys.exit(str(error))
