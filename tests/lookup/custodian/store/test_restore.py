"""Restoring: what comes back, what cannot, and that looking for it changes nothing."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from keys.anchor import NOTHING_AUDITED
from keys.errors import NoSlotOpens, PageDamaged, RolledBack
from lookup.custodian.store.backup import FILE_NAME
from lookup.custodian.store.chain import AuditChain, Group, follow, missing_rows
from lookup.custodian.store.database import StoreError, connect
from lookup.custodian.store.pages import Store
from lookup.custodian.store.restore import RestoreReport
from tests.attacks.accidents import Crash
from tests.attacks.model import Living, Maker, adding, correcting, shredding
from tests.attacks.site import Site


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        yield made


@pytest.fixture
def maker(site: Site) -> Maker:
    return Maker(site.vault_id)


def fill(site: Site, maker: Maker, number: int = 5) -> list[Living]:
    records = maker.make_many(number)
    site.vault.commit(*adding(*records))
    return records


def lose_store(site: Site) -> Path:
    """Stop without closing, and put the store out of the way."""
    site.leave()
    return site.put_aside(site.store)


def lose_mirror(site: Site) -> Path:
    return site.put_aside(site.mirror)


def kept(site: Site) -> dict[str, bytes]:
    """Return the bytes of everything below the site's folder; nothing of it is open.

    Whoever reads a database makes its shared memory anew, and perhaps an empty WAL.
    """
    files = (path for path in site.folder.rglob("*") if path.is_file() and path.suffix != ".db-shm")
    return {str(path): content for path in files if (content := path.read_bytes())}


def test_pages_come_from_the_mirror_and_blobs_from_any_backup(site: Site, maker: Maker) -> None:
    """The backup's own pages are of an earlier epoch and open no more; its blobs do."""
    old = fill(site, maker, 5)
    site.back_up("backup")
    site.vault.commit(*shredding(*old[:2]))
    fill(site, maker, 3)
    epoch = site.vault.version.epoch
    lose_store(site)

    report = site.restore([site.folder / "backup" / FILE_NAME])

    assert report == RestoreReport(
        restored=3,
        key_without_blob=3,
        blob_without_key=2,
        source=site.mirror,
        lost_commits=0,
        epoch=epoch + 1,
        passed_over=(),
    )
    site.open()
    assert len(site.records()) == 6
    assert site.blob_names() == {living.blob[:2] for living in old[2:]}


def test_a_backup_of_an_earlier_epoch_alone_is_refused(site: Site, maker: Maker) -> None:
    """Nothing shredded since comes back; and nothing is touched in finding that out."""
    old = fill(site, maker)
    site.back_up("backup")
    site.vault.commit(*shredding(old[0]))
    lose_store(site)
    lose_mirror(site)
    before = {path: path.read_bytes() for path in site.folder.glob("slot-*/*")}
    with pytest.raises(NoSlotOpens):
        site.restore([site.folder / "backup" / FILE_NAME])
    assert {path: path.read_bytes() for path in site.folder.glob("slot-*/*")} == before
    assert not site.store.exists()


def test_a_loss_is_counted_and_has_to_be_accepted(site: Site, maker: Maker) -> None:
    """A backup of this epoch, and two commits that were acknowledged after it."""
    old = fill(site, maker)
    site.back_up("backup")
    fill(site, maker)
    fill(site, maker)
    lose_store(site)
    lose_mirror(site)
    backup = [site.folder / "backup" / FILE_NAME]
    with pytest.raises(RolledBack, match="2 acknowledged commits"):
        site.restore(backup, accept_loss=False)
    report = site.restore(backup, accept_loss=True)
    assert report.lost_commits == 2
    assert report.restored == len(old)
    site.open()
    assert site.records().keys() == {living.record.id for living in old}


def test_without_an_anchor_no_loss_can_be_counted(site: Site, maker: Maker) -> None:
    fill(site, maker)
    lose_store(site)
    for anchor in site.folder.glob("slot-*/anchor"):
        anchor.write_bytes(bytes(anchor.stat().st_size))
    assert site.restore([]).lost_commits is None


def test_a_rehearsal_says_the_same_and_touches_nothing(site: Site, maker: Maker) -> None:
    """Not a byte of slot, anchor, mirror, backup or old store; and the scratch folder is empty."""
    old = fill(site, maker)
    site.back_up("backup")
    fill(site, maker)
    lost = lose_store(site)
    sources = [site.mirror, site.folder / "backup" / FILE_NAME, lost]
    before = kept(site)
    report = site.rehearse(sources)
    assert kept(site) == before
    assert report.restored == 2 * len(old)
    assert report.epoch == 1
    restored = site.restore(sources[1:])
    assert restored.epoch == 2
    assert (restored.restored, restored.source) == (report.restored, report.source)


