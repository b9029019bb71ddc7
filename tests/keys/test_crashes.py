"""G6: whatever is cut off, wherever, a start goes forward and nothing acknowledged is lost."""

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from crypto.aead import Sealed
from crypto.merkle import Frontier
from keys.anchor import Anchor
from keys.entry import Entry, Kind, Put, Remove, new_entry_id
from keys.errors import WrongPassphrase
from keys.log import grown, mark_of
from keys.opening import Keeping, look, open_vault, slot_entry, unwrap
from keys.pages import BlobChange, SlotId
from keys.restoring import restore_vault
from keys.vault import Vault
from lookup.custodian.store.pages import Store
from tests.conftest import SOAK
from tests.keys.disks import Accidents, Crash, TearingDisk, crash
from tests.keys.site import NEW, OLD, Place, Watched, lock_of, make_place, record

KEPT, DOOMED, OTHER = record(b"kept", 1), record(b"doomed", 7), record(b"other", 9)
ANSWERS = Entry(Kind.ANSWER_KEY, new_entry_id(Kind.ANSWER_KEY), bytes(32))
LONG = tuple(record(b"long %d " % n * 500, n) for n in range(8))
PAYLOAD = Sealed(b"a sealed payload")
# Behind the first tile of 256: the last hashes of it, and then a new one.
LEAVES = tuple(b"leaf %d" % n for n in range(254))
NEW_LEAVES = (b"one", b"two", b"three")


@dataclass(frozen=True)
class Operation:
    """Something that must happen wholly or not at all, and how one sees that it did."""

    run: Callable[[Vault, Place], object]
    done: Callable[[Vault, Store], bool]
    slots: int = 1
    leaves: tuple[bytes, ...] = ()
    prepare: Callable[[Place], object] = bool


def shred(vault: Vault, _: Place) -> None:
    vault.commit((Remove(Kind.RECORD, DOOMED.id),), BlobChange(delete=((DOOMED.id, 1),)))


def shred_and_log(vault: Vault, _: Place) -> None:
    blobs = BlobChange(delete=((DOOMED.id, 1),))
    vault.commit((Remove(Kind.RECORD, DOOMED.id),), blobs, log=NEW_LEAVES)


def add_and_log(vault: Vault, _: Place) -> None:
    vault.commit((Put(LONG[0]),), log=NEW_LEAVES)


def update(vault: Vault, _: Place) -> None:
    new = replace(DOOMED, body=b"corrected", version=2)
    vault.commit((Put(new),), BlobChange(put=((DOOMED.id, 2, PAYLOAD),), delete=((DOOMED.id, 1),)))


def add(vault: Vault, _: Place) -> None:
    vault.commit(tuple(map(Put, LONG)), BlobChange(put=((LONG[0].id, 1, PAYLOAD),)))


def several_parts(vault: Vault, _: Place) -> None:
    vault.commit((Remove(Kind.RECORD, DOOMED.id), *map(Put, LONG), Put(replace(OTHER, body=b"p"))))


def add_slot(vault: Vault, place: Place) -> None:
    slot, anchor = place.open_slot(place.slot_folder(1))
    vault.add_slot(slot, anchor, slot_entry(slot, "new"))


def remove_slot(vault: Vault, place: Place) -> None:
    vault.remove_slot(place.open_slot(place.slot_folder(1))[0].id)


def body(vault: Vault, entry: Entry) -> bytes | None:
    found = vault.get(entry.kind, entry.id)
    return found.body if found else None


def slots_in(vault: Vault) -> int:
    return len(list(vault.scan(Kind.SLOT)))


OPERATIONS = {
    "add": Operation(
        add, lambda v, s: body(v, LONG[0]) is not None and s.blob(LONG[0].id, 1) == PAYLOAD
    ),
    "shred": Operation(
        shred, lambda v, s: body(v, DOOMED) is None and s.blob(DOOMED.id, 1) is None, slots=2
    ),
    "shred with leaves of the log": Operation(
        shred_and_log, lambda v, _: body(v, DOOMED) is None, slots=2, leaves=NEW_LEAVES
    ),
    "leaves of the log": Operation(
        add_and_log, lambda v, _: body(v, LONG[0]) is not None, leaves=NEW_LEAVES
    ),
    "update": Operation(
        update,
        lambda v, s: (
            (body(v, DOOMED), s.blob(DOOMED.id, 1), s.blob(DOOMED.id, 2))
            == (b"corrected", None, PAYLOAD)
        ),
    ),
    "batch whose intent has several parts": Operation(
        several_parts,
        lambda v, _: (
            (body(v, DOOMED), body(v, LONG[7]), body(v, OTHER)) == (None, LONG[7].body, b"p")
        ),
    ),
    "slot added": Operation(
        add_slot, lambda v, _: slots_in(v) == 2, prepare=lambda place: place.make_slot(1)
    ),
    "slot removed": Operation(remove_slot, lambda v, _: slots_in(v) == 1, slots=2),
    "passphrase changed": Operation(
        lambda vault, _: vault.change_lock(lock_of(NEW)), lambda *_: True, slots=2
    ),
    "purge": Operation(lambda vault, _: vault.purge(), lambda *_: True),
}

