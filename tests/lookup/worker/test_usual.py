"""What is recognized by its bytes is what the parser would have found."""

from dataclasses import dataclass, field

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup.wire import MAX_LOOKUP_BODY
from lookup.worker.usual import UsualHead

IDS = ("0b0e7ae4-3a5f-4a6e-9c63-6c1b0a1f3b5d", "FFFFFFFF-ffff-4FFF-8fff-0123456789aB")
BODY = b'{"kid":"k"}'
FIELDS = (
    b"Host: lookup.test",
    b"Authorization: Bearer AbCd",
    b"X-Request-ID: " + IDS[0].encode(),
    b"Content-Type: application/json",
    b"Content-Length: 11",
)


@dataclass
class Parsed:
    """What httptools tells of the first request in some bytes."""

    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    url: bytes = b""
    body: bytes = b""
    requests: int = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.requests += 1


def parse(data: bytes) -> Parsed | None:
    """What the parser says, or None if that is not one whole request."""
    parsed = Parsed()
    try:
        httptools.HttpRequestParser(parsed).feed_data(data)
    except httptools.HttpParserError:
        return None
    return parsed if parsed.requests == 1 else None


def request(*fields: bytes, body: bytes = BODY) -> bytes:
    return (
        b"POST /v1/lookup HTTP/1.1\r\n" + b"".join(b"%b\r\n" % f for f in fields) + b"\r\n" + body
    )


def learned(data: bytes) -> UsualHead:
    parsed = parse(data)
    assert parsed is not None
    head = UsualHead.learn(data, parsed.headers)
    assert head is not None
    return head


ORDERS = st.permutations(FIELDS)


@given(ORDERS, st.sampled_from(IDS), st.binary(min_size=10, max_size=99))
def test_another_id_and_another_body_are_found(
    fields: list[bytes], request_id: str, body: bytes
) -> None:
    """In whatever order the fields come."""
    head = learned(request(*fields))
    changed = [
        line.replace(IDS[0].encode(), request_id.encode()).replace(b" 11", b" %d" % len(body))
        for line in fields
    ]

    assert head.match(request(*changed, body=body)) == (request_id.encode(), body)


@given(ORDERS, st.data())
def test_what_is_recognized_would_have_been_parsed_so(
    fields: list[bytes], data: st.DataObject
) -> None:
    """With bytes changed, put in or left out: either the parser says the same, or it is asked."""
    sent = bytearray(request(*fields))
    head = learned(bytes(sent))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(sent) - 1))
        sent[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.one_of(st.binary(max_size=2), st.sampled_from([b"\r\n", b"0", b" ", b":", b"9"]))
        )
    found = head.match(bytes(sent))
    if found is None:
        return
    parsed = parse(bytes(sent))

    assert parsed is not None
    assert parsed.url == b"/v1/lookup"
    assert parsed.body == found[1]
    values = dict(parsed.headers)
    assert values[b"x-request-id"] == found[0]
    changing = {b"x-request-id", b"content-length"}
    before = parse(request(*fields))
    assert before is not None
    assert [f for f in parsed.headers if f[0] not in changing] == [
        f for f in before.headers if f[0] not in changing
    ]


PLAIN = request(*FIELDS)
UNLIKE = {
    "another letter's case in the token": PLAIN.replace(b"AbCd", b"abCd"),
    "another name's case": PLAIN.replace(b"Host", b"host"),
    "a longer token": PLAIN.replace(b"AbCd", b"AbCde"),
    "one byte of the body more": PLAIN + b" ",
    "one byte of the body less": PLAIN[:-1],
    "two requests": PLAIN * 2,
    "more digits": PLAIN.replace(b" 11", b" 011"),
    "no digits": PLAIN.replace(b" 11", b" +1"),
    "no UUID": PLAIN.replace(IDS[0].encode(), b"x" * 36),
    "no hyphen where one belongs": PLAIN.replace(b"-3a5f", b"03a5f"),
    "another field": PLAIN.replace(b"Content-Type", b"Expect: 100-continue\r\nContent-Type"),
    "the head alone": PLAIN[: -len(BODY)],
    "nothing": b"",
}


@pytest.mark.parametrize("name", UNLIKE)
def test_everything_else_is_the_parsers(name: str) -> None:
    assert learned(PLAIN).match(PLAIN) is not None
    assert learned(PLAIN).match(UNLIKE[name]) is None


UNPLAIN = {
    "two spaces": PLAIN.replace(b"Host: ", b"Host:  "),
    "no space": PLAIN.replace(b"Host: ", b"Host:"),
    "a tab": PLAIN.replace(b"Host: ", b"Host:\t"),
    "an empty line before": b"\r\n" + PLAIN,
}


@pytest.mark.parametrize("name", UNPLAIN)
def test_only_a_plain_spelling_is_learned(name: str) -> None:
    parsed = parse(UNPLAIN[name])
    assert parsed is not None
    assert UsualHead.learn(UNPLAIN[name], parsed.headers) is None


def test_only_what_the_data_begin_with_is_learned() -> None:
    """Not the second of two requests, though the first differs from it in a letter's case alone."""
    parsed = parse(PLAIN)
    assert parsed is not None
    other = PLAIN.replace(b"AbCd", b"abCd")
    assert UsualHead.learn(other + PLAIN, parsed.headers) is None
    assert UsualHead.learn(PLAIN[20:], parsed.headers) is None


def test_a_body_is_bounded() -> None:
    """As where the parser is asked."""
    fields = [line.replace(b" 11", b" 9999") for line in FIELDS]
    size = MAX_LOOKUP_BODY + 1
    small = learned(request(*fields, body=b"x" * 9_999))
    assert (
        small.match(request(*FIELDS[:-1], b"Content-Length: %d" % size, body=b"x" * size)) is None
    )
    size -= 1
    sent = request(*FIELDS[:-1], b"Content-Length: %d" % size, body=b"x" * size)
    assert small.match(sent) is not None