def test_a_store_that_is_there_is_not_replaced(site: Site, maker: Maker) -> None:
    fill(site, maker)
    site.leave()
    with pytest.raises(StoreError, match="there is a store"):
        site.restore([])
    site.open()


def test_a_restore_that_was_cut_off_anywhere_is_repeated() -> None:
    """The same command again, until it gets through; everything is there then."""
    for point in count(1):
        with Site() as site:
            records = fill(site, Maker(site.vault_id))
            site.back_up("backup")
            lose_store(site)
            site.accidents.after(point)
            try:
                site.restore([site.folder / "backup" / FILE_NAME])
            except Crash:
                site.accidents.after(0)
                assert not site.store.exists()
                report = site.restore([site.folder / "backup" / FILE_NAME])
                assert report.restored == len(records)
                assert report.lost_commits == 0
            else:
                break
            site.open()
            assert len(site.records()) == len(records)
    assert point > 15


def test_what_an_epoch_change_had_decided_is_finished(site: Site, maker: Maker) -> None:
    """A backup from between decision and destruction brings back the decision, not the record."""
    gone, changed, other = fill(site, maker, 3)
    new = maker.correct(changed, "payload")
    batch, blobs = correcting(changed, new)
    more, fewer = shredding(gone)
    both = batch + more, replace(blobs, delete=blobs.delete + fewer.delete)

    def withdraw() -> None:
        site.back_up("backup")
        raise Crash

    with pytest.raises(Crash):
        site.vault.commit(*both, withdraw)
    lose_store(site)
    lose_mirror(site)
    report = site.restore([site.folder / "backup" / FILE_NAME])
    assert (report.restored, report.key_without_blob) == (2, 0)
    site.open()
    assert site.blob_names() == {new.blob[:2], other.blob[:2]}


def damage(file: Path, site: Site, statement: str) -> None:
    """Change what a file holds, as no custodian would."""
    connection = connect(file, site.database_key, "rw")
    connection.execute(statement)
    connection.close()


def test_a_source_with_a_damaged_page_is_passed_over(site: Site, maker: Maker) -> None:
    """A whole one of the same epoch is worth more than a newer one that does not open wholly."""
    old = fill(site, maker)
    site.back_up("backup")
    fill(site, maker)
    lose_store(site)
    damage(site.mirror, site, "UPDATE page SET sealed = zeroblob(100) WHERE number > 1")
    report = site.restore([site.folder / "backup" / FILE_NAME])
    assert report.source == site.folder / "backup" / FILE_NAME
    assert report.lost_commits == 1
    assert [path for path, why in report.passed_over if "does not open" in why] == [site.mirror]
    assert report.restored == len(old)


DAMAGES = {
    "a leaf": "UPDATE page SET sealed = zeroblob(100) WHERE number > 1",
    "the root": "UPDATE root SET sealed = zeroblob(100)",
    "a page is missing": "DELETE FROM page WHERE number > 1",
}


@pytest.mark.parametrize("statement", DAMAGES.values(), ids=DAMAGES.keys())
def test_if_every_source_is_damaged_nothing_is_changed(
    site: Site, maker: Maker, statement: str
) -> None:
    """No epoch change: what a better copy of the same epoch holds must stay readable."""
    fill(site, maker)
    lose_store(site)
    damage(site.mirror, site, statement)
    before = {path: path.read_bytes() for path in site.folder.glob("slot-*/*")}
    with pytest.raises(PageDamaged):
        site.restore([])
    assert {path: path.read_bytes() for path in site.folder.glob("slot-*/*")} == before


