"""The writer when something fails: who hears of it, and what goes on."""

import errno
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from keys.disk import Disk
from keys.entry import EntryId, Kind, Remove, new_entry_id
from keys.errors import EntryMissing, Stopped
from keys.vault import Receipt
from lookup.cases.standing import DAY
from lookup.custodian.cases.carrying_out import CarriedOut, carry_out
from lookup.custodian.cases.certifying import certificates
from lookup.custodian.custody import Custody
from lookup.custodian.records.adding import Stored, add
from lookup.custodian.writer import Prepare, Prepared
from tests.certificates import waiting
from tests.clocks import SetClocks
from tests.lookup.raw_http import WAIT, wait_until
from tests.simulator import Custodian, Site, nhs, record


@pytest.fixture
def failing(site: Site) -> Iterator[Custodian]:
    """A custodian that may fail; the process that it is would end then."""
    with site.open() as running, running.unscheduled():
        yield running


def together(custodian: Custodian, *prepare: Prepare[Any]) -> list[Future[Any]]:
    """Submit commands that wait together."""
    held: Future[None] = Future()
    custodian.writer.call(lambda _: held.result(WAIT))
    futures = [custodian.writer.change(each) for each in prepare]
    held.set_result(None)
    return futures


def carrying_out(custodian: Custodian, record_id: EntryId) -> Callable[[], Future[CarriedOut]]:
    """Have a case approved; return what submits that it be carried out."""
    bench = custodian.site.officers
    case = custodian.call(lambda custody: bench.approved_of(custody, [record_id]))
    return lambda: custodian.writer.call(lambda custody: carry_out(custody, [case]))


def no_such_record(_: Custody) -> Prepared[None]:
    """A change that is refused only when it is planned."""
    gone = Remove(Kind.RECORD, new_entry_id(Kind.RECORD))
    return Prepared(answer=lambda _: None, batch=(gone,))


def test_what_cannot_be_planned_fails_alone(custodian: Custodian) -> None:
    """Nothing was written: the others of its group are carried out, one by one."""
    site = custodian.site
    first, bad, last = together(
        custodian,
        add(site.draft("first", nhs(1))),
        no_such_record,
        add(site.draft("last", nhs(2))),
    )
    assert isinstance(first.result(WAIT), Stored)
    assert isinstance(last.result(WAIT), Stored)
    with pytest.raises(EntryMissing):
        bad.result(WAIT)
    assert [custodian.outcome(nhs(n)) for n in (1, 2)] == ["known", "known"]


def test_a_command_that_raises_harms_nobody(custodian: Custodian) -> None:
    """Also one that raises what nobody expects."""

    def fail(_: Custody) -> Prepared[None]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        custodian.change(fail)
    with pytest.raises(ZeroDivisionError):
        custodian.call(fail)
    custodian.add("after", nhs(1))


def test_a_failed_write_ends_it(failing: Custodian, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every caller hears, nobody is told that it is done, and nothing is written any more."""
    carry = carrying_out(failing, failing.add("first", nhs(1)))

    def fail(_disk: Disk, _path: Path, _offset: int, _data: bytes) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(Disk, "overwrite", fail)
    held: Future[None] = Future()
    failing.writer.call(lambda _: held.result(WAIT))
    futures: list[Future[Any]] = [
        carry(),
        failing.writer.change(add(failing.site.draft("other", nhs(2)))),
        failing.writer.change(no_such_record),
    ]
    held.set_result(None)
    for future in futures:
        with pytest.raises((OSError, Stopped)):
            future.result(WAIT)
    wait_until(lambda: bool(failing.failures))
    monkeypatch.undo()
    with pytest.raises(Stopped):
        failing.change(add(failing.site.draft("late", nhs(3))))
    with pytest.raises(Stopped):
        failing.call(lambda custody: custody.vault.version)
    answer = failing.feed.post("/v1/records", json=record("late", nhs(3)))
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:lacuna:problem:unavailable")
    assert len(failing.failures) == 1


def test_after_a_failed_write_a_start_finds_out(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intent was durable, so the record goes; what was not acknowledged may be there or not."""
    with site.open() as custodian, custodian.unscheduled():
        record_id = custodian.add("first", nhs(1))
        kept = custodian.add("kept", nhs(2))
        carry = carrying_out(custodian, record_id)
        overwrite = Disk.overwrite
        calls: list[Path] = []

        def fail_later(disk: Disk, path: Path, offset: int, data: bytes) -> None:
            calls.append(path)
            if len(calls) > 1:
                raise OSError(errno.EIO, "input/output error")
            overwrite(disk, path, offset, data)

        monkeypatch.setattr(Disk, "overwrite", fail_later)
        with pytest.raises((OSError, Stopped)):
            carry().result(WAIT)
        monkeypatch.undo()
    with site.open() as custodian:
        assert custodian.call(lambda custody: custody.record(record_id)) is None
        assert custodian.outcome(nhs(1)) == "no-record"
        assert custodian.call(lambda custody: custody.record(kept)) is not None
        assert len(custodian.call(certificates)) == 1
        assert custodian.call(waiting) == []


def test_a_durable_change_that_workers_cannot_be_told_of_ends_it(
    failing: Custodian, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not acknowledged; the next start makes a table that has it."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Custody, "_publish", fail)
    answer = failing.feed.post("/v1/records", json=record("first", nhs(1)))
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:lacuna:problem:internal-error")
    wait_until(lambda: bool(failing.failures))


def test_a_defect_of_the_writer_itself_ends_it(failing: Custodian) -> None:
    """Or whoever asks would wait for ever."""

    def answer(_: Receipt | None) -> None:
        raise ZeroDivisionError

    failing.writer.change(lambda _: Prepared(answer=answer))
    wait_until(lambda: bool(failing.failures))
    with pytest.raises(Stopped):
        failing.call(lambda custody: custody.vault.version)


def test_the_daily_chores(custodian: Custodian) -> None:
    """Another epoch and another index key, and nobody notices."""
    custodian.add("first", nhs(1))
    before = custodian.call(lambda custody: (custody.vault.version, custody.publication))
    custodian.writer._day = -1
    wait_until(lambda: custodian.call(lambda custody: custody.publication) is not before[1])
    after = custodian.call(lambda custody: (custody.vault.version, custody.publication))
    assert after[0].epoch == before[0].epoch + 1
    assert custodian.outcome(nhs(1)) == "known"


def test_a_day_is_counted_over_starts(site: Site) -> None:
    """A site that is started anew twice a day has its chores too, after each whole day."""
    site.clocks = clocks = SetClocks(chores=True)
    epochs = [_epochs_of_half_a_day(site, clocks) for _ in range(4)]

    assert epochs == [0, 1, 0, 1]


def _epochs_of_half_a_day(site: Site, clocks: SetClocks) -> int:
    """Start a custodian, let half a day pass; return how many epochs that took."""
    with site.open() as custodian:
        writer = custodian.writer
        before = custodian.call(lambda custody: custody.vault.version.epoch)
        clocks.let_pass(DAY // 2)
        wait_until(
            lambda: custodian.call(lambda custody: custody.vault.elapsed // DAY == writer._day)
        )
        return custodian.call(lambda custody: custody.vault.version.epoch) - before
