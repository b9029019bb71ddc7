"""G4: a worker that may be stale or incomplete says *could not check*, never *no record*."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from crypto.token import Kid
from keys.entry import EntryId
from keys.page import Position
from lookup.custodian import door as doors
from lookup.custodian.custody import Custody
from lookup.index.writer import Table
from tests.lookup.raw_http import WAIT, wait_until
from tests.simulator import PASSPHRASE, Custodian, Site, Worker, import_lines, nhs, record

ROOT = Path(__file__).parents[2]
NEVER = nhs(9_000)

# In a process of its own: whoever closes a database file drops the locks of all who have it open.
DAMAGE = """
import sys
from pathlib import Path

from keys.disk import Disk
from keys.slot.file import FileSlot
from keys.slot.lock import Passphrase
from lookup.custodian.store.database import Database

passphrase, slot, number, *files = sys.argv[1:]
key = FileSlot.open(Disk(), Path(slot), Passphrase(passphrase.encode())).lock.database_key
for file in files:
    database = Database(Path(file), key)
    with database.transaction() as connection:
        select = "SELECT sealed FROM page WHERE number = ?"
        (sealed,) = connection.execute(select, (number,)).fetchone()
        changed = sealed[:40] + bytes((sealed[40] ^ 1,)) + sealed[41:]
        connection.execute("UPDATE page SET sealed = ? WHERE number = ?", (changed, number))
    database.close()