def test_a_broken_store_still_gives_what_can_be_read(site: Site, maker: Maker) -> None:
    """A page of the file that is gone costs the blobs that were read through it."""
    records = fill(site, maker, 300)
    lost = lose_store(site)
    pages = lost.stat().st_size // 4096
    with lost.open("r+b") as file:
        for eighth in (4, 5, 6):
            file.seek(pages * eighth // 8 * 4096)
            file.write(secrets.token_bytes(4096))
    report = site.restore([lost])
    assert report.source == site.mirror
    assert report.restored + report.key_without_blob == len(records)
    assert 0 < report.restored < len(records)


def test_what_is_no_database_is_passed_over(site: Site, maker: Maker, tmp_path: Path) -> None:
    fill(site, maker)
    lose_store(site)
    nonsense, nothing = tmp_path / "nonsense", tmp_path / "nothing"
    nonsense.write_bytes(secrets.token_bytes(8192))
    report = site.restore([nonsense, nothing])
    assert [path for path, _ in report.passed_over] == [nonsense, nothing]
    assert not nothing.exists()


def test_the_blob_beside_the_pages_counts(site: Site, maker: Maker) -> None:
    """Two sources hold different ciphertexts of one name: the one that fits the pages is taken."""
    fill(site, maker)
    site.back_up("backup")
    backup = site.folder / "backup" / FILE_NAME
    damage(backup, site, "UPDATE blob SET sealed = zeroblob(100)")
    fill(site, maker)
    lost = lose_store(site)
    lose_mirror(site)
    assert site.restore([backup, lost]).source == lost
    site.open()
    loot = site.steal(frozenset(), site.book.evidence)
    assert len(loot.payloads) == 10
    haul = connect(site.store, site.database_key, "rw")
    assert haul.execute("SELECT count(*) FROM blob WHERE sealed = zeroblob(100)").fetchone() == (0,)
    haul.close()


SEGMENT = b"s" * 16


def chain_of(site: Site) -> AuditChain:
    store = site.keeping.store
    assert isinstance(store, Store)
    return store.audit


def audit(site: Site, numbers: range) -> None:
    """Take groups into the audit chain, as the custodian does."""
    groups = [Group(SEGMENT, number, secrets.token_bytes(600)) for number in numbers]
    site.vault.note_audit(chain_of(site).append({SEGMENT: b"header"}, groups))


class TestAuditChain:
    """A7: what is lost of it is said, in the report and for ever in the chain."""

    def test_it_comes_back_whole(self, site: Site, maker: Maker) -> None:
        fill(site, maker)
        audit(site, range(3))
        site.back_up("backup")
        lose_store(site)
        report = site.restore([site.folder / "backup" / FILE_NAME], accept_loss=False)
        assert report.lost_audit == range(0)
        site.open()
        assert len(list(follow(NOTHING_AUDITED, chain_of(site).walk()))) == 3
        assert chain_of(site).header(SEGMENT) == b"header"
        assert site.vault.audit == chain_of(site).mark()

    def test_an_older_backups_is_carried_on_behind_a_gap(self, site: Site, maker: Maker) -> None:
        fill(site, maker)
        audit(site, range(3))
        site.back_up("backup")
        audit(site, range(3, 8))
        seen = site.vault.audit
        lose_store(site)
        report = site.restore([site.folder / "backup" / FILE_NAME], accept_loss=False)
        assert report.lost_audit == range(4, 9)
        site.open()
        audit(site, range(8, 9))
        rows = list(follow(NOTHING_AUDITED, chain_of(site).walk()))
        assert [row.row for row in rows] == [1, 2, 3, 9, 10]
        assert missing_rows(rows[3]) == range(4, 9)
        assert seen.head in rows[3].sealed
        site.restart()

    def test_the_longest_of_all_sources_counts(self, site: Site, maker: Maker) -> None:
        """A damaged store has newer rows than a backup, up to where one was edited."""
        fill(site, maker)
        audit(site, range(2))
        site.back_up("backup")
        audit(site, range(2, 6))
        with closing(connect(site.store, site.database_key, "rw")) as connection:
            connection.execute("UPDATE audit_group SET sealed = x'00' WHERE row = 5")
        damaged = lose_store(site)
        report = site.restore([site.folder / "backup" / FILE_NAME, damaged], accept_loss=False)
        assert report.lost_audit == range(5, 7)

    def test_without_a_source_all_of_it_is_lost(self, site: Site, maker: Maker) -> None:
        fill(site, maker)
        audit(site, range(2))
        lose_store(site)
        assert site.restore([], accept_loss=False).lost_audit == range(1, 3)
        site.open()
        (gap,) = chain_of(site).walk()
        assert missing_rows(gap) == range(1, 3)

    def test_without_an_anchor_nobody_can_say(self, site: Site, maker: Maker) -> None:
        fill(site, maker)
        audit(site, range(2))
        lose_store(site)
        for anchor in site.folder.glob("slot-*/anchor"):
            anchor.unlink()
        assert site.restore([]).lost_audit is None
        site.open()
        (gap,) = chain_of(site).walk()
        assert gap.is_gap

    def test_a_store_that_forgot_rows_is_refused(self, site: Site, maker: Maker) -> None:
        """Put back from before they were taken in, with the same pages."""
        fill(site, maker)
        audit(site, range(2))
        site.vault.close()
        with closing(connect(site.store, site.database_key, "rw")) as connection:
            connection.execute("DELETE FROM audit_group WHERE row = 2")
        site.leave()
        with pytest.raises(RolledBack, match="2 rows of the audit chain"):
            site.open()
