"""``binderprogress whatif``."""

from __future__ import annotations

import signal
import sys
import tomllib
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import msgspec
from traitlets import Bool, Integer, List, Unicode

from ..core.printable import printable
from ..errors import ConfigError
from ..history.config import History
from ..history.store import NoHistory
from ..whatif.classes import Described, read_class
from ..whatif.demand import Source
from ..whatif.event_log import EventLog, LoggedLaunch, read_event
from ..whatif.past import Past
from ..whatif.policy import Policy, changed, read_policy
from ..whatif.search import find, read_goal
from ..whatif.study import study
from ..whatif.svg import picture
from .base import Command
from .terminal import ascii_json
from .whatif_report import report_lines, try_line

__all__ = ["WhatIfApp"]

_DAY = 86400.0
_BEFORE = 28 * _DAY
"""How much before the period is read, for what was popular then."""


class WhatIfApp(Command):
    """Simulate launches with other nodes, images or standing servers, before you pay for them.

    The launches are those of a class, of a scenario file, of the history, or of BinderHub's event
    logs. Exit codes: 0 if it succeeded, 1 if it failed or a goal cannot be reached, 2 for wrong
    usage, 130 if interrupted.
    """

    name = "whatif"
    takes_arguments = True
    classes = [History]  # noqa: RUF012 - traitlets' way
    aliases = {  # noqa: RUF012
        **Command.aliases,
        "class": "WhatIfApp.described",
        "events": "WhatIfApp.events",
        "url": "History.url",
        "from": "WhatIfApp.first",
        "days": "WhatIfApp.days",
        "set": "WhatIfApp.settings",
        "compare": "WhatIfApp.compare",
        "find": "WhatIfApp.find",
        "goal": "WhatIfApp.goal",
        "runs": "WhatIfApp.runs",
        "seed": "WhatIfApp.seed",
        "plot": "WhatIfApp.plot",
    }
    flags = {  # noqa: RUF012
        **Command.flags,
        "history": ({"WhatIfApp": {"history": True}}, "Launch what the history has again."),
        "json": ({"WhatIfApp": {"json": True}}, "Print one JSON object."),
    }

    described = List(
        Unicode(), help='A class, such as "120 students, Mondays at 10". Can be repeated.'
    ).tag(config=True)
    history = Bool(False, help="Launch what the history has again.").tag(config=True)
    events = List(
        Unicode(),
        help="An event log of BinderHub, such as events-2026-11-02.jsonl. Can be repeated.",
    ).tag(config=True)
    first = Unicode(
        "",
        help="First day of the period, such as 2026-11-02. By default, its last day is the newest.",
    ).tag(config=True)
    days = Integer(7, min=1, max=366, help="Length of the period.").tag(config=True)
    settings = List(
        Unicode(), help="Change the scenario, as in standby.servers=40. Can be repeated."
    ).tag(config=True)
    compare = List(
        Unicode(),
        help="Another scenario: a file, or changes such as standby.servers=40,nodes.most=5. "
        "Can be repeated.",
    ).tag(config=True)
    find = Unicode("", help="Find the smallest value of this, such as standby.").tag(config=True)
    goal = Unicode("80% < 1s", help="What is to be reached with --find.").tag(config=True)
    runs = Integer(5, min=1, max=1000, help="How often each policy is simulated.").tag(config=True)
    seed = Integer(1, help="Equal seeds give equal results.").tag(config=True)
    plot = Unicode("", help="Write a picture to this file, as SVG.").tag(config=True)
    json = Bool(False, help="Print one JSON object.").tag(config=True)

    async def main(self) -> int:
        """Simulate, and print what is found."""
        # A simulation waits for nothing, so that Ctrl-C has to interrupt it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return self._run()
        except ConfigError as error:
            self.usage(str(error))
            raise

    def _run(self) -> int:
        if len(self.extra_args) > 1:
            self.usage("Name one scenario file.")
        policy = self._policy()
        policies = [(self.extra_args[0] if self.extra_args else "now", policy)]
        policies += [(text, self._other(policy, text)) for text in self.compare]
        goal = read_goal(self.goal)
        source = self._source(policy)
        answer = None
        if self.find:
            answer = find(
                source or Described(policy),
                policy,
                self.find,
                goal,
                runs=self.runs,
                seed=self.seed,
                progress=lambda tried: self._say(f"Tried {try_line(self.find, tried)}"),
            )
            if answer.value is not None:
                setting = f"{answer.key}={answer.value}"
                policies.append((setting, changed(policy, setting, name="--find")))
        report = study(policies, source, runs=self.runs, seed=self.seed)
        report = msgspec.structs.replace(report, answer=answer)
        if self.plot:
            self._write(self.plot, picture(report))
        if self.json:
            print(ascii_json(msgspec.json.encode(report).decode()))
        else:
            for line in report_lines(report):
                print(line)
        return 1 if answer is not None and answer.value is None else 0

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    # -- policies

    def _policy(self) -> Policy:
        policy = self._read(self.extra_args[0]) if self.extra_args else Policy()
        for text in self.settings:
            policy = changed(policy, text, name="--set")
        classes = [read_class(text) for text in self.described]
        return msgspec.structs.replace(policy, classes=[*policy.classes, *classes])

    def _other(self, policy: Policy, text: str) -> Policy:
        if "=" not in text:
            return self._read(text)
        for each in text.split(","):
            policy = changed(policy, each, name="--compare")
        return policy

    def _read(self, file: str) -> Policy:
        try:
            values = tomllib.loads(Path(file).read_text())
        except OSError as error:
            raise ConfigError(f"{file} cannot be read: {error.strerror}.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file} is no TOML file: {error}.") from error
        return read_policy(values, name=file)

    def _write(self, file: str, text: str) -> None:
        try:
            Path(file).write_text(text)
        except OSError as error:
            raise ConfigError(f"{file} cannot be written: {error.strerror}.") from error

    # -- launches

    def _source(self, policy: Policy) -> Source | None:
        """Return the launches that were recorded; None if they are described."""
        if self.history and self.events:
            self.usage("--history and --events cannot be used together.")
        if (self.history or self.events) and (policy.classes or policy.background.launches_per_day):
            self.usage(
                "Recorded launches are not mixed with described ones. Remove the classes and the "
                "background, or --history and --events."
            )
        if self.events:
            return self._event_log(policy)
        return self._past(policy) if self.history else None

    def _past(self, policy: Policy) -> Past:
        # Removing old launches is up to the server.
        settings = History(parent=self, keep_days=0)
        file = settings.file()
        if file is not None and not file.exists():
            raise ConfigError(f"There is no history at {file}. Name its database with --url.")
        history = settings.open()
        try:
            if isinstance(history, NoHistory):
                raise ConfigError("No history is configured. Name its database with --url.")
            newest = [launch.began for launch in history.recent(1)]
            began, ended = self._period(newest)
            launches = history.between(began - _BEFORE, ended)
            past = Past(launches, began=began, ended=ended, policy=policy)
            self._compare_hubs(past.recorded.hubs, policy)
            return past
        finally:
            history.close()

    def _event_log(self, policy: Policy) -> EventLog:
        launches = [each for file in self.events for each in _read_events(file)]
        began, ended = self._period([max(each.time for each in launches)] if launches else [])
        log = EventLog(launches, began=began, ended=ended, policy=policy)
        self._compare_hubs(log.hubs, policy)
        return log

    def _compare_hubs(self, names: Sequence[str], policy: Policy) -> None:
        if len(names) not in (1, policy.hubs.count):
            named = ", ".join(printable(name) or "this server" for name in names[:5])
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            self._say(
                f"The record has {len(names)} hubs ({named}{more}), the scenario "
                f"{policy.hubs.count}. If they have nodes of their own, add --set "
                f"hubs.count={len(names)}: then launches go to the hub that they went to."
            )

    def _period(self, newest: list[float]) -> tuple[float, float]:
        """Return the period, in seconds since 1970. `newest` has the time of the last launch."""
        if self.first:
            try:
                day = date.fromisoformat(self.first)
            except ValueError:
                self.usage(f"--from needs a day such as 2026-11-02, not {self.first!r}.")
                raise
        elif newest:
            last = datetime.fromtimestamp(newest[0], UTC).date()
            day = last - timedelta(days=self.days - 1)
        else:
            raise ConfigError("There are no launches at all.")
        began = datetime.combine(day, time(), UTC).timestamp()
        return began, began + self.days * _DAY


def _read_events(file: str) -> Iterator[LoggedLaunch]:
    try:
        with Path(file).open("rb") as lines:
            for line in lines:
                launch = read_event(line)
                if launch is not None:
                    yield launch
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from error
