from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core import sse
from binderprogress.core.sse import ServerSentEvent as E
from binderprogress.errors import StreamError


class Result(NamedTuple):
    events: list[E]
    last_event_id: str = ""
    retry: int | None = None


class Case(NamedTuple):
    wire: bytes
    result: Result
    writes: tuple[dict[str, Any], ...] = ()
    """Arguments of `encode` that produce `wire`; None if there are none."""


def reads(wire: str | bytes, *events: E, last: str | None = None, retry: int | None = None) -> Case:
    raw = wire if isinstance(wire, bytes) else wire.encode()
    if last is None:
        last = events[-1].id if events else ""
    return Case(raw, Result(list(events), last, retry))


def both(
    wire: str, *writes: dict[str, Any], events: list[E], last: str = "", retry: int | None = None
) -> Case:
    return Case(wire.encode(), Result(events, last, retry), writes)


A, B = E(data="a"), E(data="b")

CASES = {
    "nothing at all": reads(b""),
    # Both ways
    "one line": both("data: a\n\n", {"data": "a"}, events=[A]),
    "bytes": both("data: é\n\n", {"data": "é".encode()}, events=[E(data="é")]),
    "empty data is an event": both("data: \n\n", {"data": ""}, events=[E()]),
    "two events": both("data: a\n\ndata: b\n\n", {"data": "a"}, {"data": "b"}, events=[A, B]),
    "all fields": both(
        "event: e\nid: 7\nretry: 1500\ndata: a\n\n",
        {"data": "a", "event": "e", "id": "7", "retry": 1500},
        events=[E("e", "a", "7")],
        last="7",
        retry=1500,
    ),
    "several lines": both("data: a\ndata: b\n\n", {"data": "a\nb"}, events=[E(data="a\nb")]),
    "a last line feed stays": both("data: a\ndata: \n\n", {"data": "a\n"}, events=[E(data="a\n")]),
    "line feeds only": both(
        "data: \ndata: \ndata: \n\n", {"data": "\n\n"}, events=[E(data="\n\n")]
    ),
    "every line end in data becomes a line": both(
        "data: a\ndata: b\ndata: c\ndata: d\n\n",
        {"data": "a\rb\r\nc\nd"},
        events=[E(data="a\nb\nc\nd")],
    ),
    "other separators are no line ends": both(
        "data: a\x0b\x0c\x1c\x85\u2028\u2029b\n\n",
        {"data": "a\x0b\x0c\x1c\x85\u2028\u2029b"},
        events=[E(data="a\x0b\x0c\x1c\x85\u2028\u2029b")],
    ),
    "one to four bytes a character": both(
        "event: é\nid: €\ndata: aé€😀\n\n",
        {"data": "aé€😀", "event": "é", "id": "€"},
        events=[E("é", "aé€😀", "€")],
        last="€",
    ),
    "leading spaces are kept by writing one more": both(
        "event:  e\nid:  7\ndata:   a \n\n",
        {"data": "  a ", "event": " e", "id": " 7"},
        events=[E(" e", "  a ", " 7")],
        last=" 7",
    ),
    "colons in values": both("data: :a:b\n\n", {"data": ":a:b"}, events=[E(data=":a:b")]),
    "an id stays in force": both(
        "id: 1\ndata: a\n\ndata: b\n\n",
        {"data": "a", "id": "1"},
        {"data": "b"},
        events=[E(data="a", id="1"), E(data="b", id="1")],
        last="1",
    ),
    "an empty id resets it": both(
        "id: 1\ndata: a\n\nid: \ndata: b\n\n",
        {"data": "a", "id": "1"},
        {"data": "b", "id": ""},
        events=[E(data="a", id="1"), B],
    ),
    "an empty type is message": both(
        "event: \ndata: a\n\n", {"data": "a", "event": ""}, events=[A]
    ),
    "a byte order mark in data": both(
        "data: \ufeffa\n\n", {"data": "\ufeffa"}, events=[E(data="\ufeffa")]
    ),
    "NUL in data and in the type": both(
        "event: \0\ndata: a\0\n\n", {"data": "a\0", "event": "\0"}, events=[E("\0", "a\0")]
    ),
    "retry at once": both("retry: 0\ndata: a\n\n", {"data": "a", "retry": 0}, events=[A], retry=0),
    # Line ends
    "CR": reads("event: e\rdata: a\r\rdata: b\r\r", E("e", "a"), B),
    "CRLF": reads("event: e\r\ndata: a\r\n\r\ndata: b\r\n\r\n", E("e", "a"), B),
    "all three mixed": reads("data: a\rdata: b\r\ndata: c\n\r", E(data="a\nb\nc")),
    "LF CR are two": reads("data: a\n\rdata: b\n\r", A, B),
    "many blank lines": reads("\n\r\r\n\ndata: a\n\n\r\n\r\r", A),
    # Byte order mark
    "one in front goes": reads(b"\xef\xbb\xbfdata: a\n\n", A),
    "a second one stays": reads(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", B),
    "only in front of everything": reads(b"data: a\n\n\xef\xbb\xbfdata: x\n\ndata: b\n\n", A, B),
    "not after a blank line": reads(b"\n\xef\xbb\xbfdata: x\n\n"),
    "alone on its line": reads(b"\xef\xbb\xbf\r\ndata: a\n\n", A),
    "half of one is no field": reads(b"\xef\xbbdata: x\n\n"),
    # UTF-8
    "what is not UTF-8 is replaced": reads(
        b"event: \xff\nid: \xc0\ndata: a\x80\xf8b\n\n",
        E("\ufffd", "a\ufffd\ufffdb", "\ufffd"),
    ),
    "a cut character does not swallow the line end": reads(
        b"data: \xf0\x9f\x98\ndata: \xe2\x82\r\n\n", E(data="\ufffd\n\ufffd")
    ),
    "surrogates and overlong forms": reads(
        b"data: \xed\xa0\x80\xc0\x8a\n\n", E(data="\ufffd\ufffd\ufffd\ufffd\ufffd")
    ),
    # Comments and fields
    "comments": reads(": x\ndata: a\n:\n:data: x\ndata: b\n\n: x\n\n", E(data="a\nb")),
    "no colon, empty value": reads("data\n\ndata\ndata\n\ndata:", E(), E(data="\n")),
    "type and id without colon": reads(
        "id: 1\ndata: a\n\nid\nevent: e\nevent\ndata: b\n\n", E(data="a", id="1"), B
    ),
    "no space after the colon": reads("event:e\nid:7\ndata:a\n\n", E("e", "a", "7")),
    "only one space goes": reads("data:  a\n\ndata:\ta\n\n", E(data=" a"), E(data="\ta")),
    "names are exact": reads("Data: x\n data: x\ndata : x\ndatas: x\nDATA\n\n"),
    "unknown fields": reads("foo: x\ndata: a\nbar\n\n", A),
    "the last type counts": reads("event: x\nevent: e\ndata: a\n\n", E("e", "a")),
    # Blocks without data
    "no data, no event, and its type is gone": reads("event: x\n\ndata: a\n\n", A),
    "no data, but its id counts": reads("id: 7\n\ndata: a\n\n", E(data="a", id="7")),
    "an id alone": reads("id: 7\n\n", last="7"),
    # id
    "NUL makes an id ignored": reads("id: 1\nid: 2\0\nid: \0\ndata: a\n\n", E(data="a", id="1")),
    "the last id counts": reads("id: 1\ndata: a\nid: 2\n\n", E(data="a", id="2")),
    # retry
    "retry counts without a blank line": reads("retry: 10\n", retry=10),
    "leading zeros": reads("retry: 0010\n", retry=10),
    "retry that is no number": reads(
        "retry: 5\nretry\nretry:\nretry: -1\nretry: +1\nretry: 1.5\nretry: 1e3\nretry: 1_0\n"
        "retry:  1\nretry: 1 \nretry: ٣\nretry: ²\n",
        retry=5,
    ),
    # The end of the stream
    "unfinished block": reads("data: a\n\nid: 9\nevent: e\ndata: x\n", A),
    "unfinished line": reads("data: a\n\nid: 9\ndata: x", A),
    "unfinished field name": reads("data: a\n\ndat", A),
}

table = pytest.mark.parametrize("case", [pytest.param(c, id=name) for name, c in CASES.items()])
written = pytest.mark.parametrize(
    "case", [pytest.param(c, id=name) for name, c in CASES.items() if c.writes]
)


def decode(*chunks: bytes) -> Result:
    decoder = sse.Decoder()
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return Result(events, decoder.last_event_id, decoder.retry)


def single(wire: bytes) -> list[bytes]:
    return [wire[i : i + 1] for i in range(len(wire))]


def cut(wire: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(wire) + 1) for place in places)
    return [wire[a:b] for a, b in zip([0, *ends], [*ends, len(wire)], strict=True)]


