"""A7: the log is what the anchors have seen of it, or a start says so."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from crypto.merkle import Frontier
from keys.disk import Disk
from keys.entry import Batch, Entry, Kind, Put, Remove, new_entry_id
from keys.errors import (
    EntryTooLarge,
    LogDamaged,
    LogForked,
    LogLost,
    MirrorBehind,
    VersionConflict,
)
from keys.log import MAX_LEAF, LogLoss, LogMark, LogSource, grown, is_readable, mark_of
from keys.opening import Keeping, create_vault, new_vault_id, open_vault
from keys.pages import BlobChange, Change
from keys.restoring import restore_vault
from lookup.custodian.store.database import Database
from lookup.custodian.store.pages import Mirror, Store
from tests.keys.site import DATABASE_KEY, Place, record

LEAVES = tuple(b"leaf %d" % number for number in range(300))
KEY = Entry(Kind.LOG_KEY, new_entry_id(Kind.LOG_KEY), b"the key of the first log")
NEXT_KEY = replace(KEY, body=b"the key of the next log")
GAP = b"the first log is lost"


def commit(place: Place, *leaves: bytes) -> None:
    with place.opened() as vault:
        vault.commit((), log=leaves)


@pytest.fixture
def logged(place: Place) -> Place:
    """A site whose log has 300 leaves, and which has the key of a log."""
    with place.opened() as vault:
        vault.commit((Put(KEY),), log=LEAVES)
    return place


def leaves_in(place: Place) -> list[tuple[bytes, ...]]:
    with place.storages() as storages:
        return [tuple(pages.log.leaves(0)) for pages in storages]


def edit(place: Place, which: str, *statements: str) -> None:
    """Be somebody who has the key of the database."""
    file = place.folder / which / {"store": "vault.db", "mirror": "mirror.db"}[which]
    with closing(Database(file, DATABASE_KEY)) as database:
        for statement in statements:
            database.connection.execute(statement)


def roll_back(place: Place, older: Place, which: str) -> None:
    """Put back the log of earlier, and nothing else."""
    with older.storages() as (store, mirror), place.storages() as (now, mirror_now):
        if which in {"store", "both"}:
            now.take_log(store.log)
        if which in {"mirror", "both"}:
            mirror_now.take_log(mirror.log)


TAMPERED = {
    "the last leaf edited": ("UPDATE log_entry SET leaf = x'00' WHERE position = 299",),
    "the last leaf dropped": ("DELETE FROM log_entry WHERE position = 299",),
    "a leaf in the middle dropped": ("DELETE FROM log_entry WHERE position = 270",),
    "a leaf added": ("INSERT INTO log_entry (position, leaf) VALUES (300, x'00')",),
    "two leaves exchanged": (
        "UPDATE log_entry SET position = 1000 WHERE position = 298",
        "UPDATE log_entry SET position = 298 WHERE position = 299",
        "UPDATE log_entry SET position = 299 WHERE position = 1000",
    ),
    "a tile edited": ("UPDATE log_tile SET hashes = zeroblob(8192)",),
    "a tile cut short": ("UPDATE log_tile SET hashes = zeroblob(8160)",),
    "all tiles dropped": ("DELETE FROM log_tile",),
    "everything dropped": ("DELETE FROM log_entry", "DELETE FROM log_tile"),
}


@pytest.mark.parametrize("which", ["store", "mirror"])
@pytest.mark.parametrize("statements", TAMPERED.values(), ids=TAMPERED)
def test_one_log_that_was_changed_is_mended_from_the_other(
    logged: Place, statements: tuple[str, ...], which: str
) -> None:
    edit(logged, which, *statements)
    with logged.opened() as vault:
        assert vault.log == mark_of_leaves(LEAVES)
        assert vault.mended_log == (which == "store")
    assert leaves_in(logged) == [LEAVES, LEAVES]
    with logged.opened() as vault:
        assert not vault.mended_log


@pytest.mark.parametrize("statements", TAMPERED.values(), ids=TAMPERED)
def test_a_log_that_was_changed_in_both_is_refused(
    logged: Place, statements: tuple[str, ...]
) -> None:
    for which in ("store", "mirror"):
        edit(logged, which, *statements)
    before = logged.bytes()
    with pytest.raises(LogLost, match="the anchor has seen 300 entries"), logged.opened():
        pass
    assert logged.bytes() == before


def mark_of_leaves(leaves: tuple[bytes, ...]) -> LogMark:
    return LogMark(len(leaves), grown(Frontier(), leaves).root())


@pytest.mark.parametrize("which", ["store", "mirror"])
def test_a_log_that_was_rolled_back_comes_from_the_other(
    logged: Place, folder: Path, which: str
) -> None:
    older = logged.copy(folder / "older")
    commit(logged, b"newer")
    roll_back(logged, older, which)
    assert sorted(map(len, leaves_in(logged))) == [300, 301]
    with logged.opened() as vault:
        assert vault.log.size == 301
    assert leaves_in(logged) == [(*LEAVES, b"newer")] * 2


def test_a_log_that_was_rolled_back_in_both_is_refused(logged: Place, folder: Path) -> None:
    older = logged.copy(folder / "older")
    commit(logged, b"newer")
    roll_back(logged, older, "both")
    with pytest.raises(LogLost, match="seen 301 entries"), logged.opened():
        pass


def test_a_new_mirror_gets_the_log(logged: Place) -> None:
    (logged.folder / "mirror" / "mirror.db").unlink()
    with logged.opened():
        pass
    assert leaves_in(logged) == [LEAVES, LEAVES]


def not_noted(place: Place, *leaves: bytes) -> None:
    """Commit leaves, and lose what the anchors say of it: a crash just before they were written."""
    before = {path: (path / "anchor").read_bytes() for path in place.slots()}
    commit(place, *leaves)
    for path, raw in before.items():
        (path / "anchor").write_bytes(raw)


def test_what_no_anchor_has_seen_is_kept(logged: Place) -> None:
    """It was committed, and nobody was told: it may be there, and so it stays."""
    not_noted(logged, b"newer")
    edit(logged, "store", "DELETE FROM log_entry WHERE position = 300")
    with logged.opened() as vault:
        assert vault.mended_log
    assert leaves_in(logged) == [(*LEAVES, b"newer")] * 2


def test_two_logs_that_contradict_each_other_are_refused(logged: Place) -> None:
    """Behind what the anchors have seen, nothing can say which is right."""
    not_noted(logged, b"newer")
    edit(logged, "store", "UPDATE log_entry SET leaf = x'00' WHERE position = 300")
    before = logged.bytes()
    with pytest.raises(LogForked, match="different things of the same entries"), logged.opened():
        pass
    assert logged.bytes() == before


def test_a_mirror_that_is_behind_does_not_overrule_the_store(logged: Place, folder: Path) -> None:
    """The store's last commit may have brought leaves that the mirror lacks."""
    older = logged.copy(folder / "older")
    not_noted(logged, b"newer")
    (logged.folder / "mirror" / "mirror.db").write_bytes(
        (older.folder / "mirror" / "mirror.db").read_bytes()
    )
    edit(logged, "store", "UPDATE log_entry SET leaf = x'00' WHERE position = 299")
    with pytest.raises(LogForked, match="the mirror is older than the store"), logged.opened():
        pass


