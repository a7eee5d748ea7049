"""Ranks images by what past launches say: those of this server, and BinderHub's event logs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from ...errors import SpecError
from .. import specs
from .names import image_name
from .nodes import normal_name
from .prepull import RankedImage

__all__ = ["EventCounter", "LoggedLaunches", "PastImage", "past_images", "rank_images"]

_SCHEMA = "binderhub.jupyter.org/launch"
_FIRST_WITH_REF = 3
"""The first version of the schema that says which commit was launched."""

_PROVIDERS = {"GitHub": "gh", "GitLab": "gl", "Gist": "gist", "Git": "git"}
_HALF_LIFE = 14 * 86400.0
"""Seconds after which a launch counts half, as in the history."""

_PULL_SECONDS = 30.0
"""What a launch in an event log would have saved. How long it took is not in there."""


class PastImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that was launched.

    Attributes
    ----------
    image, repository, ref : str
        Its name, and the address and ref that it was built for.
    last : float
        When it was launched last, in seconds since 1970.
    score : float
        The seconds that users would save if it were everywhere.
    """

    image: str
    repository: str
    ref: str
    last: float
    score: float


class LoggedLaunches(msgspec.Struct, kw_only=True):
    """The launches of a spec in an event log.

    Attributes
    ----------
    commit : str
        That of the last one.
    last : float
        When that was, in seconds since 1970.
    count : int
    """

    commit: str = ""
    last: float = 0.0
    count: int = 0


class _Event(msgspec.Struct, frozen=True):
    schema: str = ""
    version: int = 0
    timestamp: str = ""
    provider: str = ""
    spec: str = ""
    ref: str = ""
    status: str = ""


_decoder = msgspec.json.Decoder(_Event)


class EventCounter:
    """Counts the launches in an event log of BinderHub, which has one JSON object a line.

    Attributes
    ----------
    launches : dict of Spec to LoggedLaunches
    skipped : int
        Number of lines that are no launch of a git repository, or do not name its commit.
    """

    def __init__(self) -> None:
        self.launches: dict[specs.Spec, LoggedLaunches] = defaultdict(LoggedLaunches)
        self.skipped = 0

    def add(self, line: bytes) -> None:
        """Count a line."""
        try:
            event = _decoder.decode(line)
            spec = specs.parse(f"{_PROVIDERS.get(event.provider, '')}/{event.spec}")
            time = datetime.fromisoformat(event.timestamp)
        except (ValueError, SpecError):
            self.skipped += 1
            return
        is_known = event.schema == _SCHEMA and event.version >= _FIRST_WITH_REF
        if not (is_known and event.status == "success" and event.ref):
            self.skipped += 1
            return
        seconds = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        launches = self.launches[spec]
        launches.count += 1
        if seconds >= launches.last:
            launches.last, launches.commit = seconds, event.ref


def past_images(counter: EventCounter, *, prefix: str, now: float) -> list[PastImage]:
    """Return the images of an event log.

    Parameters
    ----------
    counter : EventCounter
    prefix : str
        Prefix of the names of images, see `names.image_name`.
    now : float
        Seconds since 1970.
    """
    return [
        PastImage(
            image=image_name(spec, launches.commit, prefix=prefix),
            repository=spec.repo_url,
            ref=spec.ref,
            last=launches.last,
            score=launches.count
            * _PULL_SECONDS
            * 2.0 ** (-max(now - launches.last, 0.0) / _HALF_LIFE),
        )
        for spec, launches in counter.launches.items()
    ]


def rank_images(past: Iterable[PastImage], *, most: int) -> list[RankedImage]:
    """Return the images that are most worth pulling, without their sizes.

    Of the images of a repository and ref, only the newest will be launched. It has the score of
    all of them.

    Parameters
    ----------
    past : iterable of PastImage
    most : int
        Maximum number of images.
    """
    scores: dict[tuple[str, str], float] = defaultdict(float)
    newest: dict[tuple[str, str], PastImage] = {}
    for each in past:
        key = (each.repository, each.ref)
        scores[key] += each.score
        if key not in newest or each.last > newest[key].last:
            newest[key] = each
    # Several refs may be the same commit.
    images: dict[str, float] = defaultdict(float)
    for key, score in scores.items():
        images[normal_name(newest[key].image)] += score
    best = sorted(images.items(), key=lambda item: (-item[1], item[0]))
    return [RankedImage(name=name, score=score, size=0) for name, score in best[:most]]
