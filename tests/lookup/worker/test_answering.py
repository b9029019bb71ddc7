"""A turn and the number by which the passage knows it."""

from typing import Any, cast

import pytest

from lookup.errors import Unavailable
from lookup.wire import parse_lookup
from lookup.worker.answering import Admission, Desk, Moment, Turn
from tests.lookup.worker.plane import make_body


class Passage:
    """Remembers which numbers were left."""

    def __init__(self) -> None:
        self.passage = self
        self.left: list[int] = []

    def leave(self, number: int) -> None:
        self.left.append(number)


def test_a_turn_that_left_before_it_began_gives_its_number_back() -> None:
    """Else a client that went at the wrong moment would keep every later removal waiting."""
    passage = Passage()
    body = make_body(b"?" * 32)
    turn = Turn(cast("Desk", passage), cast("Admission", None), b"id", parse_lookup, body)
    turn.leave()
    assert passage.left == []
    with pytest.raises(Unavailable):
        turn.look_up(Moment(0.0, 0, 7, None))
    turn.leave()

    assert passage.left == [7]


def test_a_turn_leaves_once() -> None:
    """Also one that failed in between."""
    passage = Passage()
    admits = cast("Any", passage)
    admits.admits = lambda *_: True
    turn = Turn(cast("Desk", passage), cast("Admission", None), b"id", parse_lookup, b"{")
    with pytest.raises(Exception, match="JSON"):
        turn.look_up(Moment(0.0, 0, 7, None))
    turn.leave()
    turn.leave()

    assert passage.left == [7]
