"""An answer cannot be taken for a truth value, nor a failure for an answer."""

import copy
import pickle
from dataclasses import replace
from datetime import date
from uuid import UUID

import pytest

from lookup.client.outcome import (
    MEANINGS,
    Answer,
    BriefRecord,
    CouldNotCheck,
    Known,
    NoRecord,
    Reason,
)

RECORD = BriefRecord("looked-after", date(2026, 1, 2), None, "AXT")


@pytest.mark.parametrize("answer", [Known((RECORD,)), NoRecord()])
def test_an_answer_is_neither_true_nor_false(answer: Answer) -> None:
    """`if client.lookup(child):` would take *no record* for *known*."""
    with pytest.raises(TypeError, match=r"match.*isinstance"):
        bool(answer)


def test_answers_are_values() -> None:
    assert Known((RECORD,)) == Known((RECORD,))
    assert Known((RECORD,)) != Known((RECORD,), more=True)
    assert NoRecord() == NoRecord()
    assert len({Known((RECORD,)), NoRecord(), NoRecord()}) == 2
    for answer in (Known((RECORD,)), NoRecord()):
        assert copy.deepcopy(answer) == answer


@pytest.mark.parametrize("answer", [Known((RECORD,)), NoRecord()])
def test_the_request_is_no_part_of_what_is_said(answer: Answer) -> None:
    """Two requests that are answered alike have equal answers; and no log shows the request."""
    named = replace(answer, request_id=UUID(int=7))

    assert named == answer
    assert hash(named) == hash(answer)
    assert repr(named) == repr(answer)
    assert pickle.loads(pickle.dumps(named)).request_id == UUID(int=7)  # noqa: S301  # made here


def test_answers_can_be_matched() -> None:
    match Known((RECORD,), more=True):
        case Known(records, more):
            assert (records, more) == ((RECORD,), True)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_explained(reason: Reason) -> None:
    error = CouldNotCheck(reason)

    assert str(error) == f"could not check ({reason.value}): {MEANINGS[reason]}"
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301  # made on this line
    assert (type(copied), copied.reason) == (CouldNotCheck, reason)
