"""What a server does at the moment, in numbers."""

from __future__ import annotations

from collections import Counter

from ..core.phases import Phase
from ..history.store import HistoryStore
from .admission import Admission
from .build_queue import BuildQueue
from .directory import Directory
from .launch import Launch
from .ledger import Ledger
from .outcomes import Outcomes
from .running import RunningLaunches
from .shared_builds import SharedBuilds
from .standby_pool import StandbyPool

__all__ = ["Overview"]


class Overview:
    """Numbers of a `LaunchManager`: its launches, builds and viewers; and its history."""

    queue: BuildQueue
    """The builds that wait for others."""

    standby: StandbyPool
    """The servers that stand ready, which `Standby` keeps."""

    outcomes: Outcomes
    """Counts and records launches that have ended."""

    _admission: Admission
    _builds: SharedBuilds
    _directory: Directory
    _ledger: Ledger
    _running: RunningLaunches

    @property
    def is_durable(self) -> bool:
        """Whether launches outlive this process."""
        return self._ledger.store is not None

    @property
    def history(self) -> HistoryStore:
        """Keeps ended launches."""
        return self.outcomes.history

    @history.setter
    def history(self, history: HistoryStore) -> None:
        self.outcomes.history = history

    @property
    def running(self) -> int:
        """The number of launches that have not ended."""
        return len(self._running.tasks) + len(self._admission.beginning)

    def phases(self) -> Counter[Phase]:
        """Return the number of running launches by phase."""
        return Counter(launch.last.phase for launch in self.under_way())

    def under_way(self) -> list[Launch]:
        """List the launches that have not ended."""
        return [*self._admission.beginning, *self._running.launches()]

    @property
    def viewers(self) -> int:
        """The number of viewers of all launches."""
        return sum(launch.viewers for launch in self._directory)

    @property
    def building(self) -> int:
        """The number of running builds."""
        return max(len(self._builds) - len(self.queue), 0)

    @property
    def queued(self) -> int:
        """The number of builds that wait for others here."""
        return len(self.queue)
