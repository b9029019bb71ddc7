"""Token requests, read strictly (RFC 6749 sections 2.3, 3.2 and 4.4; RFC 7617)."""

import contextlib
from base64 import b64encode
from typing import NamedTuple
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup.worker.form import InvalidGrant, parse_request

GRANT = b"grant_type=client_credentials"
BOTH = GRANT + b"&client_id=A&client_secret=B"
MARKER = "QUITE-A-MARKER"

PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1)


def basic(pair: bytes) -> bytes:
    return b"Basic " + b64encode(pair)


@given(PRINTABLE, PRINTABLE)
def test_both_ways_say_the_same(client_id: str, secret: str) -> None:
    """Whatever characters there are in an id or a secret."""
    form = {"client_id": client_id, "grant_type": "client_credentials", "client_secret": secret}
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()

    assert parse_request(None, urlencode(form).encode()) == (client_id, secret.encode())
    assert parse_request(basic(pair), GRANT) == (client_id, secret.encode())


@given(st.one_of(st.none(), st.binary()), st.binary())
def test_nothing_else_happens(authorization: bytes | None, body: bytes) -> None:
    """Credentials, or one error; never another one."""
    with contextlib.suppress(InvalidGrant):
        parse_request(authorization, body)


GOOD = {
    "plain": (None, BOTH),
    "in another order": (None, b"client_secret=B&client_id=A&" + GRANT),
    "with what is not known": (None, BOTH + b"&audience=x&resource"),
    "with an empty scope": (None, BOTH + b"&scope="),
    "escaped": (None, GRANT + b"&client%5Fid=%41&client_secret=%42"),
    "basic": (basic(b"A:B"), GRANT),
    "basic in another case": (b"bAsIc " + b64encode(b"A:B"), GRANT),
    "basic, and the same id in the form": (basic(b"A:B"), GRANT + b"&client_id=A"),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_taken(name: str) -> None:
    assert parse_request(*GOOD[name]) == ("A", b"B")


class Bad(NamedTuple):
    """A request, and RFC 6749's word for what is wrong with it."""

    body: bytes
    code: str
    authorization: bytes | None = None


REQUEST, CLIENT = "invalid_request", "invalid_client"
BAD = {
    "nothing": Bad(b"", REQUEST),
    "no grant type": Bad(b"client_id=A&client_secret=B", REQUEST),
    "an empty grant type": Bad(b"grant_type=&client_id=A&client_secret=B", REQUEST),
    "a password": Bad(BOTH.replace(b"client_credentials", b"password"), "unsupported_grant_type"),
    "a code": Bad(b"grant_type=authorization_code&code=x", "unsupported_grant_type"),
    "in capitals": Bad(
        BOTH.replace(b"client_credentials", b"CLIENT_CREDENTIALS"), "unsupported_grant_type"
    ),
    "a scope": Bad(BOTH + b"&scope=all", "invalid_scope"),
    "no credentials": Bad(GRANT, CLIENT),
    "no secret": Bad(GRANT + b"&client_id=A", CLIENT),
    "an empty secret": Bad(GRANT + b"&client_id=A&client_secret=", CLIENT),
    "no id": Bad(GRANT + b"&client_secret=B", CLIENT),
    "an assertion": Bad(GRANT + b"&client_assertion=x&client_assertion_type=y", CLIENT),
    "twice": Bad(BOTH + b"&client_id=A", REQUEST),
    "twice, once escaped": Bad(BOTH + b"&client%5Fid=A", REQUEST),
    "twice, and not known": Bad(BOTH + b"&x=1&x=1", REQUEST),
    "both ways": Bad(BOTH, REQUEST, basic(b"A:B")),
    "both ways in part": Bad(GRANT + b"&client_secret=B", REQUEST, basic(b"A:B")),
    "two ids": Bad(GRANT + b"&client_id=C", REQUEST, basic(b"A:B")),
    "bearer": Bad(BOTH, CLIENT, b"Bearer " + b"x" * 56),
    "an empty header": Bad(BOTH, CLIENT, b""),
    "basic without anything": Bad(GRANT, REQUEST, b"Basic"),
    "basic without a colon": Bad(GRANT, REQUEST, basic(b"AB")),
    "basic in another alphabet": Bad(GRANT, REQUEST, b"Basic _-__"),
    "basic with spaces": Bad(GRANT, REQUEST, b"Basic  " + b64encode(b"A:B")),
    "basic of three characters": Bad(GRANT, REQUEST, b"Basic QTp"),
    "basic, oversized": Bad(GRANT, REQUEST, basic(b"A:" + b"B" * 1_024)),
    "basic with zeros": Bad(GRANT, REQUEST, basic(b"A:B\0")),
    "basic with a broken escape": Bad(GRANT, REQUEST, basic(b"A:%zz")),
    "json": Bad(b'{"grant_type":"client_credentials"}', REQUEST),
    "a broken escape": Bad(BOTH + b"%4", REQUEST),
    "a zero": Bad(BOTH + b"%00", REQUEST),
    "a line end": Bad(BOTH + b"\r\n", REQUEST),
    "utf-8": Bad(BOTH + "é".encode(), REQUEST),
    "utf-8, escaped": Bad(BOTH + b"%C3%A9", REQUEST),
    "two equals signs": Bad(BOTH + b"=", REQUEST),
    "seventeen parameters": Bad(BOTH + b"".join(b"&x%d=" % n for n in range(14)), REQUEST),
    "ampersands": Bad(b"&" * 1_000, REQUEST),
    "a name that is nothing, twice": Bad(BOTH + b"&&", REQUEST),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(name: str) -> None:
    bad = BAD[name]
    with pytest.raises(InvalidGrant) as caught:
        parse_request(bad.authorization, bad.body)

    assert caught.value.code == bad.code


def test_no_refusal_repeats_what_was_sent() -> None:
    for body in (
        f"grant_type={MARKER}",
        f"{MARKER}=1&{MARKER}=2",
        f"grant_type=client_credentials&scope={MARKER}",
    ):
        with pytest.raises(InvalidGrant) as caught:
            parse_request(None, body.encode())
        assert MARKER not in str(caught.value)


def test_credentials_do_not_print() -> None:
    assert repr(parse_request(None, BOTH)) == "<Credentials>"