def test_a_leaf_has_a_bound(place: Place) -> None:
    with place.opened() as vault:
        for wrong in (b"", bytes(MAX_LEAF + 1)):
            with pytest.raises(EntryTooLarge, match="a leaf of the log"):
                vault.commit((), log=(wrong,))
        assert not vault.stopped
        assert vault.commit((), log=(bytes(MAX_LEAF),)).logged == range(1)


def test_a_receipt_names_the_leaves_positions(logged: Place) -> None:
    """Also those of an epoch change, in which others may append leaves of their own."""
    doomed = record()
    with logged.opened() as vault:
        assert vault.commit((Put(doomed),)).logged == range(300, 300)
        assert vault.commit((), log=(b"a", b"b")).logged == range(300, 302)

        def announce(_: tuple[Entry, ...]) -> None:
            vault.commit((), log=(b"in between",))

        vault.announce = announce
        removed = vault.commit((Remove(Kind.RECORD, doomed.id),), log=(b"c",))
        assert removed.logged == range(303, 304)
        assert vault.log.size == 304
    assert leaves_in(logged)[0][300:] == (b"a", b"b", b"in between", b"c")


def test_a_mirror_that_lies_about_the_log_is_not_believed(logged: Place) -> None:
    class Liar(Mirror):
        def commit(self, change: Change, blobs: BlobChange) -> None:
            super().commit(replace(change, log=()), blobs)

    with logged.keeping() as keeping:
        assert isinstance(keeping.mirror, Mirror)
        liar = Liar(keeping.mirror._database)
        vault = open_vault(replace(keeping, mirror=liar))
        with pytest.raises(MirrorBehind, match="the log that it confirmed"):
            vault.commit((Remove(Kind.LOG_KEY, KEY.id),), log=(b"leaf",))
        assert vault.stopped