"""


def damage(site: Site, page: int, *files: str) -> None:
    """Flip a bit of a page, as whoever has the passphrase could."""
    paths = [str(site.folder / file) for file in files]
    slot = str(site.folder / "slot-0")
    command = [sys.executable, "-c", DAMAGE, PASSPHRASE, slot, str(page), *paths]
    subprocess.run(command, cwd=ROOT, check=True)


@dataclass(frozen=True)
class Child:
    """A child that is known by one record, alone on its leaf."""

    identifier: str
    record_id: EntryId
    leaf: int


def spread(custodian: Custodian) -> list[Child]:
    """Add records, one by one; return the children that have a leaf of their own."""
    ids = [custodian.add(f"r{number}", nhs(number)) for number in range(12)]
    leaf_of = custodian.custody.vault.leaf_of
    leaves = [leaf_of(record_id) for record_id in ids]
    return [
        Child(nhs(number), each, leaf)
        for number, (each, leaf) in enumerate(zip(ids, leaves, strict=True))
        if leaf and leaves.count(leaf) == 1
    ]


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        yield made


def await_outcome(worker: Worker, asking: object, child: str, outcome: str) -> None:
    """The worker comes over to a new custodian within a second."""
    wait_until(lambda: worker.outcome(asking, child) == outcome)  # type: ignore[arg-type]  # an Enrolment


def test_a_page_that_is_damaged_in_store_and_mirror(site: Site) -> None:
    """Every miss may be a child of that page; hits are answered.

    Nothing new is taken: it might be there, and then be there twice. No case is opened, for nobody
    can say who else is named on that page. What was approved is destroyed, unless the page has it;
    and neither growing nor another build makes the table whole.
    """
    worker = site.spawn_worker()
    with site.open() as custodian, custodian.unscheduled():
        asking = custodian.enrol()
        lost, found, other, *_ = spread(custodian)
        for each in (lost, other):
            custodian.desk.approved([each.record_id])
        custodian.stop()
    page = Position(1, lost.leaf).number
    damage(site, page, "store/vault.db", "mirror/mirror.db")
    with site.open() as custodian:
        await_outcome(worker, asking, lost.identifier, "index-not-ready")
        assert worker.outcome(asking, NEVER) == "index-not-ready"
        assert worker.outcome(asking, found.identifier) == "known"
        status = custodian.officer.get("/v1/local/status").json()
        assert (status["damaged_pages"], status["table"]["complete"]) == ([page], False)
        refused = custodian.feed.post("/v1/records", json=record("new", NEVER))
        assert refused.status_code == 503
        answer = import_lines(custodian.feed, [record("new", NEVER)])
        assert "pages are damaged" in answer[-1]["problem"]["detail"]
        wanted = {"record_ids": [found.record_id.hex()]}
        refused = custodian.desk.ask("rita", "POST", "/v1/cases/preview", wanted)
        assert refused.status_code == 503
        await_outcome(worker, asking, other.identifier, "index-not-ready")
        assert len(custodian.call(lambda custody: custody.docket.cases)) == 1
        custodian.call(Custody.begin_build)
        custodian.await_build()
        assert worker.outcome(asking, lost.identifier) == "index-not-ready"
        assert worker.outcome(asking, found.identifier) == "known"


@pytest.mark.parametrize("file", ["store/vault.db", "mirror/mirror.db"])
def test_a_page_that_is_damaged_in_one_of_them_costs_nothing(site: Site, file: str) -> None:
    with site.open() as custodian:
        child, *_ = spread(custodian)
    damage(site, Position(1, child.leaf).number, file)
    with site.open() as custodian:
        assert custodian.outcome(child.identifier) == "known"
        assert custodian.outcome(NEVER) == "no-record"
        assert custodian.officer.get("/v1/local/status").json()["damaged_pages"] == []


def test_a_table_that_is_incomplete_or_superseded(site: Site) -> None:
    """Of an incomplete one only hits are believed, of a superseded one nothing."""
    worker = site.spawn_worker()
    with site.open() as custodian:
        asking = custodian.enrol()
        custodian.add("known", nhs(1))
        worker.ready()

        def with_table(change: object) -> list[str]:
            custodian.call(lambda custody: change(custody.publication.table))  # type: ignore[operator, union-attr]
            return [worker.outcome(asking, child) for child in (nhs(1), NEVER)]

        assert with_table(Table.declare_incomplete) == ["known", "index-not-ready"]
        assert with_table(Table.complete) == ["known", "no-record"]
        assert with_table(Table.supersede) == ["index-superseded", "index-superseded"]


def test_a_lookup_key_that_is_wrong_or_retired(site: Site) -> None:
    """By its kid; and no kid can be had that belongs to another key."""
    worker = site.spawn_worker()
    with site.open() as custodian:
        custodian.add("known", nhs(1))
        old = custodian.enrol("old")
        worker.ready()
        custodian.officer.post("/v1/local/lookup-keys")
        custodian.await_build()
        assert custodian.officer.post(f"/v1/local/lookup-keys/{old.kid}/retire").status_code == 200
        assert worker.outcome(old, nhs(1)) == "unknown-kid"
        assert worker.outcome(old, NEVER) == "unknown-kid"
        object.__setattr__(old, "kid", Kid("k" * 16))
        assert worker.outcome(old, NEVER) == "unknown-kid"


def test_a_worker_that_was_stopped_meanwhile(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between lookups it keeps nobody waiting; resumed, it answers what is true by then."""
    worker = site.spawn_worker()
    with site.open() as custodian:
        asking = custodian.enrol()
        record_id = custodian.add("known", nhs(1))
        worker.ready()
        worker.process.signal(signal.SIGSTOP)
        custodian.shred(record_id)
        custodian.add("new", nhs(2))
        worker.process.signal(signal.SIGCONT)
        assert worker.outcome(asking, nhs(1)) == "no-record"
        assert worker.outcome(asking, nhs(2)) == "known"
        # A table that it does not take in time: it is killed, or it would answer from the old one.
        monkeypatch.setattr(doors, "CONFIRM_DEADLINE", 0.2)
        worker.process.signal(signal.SIGSTOP)
        custodian.call(Custody.begin_build)
        custodian.await_build()
        assert worker.process.process.wait(WAIT) == -signal.SIGKILL


def test_a_worker_that_was_stopped_while_the_custodian_was_replaced(site: Site) -> None:
    """The new custodian never met it, and finds it by the table that it reads."""
    stopped = site.spawn_worker()
    with site.open() as custodian:
        asking = custodian.enrol()
        record_id = custodian.add("known", nhs(1))
        stopped.ready()
        stopped.process.signal(signal.SIGSTOP)
    with site.open() as custodian:
        assert stopped.process.process.wait(WAIT) == -signal.SIGKILL
        custodian.shred(record_id)
        running = site.spawn_worker().ready()
        assert running.outcome(asking, nhs(1)) == "no-record"
