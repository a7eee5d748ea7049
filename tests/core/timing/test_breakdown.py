from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from binderprogress.core.events import DoneAhead, Event
from binderprogress.core.log import steps
from binderprogress.core.log.reader import JUPYTERHUB_STEPS, MESSAGE_STEPS
from binderprogress.core.log.steps import QUEUED, Step, numbered
from binderprogress.core.phases import TERMINAL, Phase
from binderprogress.core.timing.breakdown import Kind, Trace, chrome, kind_of, trace
from binderprogress.core.timing.spans import Span

BEGAN = 1000.0
NUMBER = {"type": "integer", "minimum": 0}
# The Trace Event Format, as far as it is used, and nothing else.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["traceEvents", "displayTimeUnit", "otherData"],
    "additionalProperties": False,
    "properties": {
        "displayTimeUnit": {"enum": ["ms", "ns"]},
        "otherData": {"type": "object"},
        "traceEvents": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["ph", "name", "pid", "tid", "args"],
                "oneOf": [
                    {
                        "properties": {
                            "ph": {"const": "X"},
                            "name": {"type": "string", "minLength": 1},
                            "cat": {"type": "string", "pattern": "^[a-z-]+$"},
                            "pid": NUMBER,
                            "tid": NUMBER,
                            "ts": NUMBER,
                            "dur": {"type": "integer", "minimum": 1},
                            "args": {"type": "object"},
                        },
                        "required": ["cat", "ts", "dur"],
                        "additionalProperties": False,
                    },
                    {
                        "properties": {
                            "ph": {"const": "i"},
                            "s": {"const": "t"},
                            "name": {"type": "string", "minLength": 1},
                            "cat": {"type": "string", "pattern": "^[a-z-]+$"},
                            "pid": NUMBER,
                            "tid": NUMBER,
                            "ts": NUMBER,
                            "args": {"type": "object"},
                        },
                        "required": ["cat", "ts", "s"],
                        "additionalProperties": False,
                    },
                    {
                        "properties": {
                            "ph": {"const": "M"},
                            "name": {"enum": ["process_name", "thread_name"]},
                            "pid": NUMBER,
                            "tid": NUMBER,
                            "args": {
                                "type": "object",
                                "properties": {"name": {"type": "string", "minLength": 1}},
                                "required": ["name"],
                                "additionalProperties": False,
                            },
                        },
                        "additionalProperties": False,
                    },
                    {
                        "properties": {
                            "ph": {"const": "M"},
                            "name": {"const": "thread_sort_index"},
                            "pid": NUMBER,
                            "tid": NUMBER,
                            "args": {
                                "type": "object",
                                "properties": {"sort_index": NUMBER},
                                "required": ["sort_index"],
                                "additionalProperties": False,
                            },
                        },
                        "additionalProperties": False,
                    },
                ],
            },
        },
    },
}


def event(at: float, phase: str, step: Step | None = None, **fields: Any) -> Event:
    step = step or Step("", "")
    return Event(
        id=1,
        phase=Phase(phase),
        time=BEGAN + at,
        elapsed=at,
        progress=100.0 if phase == "ready" else 0.0,
        step=step.label,
        step_key=step.key,
        step_index=step.index,
        step_total=step.total,
        step_cached=step.cached,
        step_command=step.command,
        **fields,
    )


KUBERNETES = [
    event(0, "waiting", Step("resolving", "Looking up HEAD")),
    event(0.5, "waiting", Step("looking", "Looking")),
    event(1, "waiting", QUEUED),
    event(4, "fetching", Step("cloning", "Cloning the repository")),
    event(6, "building"),
    event(7, "building", numbered(1, 2, cached=True, command="pip install six")),
    event(7.25, "building", numbered(2, 2)),
    event(17, "pushing", Step("pushing", "Pushing the image")),
    event(20, "built"),
    event(20, "launching", Step("requested", "Requesting a server")),
    event(21, "launching", Step("waiting-for-node", "Waiting for a node")),
    event(25, "launching", Step("pulling", "Pulling the image")),
    event(31, "launching", Step("created", "Created the container")),
    event(31.5, "launching", Step("answering", "Waiting for the server to respond")),
    event(34, "ready"),
]


def test_the_way_of_a_launch_at_a_cluster() -> None:
    found = trace(KUBERNETES, began=BEGAN, now=BEGAN + 99, id="key", spec="gh/a/b/HEAD")
    assert (found.id, found.spec, found.phase) == ("key", "gh/a/b/HEAD", Phase.READY)
    assert found.seconds == 34
    assert found.totals == {
        "check": 1,
        "idle": 3,
        "fetch": 2,
        "build": 11,
        "push": 3,
        "schedule": 4,
        "pull": 6,
        "start": 1.5,
        "first-answer": 2.5,
    }
    assert list(found.totals) == list(Kind)
    assert sum(found.totals.values()) == found.seconds


def test_cold_is_what_had_to_be_made() -> None:
    assert trace(KUBERNETES, began=BEGAN).cold
    assert trace(KUBERNETES, began=BEGAN).phase_seconds() == {
        "waiting": 4,
        "fetching": 2,
        "building": 11,
        "pushing": 3,
        "built": 0,
        "launching": 14,
    }
    assert not trace([KUBERNETES[0], *KUBERNETES[8:]], began=BEGAN).cold
    reused = event(2, "building", Step("reused", "Using the existing environment"))
    assert not trace([KUBERNETES[0], reused, *KUBERNETES[8:]], began=BEGAN).cold


