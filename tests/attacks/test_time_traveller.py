"""A3, the time traveller: every byte ever written, then every secret of now (G1).

Random histories of one site, crashes included. What was shredded or corrected, and acknowledged,
must be found nowhere: neither its payload, nor its data key, its identifiers, its handles. What
lives must be found, or the thief would prove nothing.

For a class D slot the model is that overwriting destroys: the thief has the slots as they are and
no older bytes of them. Each history ends with the proof that he would win with those.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from keys.entry import EntryId, Put
from keys.errors import NoSlotOpens, WrongPassphrase
from keys.vault import Receipt
from lookup.custodian.store.backup import FILE_NAME
from lookup.demo.recover import Blob, Evidence, Loot, read_database
from tests.attacks.accidents import Crash
from tests.attacks.copier import Copier
from tests.attacks.model import (
    Living,
    Maker,
    Model,
    adding,
    correcting,
    found,
    missing,
    model_of,
    records_of,
    secrets_of,
    shredding,
)
from tests.attacks.site import Site
from tests.conftest import SOAK

# When to crash: at the n-th point of the operation, then at those of the starts after it.
CRASHES = st.lists(st.integers(1, 45), max_size=2)
PICK = st.integers(0, 5)


class TimeTraveller(RuleBasedStateMachine):
    """A history, its model, and the thief at its heels."""

    slots = 1

    def __init__(self) -> None:
        super().__init__()
        self.live: Model = {}
        self.ever: set[bytes] = set()
        self.buried: set[bytes] = set()
        self.aborted: list[Living] = []
        self.backups: dict[Path, Model] = {}
        self.lost_blobs: set[tuple[EntryId, int]] = set()
        self.old_slots: tuple[frozenset[bytes], set[bytes]] | None = None

    @initialize()
    def begin(self) -> None:
        self.site = Site(self.slots)
        self.maker = Maker(self.site.vault_id)

    def teardown(self) -> None:
        with self.site:
            if self.old_slots:
                old, secrets = self.old_slots
                assert not missing(self.steal(old), secrets)

    # Records

    @rule(count=st.integers(1, 3), crashes=CRASHES)
    def add(self, count: int, crashes: list[int]) -> None:
        self.add_all(self.maker.make_many(count), crashes)

    @precondition(lambda self: self.live)
    @rule(pick=PICK, crashes=CRASHES)
    def add_sibling(self, pick: int, crashes: list[int]) -> None:
        """Another record under an identifier of one that lives."""
        value = self.pick(pick).record.body.links[0].value
        self.add_all([self.maker.make(value)], crashes)

    @precondition(lambda self: self.aborted)
    @rule(crashes=CRASHES)
    def retry(self, crashes: list[int]) -> None:
        """Add again what an accident prevented: the same content under other keys."""
        again, self.aborted = self.aborted, []
        made = [self.maker.make(a.record.body.links[0].value, a.payload) for a in again]
        self.add_all(made, crashes)

    def add_all(self, added: list[Living], crashes: list[int]) -> None:
        done = self.attempt(
            self.live | model_of(added), lambda: self.site.vault.commit(*adding(*added)), crashes
        )
        if not done:
            self.aborted = [living for living in added if living.record.id not in self.live]

    @precondition(lambda self: self.live)
    @rule(pick=PICK, part=st.sampled_from(["payload", "alias", "category"]), crashes=CRASHES)
    def correct(self, pick: int, part: str, crashes: list[int]) -> None:
        """PUT: a new version under a new key."""
        old = self.pick(pick)
        new = self.maker.correct(old, part)
        self.attempt(
            self.live | model_of([new]),
            lambda: self.site.vault.commit(*correcting(old, new)),
            crashes,
        )

    @precondition(lambda self: self.live)
    @rule(pick=PICK, crashes=CRASHES)
    def link_otherwise(self, pick: int, crashes: list[int]) -> None:
        """Another identifier, and the blob stays as it is under the same key."""
        old = self.pick(pick)
        body = msgspec.structs.replace(old.record.body, links=(self.maker.link(),))
        new = old._replace(record=old.record._replace(body=body))
        batch = (Put(new.record.entry()),)
        after = self.live | model_of([new])
        self.attempt(after, lambda: self.site.vault.commit(batch), crashes)

    @precondition(lambda self: self.live)
    @rule(pick=PICK, crashes=CRASHES)
    def flip_flag(self, pick: int, crashes: list[int]) -> None:
        """The one change of an entry that forgets nothing."""
        old = self.pick(pick)
        new = old._replace(record=old.record._replace(flags=old.record.flags ^ 1))
        batch = (Put(new.record.entry()),)
        after = self.live | model_of([new])
        self.attempt(after, lambda: self.site.vault.commit(batch), crashes)

    @precondition(lambda self: self.live)
    @rule(picks=st.lists(PICK, min_size=1, max_size=3), backup=st.booleans(), crashes=CRASHES)
    def shred(self, picks: list[int], backup: bool, crashes: list[int]) -> None:  # noqa: FBT001
        """One record or several; perhaps a backup is made while it is decided but not done."""
        chosen = model_of(map(self.pick, picks))
        after = {name: living for name, living in self.live.items() if name not in chosen}
        batch, blobs = shredding(*chosen.values())

        def withdraw() -> None:
            self.site.accidents.point()
            if backup:
                self.back_up_as("backup-0", after)

        self.attempt(after, lambda: self.site.vault.commit(batch, blobs, withdraw), crashes)

    @rule(crashes=CRASHES)
    def purge(self, crashes: list[int]) -> None:
        self.attempt(self.live, self.site.vault.purge, crashes)

    # Slots

    @precondition(lambda self: len(self.site.folders) < 4)
    @rule(configured=st.booleans(), crashes=CRASHES)
    def add_slot(self, configured: bool, crashes: list[int]) -> None:  # noqa: FBT001
        """A start after a crash may know of the new slot, or not yet."""
        slot = self.site.make_slot().id
        if not configured:
            self.site.not_configured.add(slot)
        done = self.attempt(self.live, lambda: self.site.add_slot(slot), crashes)
        self.site.not_configured.clear()
        if not done and slot not in self.site.registered():
            self.site.lose(slot)

    @rule(pick=PICK, crashes=CRASHES)
    def remove_slot(self, pick: int, crashes: list[int]) -> None:
        """One that is not at hand counts as lost: nobody has it, the thief neither."""
        registered = self.site.registered()
        slot = registered[pick % len(registered)]
        if self.site.current() - {slot}:
            self.attempt(self.live, lambda: self.site.vault.remove_slot(slot), crashes)

    @rule(pick=PICK)
    def take_slot_away(self, pick: int) -> None:
        """Or bring it back, where it is away."""
        slot = list(self.site.folders)[pick % len(self.site.folders)]
        if not self.site.is_here(slot) or self.site.current() - {slot}:
            self.site.take_away(slot)

    @rule()
    def copy_slots(self) -> None:
        """What class D cannot exclude: someone kept a slot's old bytes."""
        if self.live and self.old_slots is None:
            self.old_slots = self.site.slot_bytes(), secrets_of(self.live)

    @rule(crashes=CRASHES)
    def change_passphrase(self, crashes: list[int]) -> None:
        new = b"passphrase %d" % len(self.site.passphrases)
        lock = self.site.make_lock(new)
        self.site.passphrases.append(new)
        if self.attempt(self.live, lambda: self.site.vault.change_lock(lock), crashes):
            self.site.passphrase = new

    # Disasters

    @rule(crashes=CRASHES)
    def restart(self, crashes: list[int]) -> None:
        self.site.accidents.after(next(iter(crashes), 0))
        try:
            self.site.restart()
        except Crash:
            self.recover(crashes[1:], self.live)
        else:
            self.site.accidents.after(0)
            self.bury()

    @rule(name=st.sampled_from(["backup-0", "backup-1"]), crashes=CRASHES)
    def back_up(self, name: str, crashes: list[int]) -> None:
        """One that is cut off leaves the backup of before; the vault goes on."""
        self.site.accidents.after(next(iter(crashes), 0))
        with suppress(Crash):
            self.back_up_as(name, self.live)
        self.site.accidents.after(0)

    def back_up_as(self, name: str, model: Model) -> None:
        self.site.back_up(name)
        self.backups[self.site.folder / name / FILE_NAME] = model

    @rule(mirror=st.booleans(), old_store=st.booleans(), late=st.booleans(), crashes=CRASHES)
    def restore(self, mirror: bool, old_store: bool, late: bool, crashes: list[int]) -> None:  # noqa: FBT001
        """The store is lost, perhaps the mirror too. Backups of earlier epochs do not help."""
        if late:
            self.back_up_as("backup-1", self.live)
            self.add(1, [])
        self.site.leave()
        lost = self.site.put_aside(self.site.store)
        if not mirror:
            lost_mirror = self.site.put_aside(self.site.mirror)
        sources = [*self.backups, *([lost] if old_store else [])]
        models = self.backups | {lost: self.live, self.site.mirror: self.live}
        try:
            report = self.site.rehearse([self.site.mirror, *sources] if mirror else sources)
        except (NoSlotOpens, WrongPassphrase):
            assert not mirror
            assert not old_store
            self.site.put_back(lost, self.site.store)
            self.site.put_back(lost_mirror, self.site.mirror)
            self.recover([], self.live)
            return
        after = models[report.source]
        self.buried -= secrets_of(after)
        for crash in (*crashes, 0):
            self.site.accidents.after(crash)
            with suppress(Crash):
                lost_blobs = self.site.restore(sources).key_without_blob
                break
        self.site.accidents.after(0)
        self.site.open()
        self.take(after)
        self.lost_blobs = self.blobs() - self.site.blob_names()
        assert len(self.lost_blobs) == lost_blobs
        self.bury()

    # The model

    def attempt(self, after: Model, act: Callable[[], Receipt], crashes: list[int]) -> bool:
        """Do something that leads to `after`, or crashes and leads there or nowhere."""
        self.ever |= secrets_of(after)
        self.buried -= secrets_of(after)
        self.site.accidents.after(next(iter(crashes), 0))
        try:
            receipt = act()
        except Crash:
            self.recover(crashes[1:], self.live, after)
            return False
        self.site.accidents.after(0)
        self.live = after
        if receipt.destruction:
            assert set(receipt.destruction.lagging) == self.site.vault.lagging
        self.bury()
        return True

    def recover(self, crashes: list[int], *possible: Model) -> None:
        """Start again, crash at that too, and see that nothing is there by halves."""
        self.site.leave()
        for crash in (*crashes, 0):
            self.site.accidents.after(crash)
            with suppress(Crash):
                self.site.open()
                break
        self.site.accidents.after(0)
        self.take(*possible)
        self.bury()

    def take(self, *possible: Model) -> None:
        """See which of the possible states it is."""
        actual = self.site.records()
        self.live = next(model for model in possible if records_of(model) == actual)

    def blobs(self) -> set[tuple[EntryId, int]]:
        return {living.blob[:2] for living in self.live.values()}

    def bury(self) -> None:
        """What does not live is gone, unless a slot that is away could still tell."""
        if not self.site.vault.lagging:
            self.buried |= self.ever - secrets_of(self.live)
        self.meet_the_thief()

    def steal(self, old_slots: frozenset[bytes] = frozenset()) -> Loot:
        """Give the thief all that was ever handed to a storage."""
        return self.site.steal(old_slots, self.site.book.evidence)

    def meet_the_thief(self) -> None:
        loot = self.steal()
        assert not found(loot, self.buried)
        assert not missing(loot, secrets_of(self.live))
        for living in self.live.values():
            assert loot.payloads[Blob(*living.blob)] == living.payload
        assert self.site.blob_names() == self.blobs() - self.lost_blobs

    def pick(self, number: int) -> Living:
        return list(self.live.values())[number % len(self.live)]


