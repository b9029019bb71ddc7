"""G5: what is acknowledged is answered by every worker, and nothing from before it.

Real processes: a custodian, two workers; adders, shredders and lookers in this one, while tables
are made anew, grow, and are handed over, and while custodians are killed.
"""

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import httpx2
import pytest

from keys.entry import EntryId
from lookup.client.enrolment import Enrolment
from lookup.custodian.cases.carrying_out import carry_out
from lookup.custodian.records.adding import add as adding
from lookup.custodian.records.adding import change as changing
from lookup.index.layout import MIN_CAPACITY
from lookup.officers.roles import Act
from tests.guarantees.histories import KNOWN, NO_RECORD, History, Life, Look
from tests.lookup.custodian.puppeteer import Puppet
from tests.lookup.raw_http import WAIT, Connection
from tests.officers import COURT_ORDER, Desk
from tests.processes import Process
from tests.simulator import (
    Json,
    Site,
    Worker,
    add,
    enrol,
    import_lines,
    nhs,
    outcome_of,
    record,
)

SECONDS = 3.0
ENOUGH = 20
AT_ONCE = 5  # cases


@pytest.fixture
def site() -> Iterator[Site]:
    with Site(workers=2) as made:
        yield made


@dataclass
class Crowd:
    """Threads that add, shred and look until they are told to stop."""

    site: Site
    workers: list[Worker]
    asking: Enrolment
    history: History = field(default_factory=History)
    cases: dict[str, Json] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    failures: list[BaseException] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(20_000, 40_000)))

    def prepare(self, feed: httpx2.Client, desk: Desk) -> None:
        """Add records about which cases wait for the last approval: then they are due."""
        for number in range(2 * ENOUGH):
            child = nhs(19_000 + number)
            case = desk.open([add(feed, record(child, child))])
            case = desk.take("leo", case, Act.SHORTEN, **COURT_ORDER)
            self.cases[child] = desk.take("ana", case, Act.APPROVE)
            self.history.lives[child] = Life(0, time.monotonic())

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let them work for the time of a block."""
        jobs: list[Callable[[], None]] = [self.add_records, self.shred_records]
        jobs += [lambda worker=worker: self.look(worker) for worker in self.workers]  # type: ignore[misc]
        threads = [threading.Thread(target=self._guarded, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopping.set()
            for thread in threads:
                thread.join()
        assert self.failures == []

    def goes_on(self, seconds: float) -> bool:
        """Say whether there was not enough yet; on a busy machine it takes longer."""
        shredded = sum(life.shred_ended < float("inf") for life in self.history.lives.values())
        return not self.stopping.is_set() and (seconds < SECONDS or shredded < ENOUGH)

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001  # the test hears of it
            self.failures.append(error)
            self.stopping.set()

    def add_records(self) -> None:
        """One after the other, so that each is acknowledged before the next is sent."""
        with self.site.feed() as feed:
            while not self.stopping.is_set():
                child = nhs(next(self.numbers))
                life = self.history.lives[child] = Life()
                life.add_began = time.monotonic()
                add(feed, record(child, child))
                life.add_ended = time.monotonic()

    def shred_records(self) -> None:
        """By the last approval, and by carrying out what the site has not carried out meanwhile.

        Some at a time: whom they were answered to is looked for once, in all that was audited.
        """
        cases = iter(self.cases.items())
        with self.site.officer() as officer:
            desk = self.site.desk(officer)
            while not self.stopping.is_set() and (some := list(islice(cases, AT_ONCE))):
                for child, _ in some:
                    self.history.lives[child].shred_began = time.monotonic()
                due = [(child, desk.take("leo", case, Act.APPROVE)) for child, case in some]
                for child, case in due:
                    desk.carry_through(case)
                    self.history.lives[child].shred_ended = time.monotonic()

    def look(self, worker: Worker) -> None:
        """For whoever was added last, or is in a case, at random."""
        with Connection(worker.address) as connection:
            while not self.stopping.is_set():
                children = [*self.cases, *list(self.history.lives)[-30:]]
                child = random.choice(children)  # noqa: S311  # no secret
                began = time.monotonic()
                connection.send(worker.request_for(self.asking, child))
                outcome = outcome_of(connection.receive())
                self.history.looks.append(Look(child, began, time.monotonic(), outcome))
                time.sleep(0.002)  # each leaves an audit entry, which each expungement looks at


def verify(history: History) -> None:
    """Nothing wrong, and enough of everything that the word means something."""
    assert history.wrong() == []
    seen = history.outcomes()
    assert min(seen[KNOWN], seen[NO_RECORD]) > 50
    could_not = sum(seen.values()) - seen[KNOWN] - seen[NO_RECORD]
    assert could_not < sum(seen.values()) / 10, seen


@pytest.mark.parametrize("verb", ["add", "expunge", "change"])
def test_an_acknowledgement_waits_for_answers_on_their_way(site: Site, verb: str) -> None:
    """A lookup that began before: nobody hears of the change until its answer is out.

    Of an expungement nothing is destroyed until then, either, and by then the link is gone already;
    so it is of a change. Both renew the key that answers are sealed under, which has to be
    confirmed.
    """
    with site.open() as custodian, custodian.unscheduled():
        puppet = Puppet(site.config.worker_socket)
        assert puppet("connect", "receive", "confirm", "enter") == "entered"
        first = custodian.writer.change(adding(site.draft("first", nhs(1))))
        time.sleep(0.1)
        assert not first.done()
        puppet("leave")
        record_id = first.result(WAIT).record_id
        if verb == "expunge":
            case = custodian.call(lambda custody: site.officers.approved_of(custody, [record_id]))
        before = custodian.custody.vault.version
        puppet("enter")
        writer = custodian.writer
        ways: dict[str, Callable[[], Future[Any]]] = {
            "add": lambda: writer.change(adding(site.draft("second", nhs(2)))),
            "expunge": lambda: writer.call(lambda custody: carry_out(custody, [case])),
            "change": lambda: writer.change(changing(record_id, site.draft("first", nhs(2)), 1)),
        }
        second = ways[verb]()
        time.sleep(0.1)
        assert not second.done()
        links = custodian.custody.publication.table  # type: ignore[union-attr]  # there is one
        assert len(links) == {"add": 3, "expunge": 1, "change": 1}[verb]
        if verb != "add":
            puppet("receive", "confirm")
            time.sleep(0.1)
            assert not second.done()
            assert custodian.custody.vault.version.epoch == before.epoch
        puppet("leave")
        second.result(WAIT)
        puppet.close()


def test_additions_shreds_and_lookups_while_tables_come_and_go(site: Site) -> None:
    """Lookup keys come and go, each time with another table; and the table grows."""
    with ExitStack() as closing:
        custodian = site.spawn_custodian()
        workers = [site.spawn_worker(slot).ready() for slot in range(2)]
        officer = closing.enter_context(site.officer())
        feed = closing.enter_context(site.feed())
        crowd = Crowd(site, workers, enrol(officer, "St. Elsewhere"))
        crowd.prepare(feed, site.desk(officer))
        switches = 0
        with crowd.at_work():
            bulk = [record(f"bulk-{n}", nhs(n)) for n in range(MIN_CAPACITY)]
            assert import_lines(feed, bulk)[-1]["summary"]["added"] == len(bulk)
            begun = time.monotonic()
            while crowd.goes_on(time.monotonic() - begun):
                kid = officer.post("/v1/local/lookup-keys").json()["kid"]
                _await_indexed(officer, 2)
                officer.post(f"/v1/local/lookup-keys/{kid}/retire")
                _await_indexed(officer, 1)
                switches += 2
        status = officer.get("/v1/local/status").json()
        assert status["table"]["links"] > MIN_CAPACITY
        assert [each["current"] for each in status["workers"]] == [True, True]
        assert custodian.stop() == 0
    verify(crowd.history)
    assert switches >= 2


def _await_indexed(officer: httpx2.Client, keys: int) -> None:
    while True:
        status = officer.get("/v1/local/status").json()
        indexed = [key["indexed"] for key in status["lookup_keys"]]
        if indexed == [True] * keys and status["table"]["building"] is None:
            return
        time.sleep(0.01)


def test_no_answer_from_the_table_of_a_custodian_that_was_killed(site: Site) -> None:
    """It is killed; its workers go on, one of them stopped in the middle of all this.

    Before the next one acknowledges anything, nobody can answer from the old table any more: not
    the worker that runs, which has the new one, and not the stopped one, which is dead.
    """
    with ExitStack() as closing:
        first = site.spawn_custodian()
        running, stopped = (site.spawn_worker(slot).ready() for slot in range(2))
        officer = closing.enter_context(site.officer())
        feed = closing.enter_context(site.feed())
        asking = enrol(officer, "St. Elsewhere")
        record_id = add(feed, record("shredded", nhs(1)))
        assert stopped.outcome(asking, nhs(1)) == KNOWN
        first.kill()
        stopped.process.signal(signal.SIGSTOP)
        history = History({nhs(1): Life(0, 0), nhs(2): Life()})
        with looking(running, asking, history):
            second = site.spawn_custodian()
            second.await_log("ready: ")
            change_over = _timed(history, nhs(2), lambda: add(feed, record("added", nhs(2))))
            _shredded(history.lives[nhs(1)], lambda: site.desk(officer).expunge(record_id))
            time.sleep(0.2)
        assert stopped.process.process.wait(1) == -signal.SIGKILL
        assert change_over is not None
        assert second.stop() == 0
    verify(history)  # and so lookups went on without a custodian, and over the change of it


@contextmanager
def looking(worker: Worker, asking: Enrolment, history: History) -> Iterator[None]:
    """Look both children up, again and again."""
    stopping = threading.Event()

    def look() -> None:
        with Connection(worker.address) as connection:
            while not stopping.is_set():
                for child in history.lives:
                    began = time.monotonic()
                    connection.send(worker.request_for(asking, child))
                    outcome = outcome_of(connection.receive())
                    history.looks.append(Look(child, began, time.monotonic(), outcome))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def _timed(history: History, child: str, do: Callable[[], EntryId]) -> EntryId:
    life = history.lives[child]
    life.add_began = time.monotonic()
    record_id = do()
    life.add_ended = time.monotonic()
    return record_id


def _shredded(life: Life, do: Callable[[], object]) -> None:
    life.shred_began = time.monotonic()
    do()
    life.shred_ended = time.monotonic()


def test_custodians_are_killed_again_and_again(site: Site) -> None:
    """Whatever moment it is, what was acknowledged is answered afterwards, and nothing else is."""
    with ExitStack() as closing:
        processes: list[Process] = [site.spawn_custodian()]
        workers = [site.spawn_worker(slot).ready() for slot in range(2)]
        officer = closing.enter_context(site.officer())
        asking = enrol(officer, "St. Elsewhere")
        known: dict[str, bool | None] = {}
        for round_ in range(2):
            _until_killed(site, processes[-1], known, round_)
            processes.append(site.spawn_custodian())
            processes[-1].await_log("ready: ")
            for worker in workers:
                for child, is_known in known.items():
                    outcome = worker.outcome(asking, child)
                    assert outcome in {KNOWN, NO_RECORD}
                    if is_known is not None:
                        assert outcome == (KNOWN if is_known else NO_RECORD)
        assert processes[-1].stop() == 0


def _until_killed(site: Site, process: Process, known: dict[str, bool | None], round_: int) -> None:
    """Add and shred until the custodian dies at a random moment; note what was acknowledged."""
    killing = threading.Timer(random.uniform(0.1, 0.4), process.kill)  # noqa: S311  # no secret
    killing.start()
    try:
        with site.feed() as feed, site.officer() as officer:
            for number in range(100):
                child = nhs(1_000 * (round_ + 1) + number)
                known[child] = None
                record_id = add(feed, record(child, child))
                known[child] = True
                if number % 2:
                    known[child] = None
                    site.desk(officer).expunge(record_id)
                    known[child] = False
    except httpx2.TransportError:
        pass
    killing.join()