def by_the_book(wire: bytes) -> Result:
    """Decode a complete stream as in the standard: decode first, then split."""
    text = wire.decode("utf-8", "replace").removeprefix("\ufeff")
    *lines, _ = re.split("\r\n|\r|\n", text)
    events, data, kind, identity, last, retry = [], "", "", "", "", None
    for line in lines:
        name, _, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if line == "":
            last = identity
            if data:
                events.append(E(kind or "message", data[:-1], last))
            data = kind = ""
        elif name == "data":
            data += value + "\n"
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            identity = value
        elif name == "retry" and re.fullmatch("[0-9]{1,18}", value):
            retry = int(value)
    return Result(events, last, retry)


@table
def test_read_in_one(case: Case) -> None:
    assert decode(case.wire) == case.result
    assert by_the_book(case.wire) == case.result


@table
def test_read_at_every_split_point(case: Case) -> None:
    for place in range(len(case.wire) + 1):
        assert decode(case.wire[:place], case.wire[place:]) == case.result, place


@table
def test_read_byte_by_byte(case: Case) -> None:
    assert decode(*single(case.wire)) == case.result


@table
def test_read_with_empty_chunks_between(case: Case) -> None:
    chunks = [part for byte in single(case.wire) for part in (b"", byte, b"")]
    assert decode(*chunks) == case.result


