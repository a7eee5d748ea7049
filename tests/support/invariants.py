"""What must hold for every launch, whatever fails: checked on what viewers and the world saw.

A test records what each viewer of a launch got (`View`), and what was asked of the outside world
(`World`). The functions here take such records, return problems as sentences, and change nothing;
an empty list means that all is well. `check` raises all problems at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from binderprogress.core.events import Event
from binderprogress.core.events import decode as decode_event
from binderprogress.core.phases import TERMINAL, Phase
from binderprogress.core.sse import Decoder
from binderprogress.errors import StreamError

__all__ = [
    "Connection",
    "Launched",
    "Server",
    "View",
    "World",
    "Written",
    "check",
    "problems_of_events",
    "problems_of_launch",
    "problems_of_view",
    "problems_of_world",
    "written",
]

_ROUNDING = 0.01
"""Percent by which the bar may seem to go back."""

_MOMENT = 0.002
"""Seconds by which two events may seem to be further apart: they have times in milliseconds."""

_ORDER = {phase: number for number, phase in enumerate(Phase)}

decode = lru_cache(1024)(decode_event)
"""Each event is looked at by several checks."""

Written = tuple[int, bytes]
"""An event as a viewer gets it: its number, and its JSON."""


@dataclass
class Connection:
    """One connection of a viewer.

    Attributes
    ----------
    after : int
        The number with which it asked to go on: the `Last-Event-ID`; 0 for all events.
    events : list of (int, bytes)
        What it got, in this order.
    """

    after: int = 0
    events: list[Written] = field(default_factory=list)


@dataclass
class View:
    """What one viewer saw of a launch.

    Attributes
    ----------
    name : str
        For messages.
    connections : list of Connection
        The first one, and one for each reconnect.
    stayed : bool
        Whether it has to have seen the end: it reconnected until it had. Others left earlier.
    """

    name: str
    connections: list[Connection] = field(default_factory=list)
    stayed: bool = True

    def connect(self, after: int | None = None) -> Connection:
        """Note a connection that goes on after a number; by default, the last one that it has."""
        connection = Connection(self.last if after is None else after)
        self.connections.append(connection)
        return connection

    @property
    def last(self) -> int:
        """The number of the last event that it got; 0: none."""
        for connection in reversed(self.connections):
            if connection.events:
                return connection.events[-1][0]
        return 0


@dataclass
class Launched:
    """What is known of a launch.

    Attributes
    ----------
    name : str
        Its id, or a name for messages.
    views : list of View
    """

    name: str
    views: list[View]

    def events(self) -> list[Event]:
        """Return all events that anybody saw, by their number."""
        by_number: dict[int, bytes] = {}
        for view in self.views:
            for connection in view.connections:
                by_number.update(connection.events)
        return [decode(by_number[number]) for number in sorted(by_number)]


@dataclass
class Server:
    """A Jupyter server that was started.

    Attributes
    ----------
    name : str
        What identifies it, such as its user's name.
    launch : str
        The launch that it was started for; see `Launched.name`. Empty: known by its `url` only.
    url : str
        Its address, as in the event `ready`.
    starts : int
        How often it was started.
    failures : int
        How many of these starts failed, so that another one was right.
    is_running : bool
        Whether it still starts or runs.
    """

    name: str
    launch: str = ""
    url: str = ""
    starts: int = 1
    failures: int = 0
    is_running: bool = True


@dataclass
class World:
    """What launches did to the world, and what they left in it when all were over.

    Attributes
    ----------
    servers : list of Server
    builds : collection of str
        Builds whose processes still run.
    leases : collection of str
        Leases that have not ended.
    channels : mapping of str to str
        The lease of each channel in the store.
    known_leases : collection of str
        All leases in the store. Channels of others are left over.
    others : collection of str
        What else is left behind, such as processes and temporary folders.
    """

    servers: list[Server] = field(default_factory=list)
    builds: Collection[str] = ()
    leases: Collection[str] = ()
    channels: Mapping[str, str] = field(default_factory=dict)
    known_leases: Collection[str] = ()
    others: Collection[str] = ()


def written(stream: bytes) -> list[Written]:
    """Return the events of a `text/event-stream`. One that is not complete yet is left out."""
    return [(int(each.id), each.data.encode()) for each in Decoder().feed(stream)]


def check(launches: Iterable[Launched], world: World | None = None) -> None:
    """Check everything.

    Raises
    ------
    AssertionError
        With all problems, a line each.
    """
    launches = list(launches)
    problems = [problem for launch in launches for problem in problems_of_launch(launch)]
    if not problems and world is not None:
        problems = problems_of_world(launches, world)
    assert not problems, "\n".join(problems)


def problems_of_launch(launch: Launched) -> list[str]:
    """Say what is wrong with what the viewers of a launch saw."""
    problems = [problem for view in launch.views for problem in problems_of_view(view)]
    problems += _problems_of_bytes(launch.views)
    if not problems:
        try:
            problems = problems_of_events(launch.events())
        except StreamError as error:
            problems = [str(error)]
    if not problems:
        problems = [
            f"{view.name} did not see the end: its last event is {view.last}"
            for view in launch.views
            if view.stayed and not _has_end(view)
        ]
    return [f"{launch.name}: {problem}" for problem in problems]


def problems_of_view(view: View) -> list[str]:
    """Say where the numbers that a viewer saw have gaps, or are repeated.

    Only the last event of a launch that is over may be repeated, for a viewer that reconnects
    although it has it.
    """
    problems = []
    before = 0
    for connection in view.connections:
        if connection.after not in {0, before}:
            problems.append(f"{view.name} asked for what follows {connection.after}, not {before}")
        expected = connection.after + 1
        for index, (number, data) in enumerate(connection.events):
            is_end_again = index == 0 and number == connection.after and decode(data).terminal
            if number != expected and not is_end_again:
                problems.append(f"{view.name} got event {number} where {expected} was next")
            expected = number + 1
            before = max(before, number)
    return problems


def problems_of_events(events: Sequence[Event]) -> list[str]:
    """Say what is wrong with the events of a launch, which are complete up to the last one."""
    problems = []
    numbers = [event.id for event in events]
    if numbers != list(range(1, len(events) + 1)):
        problems.append(f"its events have the numbers {numbers}")
    ends = [event.id for event in events if event.terminal]
    if len(ends) > 1:
        problems.append(f"it ends {len(ends)} times, with the events {ends}")
    if ends and ends[0] != numbers[-1]:
        problems.append(f"event {ends[0]} is its end, and {numbers[-1]} follows")
    for before, after in pairwise(events):
        problems += _problems_of_pair(before, after)
    return problems


def problems_of_world(launches: Sequence[Launched], world: World) -> list[str]:
    """Say which servers were started twice or are left over, and what else is left behind."""
    problems = _problems_of_servers(launches, world.servers)
    problems += [f"the build {build} still runs" for build in world.builds]
    problems += [f"the lease {lease} has not ended" for lease in world.leases]
    problems += [
        f"the channel {channel} is left of {lease}"
        for channel, lease in world.channels.items()
        if lease not in world.known_leases
    ]
    problems += [f"{other} is left behind" for other in world.others]
    return problems


def _problems_of_bytes(views: Sequence[View]) -> list[str]:
    """Say which numbers stand for different events, in all views together."""
    problems = []
    first: dict[int, tuple[bytes, str]] = {}
    for view in views:
        for connection in view.connections:
            for number, data in connection.events:
                known, whose = first.setdefault(number, (data, view.name))
                if known != data:
                    problems.append(
                        f"event {number} of {view.name} is not that of {whose}: {data!r}, {known!r}"
                    )
    return problems


def _problems_of_pair(before: Event, after: Event) -> list[str]:
    problems = []
    bar = before.progress
    if before.curve is not None:
        bar = before.curve.at(after.time - before.time - _MOMENT)
    if after.progress < bar - _ROUNDING:
        problems.append(f"the bar goes back from {bar:.3f} to {after.progress} at event {after.id}")
    # A launch that joins a build begins after events that it gets later: its own are one or two.
    if before.id > 2 and after.time < before.time:
        problems.append(f"the time goes back to {after.time} at event {after.id}")
    if _ORDER[after.phase] < _ORDER[before.phase]:
        problems.append(f"{after.phase} follows {before.phase} at event {after.id}")
    if after.attempt < before.attempt:
        problems.append(f"attempt {after.attempt} follows {before.attempt} at event {after.id}")
    return problems


def _has_end(view: View) -> bool:
    newest = max((event for each in view.connections for event in each.events), default=None)
    return newest is not None and decode(newest[1]).phase in TERMINAL


def _problems_of_servers(launches: Sequence[Launched], servers: Sequence[Server]) -> list[str]:
    problems = []
    owners: dict[str, list[str]] = {}
    for launch in launches:
        events = launch.events()
        if events and events[-1].phase is Phase.READY and events[-1].url:
            owners.setdefault(events[-1].url, []).append(launch.name)
    problems += [
        f"{' and '.join(names)} have the same server, {url}"
        for url, names in owners.items()
        if len(names) > 1
    ]
    running = {server.url for server in servers if server.is_running}
    problems += [
        f"{names[0]}: its server {url} does not run"
        for url, names in owners.items()
        if url not in running
    ]
    for server in servers:
        if server.starts - server.failures > 1:
            problems.append(f"the server {server.name} was started {server.starts} times")
        if server.is_running and server.url not in owners:
            problems.append(f"the server {server.name} runs, and nobody got it")
    started = Counter(server.launch for server in servers if server.launch)
    problems += [
        f"{name}: {count} servers were started for it"
        for name, count in started.items()
        if count > 1
    ]
    return problems