Run = Callable[[Place, Accidents, Callable[[], None]], None]


@pytest.fixture
def template(folder: Path) -> Callable[[int], Place]:
    """Make a site with three records, one of which is doomed."""

    def make(slots: int) -> Place:
        first = tuple(map(Put, (KEPT, DOOMED, OTHER, ANSWERS)))
        place = make_place(folder / "template", slots=slots, first=first)
        with place.opened() as vault:
            doomed = BlobChange(put=((DOOMED.id, 1, Sealed(b"doomed payload")),))
            vault.commit((), doomed, log=LEAVES)
        return place

    return make


def crashed_at_every_point(
    template: Place,
    folder: Path,
    run: Run,
    happen: Callable[[], None] = crash,
    points: Iterable[int] = range(1, 1000),
) -> Iterator[Place]:
    """Yield a site that crashed at its first point, at its second, and so on to the last."""
    for point in points:
        accidents = Accidents(happen)
        place = template.copy(folder, TearingDisk(accidents))
        with suppress(Crash):
            run(place, accidents, partial(accidents.at, point))
        happened = accidents.happened
        accidents.at(0)
        yield place
        shutil.rmtree(place.folder)
        if not happened:
            break
    assert point > 8, "the operation was not watched"


@contextmanager
def reopened(place: Place) -> Iterator[tuple[Vault, Keeping]]:
    """Start again, with whichever passphrase is right."""
    try:
        with place.keeping(OLD) as keeping, closing(open_vault(keeping)) as vault:
            yield vault, keeping
    except WrongPassphrase:
        with place.keeping(NEW) as keeping, closing(open_vault(keeping)) as vault:
            yield vault, keeping


def anchored(place: Place) -> list[bytes]:
    """Return the copies of all anchors."""
    files = [(folder / "anchor").read_bytes() for folder in place.slots()]
    return [raw[at : at + 4096] for raw in files for at in (0, 4096)]


def logs_in(place: Place) -> list[tuple[bytes, ...]]:
    """Return what the logs of store and mirror hold, as they lie there."""
    with place.storages() as storages:
        return [tuple(pages.log.leaves(0)) for pages in storages]


def check_log(keeping: Keeping, noted: list[bytes], logs: list[tuple[bytes, ...]]) -> None:
    """No anchor had named what was not there."""
    root = keeping.store.root()
    assert root is not None
    found = look(keeping.store, root, unwrap(keeping, root))
    anchors = [anchor for raw in noted if (anchor := Anchor.parse(raw, found.anchor_key))]
    newest = max(anchors, key=lambda anchor: anchor.serial)
    for leaves in logs:
        assert grown(Frontier(), leaves[: newest.log_size]).root() == newest.log_root
        assert len(leaves) >= newest.log_size