@written
def test_write(case: Case) -> None:
    assert b"".join(sse.encode(**arguments) for arguments in case.writes) == case.wire


def test_an_event_that_ends_in_cr_does_not_wait_for_the_next_chunk() -> None:
    decoder = sse.Decoder()
    assert decoder.feed(b"data: a\r\n\r") == [A]
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"data: b\r") == []
    assert decoder.feed(b"\r") == [B]
    assert decoder.feed(b"\ndata: a\n\n") == [A]


def test_only_one_line_feed_belongs_to_a_cr() -> None:
    decoder = sse.Decoder()
    assert decoder.feed(b"data: a\r") == []
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"\n") == [A]


def test_an_id_counts_from_the_end_of_its_block() -> None:
    # Or a connection that breaks inside a block would resume after an event nobody has seen.
    decoder = sse.Decoder()
    decoder.feed(b"id: 7\ndata: a\n")
    assert decoder.last_event_id == ""
    decoder.feed(b"\n")
    assert decoder.last_event_id == "7"


def test_a_keepalive_does_not_make_a_resumed_stream_forget_where_it_is() -> None:
    decoder = sse.Decoder(last_event_id="41")
    assert decoder.last_event_id == "41"
    assert decoder.feed(sse.comment() + b"data: a\n\n") == [E(data="a", id="41")]
    assert decoder.last_event_id == "41"


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("", b":\n\n"),
        ("alive", b": alive\n\n"),
        ("a\nb\rc\r\nd", b": a\n: b\n: c\n: d\n\n"),
        ("a\n\ndata: x", b": a\n: \n: data: x\n\n"),
        ("\ud800", ": \ufffd\n\n".encode()),
    ],
)
def test_comment(text: str, wire: bytes) -> None:
    assert sse.comment(text) == wire
    assert decode(wire, b"data: a\n\n") == Result([A])


