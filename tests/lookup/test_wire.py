import json
import zlib
from base64 import urlsafe_b64encode
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup import wire
from lookup.errors import InvalidRequest
from lookup.index.layout import NO_DAY, days_of

FIRST_OF_2026 = days_of(date(2026, 1, 1))

TOKEN = urlsafe_b64encode(bytes(range(32))).rstrip(b"=").decode()
MARKER = "QUITE-A-MARKER"
GOOD: dict[str, Any] = {
    "kid": "k" * 16,
    "token": TOKEN,
    "purpose": "unscheduled-care",
    "user": {"id": "u", "role": "r"},
    "encounter": "e",
}
BATCH = {k: v for k, v in GOOD.items() if k != "token"} | {"tokens": [TOKEN]}


def encode(members: object) -> bytes:
    return json.dumps(members).encode()


def test_a_request_is_what_it_says() -> None:
    request = wire.parse_lookup(encode(GOOD))

    assert (request.kid, request.token, request.purpose) == ("k" * 16, TOKEN, "unscheduled-care")
    assert (request.user.id, request.user.role, request.encounter) == ("u", "r", "e")


def test_purpose_and_encounter_may_be_left_out() -> None:
    few = {k: v for k, v in GOOD.items() if k not in {"purpose", "encounter"}}

    request = wire.parse_lookup(encode(few))

    assert request.purpose is msgspec.UNSET
    assert request.encounter is msgspec.UNSET


def test_a_batch_is_what_it_says() -> None:
    assert wire.parse_lookups(encode(BATCH | {"tokens": [TOKEN] * 1000})).tokens == [TOKEN] * 1000


def test_no_repr_shows_what_is_asked() -> None:
    """G9: requests may end up in a traceback or a debugger's log."""
    named = GOOD | {"user": {"id": MARKER, "role": MARKER}, "encounter": MARKER}
    one = wire.parse_lookup(encode(named))
    many = wire.parse_lookups(encode(BATCH | {"encounter": MARKER}))

    assert [repr(one), repr(many), repr(one.user)] == ["<Lookup>", "<Lookups>", "<User>"]


INVALID = {
    "not json": b"{",
    "empty": b"",
    "not utf-8": b'{"kid":"\xff"}',
    "an array": b"[]",
    "a string": b'"x"',
    "null": b"null",
    "deep": b"[" * 4000,
    "byte order mark": b"\xef\xbb\xbf" + encode(GOOD),
    "trailing text": encode(GOOD) + b"x",
    "second document": encode(GOOD) * 2,
    "unknown member": encode(GOOD | {MARKER: 1}),
    "unknown member of user": encode(GOOD | {"user": {"id": "u", "role": "r", MARKER: 1}}),
    "no kid": encode({k: v for k, v in GOOD.items() if k != "kid"}),
    "no token": encode({k: v for k, v in GOOD.items() if k != "token"}),
    "no user": encode({k: v for k, v in GOOD.items() if k != "user"}),
    "kid null": encode(GOOD | {"kid": None}),
    "kid too long": encode(GOOD | {"kid": "k" * 17}),
    "kid a number": encode(GOOD | {"kid": 1}),
    "token null": encode(GOOD | {"token": None}),
    "token short": encode(GOOD | {"token": TOKEN[:-1]}),
    "token padded": encode(GOOD | {"token": TOKEN + "="}),
    "token a list": encode(GOOD | {"token": [TOKEN]}),
    "tokens in a lookup": encode(GOOD | {"tokens": [TOKEN]}),
    "user a string": encode(GOOD | {"user": MARKER}),
    "user without role": encode(GOOD | {"user": {"id": MARKER}}),
    "user id empty": encode(GOOD | {"user": {"id": "", "role": "r"}}),
    "user id too long": encode(GOOD | {"user": {"id": MARKER * 5, "role": "r"}}),
    "user id with a new line": encode(GOOD | {"user": {"id": MARKER + "\n", "role": "r"}}),
    "user role with a null": encode(GOOD | {"user": {"id": "u", "role": MARKER + "\0"}}),
    "purpose unknown": encode(GOOD | {"purpose": MARKER}),
    "purpose null": encode(GOOD | {"purpose": None}),
    "encounter too long": encode(GOOD | {"encounter": MARKER * 5}),
    "encounter with an escape": encode(GOOD | {"encounter": MARKER + "\x1b[31m"}),
    "encounter an object": encode(GOOD | {"encounter": {MARKER: 1}}),
    "lone surrogate": encode(GOOD)[:-1] + b',"encounter":"\\ud800"}',
    "token twice": encode(GOOD)[:-1] + b',"token":"' + TOKEN.encode() + b'"}',
    "token twice, once escaped": encode(GOOD)[:-1] + b',"\\u0074oken":"' + TOKEN.encode() + b'"}',
    "role twice": encode(GOOD | {"user": {}}).replace(
        b'"user": {}', b'"user": {"id": "a", "role": "a", "role": "b"}'
    ),
    "infinity": encode(GOOD | {"kid": float("inf")}),
}


