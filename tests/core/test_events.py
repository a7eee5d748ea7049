from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core import sse
from binderprogress.core.events import Curve, Earlier, Encoded, Event, decode, encode, json_schema
from binderprogress.core.phases import TERMINAL, Phase
from binderprogress.errors import StreamError

LEAST: dict[str, Any] = {
    "id": 1,
    "phase": "waiting",
    "time": 1795412091.25,
    "elapsed": 0.0,
    "progress": 0.0,
}
CURVES = json.loads((Path(__file__).parents[1] / "data" / "curves.json").read_text())


def event(**fields: Any) -> Event:
    return Event(**{**LEAST, "phase": Phase.WAITING, **fields})


def wire(**fields: Any) -> str:
    return json.dumps({**LEAST, **fields})


seconds = st.floats(0, 1e9)
counts = st.integers(0, 10_000)
texts = st.text(st.characters(codec="utf-8"))
curves = st.builds(
    Curve, from_=st.floats(0, 100), to=st.floats(0, 100), tau=st.floats(1e-6, 1e6, exclude_min=True)
)
earlier_versions = st.builds(
    Earlier,
    spec=texts,
    commit=texts,
    date=seconds,
    date_of=st.sampled_from(["commit", "build", "launch"]),
)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e300, 1e300) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
anything = {
    "id": st.integers(1, 2**53),
    "time": seconds,
    "elapsed": seconds,
    "message": texts,
    "step": texts,
    "step_key": texts,
    "step_index": counts,
    "step_total": counts,
    "curve": st.none() | curves,
    "earlier": st.none() | earlier_versions,
    "eta": st.none() | seconds,
    "eta_low": st.none() | seconds,
    "eta_high": st.none() | seconds,
    "attempt": st.integers(1, 100),
    "reason": texts,
    "advice": texts,
    "evidence": st.lists(texts, max_size=3),
    "imageName": texts,
    "url": st.sampled_from(["", "http://hub.example/user/ada/", "https://[::1]:8000/?token=x"]),
    "token": texts,
    "binder_ref_url": texts,
    "source": st.none() | st.dictionaries(texts, jsons, max_size=3),
}
events = st.one_of(
    st.builds(Event, phase=st.sampled_from(list(Phase)), progress=st.floats(0, 99.999), **anything),
    st.builds(Event, phase=st.just(Phase.READY), progress=st.just(100.0), **anything),
)


@given(events)
def test_what_is_encoded_is_decoded(given: Event) -> None:
    assert decode(encode(given)) == given
    assert decode(encode(given).decode()) == given


@given(events)
def test_encoded_holds_the_same_json_in_one_block_of_sse(given: Event) -> None:
    made = Encoded.of(given)
    (block,) = sse.Decoder().feed(made.sse)
    assert made.event == given
    assert made.json == encode(given)
    assert block.event == "message"
    assert block.data.encode() == made.json
    assert block.id == str(given.id)


@given(events)
def test_the_schema_takes_what_is_encoded(given: Event) -> None:
    VALIDATOR.validate(json.loads(encode(given)))


def test_what_says_nothing_is_left_out() -> None:
    assert json.loads(encode(event())) == LEAST


def test_names_on_the_wire() -> None:
    full = event(
        phase=Phase.BUILT,
        imageName="registry.example/ok:1",
        curve=Curve(from_=1.5, to=99, tau=30),
    )
    assert json.loads(encode(full)) == {
        **LEAST,
        "phase": "built",
        "imageName": "registry.example/ok:1",
        "curve": {"from": 1.5, "to": 99, "tau": 30},
    }


def test_an_evidence_of_ones_own() -> None:
    # A default that is shared between events would collect lines of other people's launches.
    event().evidence.append("x")
    assert event().evidence == []


@pytest.mark.parametrize("phase", list(Phase))
def test_terminal(phase: Phase) -> None:
    assert event(phase=phase).terminal == (phase in TERMINAL)


@pytest.mark.parametrize("case", CURVES, ids=[str(case) for case in CURVES])
def test_curve(case: dict[str, Any]) -> None:
    curve = Curve(from_=case["curve"]["from"], to=case["curve"]["to"], tau=case["curve"]["tau"])
    assert curve.at(case["seconds"]) == pytest.approx(case["at"], abs=1e-9)


@given(curves, st.lists(st.floats(-10, 1e9), min_size=2))
def test_a_curve_goes_one_way_and_stays_between_its_ends(curve: Curve, when: list[float]) -> None:
    low, high = sorted([curve.from_, curve.to])
    places = [curve.at(second) for second in sorted(when)]
    assert all(low - 1e-9 <= place <= high + 1e-9 for place in places)
    assert places == pytest.approx(sorted(places, reverse=curve.to < curve.from_), abs=1e-9)


