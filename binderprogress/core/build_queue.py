"""The queue of builds: in which order those that wait begin, and how long they wait.

Owners take turns, so that somebody with many builds does not make others wait for all of them. The
builds of one owner begin in the order in which they came. What is computed here depends on tickets
only, so all replicas that share them agree.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush

import msgspec

from .log.steps import Step
from .timing.lognormal import time_left

__all__ = ["Place", "Ticket", "begin", "next_ticket", "place_message", "place_step", "places"]


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """A build that runs or waits. It has a ticket for each owner whose launches need it.

    Attributes
    ----------
    build : str
    owner : str
        A user or a client.
    number : int
        Tickets that came later have higher numbers.
    turn : int
        The order of owners. It is the same for all tickets of an owner that wait.
    seconds : float
        How long the build is expected to take.
    running : float or None
        Seconds since it began. None: it waits.
    """

    build: str
    owner: str
    number: int
    turn: int
    seconds: float
    running: float | None = None


class Place(msgspec.Struct, frozen=True):
    """The place of a build that waits.

    Attributes
    ----------
    position : int
        Counted from 1.
    seconds : float
        Expected time until it begins.
    is_next : bool
        Whether it may begin now.
    """

    position: int
    seconds: float
    is_next: bool


def next_ticket(tickets: Iterable[Ticket], *, build: str, owner: str, seconds: float) -> Ticket:
    """Return a new ticket.

    Parameters
    ----------
    tickets : iterable of Ticket
        All that there are.
    build, owner : str
    seconds : float
        How long the build is expected to take.
    """
    turn = last = 0
    own = None
    for ticket in tickets:
        last, turn = max(last, ticket.number), max(turn, ticket.turn)
        if ticket.owner == owner and ticket.running is None:
            own = ticket.turn
    return Ticket(
        build=build,
        owner=owner,
        number=last + 1,
        turn=turn + 1 if own is None else own,
        seconds=seconds,
    )


def begin(tickets: Sequence[Ticket], build: str, most: int) -> list[Ticket]:
    """Let a build begin if it may.

    Parameters
    ----------
    tickets : sequence of Ticket
        All that there are.
    build : str
    most : int
        Maximum number of builds that run.

    Returns
    -------
    list of Ticket
        Those that change. Empty: it has to wait.
    """
    order = _order(tickets)
    waiting = list(order)
    if build not in order or waiting.index(build) >= most - len(_running(tickets)):
        return []
    last = max(ticket.turn for ticket in tickets)
    served = order[build]
    changed = []
    for ticket in tickets:
        if ticket.build == build:
            changed.append(msgspec.structs.replace(ticket, running=0.0))
        elif ticket.owner == served and ticket.running is None:
            # Others have their turns first.
            changed.append(msgspec.structs.replace(ticket, turn=last + 1))
    return changed


def places(tickets: Sequence[Ticket], most: int) -> dict[str, Place]:
    """Return the places of all builds that wait, in their order.

    Parameters
    ----------
    tickets : sequence of Ticket
    most : int
        Maximum number of builds that run. At least 1.
    """
    running = _running(tickets)
    free = most - len(running)
    ends = sorted(time_left(one.seconds, one.running or 0.0) for one in running.values())
    # If more run than may, as many have to end first.
    ends = ends[max(-free, 0) :] + [0.0] * free
    heapify(ends)
    expected = {ticket.build: ticket.seconds for ticket in tickets}
    found = {}
    for position, build in enumerate(_order(tickets), 1):
        begins = heappop(ends)
        heappush(ends, begins + expected[build])
        found[build] = Place(position, begins, position <= free)
    return found


def place_step(position: int) -> Step:
    """Return the step of a build that waits in the queue."""
    return Step("queued", f"Number {position} in the queue", position, position)


def place_message(place: Place) -> str:
    """Return a sentence for the log."""
    minutes = round(place.seconds / 60)
    about = "less than a minute"
    if minutes:
        about = "about a minute" if minutes == 1 else f"about {minutes} minutes"
    return f"Other builds are running. Number {place.position} in the queue, {about}.\n"


def _running(tickets: Iterable[Ticket]) -> dict[str, Ticket]:
    return {ticket.build: ticket for ticket in tickets if ticket.running is not None}


def _order(tickets: Sequence[Ticket]) -> dict[str, str]:
    """Return the builds that wait, in their order, and whose turn each takes."""
    running = _running(tickets)
    of_owners: dict[str, deque[Ticket]] = {}
    for ticket in sorted(tickets, key=lambda one: one.number):
        if ticket.build not in running:
            of_owners.setdefault(ticket.owner, deque()).append(ticket)
    turns = deque(sorted(of_owners.values(), key=lambda own: (own[0].turn, own[0].number)))
    order: dict[str, str] = {}
    while turns:
        own = turns.popleft()
        while own and own[0].build in order:
            # It was another owner's turn.
            own.popleft()
        if own:
            ticket = own.popleft()
            order[ticket.build] = ticket.owner
            turns.append(own)
    return order