def test_a_log_that_another_wrote_to_is_left_alone(logged: Place) -> None:
    with logged.keeping() as keeping:
        vault = open_vault(keeping)
        edit(logged, "store", TAMPERED["a leaf added"][0])
        with pytest.raises(VersionConflict, match="does not end where"):
            vault.commit((), log=(b"leaf",))


def test_a_vault_is_made_where_no_log_is(folder: Path) -> None:
    place = Place(folder / "site", new_vault_id(), Disk())
    slot = place.make_slot(0)
    with place.storages() as (store, mirror):
        edit(place, "mirror", "INSERT INTO log_entry (position, leaf) VALUES (0, x'00')")
        keeping = Keeping(store, mirror, [slot], DATABASE_KEY, int)
        with pytest.raises(VersionConflict, match="expected empty storages"):
            create_vault(place.vault, 1, keeping, ["slot"], ())


class Rescue:
    """What a restore is told of logs: these, and what others have seen."""

    def __init__(self, *logs: LogSource, marks: tuple[LogMark, ...] = ()) -> None:
        self.at_hand = list(logs)
        self._marks = marks
        self.loss: LogLoss | None = None

    def logs(self, key: Entry | None) -> list[LogSource]:
        assert key is None or key.body == KEY.body
        return self.at_hand

    def marks(self, key: Entry) -> tuple[LogMark, ...]:
        assert key.body == KEY.body
        return self._marks

    def anew(self, key: Entry, loss: LogLoss) -> tuple[Batch, tuple[bytes, ...]]:
        assert key.body == KEY.body
        self.loss = loss
        left = tuple(loss.left.leaves(0)) if loss.left else ()
        return (Put(NEXT_KEY),), (GAP, *left)


def restored(place: Place, rescue: Rescue | None, *, accept_loss: bool = False) -> LogLoss | None:
    """Restore from the mirror."""
    with place.keeping() as keeping:
        done = restore_vault(keeping, [keeping.mirror], accept_loss=accept_loss, rescue=rescue)
        with closing(done.vault) as vault:
            assert vault.log == mark_of(keeping.store.log) == mark_of(keeping.mirror.log)
    with place.opened() as vault:
        assert vault.started_with == ()
        assert not vault.mended_log
    return done.lost_log


def key_in(place: Place) -> bytes:
    with place.opened() as vault:
        (entry,) = vault.scan(Kind.LOG_KEY)
        return entry.body


def test_a_restore_takes_the_log_from_whoever_has_it(logged: Place, folder: Path) -> None:
    """A store that was moved away has what mirror and pages lack."""
    older = logged.copy(folder / "older")
    moved = logged.copy(folder / "moved")
    roll_back(logged, make_empty(folder), "both")
    with older.storages(), moved.storages() as (store, mirror):
        rescue = Rescue(mirror.log, store.log)
        assert restored(logged, rescue) is None
    assert leaves_in(logged) == [LEAVES, LEAVES]
    assert key_in(logged) == KEY.body


def make_empty(folder: Path) -> Place:
    place = Place(folder / "empty", new_vault_id(), Disk())
    with place.storages():
        return place


@pytest.mark.parametrize("with_rescue", [False, True])
def test_a_lost_log_is_accepted_by_a_person(logged: Place, *, with_rescue: bool) -> None:
    edit(logged, "store", *TAMPERED["everything dropped"])
    edit(logged, "mirror", TAMPERED["the last leaf dropped"][0])
    before = logged.bytes()
    with logged.keeping() as keeping:
        rescue = Rescue(keeping.mirror.log) if with_rescue else None
        with pytest.raises(LogLost, match="300 entries of the log were seen"):
            restore_vault(keeping, [keeping.mirror], accept_loss=False, rescue=rescue)
        if rescue is None:  # nobody knows how another log begins
            with pytest.raises(LogLost, match="300 entries of the log were seen"):
                restore_vault(keeping, [keeping.mirror], accept_loss=True)
    assert logged.bytes() == before