# Attacks ------------------------------------------------------------------------------------------

NOT_HTTP = {
    "a script in the page of the launch": "javascript:alert(document.cookie)",
    "a script, in capitals": "JavaScript:alert(1)",
    "a script behind a line break, which browsers leave out": "java\nscript:alert(1)",
    "a script behind a blank": " javascript:alert(1)",
    "a page of the attacker's own": "data:text/html,<script>alert(1)</script>",
    "another protocol": "ftp://hub.example/",
    "a file of the viewer's": "file:///etc/passwd",
    "no scheme": "//evil.example/",
    "a path only": "/user/ada/",
    "no host": "http://",
    "a port only": "https://:8000/",
    "a name but no host": "http://ada@/",
    "backslashes for slashes": "http:\\\\evil.example",
    "a tab": "http://hub.example/\tx",
    "DEL": "http://hub.example/\x7f",
    "half an address of IPv6": "http://[::1/",
}


@pytest.mark.parametrize("url", NOT_HTTP.values(), ids=NOT_HTTP)
def test_an_address_that_must_not_be_opened_is_refused(url: str) -> None:
    # A compromised Hub or a remote BinderHub chooses it; the page goes there.
    with pytest.raises(StreamError, match=r"http:// or https://"):
        event(phase=Phase.READY, progress=100, url=url)
    with pytest.raises(StreamError, match=r"http:// or https://"):
        decode(wire(phase="ready", progress=100, url=url))


@pytest.mark.parametrize("url", ["http://hub.example:8000/user/ada/", "HTTPS://[::1]/?a=b#c"])
def test_an_address_that_may_be_opened(url: str) -> None:
    assert event(url=url).url == url
    assert decode(wire(url=url)).url == url


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.READY])
def test_a_full_bar_before_the_server_is_ready_is_refused(phase: Phase) -> None:
    # JupyterHub says 100 when a spawn fails. A bar that lies once is not believed again.
    with pytest.raises(StreamError, match="full only when"):
        event(phase=phase, progress=100)
    with pytest.raises(StreamError, match="full only when"):
        decode(wire(phase=phase, progress=100))
    assert event(phase=Phase.READY, progress=100).progress == 100


BROKEN: dict[str, Any] = {
    "a phase that is none": wire(phase="Pending"),
    "no id": json.dumps({key: value for key, value in LEAST.items() if key != "id"}),
    "id 0": wire(id=0),
    "an id with a fraction": wire(id=1.5),
    "beyond the bar": wire(phase="ready", progress=101),
    "below the bar": wire(progress=-1),
    "a bar of text": wire(progress="50"),
    "a message that is no text": wire(message={"a": 1}),
    "an earlier version without a date": wire(earlier={"spec": "gh/a/b/c", "commit": "c"}),
    "a curve that jumps": wire(curve={"from": 0, "to": 1, "tau": 0}),
    "a curve beyond the bar": wire(curve={"from": 0, "to": 101, "tau": 1}),
    "a curve without an end": wire(curve={"from": 0, "tau": 1}),
    "a negative eta": wire(eta=-1),
    "attempt 0": wire(attempt=0),
    "evidence that is no list": wire(evidence="x"),
    "a source that is no object": wire(source=[1]),
}
NOT_JSON: dict[str, Any] = {
    "nothing": "",
    "not finished": '{"id": 1',
    "a list": "[]",
    "not UTF-8": b'{"id": 1, "message": "\xff"}',
    "a bare half of a surrogate pair": '{"message": "\ud800"}',
    "half of a surrogate pair": '{"message": "\\ud800"}',
    "NaN": wire().replace('"progress": 0.0', '"progress": NaN'),
}


@pytest.mark.parametrize("data", [*BROKEN.values(), *NOT_JSON.values()], ids=[*BROKEN, *NOT_JSON])
def test_what_is_no_event_is_refused(data: bytes | str) -> None:
    with pytest.raises(StreamError, match="not an event"):
        decode(data)


def test_an_event_nested_without_end_is_refused() -> None:
    # It would end the reader with a RecursionError, which nobody expects of a parser.
    with pytest.raises(StreamError, match="not an event"):
        decode(wire(source={"a": 0}).replace("0}", "[" * 100_000, 1))


def test_fields_of_a_newer_server_are_passed_over() -> None:
    assert decode(wire(mood="good")) == event()


# The schema ---------------------------------------------------------------------------------------

SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_the_schema_refuses_what_is_broken(data: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(json.loads(data))


def test_an_event_that_moves_is_the_same_with_a_higher_number() -> None:
    moved = Encoded.of(event(id=3, message="a\n")).moved(2)
    assert moved.event == event(id=5, message="a\n")
    assert moved.sse.startswith(b"id: 5\ndata: ")
    assert decode(moved.json) == moved.event