class TwoSlots(TimeTraveller):
    """The same at a site that begins with two slots, so that one can be away."""

    slots = 2


class RealBytes(TwoSlots):
    """The thief has no book: only copies of the files, taken after each step and each crash.

    What they hold must stand in the book, or the book of the other histories would hide bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.copier = Copier()
        self.seen = Evidence()

    def teardown(self) -> None:
        with self.copier:
            super().teardown()

    def recover(self, crashes: list[int], *possible: Model) -> None:
        self.copy_files()
        super().recover(crashes, *possible)

    def steal(self, old_slots: frozenset[bytes] = frozenset()) -> Loot:
        self.copy_files()
        return self.site.steal(old_slots, self.seen)

    def copy_files(self) -> None:
        for file in [self.site.store, self.site.mirror, *self.backups]:
            if file.exists():
                self.read(file)

    def read(self, file: Path) -> None:
        copy = self.site.folder / "copy.db"
        self.copier.copy(file, copy)
        haul = read_database(copy, [self.site.database_key.expose()])
        assert haul is not None
        haul.into(self.seen)
        book = self.site.book.evidence
        assert haul.roots <= book.roots
        assert haul.wraps <= book.wraps
        assert haul.blobs <= book.blobs
        assert all(sealed in book.pages[number] for number, sealed in haul.pages)
        for rest in self.site.folder.glob("copy.db*"):
            rest.unlink()


def histories(count: int) -> settings:
    return settings(
        max_examples=count * 45 if SOAK else count,
        stateful_step_count=20,
        suppress_health_check=list(HealthCheck),
    )


def test_whatever_happens_the_thief_finds_what_lives_and_nothing_else() -> None:
    """One slot; every accident; everything ever written and every secret of now."""
    run_state_machine_as_test(TimeTraveller, settings=histories(110))


def test_a_slot_that_is_away_delays_the_promise_and_does_not_break_it() -> None:
    """What was forgotten while a slot was away is gone once that slot has confirmed."""
    run_state_machine_as_test(TwoSlots, settings=histories(110))


def test_the_files_hold_nothing_that_was_not_counted_in() -> None:
    """The same by the bytes of the files alone, copied by another process."""
    run_state_machine_as_test(RealBytes, settings=histories(30))