@pytest.mark.parametrize("name", INVALID)
def test_anything_else_is_refused_and_not_repeated(name: str) -> None:
    """The message names a rule; nothing of the input is in it."""
    with pytest.raises(InvalidRequest) as caught:
        wire.parse_lookup(INVALID[name])

    message = str(caught.value)
    assert message
    assert message[0].islower()
    assert not message.endswith(".")
    assert MARKER not in message
    assert TOKEN not in message


INVALID_BATCH: dict[str, tuple[dict[str, Any], str]] = {
    "no tokens": ({"tokens": []}, "tokens must be a list of 1 to 1000 tokens"),
    "too many": ({"tokens": [TOKEN] * 1001}, "tokens must be a list of 1 to 1000 tokens"),
    "one short": ({"tokens": [TOKEN, "x"]}, "each of tokens must be 43 characters of base64url"),
    "a string": ({"tokens": TOKEN}, "tokens must be a list of 1 to 1000 tokens"),
    "both": (
        {"token": TOKEN},
        "body must be an object of kid, tokens, user and optionally purpose and encounter",
    ),
}


@pytest.mark.parametrize("name", INVALID_BATCH)
def test_a_batch_is_bounded(name: str) -> None:
    changes, rule = INVALID_BATCH[name]
    with pytest.raises(InvalidRequest) as caught:
        wire.parse_lookups(encode(BATCH | changes))
    assert str(caught.value) == rule


@pytest.mark.parametrize("word", ["kid", "token", "user", "id", "role", "purpose", "encounter"])
def test_a_value_that_reads_like_a_member_is_no_repetition(word: str) -> None:
    request = wire.parse_lookup(encode(GOOD | {"user": {"id": word, "role": word}}))
    assert request.user.role == word


def test_escapes_are_allowed_where_nothing_repeats() -> None:
    body = encode(GOOD | {"encounter": 'the "ü" of ŵ'})
    assert wire.parse_lookup(body).encounter == 'the "ü" of ŵ'


@given(st.binary(min_size=32, max_size=32))
def test_tokens_have_one_spelling(token: bytes) -> None:
    """Whatever else decodes to these bytes elsewhere is refused here."""
    text = urlsafe_b64encode(token).rstrip(b"=").decode()
    assert wire.parse_token(text) == token

    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    place = alphabet.index(text[-1])
    for other in (place + 1, place + 2, place + 3):
        with pytest.raises(InvalidRequest):
            wire.parse_token(text[:-1] + alphabet[other])


@pytest.mark.parametrize("bad", ["+", "/", "=", " ", "\n", "é", "\0", "🙂"])
def test_tokens_have_one_alphabet(bad: str) -> None:
    for place in (0, 21, 42):
        with pytest.raises(InvalidRequest):
            wire.parse_token(TOKEN[:place] + bad + TOKEN[place + 1 :])


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=5))
def test_many_tokens_are_parsed_as_one_is(tokens: list[bytes]) -> None:
    texts = [urlsafe_b64encode(token).rstrip(b"=").decode() for token in tokens]

    assert wire.parse_tokens(texts) == tokens