def check_sound(vault: Vault, keeping: Keeping) -> None:
    """Nothing acknowledged is lost, nothing is left over, every slot holds exactly one key."""
    assert body(vault, KEPT) == b"kept"
    assert [len(entry.body) for entry in vault.scan(Kind.ANSWER_KEY)] == [32]
    assert (body(vault, ANSWERS) == ANSWERS.body) == (vault.version.epoch == 1)
    assert list(vault.scan(Kind.INTENT)) == []
    root = keeping.store.root()
    assert root is not None
    assert keeping.mirror.root() == root
    assert list(keeping.mirror.pages()) == list(keeping.store.pages())
    assert vault.log == mark_of(keeping.store.log) == mark_of(keeping.mirror.log)
    assert root.wraps.keys() == {SlotId(entry.id) for entry in vault.scan(Kind.SLOT)}
    for slot, _ in keeping.slots:
        held = [key.epoch for key in slot.held()]
        assert held == ([vault.version.epoch] if slot.id in root.wraps else [])
    assert vault.lagging == vault.lost == frozenset()


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_a_crash_anywhere_goes_forward(
    operation: Operation, template: Callable[[int], Place], folder: Path
) -> None:
    """Whatever had been decided is done at the next start; nothing is done by half."""
    decided = False

    def run(place: Place, accidents: Accidents, arm: Callable[[], None]) -> None:
        nonlocal decided
        with place.keeping(OLD, accidents) as keeping:
            vault = open_vault(keeping)
            assert isinstance(keeping.store, Watched)
            before = keeping.store.commits
            arm()
            try:
                operation.run(vault, place)
            finally:
                decided = keeping.store.commits > before

    site = template(operation.slots)
    operation.prepare(site)
    outcomes = set()
    for place in crashed_at_every_point(site, folder / "crashed", run):
        noted, logs = anchored(place), logs_in(place)
        with reopened(place) as (vault, keeping):
            assert isinstance(keeping.store, Store)
            done = operation.done(vault, keeping.store)
            assert done or not decided
            check_sound(vault, keeping)
            check_log(keeping, noted, logs)
            leaves = LEAVES + operation.leaves if done else LEAVES
            assert tuple(keeping.store.log.leaves(0)) == leaves
            version = vault.version
        with reopened(place) as (vault, _):
            assert vault.started_with == ()
            assert vault.version == version
        outcomes.add(done)
    assert True in outcomes


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
def test_an_error_anywhere_stops_and_the_next_start_goes_forward(
    number: int, template: Callable[[int], Place], folder: Path
) -> None:
    """Of a write or a sync, of slot, anchor, store or mirror: never retried, never survived."""

    def fail() -> None:
        raise OSError(number, os.strerror(number))

    def run(place: Place, accidents: Accidents, arm: Callable[[], None]) -> None:
        with place.keeping(OLD, accidents) as keeping:
            vault = open_vault(keeping)
            arm()
            try:
                shred(vault, place)
            except OSError as error:
                assert error.errno == number  # noqa: PT017  # any point may be the last
                assert vault.stopped
            else:
                assert not accidents.happened

    for place in crashed_at_every_point(template(2), folder / "failed", run, fail):
        with reopened(place) as (vault, keeping):
            check_sound(vault, keeping)


def where(place: Place) -> tuple[object, ...]:
    """Say what the slots hold, and where store and mirror stand."""
    with place.keeping() as keeping:
        roots = [pages.root() for pages in (keeping.store, keeping.mirror)]
        labels = tuple(tuple(key.epoch for key in slot.held()) for slot, _ in keeping.slots)
        return (labels, *(root.version for root in roots if root))


def test_a_crash_while_finishing_goes_forward(
    template: Callable[[int], Place], folder: Path
) -> None:
    """A start that is cut off, anywhere, is finished by the one after it."""
    seen = set()

    def cut_off(place: Place, accidents: Accidents, arm: Callable[[], None]) -> None:
        with place.keeping(OLD, accidents) as keeping:
            vault = open_vault(keeping)
            arm()
            shred(vault, place)

    def start(place: Place, accidents: Accidents, arm: Callable[[], None]) -> None:
        with place.keeping(OLD, accidents) as keeping:
            arm()
            open_vault(keeping)

    site = template(2)
    undecided = where(site)[1]
    for place in crashed_at_every_point(site, folder / "cut-off", cut_off):
        state = where(place)
        if state in seen:
            continue  # the same on the media, so the same start
        seen.add(state)
        # Every point of every start is for `make soak`: here each start leaves out two of three.
        points = range(1 + (0 if SOAK else len(seen) % 3), 1000, 1 if SOAK else 3)
        for again in crashed_at_every_point(place, folder / "crashed", start, points=points):
            with reopened(again) as (vault, keeping):
                assert state[1] == undecided or body(vault, DOOMED) is None
                check_sound(vault, keeping)
    assert len(seen) > 5


def test_a_crash_while_restoring_is_repeated(
    template: Callable[[int], Place], folder: Path
) -> None:
    """The same restore, run again, brings everything back."""

    def restore(place: Place, accidents: Accidents | None, arm: Callable[[], None]) -> None:
        shutil.rmtree(place.folder / "store", ignore_errors=True)
        with place.keeping(OLD, accidents) as keeping:
            arm()
            restore_vault(keeping, [keeping.mirror], accept_loss=False).vault.close()
            assert tuple(keeping.store.log.leaves(0)) == LEAVES

    for place in crashed_at_every_point(template(2), folder / "crashed", restore):
        restore(place, None, lambda: None)
        with reopened(place) as (vault, keeping):
            assert vault.started_with == ()
            assert body(vault, DOOMED) == b"doomed"
            check_sound(vault, keeping)
