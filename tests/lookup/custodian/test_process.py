"""The custodian's own command: how it starts, ends, and what it refuses."""

import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from keys.errors import RefusedToStart, WrongPassphrase
from keys.slot.lock import Passphrase
from lookup import exits
from lookup.custodian import main
from lookup.custodian.unlocking import InUse, open_site
from tests.lookup.raw_http import wait_until
from tests.processes import LONG, Process
from tests.simulator import Site, add, enrol, nhs, record

READY = "ready: "


def ended(process: Process) -> int:
    return process.process.wait(LONG)


def test_it_serves_and_stops(site: Site) -> None:
    """Clean: nothing is left to finish, no table in memory, no epoch change at the next start."""
    custodian = site.spawn_custodian()
    custodian.await_log(READY)
    assert stat.S_IMODE(site.config.officer_socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(site.config.worker_socket.stat().st_mode) == 0o600
    with site.feed() as feed:
        record_id = add(feed, record("kept", nhs(1)))
    assert list((site.folder / "index").iterdir())
    assert custodian.stop() == 0
    assert list((site.folder / "index").iterdir()) == []
    assert "finished what" not in custodian.log
    with site.open() as again:
        assert again.call(lambda custody: custody.vault.version.epoch) == 1
        assert again.call(lambda custody: custody.record(record_id)) is not None


def test_what_was_acknowledged_survives_a_kill(site: Site) -> None:
    """And the next start ends with an epoch change: aborted writes must not stay readable."""
    worker = site.spawn_worker()
    custodian = site.spawn_custodian()
    worker.ready()
    with site.feed() as feed, site.officer() as officer:
        asking = enrol(officer, "St. Elsewhere")
        kept, gone = (add(feed, record(f"r{n}", nhs(n))) for n in (1, 2))
        site.desk(officer).expunge(gone)
        custodian.kill()
        assert worker.outcome(asking, nhs(1)) == "known"
        assert worker.outcome(asking, nhs(2)) == "no-record"
        again = site.spawn_custodian()
        again.await_log(READY)
        assert "finished what the last stop left: epoch 3" in again.log
        assert worker.outcome(asking, nhs(1)) == "known"
        assert worker.outcome(asking, nhs(2)) == "no-record"
        assert len(list((site.folder / "index").iterdir())) == 1
        later = add(feed, record("r3", nhs(3)))
        assert worker.outcome(asking, nhs(3)) == "known"
    assert len({kept, gone, later}) == 3


def test_a_table_that_a_worker_reads_outlives_a_clean_stop(site: Site) -> None:
    """A custodian may be stopped alone, to be upgraded: lookups go on."""
    worker = site.spawn_worker()
    custodian = site.spawn_custodian()
    worker.ready()
    with site.feed() as feed, site.officer() as officer:
        asking = enrol(officer, "St. Elsewhere")
        add(feed, record("r1", nhs(1)))
    assert custodian.stop() == 0
    assert worker.outcome(asking, nhs(1)) == "known"
    assert len(list((site.folder / "index").iterdir())) == 1


def test_two_custodians_on_one_store(site: Site) -> None:
    """The second one is refused, whatever it calls the folder, and harms nothing."""
    with site.open() as custodian:
        second = site.spawn_custodian()
        assert ended(second) == exits.TEMPORARY
        assert "is open in another process" in second.log
        (site.folder / "also-store").symlink_to(site.folder / "store")
        site.tables["vault"]["store"] = "also-store"
        with pytest.raises(InUse):
            open_site(site.configure(), Passphrase(b""), lambda: 0)
        custodian.add("after", nhs(1))


def test_a_start_that_was_refused_holds_nothing(site: Site) -> None:
    """The lock is free again, also inside one process."""
    site.passphrase("a wrong passphrase")
    with pytest.raises(WrongPassphrase):
        site.open()
    site.passphrase("a passphrase of the tests")
    with site.open():
        pass


def start_and_end(site: Site) -> tuple[int, str]:
    """Run the command to its end, in a fork that need not import everything again."""
    log = site.folder / "log"
    child = os.fork()
    if child == 0:
        status = 99
        try:
            sys.stderr = log.open("w")
            main.main(["--config", str(site.folder / "lacuna.toml"), "--fd", "0"])
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            sys.stderr.flush()
            os._exit(status)
    _, ended_as = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended_as), log.read_text()


