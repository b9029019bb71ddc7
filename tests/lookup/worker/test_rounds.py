"""Lookups that come together share a moment, and nothing else."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from lookup.errors import (
    AuditUnavailable,
    CustodianUnavailable,
    InternalError,
    ServiceError,
    TooManyRequests,
)
from lookup.wire import MAX_BATCH_BODY
from lookup.worker.answering import Desk, Moment, Turn
from lookup.worker.rounds import MAX_ROUND, Rounds

Heard = dict[str, ServiceError | None]


class Loop:
    """An event loop of which a test makes the turns."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for call in soon:
            call()

    def settle(self) -> None:
        """Turn until nobody wants another turn."""
        while self.soon:
            self.turn()


class Asker:
    """An asker with a turn that is as a test wants it."""

    def __init__(self, name: str, failure: Exception | None = None, size: int = 100) -> None:
        self.name = name
        self.failure = failure
        self.size = size
        self.moments: list[Moment] = []
        self.turn = cast("Turn", self)
        self.heard: Heard = {}
        self.delivered: list[str] = []

    def look_up(self, moment: Moment) -> bytes:
        self.moments.append(moment)
        if self.failure is not None:
            raise self.failure
        return self.name.encode()

    def audited(self, failure: ServiceError | None) -> None:
        assert self.name not in self.heard
        self.heard[self.name] = failure

    def deliver(self) -> None:
        assert self.name not in self.delivered
        self.delivered.append(self.name)


class Worker:
    """What a desk is made of, as far as rounds ask for it."""

    maker = None

    def __init__(self) -> None:
        self.standing = self.passage = self.auditor = self
        self.missing: ServiceError | None = None
        self.entered: list[int] = []
        self.appended: list[tuple[list[bytes], Callable[[ServiceError | None], None]]] = []
        self.loop = Loop()
        self.heard: Heard = {}
        self.delivered: list[str] = []
        self.rounds = Rounds(cast("Desk", self), cast("Any", self.loop))

    def require_view(self, _now: float) -> None:
        if self.missing is not None:
            raise self.missing

    def enter(self, count: int) -> int:
        self.entered.append(count)
        return len(self.entered)

    def append(self, entries: list[bytes], done: Callable[[ServiceError | None], None]) -> None:
        self.appended.append((entries, done))

    def join(self, *askers: Asker) -> None:
        for asker in askers:
            asker.heard, asker.delivered = self.heard, self.delivered
            self.rounds.join(asker)


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_a_round_is_one_moment_one_number_and_one_append(worker: Worker) -> None:
    turns = [Asker(name) for name in "abc"]
    worker.join(*turns)
    assert worker.heard == {}
    assert worker.entered == []
    worker.loop.settle()

    assert worker.entered == [3]
    [moments] = {tuple(turn.moments) for turn in turns}
    assert len(moments) == 1
    [(entries, done)] = worker.appended
    assert entries == [b"a", b"b", b"c"]
    assert worker.heard == {}
    done(None)
    assert worker.heard == dict.fromkeys("abc")


def test_who_comes_later_has_a_round_of_its_own(worker: Worker) -> None:
    """When the one before is answered."""
    worker.join(Asker("a"))
    worker.loop.settle()
    worker.join(Asker("b"))
    worker.join(Asker("c"))
    worker.loop.settle()
    assert worker.entered == [1]
    worker.appended[0][1](None)
    assert worker.heard == {"a": None}
    worker.loop.settle()

    assert worker.entered == [1, 2]
    worker.appended[1][1](None)
    assert worker.heard == dict.fromkeys("abc")


def test_a_round_begins_after_a_turn_in_which_nobody_came(worker: Worker) -> None:
    for name in "abc":
        worker.join(Asker(name))
        worker.loop.turn()
        assert worker.entered == []
    worker.loop.turn()

    assert worker.entered == [3]


def test_or_when_there_are_enough(worker: Worker) -> None:
    """However fast they come: the others are in the next."""
    for number in range(MAX_ROUND + 3):
        worker.join(Asker(str(number)))
        worker.loop.turn()

    assert worker.entered == [MAX_ROUND]
    worker.appended[0][1](None)
    worker.loop.settle()
    assert worker.entered == [MAX_ROUND, 3]