def test_the_newest_step_of_one_that_is_not_over_goes_on() -> None:
    found = trace(KUBERNETES[:5], began=BEGAN, now=BEGAN + 9)
    assert (found.seconds, found.phase, found.totals[Kind.BUILD]) == (9, Phase.BUILDING, 3)
    # A clock that lags does not make it shorter, and without one it ends with its newest event.
    assert trace(KUBERNETES[:5], began=BEGAN, now=BEGAN).seconds == 6
    assert trace(KUBERNETES[:5], began=BEGAN).seconds == 6


def test_how_it_ended_and_why() -> None:
    found = trace([*KUBERNETES[:5], event(8, "failed", reason="bad-ref")], began=BEGAN)
    assert (found.phase, found.reason, found.seconds) == (Phase.FAILED, "bad-ref", 8)
    # Of a stream that was cut to its end.
    nothing = trace([event(8, "failed", reason="bad-ref")], began=BEGAN)
    assert (nothing.seconds, nothing.spans, set(nothing.totals.values())) == (0, [], {0})


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in TERMINAL])
def test_every_phase_has_a_kind(phase: Phase) -> None:
    assert isinstance(kind_of(Span(phase, 0, 1)), Kind)


def test_steps_that_are_sorted_in_are_steps_that_there_are() -> None:
    from binderprogress.core.log import reader as normalize
    from binderprogress.core.timing import breakdown as trace

    known = {step.key for _, step in steps.PREFIXES}
    known |= {step.key for step in [*JUPYTERHUB_STEPS.values(), *MESSAGE_STEPS.values()]}
    known |= {step.key for step in normalize._KUBERNETES_STEPS.values()}
    # Those of the launch, the build, and the tour of BinderHubs.
    known |= {"resolving", "looking", "another-hub", steps.HUB_AWAY.key, steps.BINDERHUB_AWAY.key}
    assert set(trace._BY_STEP) <= known


# -- for Perfetto


def complete(found: Trace) -> list[dict[str, Any]]:
    """Check the format of a trace, and return its complete events."""
    drawn = chrome(found)
    Draft202012Validator(SCHEMA).validate(drawn)
    return [event for event in drawn["traceEvents"] if event["ph"] == "X"]


def test_a_trace_for_perfetto_fits_its_format() -> None:
    events = complete(trace(KUBERNETES, began=BEGAN, spec="gh/a/b/HEAD"))
    phases = [event for event in events if event["tid"] == 1]
    drawn = [event for event in events if event["tid"] == 2]
    assert [event["name"] for event in phases] == [
        "waiting",
        "fetching",
        "building",
        "pushing",
        "launching",
    ]
    assert (phases[2]["ts"], phases[2]["dur"]) == (6_000_000, 11_000_000)
    assert drawn[5]["name"] == "Step 1 of 2 · pip install six"
    assert drawn[5]["args"] == {"phase": "building", "kind": "build", "cached": True}
    assert drawn[4]["name"] == "build", "a phase that has not named a step"
    for row in (phases, drawn):
        assert row[-1]["ts"] + row[-1]["dur"] == 34_000_000
        for one, after in pairwise(row):
            assert one["ts"] + one["dur"] == after["ts"]


def test_what_took_no_time_is_a_moment() -> None:
    drawn = chrome(trace(KUBERNETES, began=BEGAN, spec="gh/a/b/HEAD"))
    moments = [event for event in drawn["traceEvents"] if event["ph"] == "i"]
    assert [(event["tid"], event["name"], event["ts"]) for event in moments] == [
        (1, "built", 20_000_000),
        (2, "start", 20_000_000),
    ]


def test_what_was_done_at_the_same_time_is_in_a_row_of_its_own() -> None:
    done = DoneAhead("node", "Node added", start=1.0, end=5.5, saved=4.5)
    plain = trace(KUBERNETES, began=BEGAN)
    found = trace(KUBERNETES, began=BEGAN, ahead=[done])
    assert found.ahead == [done]
    assert (found.spans, found.totals) == (plain.spans, plain.totals)
    more = [each for each in chrome(found)["traceEvents"] if each["tid"] == 3]
    assert [each["name"] for each in more] == ["thread_name", "thread_sort_index", "Node added"]
    assert (more[-1]["ts"], more[-1]["dur"]) == (1_000_000, 4_500_000)
    assert more[-1]["args"] == {"saved": 4.5}
    assert [each for each in chrome(plain)["traceEvents"] if each["tid"] == 3] == []


def test_attempts_are_drawn_apart() -> None:
    again = [
        event(0, "launching"),
        event(3, "launching", Step("retrying", "Trying again"), attempt=2),
        event(9, "ready"),
    ]
    phases = [event for event in complete(trace(again, began=BEGAN)) if event["tid"] == 1]
    assert [(event["ts"], event["args"]["attempt"]) for event in phases] == [(0, 1), (3000000, 2)]