# Attacks ------------------------------------------------------------------------------------------


def test_a_log_line_cannot_forge_an_event() -> None:
    # Whoever owns the repository writes the build log. If a line break of theirs got out as it is,
    # they could send every viewer a `ready` with a server of their own.
    for end in ("\n", "\r", "\r\n"):
        forged = f"x{end}{end}event: ready{end}id: 99{end}data: evil{end}{end}"
        (event,) = decode(sse.encode(forged)).events
        assert event.event == "message"
        assert event.id == ""
        assert event.data == forged.replace(end, "\n")


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_an_id_cannot_forge_fields(end: str) -> None:
    # Ids may come back from a client (Last-Event-ID) or from a remote server.
    with pytest.raises(StreamError, match="id must not contain"):
        sse.encode("a", id=f"1{end}data: evil")


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_type_cannot_forge_fields(end: str) -> None:
    # A proxied server chooses the type.
    with pytest.raises(StreamError, match="type of an event must not contain"):
        sse.encode("a", event=f"e{end}data: evil")


def test_an_id_that_readers_would_ignore_is_refused() -> None:
    # A reader drops an id with NUL and would resume at the one before: duplicates for ever.
    with pytest.raises(StreamError, match="NUL"):
        sse.encode("a", id="1\0")


def test_half_a_surrogate_pair_in_a_log_does_not_end_the_stream() -> None:
    # JSON can say "\ud800", UTF-8 cannot: a repository could make the server raise in mid-stream.
    assert decode(sse.encode("a\ud800b")).events == [E(data="a\ufffdb")]


@pytest.mark.parametrize("field", ["id", "event"])
def test_half_a_surrogate_pair_is_refused_where_it_must_come_back_the_same(field: str) -> None:
    # Replaced, two different ids could become one.
    with pytest.raises(StreamError, match="surrogates"):
        sse.encode("a", **{field: "\udfff"})


def test_a_negative_retry_is_refused() -> None:
    # Readers would ignore it, and whoever wrote it would never know.
    with pytest.raises(StreamError, match="negative"):
        sse.encode("a", retry=-1)


def test_a_retry_of_a_million_digits_is_ignored() -> None:
    # int() takes quadratic time for it, or raises ValueError: either stops the reader.
    assert decode(b"retry: 5\nretry: " + b"9" * 1_000_000 + b"\n").retry == 5
    assert decode(b"retry: " + b"0" * 1_000_000 + b"7\n").retry == 7
    assert decode(b"retry: " + b"9" * 18 + b"\nretry: 1" + b"0" * 18 + b"\n").retry == 10**18 - 1


@pytest.mark.parametrize("start", [b"data: ", b": ", b"id: ", b""])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_line_that_never_ends_is_refused(start: bytes, size: int) -> None:
    # It would fill the memory of whoever reads it.
    decoder = sse.Decoder(max_block=100)
    with pytest.raises(StreamError, match="more than 100 bytes"):
        for chunk in [start, *[b"x" * size] * 101]:
            decoder.feed(chunk)


@pytest.mark.parametrize("line", [b"data: x\n", b"data\n", b"data:\r\n"])
@pytest.mark.parametrize("times", [1, 1000])
def test_a_block_that_never_ends_is_refused(line: bytes, times: int) -> None:
    # The same with short lines.
    decoder = sse.Decoder(max_block=100)
    with pytest.raises(StreamError, match="more than 100 bytes"):
        for _ in range(1000):
            decoder.feed(line * times)


def test_what_takes_no_memory_may_go_on_for_ever() -> None:
    # A server that keeps an idle connection open with comments must not be cut off one day.
    decoder = sse.Decoder(max_block=10)
    for _ in range(1000):
        assert decoder.feed(b":\nfoo: x\nid: 1\n") == []
    assert decoder.feed(b"data: a\n\n") == [E(data="a", id="1")]


