"""Who watches leases in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..base import Broadcast

__all__ = ["LeaseWatchers"]


class LeaseWatchers:
    """Calls listeners after leases were changed."""

    def __init__(self) -> None:
        self._watchers: dict[str, Broadcast] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._watchers

    @property
    def names(self) -> list[str]:
        """The leases that somebody watches."""
        return list(self._watchers)

    def watch(self, name: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Have a listener called; see `durable.DurableStore.watch_lease`."""
        watchers = self._watchers.setdefault(name, Broadcast())
        watchers.add(listener)

        def unwatch() -> None:
            watchers.remove(listener)
            if not len(watchers) and self._watchers.get(name) is watchers:
                del self._watchers[name]

        return unwatch

    def notify(self, names: Iterable[str]) -> None:
        """Call the listeners of leases."""
        for name in names:
            watchers = self._watchers.get(name)
            if watchers is not None:
                watchers.notify()
