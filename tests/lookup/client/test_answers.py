"""What the site's own code writes is what the client's parser reads."""

from datetime import date

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from lookup import wire
from lookup.catalogue import DEFAULT_CATEGORIES, Authority
from lookup.client.answers import (
    batch_size,
    names_test,
    parse_answer,
    parse_batch_answer,
    parse_problem_type,
)
from lookup.client.outcome import BriefRecord, Known, KnownRecord, NoRecord
from lookup.client.questions import Occasion, Questioner
from lookup.errors import UnknownKid, problem_body
from lookup.index.layout import NO_DAY, days_of
from tests.lookup.client.scripted_site import CHILD, KNOWN, KNOWN_TEST, OCCASION, make_enrolment

DAYS = st.dates(date(2000, 1, 1), date(2179, 6, 5))
AUTHORITIES = st.builds(
    Authority,
    st.from_regex(r"[A-Z0-9]{1,16}", fullmatch=True),
    st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20),
    st.from_regex(r"[0-9]{4,32}", fullmatch=True),
    st.from_regex(r"[0-9]{4,32}", fullmatch=True),
)
RECORDS = st.builds(
    KnownRecord,
    st.sampled_from([category.name for category in DEFAULT_CATEGORIES]),
    DAYS,
    st.none() | DAYS,
    AUTHORITIES,
)


def _written(record: KnownRecord) -> bytes:
    each = record.authority
    authority = wire.make_authority(each.code, each.name, each.office_hours, each.out_of_hours)
    return wire.make_record(
        b'"%b"' % record.category.encode(),
        days_of(record.since),
        NO_DAY if record.until is None else days_of(record.until),
        authority,
    )


def _written_briefly(record: KnownRecord) -> bytes:
    return wire.make_record(
        b'"%b"' % record.category.encode(),
        days_of(record.since),
        NO_DAY if record.until is None else days_of(record.until),
        wire.make_short_authority(record.authority.code),
    )


def _brief(record: KnownRecord) -> BriefRecord:
    return BriefRecord(record.category, record.since, record.until, record.authority.code)


@given(st.lists(RECORDS, max_size=10))
def test_answers_are_read_as_they_are_written(records: list[KnownRecord]) -> None:
    answer = parse_answer(wire.make_answer([_written(record) for record in records]))

    if not records:
        assert answer == NoRecord()
        return
    assert isinstance(answer, Known)
    assert list(answer.records) == records[: len(answer.records)]
    assert answer.more == (len(answer.records) < len(records))
    assert answer.records


@given(st.lists(st.lists(RECORDS, max_size=3), min_size=1, max_size=5))
def test_batches_are_read_as_they_are_written(children: list[list[KnownRecord]]) -> None:
    body = wire.make_batch_answer(
        [[_written_briefly(record) for record in records] for records in children]
    )
    answers = parse_batch_answer(body, len(children))

    assert len(body) == batch_size(len(children))
    assert answers is not None
    for records, answer in zip(children, answers, strict=True):
        assert isinstance(answer, Known) == bool(records)
        if isinstance(answer, Known):
            shown = tuple(map(_brief, records[: len(answer.records)]))
            assert answer == Known(shown, more=len(shown) < len(records))


@given(st.binary(max_size=3_000))
def test_no_bytes_make_the_parser_raise(body: bytes) -> None:
    for text in (body, body.ljust(wire.ANSWER_SIZE)[: wire.ANSWER_SIZE]):
        assert parse_answer(text) is None
        assert parse_batch_answer(text, 1) is None
        parse_problem_type(text)


@given(st.integers(0, wire.ANSWER_SIZE - 1), st.integers(1, 255))
def test_a_changed_byte_never_turns_known_into_no_record(position: int, change: int) -> None:
    body = bytearray(KNOWN)
    body[position] ^= change

    assert parse_answer(bytes(body)) != NoRecord()


def test_what_is_asked_is_what_a_site_takes() -> None:
    questioner = Questioner(make_enrolment("https://one.example"))
    one = wire.parse_lookup(questioner.one(CHILD, OCCASION).body)
    without_encounter = questioner.one(CHILD, Occasion(OCCASION.user)).body
    many = wire.parse_lookups(questioner.many([CHILD] * 1_000, OCCASION).body)

    assert len(wire.parse_token(one.token)) == 32
    assert (one.user.id, one.user.role) == (OCCASION.user.id, OCCASION.user.role)
    assert (one.purpose, one.encounter) == ("unscheduled-care", OCCASION.encounter)
    assert wire.parse_lookup(without_encounter).encounter is msgspec.UNSET
    assert many.tokens == [one.token] * 1_000


def test_the_largest_questions_are_not_too_large() -> None:
    questioner = Questioner(make_enrolment("https://one.example"))
    name = "\N{OLD PERSIAN SIGN A}" * 64
    occasion = Occasion(type(OCCASION.user)(name, name), encounter=name)

    assert len(questioner.one(CHILD, occasion).body) <= wire.MAX_LOOKUP_BODY
    assert len(questioner.many([CHILD] * 1_000, occasion).body) <= wire.MAX_BATCH_BODY


def test_problems_are_read_as_they_are_written() -> None:
    body = problem_body(UnknownKid("unknown kid"), outcome="could-not-check")

    assert parse_problem_type(body) == "urn:lacuna:problem:unknown-kid"


def test_the_canarys_answer_is_recognised() -> None:
    (test, child) = (parse_answer(body) for body in (KNOWN_TEST, KNOWN))

    assert test is not None
    assert child is not None
    assert names_test(test)
    assert not names_test(child)
    assert not names_test(NoRecord())
