"""Launches of BinderHub's event archive, which says little: the minute, and successes only."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from random import Random

import msgspec

from ..errors import ConfigError
from .demand import HALF_LIFE, Demand, Image, Request, around, numbered_hubs
from .policy import Policy

__all__ = ["EventLog", "LoggedLaunch", "read_event"]

_SCHEMA = "binderhub.jupyter.org/launch"
_CHECK, _BUILD, _START, _SIZE, _STAY = 0.3, 0.6, 0.3, 0.5, 1.0
"""Standard deviations of logarithms."""


class _Event(msgspec.Struct, frozen=True):
    schema: str
    timestamp: str
    provider: str
    spec: str
    status: str
    ref: str = ""
    origin: str = ""


_decoder = msgspec.json.Decoder(_Event)


class LoggedLaunch(msgspec.Struct, frozen=True, gc=False):
    """A launch: its minute in seconds since 1970, and its repository, commit and hub if known."""

    time: float
    repository: str
    commit: str
    host: str = ""


def read_event(line: bytes) -> LoggedLaunch | None:
    """Read a line of an event log. Return None if it is no successful launch."""
    try:
        event = _decoder.decode(line)
        time = datetime.fromisoformat(event.timestamp)
    except ValueError:
        return None
    if event.schema != _SCHEMA or event.status != "success":
        return None
    seconds = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    # The spec ends in the ref that was asked for; the commit is elsewhere.
    repository, _, ref = event.spec.rpartition("/")
    name = f"{event.provider}/{repository or ref}"
    return LoggedLaunch(seconds, name, event.ref or ref, event.origin)


class EventLog:
    """Launches of an event log.

    The second within the minute is drawn at random, and so is what each launch takes, around what
    the policy says: the archive has neither. An image exists from the beginning if its repository
    was launched before, or for the archive's first commit of it.

    Parameters
    ----------
    launches : iterable of LoggedLaunch
        In any order.
    began, ended : float
        The period, in seconds since 1970. Earlier launches only say what was popular.
    policy : Policy

    Attributes
    ----------
    hubs : list of str
        The hubs that launched them, as far as the archive says.

    Raises
    ------
    ConfigError
        If there are no launches in the period.
    """

    def __init__(
        self, launches: Iterable[LoggedLaunch], *, began: float, ended: float, policy: Policy
    ) -> None:
        self._policy = policy
        self._began, self._ended = began, ended
        self._repositories: dict[str, int] = {}
        self._images: dict[tuple[int, str], int] = {}
        self._of: list[int] = []
        self._is_built: list[bool] = []
        self._scores: list[float] = []
        self._kept: list[tuple[float, int, str]] = []
        for launch in sorted(launches, key=lambda launch: launch.time):
            if launch.time >= ended:
                break
            number = self._image(launch, is_before=launch.time < began)
            if launch.time < began:
                age = began - launch.time
                self._scores[self._of[number]] += 2.0 ** (-age / HALF_LIFE)
            else:
                self._kept.append((launch.time - began, number, launch.host))
        if not self._kept:
            raise ConfigError(
                "The event logs have no successful launches in this period. Name another one with "
                "--from and --days."
            )
        self.hubs = sorted({host for *_, host in self._kept})
        self._hubs = numbered_hubs(self.hubs, policy.hubs.count)

    def _image(self, launch: LoggedLaunch, *, is_before: bool) -> int:
        is_new = launch.repository not in self._repositories
        repository = self._repositories.setdefault(launch.repository, len(self._repositories))
        if is_new:
            self._scores.append(0.0)
        number = self._images.setdefault((repository, launch.commit), len(self._images))
        if number == len(self._of):
            self._of.append(repository)
            self._is_built.append(is_new or is_before)
        return number

    def draw(self, rand: Random) -> Demand:
        """Return the launches of the period; see `demand.Source`."""
        takes = self._policy.launches
        sizes = [around(rand, takes.image_gb, _SIZE) for _ in self._repositories]
        requests = [
            Request(
                time=time + 60.0 * rand.random(),
                image=image,
                check=around(rand, takes.check_seconds, _CHECK),
                build=around(rand, takes.build_seconds, _BUILD),
                start=around(rand, takes.start_seconds, _START),
                stay=60.0 * around(rand, takes.stay_minutes, _STAY),
                hub=self._hubs.get(host, -1),
            )
            for time, image, host in self._kept
        ]
        requests.sort(key=lambda request: request.time)
        return Demand(
            began=self._began,
            seconds=self._ended - self._began,
            requests=requests,
            images=[
                Image(repository, sizes[repository], is_built)
                for repository, is_built in zip(self._of, self._is_built, strict=True)
            ],
            repositories=list(self._repositories),
            scores=list(self._scores),
            hubs=self._policy.hubs if self._hubs else None,
        )