@pytest.mark.parametrize("bad", ["+", "/", "=", " ", "\n", "é", "\0", "🙂"])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_one_misspelled_token_is_enough_to_refuse_all(bad: str, which: int) -> None:
    """Another alphabet, or two bits too many at the end; wherever it stands among them."""
    misspelled = [TOKEN[:place] + bad + TOKEN[place + 1 :] for place in (0, 21, 42)]
    for text in (*misspelled, TOKEN[:-1] + "9", TOKEN[:-1] + "_"):
        texts = [TOKEN] * 3
        texts[which] = text
        with pytest.raises(InvalidRequest, match="43 characters of base64url"):
            wire.parse_tokens(texts)


def make_records(count: int, name: str = "Axtonbury City Council") -> list[bytes]:
    authority = wire.make_authority("AXT", name, "01632 960100", "01632 960199")
    return [
        wire.make_record(b'"looked-after"', FIRST_OF_2026 + n % 28, NO_DAY, authority)
        for n in range(count)
    ]


@given(st.integers(0, 16), st.text(st.characters(codec="utf-8"), max_size=80))
def test_answers_have_one_length(count: int, name: str) -> None:
    """2,048 bytes of JSON, whatever was found and however long the names are."""
    body = wire.make_answer(make_records(count, name))
    answer = json.loads(body)

    assert len(body) == 2_048
    assert answer["outcome"] == ("known" if count else "no-record")
    assert len(answer["records"]) <= 8
    assert answer["more"] == (len(answer["records"]) < count)
    assert bool(answer["records"]) == bool(count)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20))
def test_a_batch_has_one_length_for_each(counts: list[int]) -> None:
    """257 n + 1 bytes, and each answer stands at its place without parsing."""
    short = wire.make_short_authority("AXT")
    record = wire.make_record(b'"child-protection-plan"', FIRST_OF_2026, NO_DAY, short)
    body = wire.make_batch_answer([[record] * count for count in counts])

    assert len(body) == 257 * len(counts) + 1
    for place, count in enumerate(counts):
        answer = json.loads(body[1 + 257 * place :][:256])
        assert answer["outcome"] == ("known" if count else "no-record")
        assert answer["more"] == (count > 1)


def test_a_record_says_what_a_hospital_needs() -> None:
    authority = wire.make_authority("AXT", 'The "Ü"', "1", "2")
    record = wire.make_record(b'"test"', FIRST_OF_2026 + 1, days_of(date(2027, 3, 4)), authority)

    assert json.loads(wire.make_answer([record]))["records"] == [
        {
            "category": "test",
            "since": "2026-01-02",
            "until": "2027-03-04",
            "authority": {
                "code": "AXT",
                "name": 'The "Ü"',
                "office_hours": "1",
                "out_of_hours": "2",
            },
        }
    ]


def test_as_many_records_as_fit() -> None:
    records = make_records(8, "N" * 200)
    answer = json.loads(wire.make_answer(records))

    assert 1 <= len(answer["records"]) < 8
    assert answer["more"]


def test_the_largest_record_fits_exactly() -> None:
    assert len(wire.make_answer([b"0" * wire.MAX_RECORD])) == 2_048
    assert len(wire.make_batch_answer([[b"0" * wire.MAX_BATCH_RECORD]])) == 258


def test_padding_does_not_compress() -> None:
    """Or a proxy that compresses would make lengths differ again (base64 loses a quarter)."""
    padding = json.loads(wire.make_answer([]))["padding"]
    assert len(zlib.compress(padding.encode(), 9)) > 0.74 * len(padding)


def test_nor_does_that_of_a_whole_batch() -> None:
    """No answer's padding has anything of another's."""
    answers = json.loads(wire.make_batch_answer([[]] * 1_000))
    padding = "".join(answer["padding"] for answer in answers)

    assert len(zlib.compress(padding.encode(), 9)) > 0.74 * len(padding)
