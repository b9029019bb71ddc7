"""A7, the operator who rolls back: single blobs (stores, mirrors, pages: tests/keys)."""

from collections.abc import Iterator

import pytest

from crypto.aead import InvalidCiphertext
from crypto.record import Dek, unseal_payload
from lookup.custodian.store.database import connect
from lookup.custodian.store.pages import Store
from tests.attacks.model import Living, Maker, adding, correcting
from tests.attacks.site import Site


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        yield made


def put_blob(site: Site, name: Living, sealed: Living) -> None:
    """Put one record's ciphertext in the place of another's, as whoever has the file can."""
    connection = connect(site.store, site.database_key, "rw")
    connection.execute(
        "UPDATE blob SET sealed = ? WHERE id = ? AND version = ?",
        (sealed.blob[2], *name.blob[:2]),
    )
    connection.close()


def read(site: Site, living: Living) -> bytes:
    """Read a record's payload as the custodian does."""
    record = site.records()[living.record.id]
    assert isinstance(site.keeping.store, Store)
    sealed = site.keeping.store.blob(record.id, record.version)
    assert sealed is not None
    dek = Dek(record.body.dek)
    return unseal_payload(dek, sealed, site.vault_id, record.id, record.version)


def test_an_older_version_of_a_payload_does_not_open(site: Site) -> None:
    """Each version has its own key, and its number is bound into the seal."""
    maker = Maker(site.vault_id)
    old = maker.make()
    new = maker.correct(old, "payload")
    site.vault.commit(*adding(old))
    site.vault.commit(*correcting(old, new))
    assert read(site, new) == new.payload
    put_blob(site, new, old)
    with pytest.raises(InvalidCiphertext):
        read(site, new)


def test_another_records_payload_does_not_open(site: Site) -> None:
    one, other = Maker(site.vault_id).make_many(2)
    site.vault.commit(*adding(one, other))
    put_blob(site, one, other)
    with pytest.raises(InvalidCiphertext):
        read(site, one)