def test_a_batch_leaves_no_room_for_another(worker: Worker) -> None:
    """So that who asks for one token does not wait for all batches of all others."""
    worker.join(
        Asker("a"), Asker("b", size=MAX_BATCH_BODY), Asker("c", size=MAX_BATCH_BODY), Asker("d")
    )
    for expected in ([1], [1] * 2, [1] * 3, [1] * 4):
        worker.loop.settle()
        assert worker.entered == expected
        worker.appended[-1][1](None)

    assert worker.heard == dict.fromkeys("abcd")


def test_one_failure_is_not_the_others(worker: Worker) -> None:
    """A caller's mistake, and a defect of ours, which is told as one."""
    refused = TooManyRequests("too fast", 1)
    worker.join(Asker("a"), Asker("b", refused), Asker("c", ZeroDivisionError()), Asker("d"))
    worker.loop.settle()

    assert worker.heard["b"] is refused
    assert refused.__traceback__ is None  # its frames have all of the round
    assert isinstance(worker.heard["c"], InternalError)
    [(entries, done)] = worker.appended
    assert entries == [b"a", b"d"]
    done(None)
    assert (worker.heard["a"], worker.heard["d"]) == (None, None)


def test_nothing_is_appended_where_all_fail(worker: Worker) -> None:
    worker.join(Asker("a", TooManyRequests("too fast", 1)))
    worker.loop.settle()

    assert worker.appended == []


def test_where_no_lookup_may_be_made_none_is(worker: Worker) -> None:
    """Nor counted as begun."""
    worker.missing = CustodianUnavailable("gone")
    turn = Asker("a")
    worker.join(turn)
    worker.loop.settle()

    assert worker.heard == {"a": worker.missing}
    assert turn.moments == []
    assert worker.entered == []


def test_what_fails_the_audit_fails_the_round(worker: Worker) -> None:
    worker.join(Asker("a"), Asker("b"))
    worker.loop.settle()
    failure = AuditUnavailable("broken")
    worker.appended[0][1](failure)

    assert worker.heard == {"a": failure, "b": failure}


def test_a_defect_of_ours_ends_one_round_and_not_all(
    worker: Worker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one would be the last: the next begins when it is answered."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(worker, "append", fail)
        worker.join(Asker("a"), Asker("b"))
        worker.loop.settle()
    assert {type(failure) for failure in worker.heard.values()} == {InternalError}
    assert "ZeroDivisionError" in caplog.text
    worker.join(Asker("c"))
    worker.loop.settle()

    worker.appended[0][1](None)
    assert worker.heard["c"] is None


def test_all_of_a_round_hear_before_any_delivers(worker: Worker) -> None:
    """So that between two answers nothing is computed."""
    order: list[str] = []

    class Noting(Asker):
        def audited(self, failure: ServiceError | None) -> None:
            order.append(f"{self.name} hears {failure}")

        def deliver(self) -> None:
            order.append(f"{self.name} delivers")

    worker.join(Noting("a"), Noting("b"))
    worker.loop.settle()
    assert order == []
    worker.appended[0][1](None)
    assert order == ["a hears None", "b hears None", "a delivers", "b delivers"]


def test_one_callers_defect_is_not_the_others(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the first kind it is told as one."""

    class Wrong(Asker):
        def audited(self, failure: ServiceError | None) -> None:
            if failure is None:
                raise ZeroDivisionError
            super().audited(failure)

    class Stuck(Asker):
        def deliver(self) -> None:
            raise RecursionError

    worker.join(Wrong("a"), Stuck("b"), Asker("c"))
    worker.loop.settle()
    worker.appended[0][1](None)

    assert isinstance(worker.heard["a"], InternalError)
    assert (worker.heard["b"], worker.heard["c"]) == (None, None)
    assert worker.delivered == ["a", "c"]
    assert "ZeroDivisionError" in caplog.text
    assert "RecursionError" in caplog.text