def test_another_log_begins_where_one_is_lost(logged: Place) -> None:
    """With what is left of the old one behind a leaf that tells of it, in one transaction."""
    edit(logged, "store", *TAMPERED["everything dropped"])
    edit(logged, "mirror", TAMPERED["the last leaf dropped"][0])
    with logged.storages() as (_, mirror):
        loss = restored(logged, Rescue(mirror.log), accept_loss=True)
    assert loss is not None
    assert loss.seen == mark_of_leaves(LEAVES)
    assert leaves_in(logged) == [(GAP, *LEAVES[:299])] * 2
    assert key_in(logged) == NEXT_KEY.body


def test_what_others_have_seen_counts_too(logged: Place) -> None:
    """A witness may have seen more of a log than anchors that were put back with it."""
    seen = mark_of_leaves((*LEAVES, b"forgotten"))
    with logged.storages() as (store, _):
        rescue = Rescue(store.log, marks=(seen,))
        with pytest.raises(LogLost, match="301 entries of the log were seen"):
            restored(logged, rescue)
        assert restored(logged, rescue, accept_loss=True) == LogLoss(seen, rescue.at_hand[0])
    assert leaves_in(logged)[0] == (GAP, *LEAVES)


def test_who_has_seen_more_may_have_it(logged: Place, folder: Path) -> None:
    """Store, mirror and anchors were put back together, and one copy was not."""
    older = logged.copy(folder / "older")
    commit(logged, b"newer")
    seen = mark_of_leaves((*LEAVES, b"newer"))
    with logged.storages() as (store, _):
        assert restored(older, Rescue(store.log, marks=(seen,))) is None
    assert leaves_in(older) == [(*LEAVES, b"newer")] * 2


def test_logs_that_contradict_each_other_are_lost(logged: Place) -> None:
    """Whichever one went on from, it might be the wrong one."""
    not_noted(logged, b"newer")
    edit(logged, "store", "UPDATE log_entry SET leaf = x'00' WHERE position = 300")
    with logged.storages() as (store, mirror):
        rescue = Rescue(store.log, mirror.log)
        with pytest.raises(LogLost):
            restored(logged, rescue)
        assert restored(logged, rescue, accept_loss=True) is not None


def test_without_an_anchor_nobody_knows_what_the_log_was(logged: Place) -> None:
    """So another begins: the old one's name might be given to two of them."""
    (logged.slot_folder(0) / "anchor").unlink()
    with pytest.raises(LogLost, match="nothing can say how far the log had come"):
        restored(logged, None, accept_loss=True)
    with logged.storages() as (_, mirror):
        loss = restored(logged, Rescue(mirror.log), accept_loss=True)
    assert loss is not None
    assert loss.seen is None
    assert leaves_in(logged)[0] == (GAP, *LEAVES)


def test_a_log_that_cannot_be_read_is_passed_over(logged: Place) -> None:
    edit(logged, "store", TAMPERED["all tiles dropped"][0])
    with logged.storages() as (store, mirror):
        assert not is_readable(store.log)
        with pytest.raises(LogDamaged):
            store.log.root(300)
        assert restored(logged, Rescue(store.log, mirror.log)) is None


def test_a_rehearsal_says_what_would_be_lost(logged: Place) -> None:
    edit(logged, "mirror", TAMPERED["the last leaf dropped"][0])
    before = logged.bytes()
    with (
        logged.keeping() as keeping,
        closing(Store(Database(logged.folder / "new" / "vault.db", DATABASE_KEY))) as store,
        closing(Mirror(Database(logged.folder / "new" / "mirror.db", DATABASE_KEY))) as mirror,
    ):
        scratch = replace(keeping, store=store, mirror=mirror)
        done = restore_vault(
            scratch,
            [keeping.mirror],
            accept_loss=True,
            rehearse=True,
            rescue=Rescue(keeping.mirror.log),
        )
        assert done.lost_log is not None
    after = logged.bytes()
    assert {name: after[name] for name in before} == before


def test_a_vault_of_yesterday_has_no_log_to_lose(place: Place) -> None:
    """Nor a key of one; and without anchors it still has none."""
    (place.slot_folder(0) / "anchor").unlink()
    assert restored(place, None, accept_loss=True) is None
    assert leaves_in(place) == [(), ()]
