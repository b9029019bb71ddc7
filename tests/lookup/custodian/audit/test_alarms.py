"""Alarms: an operator hears of what is wrong, once for each time it has become worse."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup.custodian.audit.alarms import Alarms


@given(st.lists(st.integers(1, 5_000), max_size=50))
def test_accesses_that_nobody_can_be_told_of_do_not_fill_the_log(lost: list[int]) -> None:
    """All are counted, and a line is written whenever they have doubled, the first one at once."""
    alarms = Alarms()
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("lookup.custodian")
    logger.addHandler(handler)
    try:
        for accesses in lost:
            alarms.leave_untold(accesses)
    finally:
        logger.removeHandler(handler)

    assert alarms.untold == sum(lost)
    assert bool(lines) == bool(lost)
    assert len(lines) <= alarms.untold.bit_length()
    if lost:
        assert f"could not be told of {lost[0]} accesses" in lines[0]


def test_an_outbox_that_stays_full_is_said_again(caplog: pytest.LogCaptureFixture) -> None:
    alarms = Alarms()
    for _ in range(1_000):
        alarms.leave_untold(1)

    told = [record.args for record in caplog.records]
    assert told == [(2**n,) for n in range(10)]
