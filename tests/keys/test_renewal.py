"""G1: what was sealed under a renewed key is forgotten with its epoch, whoever ends that."""

from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from keys.anchor import AuditMark
from keys.entry import RENEWED, Entry, Kind, Put, Remove, new_entry_id
from keys.errors import RolledBack
from keys.opening import open_vault, slot_entry
from keys.restoring import restore_vault
from keys.vault import Vault
from tests.keys.disks import Crash
from tests.keys.site import NEW, Place, lock_of, make_place, record

A, B = record(b"a", 1), record(b"b", 2)
KEY = Entry(Kind.ANSWER_KEY, new_entry_id(Kind.ANSWER_KEY), b"k" * 32)


@pytest.fixture
def place(folder: Path) -> Place:
    return make_place(folder / "site", first=(Put(A), Put(KEY)))


def key_of(vault: Vault) -> bytes:
    (entry,) = vault.scan(Kind.ANSWER_KEY)
    return entry.body


def add_slot(vault: Vault, place: Place) -> None:
    slot, anchor = place.make_slot(1)
    vault.add_slot(slot, anchor, slot_entry(slot, "new"))


CHANGES: dict[str, Callable[[Vault, Place], object]] = {
    "a removal": lambda vault, _: vault.commit((Remove(Kind.RECORD, A.id),)),
    "a purge": lambda vault, _: vault.purge(),
    "a passphrase": lambda vault, _: vault.change_lock(lock_of(NEW)),
    "a slot": add_slot,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_epoch_change_renews(place: Place, change: Callable[[Vault, Place], object]) -> None:
    """It is told of the new key when that is durable in the intent, and the old one still there."""
    told: list[tuple[bytes, bytes, int]] = []
    with place.opened() as vault:

        def announce(renewed: tuple[Entry, ...]) -> None:
            (entry,) = renewed
            told.append((entry.body, key_of(vault), len(list(vault.scan(Kind.INTENT)))))

        vault.announce = announce
        change(vault, place)
        new = key_of(vault)
    assert told == [(new, KEY.body, 1)]
    assert new != KEY.body
    assert len(new) == len(KEY.body)


def test_an_addition_renews_nothing(place: Place) -> None:
    with place.opened() as vault:
        vault.announce = lambda _: pytest.fail("nothing is renewed")
        vault.commit((Put(B),))
        assert key_of(vault) == KEY.body
        assert {entry.kind for entry in vault._state.renewable()} == RENEWED


def test_what_is_announced_may_be_followed_by_additions(place: Place) -> None:
    """Whatever was learnt under the former key is kept in the same epoch change."""
    with place.opened() as vault:

        def announce(_: tuple[Entry, ...]) -> None:
            vault.commit((Put(B),))

        vault.announce = announce
        vault.commit((Remove(Kind.RECORD, A.id),))
        assert vault.get(Kind.RECORD, A.id) is None
        assert vault.get(Kind.RECORD, B.id) == B
        assert list(vault.scan(Kind.INTENT)) == []


def test_the_key_that_was_announced_comes_into_force_at_the_next_start(place: Place) -> None:
    """G6: after a crash, whoever was told of it uses the right one."""
    told: list[bytes] = []

    def announce(renewed: tuple[Entry, ...]) -> None:
        told.append(renewed[0].body)
        raise Crash

    with place.keeping() as keeping, suppress(Crash):
        vault = open_vault(keeping)
        vault.announce = announce
        vault.purge()
    with place.opened() as vault:
        assert [key_of(vault)] == told
        assert [entry.body for entry in vault.former] == [KEY.body]
    with place.opened() as vault:
        assert vault.former == ()
        assert [key_of(vault)] == told


def test_an_unclean_start_says_what_it_renewed(place: Place) -> None:
    """What was sealed under it is at hand, and nowhere stored."""
    with place.keeping() as keeping:
        open_vault(keeping)
    with place.opened() as vault:
        assert [entry.body for entry in vault.former] == [KEY.body]
        assert key_of(vault) != KEY.body


@pytest.mark.parametrize("cut_off", [False, True])
def test_a_restore_renews_too(place: Place, *, cut_off: bool) -> None:
    def announce(_: tuple[Entry, ...]) -> None:
        raise Crash

    if cut_off:
        with place.keeping() as keeping, suppress(Crash):
            vault = open_vault(keeping)
            vault.announce = announce
            vault.purge()
    with place.keeping() as keeping:
        restored = restore_vault(keeping, [keeping.mirror], accept_loss=False)
        with closing(restored.vault) as vault:
            assert key_of(vault) != KEY.body


class TestAuditMark:
    """A7: an audit chain that was noted cannot be put back unseen."""

    def test_it_is_kept_across_commits_and_starts(self, place: Place) -> None:
        mark = (3, b"h" * 32)
        with place.keeping() as keeping, closing(open_vault(keeping)) as vault:
            vault.note_audit(AuditMark(*mark))
            vault.commit((Put(B),))
            vault.purge()
            assert vault.audit == mark
        there = place.keeping(audit_head=lambda _: mark[1])
        with there as keeping, closing(open_vault(keeping)) as vault:
            assert vault.audit == mark

    @pytest.mark.parametrize("head", [None, b"other head".ljust(32)])
    def test_a_chain_that_is_not_the_noted_one(self, place: Place, head: bytes | None) -> None:
        with place.keeping() as keeping, closing(open_vault(keeping)) as vault:
            vault.note_audit(AuditMark(3, b"h" * 32))
        before = place.bytes()
        refused = pytest.raises(RolledBack, match="has seen 3 rows of the audit chain")
        with place.keeping(audit_head=lambda _: head) as keeping, refused:
            open_vault(keeping)
        assert place.bytes() == before

    def test_it_is_durable_at_once(self, place: Place) -> None:
        with place.keeping() as keeping:
            vault = open_vault(keeping)
            vault.note_audit(AuditMark(1, b"h" * 32))
            anchor = keeping.slots[0][1].load(vault._state.anchor_key)
            assert anchor is not None
            assert (anchor.audit, anchor.version) == ((1, b"h" * 32), vault.version)
