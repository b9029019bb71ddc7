"""Steps: one text for each, and nothing else is one."""

import re
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lookup.cases.step import (
    DETAILS,
    MAX_TEXT,
    STEPS,
    InvalidStep,
    Step,
    digest_of,
    nonce_of,
    parse_details,
    parse_step,
)
from lookup.officers.roles import Act, OfficerId
from tests.lookup.cases.steps import HASH, ID, STEPS_OF_ALL, steps_of

HOLD = Step(
    b"v" * 16, b"c" * 16, 2, b"a" * 32, b"d" * 32, OfficerId(b"o" * 16), Act.HOLD,
    {"reason": "court-case"},
)  # fmt: skip
LINES = HOLD.text().splitlines(keepends=True)
PLACES = range(len(LINES))


@given(STEPS_OF_ALL)
def test_a_text_says_its_step(step: Step) -> None:
    assert parse_step(step.text()) == step
    assert parse_step(step.text()).text() == step.text()


@given(STEPS_OF_ALL, STEPS_OF_ALL)
def test_two_steps_have_two_texts(one: Step, other: Step) -> None:
    """Also two hashes: what follows the one does not follow the other."""
    assert (one == other) == (one.text() == other.text()) == (one.hash() == other.hash())


@given(STEPS_OF_ALL, st.data())
def test_no_character_can_be_changed_unseen(step: Step, data: st.DataObject) -> None:
    """A changed text is no step, or says another."""
    text = step.text()
    at = data.draw(st.integers(0, len(text) - 1))
    new = data.draw(st.characters(codec="utf-8"))
    assume(new != text[at])
    with suppress(InvalidStep):
        assert parse_step(text[:at] + new + text[at + 1 :]) != step


@pytest.mark.parametrize("at", PLACES)
def test_no_line_is_left_out(at: int) -> None:
    with pytest.raises(InvalidStep):
        parse_step("".join(LINES[:at] + LINES[at + 1 :]))


@pytest.mark.parametrize("at", PLACES)
def test_no_line_comes_twice(at: int) -> None:
    with pytest.raises(InvalidStep):
        parse_step("".join(LINES[: at + 1] + LINES[at:]))


@pytest.mark.parametrize("pair", [(a, b) for a in PLACES for b in PLACES if a < b])
def test_lines_stand_in_their_order(pair: tuple[int, int]) -> None:
    lines = list(LINES)
    lines[pair[0]], lines[pair[1]] = lines[pair[1]], lines[pair[0]]
    with pytest.raises(InvalidStep):
        parse_step("".join(lines))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n", "\r\n"),
        ("act: hold", "act:  hold"),
        ("number: 2", "number: +2"),
        ("number: 2", "number: \uff12"),
        ("number: 2", "number: 0x2"),
        ('{"reason":"court-case"}', '{"reason":"court-case" }'),
        ('{"reason":"court-case"}', '{"reason":"a","reason":"court-case"}'),
        ('{"reason":"court-case"}', '{"reason":"court\\u002dcase"}'),
        ('{"reason":"court-case"}', "[]"),
        ('{"reason":"court-case"}', '{"reason":null}'),
        ('{"reason":"court-case"}', '{"reason":1}'),
        ("officer: ", "officer: site "),
        ("act: hold", "act: send-records"),
        ("act: hold", "act: approve"),
    ],
)
def test_there_is_one_way_to_write_it(old: str, new: str) -> None:
    assert old in HOLD.text()
    with pytest.raises(InvalidStep):
        parse_step(HOLD.text().replace(old, new))


@given(st.text(max_size=200))
def test_whatever_else_is_sent_is_no_step(text: str) -> None:
    with pytest.raises(InvalidStep):
        parse_step(text)


def test_a_text_has_a_bound_in_bytes() -> None:
    """Not in characters: an entry of the map has one, too."""
    with pytest.raises(InvalidStep, match=str(MAX_TEXT)):
        parse_step(HOLD.text() + "é" * (MAX_TEXT // 2))


@pytest.mark.parametrize("act", STEPS)
def test_details_are_just_those_of_the_act(act: Act) -> None:
    """Each of them, and no other; an error repeats none."""
    wanted = DETAILS.get(act, ())
    with pytest.raises(InvalidStep, match=f"details of {re.escape(act.value)} say") as caught:
        parse_details(act, b'{"Sorrel-Bexley":1}')
    assert "Sorrel" not in str(caught.value)
    if wanted:
        with pytest.raises(InvalidStep):
            parse_details(act, b"{}")
    else:
        assert parse_details(act, b"{}") == {}


def test_every_act_of_a_case_is_a_step() -> None:
    """Those of officers, proposals and records are none."""
    others = {
        *(Act.READ_CASES, Act.READ_OPENING, Act.READ_OFFICERS, Act.PROPOSE, Act.APPROVE_PROPOSAL),
        *(Act.SEND_RECORDS, Act.READ_RECORDS, Act.READ_ACCESSES),
        *(Act.READ_RETENTION, Act.REVIEW_RECORDS, Act.ADD_STATEMENT, Act.EXPORT_RECORD),
    }
    assert set(STEPS) == set(Act) - others
    assert set(DETAILS) <= set(STEPS)


STANDING = st.tuples(HASH, ID, st.integers(1, 99), st.binary(max_size=40))


@given(STANDING, STANDING)
def test_a_digest_is_of_one_case_as_it_stands(
    one: tuple[bytes, bytes, int, bytes], other: tuple[bytes, bytes, int, bytes]
) -> None:
    """Another salt, case, revision or content has another one."""
    assert (digest_of(*one) == digest_of(*other)) == (one == other)


@given(HASH, st.integers(1, 99), st.integers(1, 99))
def test_each_step_has_its_own_nonce(salt: bytes, one: int, other: int) -> None:
    assert (nonce_of(salt, one) == nonce_of(salt, other)) == (one == other)


@given(steps_of(Act.APPROVE), HASH)
def test_what_a_step_follows_gives_it_its_place(step: Step, after: bytes) -> None:
    """A chain: each hash depends on all that came before."""
    assert (replace(step, after=after).hash() == step.hash()) == (after == step.after)
