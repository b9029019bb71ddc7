"""Locks: one passphrase opens one, an error does not tell more, and Argon2id is paid once."""

import pytest

from crypto.derive import SALT_SIZE, TESTING_ONLY_COST
from keys.errors import SlotDamaged, WrongPassphrase
from keys.page import VaultId
from keys.slot import lock as locks
from keys.slot.lock import Lock, Passphrase
from tests.keys.site import DATABASE_KEY, NEW, OLD, lock_of

VAULT = VaultId(b"v" * 16)


def test_the_passphrase_opens_it() -> None:
    raw = lock_of(OLD).close(VAULT)
    opened = Lock.open(raw, Passphrase(OLD), VAULT)
    assert len(raw) == locks.SIZE
    assert opened.database_key.expose() == DATABASE_KEY.expose()
    assert opened.kek.expose() == lock_of(OLD).kek.expose()


@pytest.mark.parametrize(
    ("passphrase", "vault"), [(NEW, VAULT), (OLD, VaultId(b"w" * 16))], ids=["passphrase", "vault"]
)
def test_nothing_else_does(passphrase: bytes, vault: VaultId) -> None:
    with pytest.raises(WrongPassphrase, match="does not open the slot"):
        Lock.open(lock_of(OLD).close(VAULT), Passphrase(passphrase), vault)


def test_a_cost_that_no_lock_has_is_refused_before_it_is_paid() -> None:
    """It is read from a file before anything vouches for it."""
    raw = bytearray(lock_of(OLD).close(VAULT))
    raw[SALT_SIZE + 4] = 0xFF
    with pytest.raises(SlotDamaged, match="cost out of bounds"):
        Lock.open(bytes(raw), Passphrase(OLD), VAULT)


def test_a_passphrase_is_stretched_once_for_each_salt() -> None:
    passphrase = Passphrase(OLD)
    one, two = bytes(16), b"s" * 16
    assert passphrase.kek(one, TESTING_ONLY_COST) is passphrase.kek(one, TESTING_ONLY_COST)
    assert passphrase.kek(one, TESTING_ONLY_COST) is not passphrase.kek(two, TESTING_ONLY_COST)


def test_neither_prints_what_it_knows() -> None:
    lock = lock_of(OLD)
    shown = f"{Passphrase(OLD)!r} {lock!r}"
    assert OLD.decode() not in shown
    assert lock.kek.expose().hex() not in shown
    assert repr(lock.kek.expose()) not in shown
