"""Simulations: ``/api/whatif`` and the page ``/whatif``."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ..core.timing.spans import PastLaunch
from ..errors import (
    BadRequestError,
    BinderProgressError,
    ConfigError,
    HistoryUnavailableError,
    NotFoundError,
)
from ..history.store import NoHistory
from ..whatif.classes import read_class
from ..whatif.policy import Policy, changed
from ..whatif.question import Question
from ..whatif.report import Band, Outcome, SimulationReport
from ..whatif.svg import Words, picture
from .base import ApiHandler, Handler

if TYPE_CHECKING:
    from .texts import Texts

__all__ = ["SETTINGS", "WhatIfHandler", "WhatIfPageHandler"]

SETTINGS = (
    "nodes.least",
    "nodes.most",
    "nodes.memory_gb",
    "nodes.price",
    "nodes.placeholders",
    "builds.slots",
    "prepull.images",
    "standby.servers",
)
"""What the page offers to change."""

_DAYS = 7
_DAY = 86400.0
_BEFORE = 14 * _DAY
"""How much before the period is read, for what was popular then."""

_MOST_LAUNCHES = 20_000
"""Of a history. The command has no limit."""

_MOST_STUDENTS = 2000
_RUNS = 5
_EXAMPLE = "120 students, Mondays at 10"


class _Asked(NamedTuple):
    """What a request asks: values as they were entered, and the policies that they make."""

    course: str
    is_history: bool
    values: dict[str, dict[str, str]]
    policies: list[Policy]


def _read(handler: Handler) -> _Asked:
    """Read the query.

    Raises
    ------
    NotFoundError
        If this server does not simulate.
    BadRequestError
        If a value is invalid.
    """
    if handler.web.simulate is None:
        raise NotFoundError(
            "This server simulates nothing. Its administrator can change that with c.Web.whatif."
        )
    course = handler.query("class", _EXAMPLE)
    is_history = handler.query("launches") == "history"
    policy = Policy()
    values: dict[str, dict[str, str]] = {}
    policies = []
    try:
        if not is_history:
            policy = msgspec.structs.replace(policy, classes=[read_class(course)])
        for name in ("now", "instead"):
            values[name] = {}
            for key in SETTINGS:
                text = handler.query(f"{name}.{key}").strip() or _value(policy, key)
                values[name][key] = text
            # First those that allow others: at most before at least.
            for key in sorted(SETTINGS, key=lambda key: key != "nodes.most"):
                policy = changed(policy, f"{key}={values[name][key]}", name=f"`{name}`")
            policies.append(policy)
    except ConfigError as error:
        raise BadRequestError(str(error)) from error
    if any(each.students > _MOST_STUDENTS for each in policy.classes):
        raise BadRequestError(
            f"The page simulates at most {_MOST_STUDENTS:,} students. The command "
            "binderprogress whatif has no such limit."
        )
    return _Asked(course, is_history, values, policies)


def _value(policy: Policy, key: str) -> str:
    section, _, field = key.partition(".")
    return f"{getattr(getattr(policy, section), field):g}"


async def _simulate(handler: Handler, asked: _Asked, names: tuple[str, str]) -> SimulationReport:
    """Run the simulation.

    Raises
    ------
    BadRequestError
        If there is nothing to simulate, or too much.
    TooManyRequestsError
        If this client has asked too much, or another simulation is running.
    HistoryUnavailableError
        If the history cannot be read.
    """
    simulate = handler.web.simulate
    if simulate is None:
        raise NotFoundError("This server simulates nothing.")
    await handler.web.limiter.admit(handler.caller.account)
    question = Question(policies=list(zip(names, asked.policies, strict=True)), runs=_RUNS)
    if asked.is_history:
        ended = time.time()
        began = ended - _DAYS * _DAY
        question = msgspec.structs.replace(
            question,
            launches=await _past(handler, began - _BEFORE, ended),
            began=began,
            ended=ended,
        )
    return await simulate(question)


async def _past(handler: Handler, began: float, ended: float) -> list[PastLaunch]:
    history = handler.web.launches.history

    def read() -> list[PastLaunch]:
        found = []
        for launch in history.between(began, ended):
            found.append(launch)
            if len(found) > _MOST_LAUNCHES:
                raise BadRequestError(
                    f"The history has more than {_MOST_LAUNCHES:,} launches of these days. "
                    "The command binderprogress whatif --history can simulate them."
                )
        return found

    try:
        return await handler.web.history_threads.run(read)
    except TimeoutError as error:
        raise HistoryUnavailableError(
            "The database of past launches does not respond. Launches work. Try again in a minute."
        ) from error


class WhatIfHandler(ApiHandler):
    """GET /api/whatif."""

    async def get(self) -> None:
        """Simulate, and send what is found."""
        self.write_json(await _simulate(self, _read(self), ("now", "instead")))


class WhatIfPageHandler(Handler):
    """GET /whatif: a form, and the results of what was entered."""

    async def get(self) -> None:
        """Show the form. If it was sent, simulate, and show the results, too."""
        # Imported with the first page, so that the server starts faster.
        from .texts import texts_in

        asked, report, problem = None, None, ""
        texts = texts_in(self.language)
        try:
            asked = _read(self)
            if self.query("simulate"):
                names = (texts.text("whatif.now"), texts.text("whatif.instead"))
                report = await _simulate(self, asked, names)
        except NotFoundError:
            raise
        except BinderProgressError as error:
            problem = str(error)
            self.set_error_status(error.status, (type(error), error, None))
        self.finish(
            self.page(
                "whatif.html",
                course=asked.course if asked else self.query("class", _EXAMPLE),
                is_history=asked.is_history if asked else self.query("launches") == "history",
                values=asked.values if asked else self._entered(),
                settings=SETTINGS,
                days=_DAYS,
                kept=not isinstance(self.web.launches.history, NoHistory),
                problem=problem,
                example=_EXAMPLE,
                asked_language=self.asked_language,
                result=await asyncio.to_thread(_result, report, texts) if report else None,
            )
        )

    def _entered(self) -> dict[str, dict[str, str]]:
        names = ("now", "instead")
        return {name: {key: self.query(f"{name}.{key}") for key in SETTINGS} for name in names}


class _Result(NamedTuple):
    """What the page shows of a report."""

    runs: int
    rows: list[tuple[str, list[tuple[str, str]]]]
    picture: str
    narrow_picture: str
    recorded: str
    chance: str
    is_far: bool


def _result(report: SimulationReport, texts: Texts) -> _Result:
    accuracy = report.accuracy
    recorded = chance = ""
    if accuracy is not None:
        recorded = texts.say(
            "whatif.recorded",
            p50=texts.seconds(accuracy.recorded.p50),
            p95=texts.seconds(accuracy.recorded.p95),
            off50=texts.percent(abs(accuracy.p50)),
            off95=texts.percent(abs(accuracy.p95)),
        )
        if accuracy.is_by_chance:
            low, high = map(texts.seconds, accuracy.recorded.p95_range)
            chance = texts.say("whatif.recorded.chance", low=low, high=high)
    words = Words(
        within=texts.text("whatif.within"),
        late=texts.text("whatif.late"),
        seconds=texts.seconds,
        percent=texts.percent,
        number=texts.number,
        day=texts.day,
    )
    return _Result(
        runs=report.outcomes[0].runs,
        rows=list(_rows(report, texts)),
        picture=_data_url(picture(report, words, on_page=True)),
        narrow_picture=_data_url(picture(report, words, on_page=True, width=360)),
        recorded=recorded,
        chance=chance,
        is_far=accuracy is not None and not accuracy.is_close and not chance,
    )


def _data_url(svg: str) -> str:
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"


def _rows(report: SimulationReport, texts: Texts) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the rows of the table: a title, and for each policy the middle and the range."""
    late = texts.seconds(report.late_seconds)

    def number(value: float) -> str:
        return texts.number(round(value, 1 if value < 100 else None))

    def money(value: float) -> str:
        return f"{report.currency}{texts.decimal(value, 2 if value >= 1 else 4)}"

    def row(
        title: str, bands: Callable[[Outcome], Band], write: Callable[[float], str]
    ) -> tuple[str, list[tuple[str, str]]]:
        return title, [_band(bands(each), write, texts) for each in report.outcomes]

    say = texts.say
    return [
        row(say("whatif.p50"), lambda o: o.p50, texts.seconds),
        row(say("whatif.p95"), lambda o: o.p95, texts.seconds),
        row(say("whatif.late", time=late), lambda o: o.late, number),
        row(say("whatif.late.peak"), lambda o: o.late_peak, number),
        row(say("whatif.failed"), lambda o: o.failures, number),
        row(say("whatif.handed-over"), lambda o: o.handed_over, texts.percent),
        row(say("whatif.image-hits"), lambda o: o.image_hits, texts.percent),
        row(say("whatif.node-hours"), lambda o: o.node_hours, number),
        row(say("whatif.cost"), lambda o: o.cost, money),
        row(say("whatif.cost.launch"), lambda o: o.cost_per_launch, money),
    ]


def _band(band: Band, write: Callable[[float], str], texts: Texts) -> tuple[str, str]:
    middle, low, high = write(band.middle), write(band.low), write(band.high)
    return middle, "" if low == high else texts.say("whatif.band", low=low, high=high)