def test_the_limit_does_not_depend_on_the_chunks() -> None:
    # Or the same stream would work on one network and fail on another.
    fits, not_quite = b"data: 6789\n\n", b"data: 67890\n\n"
    for place in range(len(fits) + 1):
        decoder = sse.Decoder(max_block=10)
        events = decoder.feed(fits[:place]) + decoder.feed(fits[place:])
        assert events == [E(data="6789")]
    for place in range(len(not_quite) + 1):
        decoder = sse.Decoder(max_block=10)
        with pytest.raises(StreamError):
            decoder.feed(not_quite[:place]) + decoder.feed(not_quite[place:])


def test_after_a_block_too_long_nothing_more_is_read() -> None:
    # What follows begins inside a line: an attacker would choose where an event starts.
    decoder = sse.Decoder(max_block=10)
    with pytest.raises(StreamError):
        decoder.feed(b"x" * 11)
    for chunk in (b"", b"\n\n", b"data: x\n\n"):
        with pytest.raises(StreamError, match="more than 10 bytes"):
            decoder.feed(chunk)


def test_events_lost_with_the_error_can_be_resumed() -> None:
    # They came in the same chunk, so the caller never got them.
    decoder = sse.Decoder(max_block=10)
    assert decoder.feed(b"id: 1\ndata: a\n\n") == [E(data="a", id="1")]
    with pytest.raises(StreamError):
        decoder.feed(b"id: 2\ndata: b\n\ndata: 67890")
    assert decoder.last_event_id == "1"


def test_a_long_line_in_small_pieces_is_read() -> None:
    # Searching the whole line again for each piece would be quadratic: 60 GB here.
    value = b"x" * 2_000_000
    wire = b"data: " + value + b"\n\n"
    decoder = sse.Decoder()
    events = [e for i in range(0, len(wire), 64) for e in decoder.feed(wire[i : i + 64])]
    assert events == [E(data=value.decode())]


# Properties ---------------------------------------------------------------------------------------

places = st.lists(st.integers(0, 10_000), max_size=20)
texts = st.text(st.characters(codec="utf-8")) | st.text("a \r\n:\ufeff\0é😀")
ids = texts.filter(lambda text: not set(text) & set("\r\n\0"))
types = texts.filter(lambda text: not set(text) & set("\r\n"))
writes = st.fixed_dictionaries(
    {"data": texts},
    optional={"event": types, "id": ids, "retry": st.integers(0, 10**18 - 1)},
)
fragments = st.sampled_from(
    [
        *(b"data", b"event", b"id", b"retry", b":", b" ", b"12", b"data: x", b"id: 1"),
        *(b"\r", b"\n", b"\r\n", b"\n\n", b"\0"),
        *(b"\xef\xbb\xbf", b"\xf0\x9f\x98\x80", b"\xf0\x9f", b"\x80"),
    ]
)
streams = st.binary() | st.lists(fragments | st.binary(max_size=3)).map(b"".join)


@given(st.lists(writes, max_size=5), st.lists(texts, max_size=3), places)
def test_what_is_written_is_read(
    blocks: list[dict[str, Any]], comments: list[str], where: list[int]
) -> None:
    keepalives = b"".join(map(sse.comment, comments))
    wire = keepalives + b"".join(sse.encode(**block) + keepalives for block in blocks)
    expected, last, retry = [], "", None
    for block in blocks:
        last, retry = block.get("id", last), block.get("retry", retry)
        data = re.sub("\r\n|\r", "\n", block["data"])
        expected.append(E(block.get("event") or "message", data, last))
    assert decode(*cut(wire, where)) == Result(expected, last, retry)


@given(streams, places)
def test_any_bytes_in_any_pieces_are_read_by_the_book(wire: bytes, where: list[int]) -> None:
    expected = by_the_book(wire)
    assert decode(wire) == expected
    assert decode(*cut(wire, where)) == expected
    assert decode(*single(wire)) == expected