def a_wrong_passphrase(site: Site) -> None:
    site.passphrase("a wrong passphrase")


def a_passphrase_that_others_can_read(site: Site) -> None:
    (site.folder / "passphrase").chmod(0o640)


def no_slot(site: Site) -> None:
    shutil.rmtree(site.folder / "slot-0")


def no_store(site: Site) -> None:
    (site.folder / "store" / "vault.db").unlink()


def a_store_put_back(site: Site) -> None:
    names = ("store", "mirror")
    for name in names:
        shutil.copytree(site.folder / name, site.folder / f"old-{name}")
    with site.open() as custodian:
        custodian.add("second", nhs(2))
    for name in names:
        shutil.rmtree(site.folder / name)
        (site.folder / f"old-{name}").rename(site.folder / name)


def an_authority_less(site: Site) -> None:
    site.tables["authority"] = [a for a in site.tables["authority"] if a["code"] != "BSC"]


def an_index_on_a_disk(site: Site) -> None:
    site.tables["serve"]["index"] = tempfile.mkdtemp(dir=Path.home())


@pytest.mark.parametrize(
    ("spoil", "status", "text"),
    [
        (a_wrong_passphrase, exits.NO_PERMISSION, "does not open the slot"),
        (a_passphrase_that_others_can_read, exits.NO_PERMISSION, "can be read by others"),
        (no_slot, exits.REFUSED, "no slot is at hand"),
        (no_store, exits.REFUSED, "there is no store"),
        (a_store_put_back, exits.REFUSED, "the store is at sequence 2, its anchor at 3"),
        (an_authority_less, exits.CONFIG, "configuration lacks"),
        (an_index_on_a_disk, exits.REFUSED, "must be on tmpfs"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_starts_that_need_a_person(
    site: Site, spoil: Callable[[Site], None], status: int, text: str
) -> None:
    """Each with a status of its own and one line that says what is so; no traceback."""
    with site.open() as custodian:
        custodian.add("first", nhs(1), authority="BSC")
    spoil(site)
    site.configure()
    ended_as, log = start_and_end(site)
    index = site.config.index
    if not index.is_relative_to(site.folder):
        index.rmdir()
    assert ended_as == status
    assert text in log
    assert log.count("\n") == 1


def test_a_stop_while_it_starts(site: Site) -> None:
    """Ends it with status 0, with everything closed."""
    process = site.spawn_custodian()
    wait_until(site.config.worker_socket.exists, LONG)
    process.signal(signal.SIGTERM)
    assert ended(process) == 0
    with site.open() as custodian:
        assert custodian.call(lambda custody: custody.vault.version.epoch) <= 2


def test_a_rolled_back_slot_is_refused_with_nothing_touched(site: Site) -> None:
    """A slot and its anchor, put back together, against a store that has gone on."""
    with site.open() as custodian:
        record_id = custodian.add("first", nhs(1))
        shutil.copytree(site.folder / "slot-0", site.folder / "old")
        custodian.shred(record_id)
    shutil.rmtree(site.folder / "slot-0")
    (site.folder / "old").rename(site.folder / "slot-0")
    before = {path: path.read_bytes() for path in (site.folder / "slot-0").iterdir()}
    with pytest.raises(RefusedToStart):
        site.open()
    assert {path: path.read_bytes() for path in (site.folder / "slot-0").iterdir()} == before


def test_its_memory_cannot_be_dumped(site: Site) -> None:
    """Neither into a core nor by another process of its user."""
    process = site.spawn_custodian()
    process.await_log(READY)
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    line = next(each for each in limits.splitlines() if "core file" in each)
    assert line.split()[4:6] == ["0", "0"]
    # An undumpable process's files in /proc are root's.
    assert Path(f"/proc/{process.pid}/mem").stat().st_uid == 0
    assert os.environ.get("PASSPHRASE") is None
