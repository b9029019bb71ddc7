"""A3, the time traveller, and supplementary statements: once gone, without a sign.

With their record, or alone, where officers have agreed to that.
"""

from collections.abc import Callable
from typing import Final

import pytest

from keys.entry import EntryId, Kind
from lookup.custodian.custody import Custody
from lookup.officers.proposal import WithdrawStatement
from tests.attacks.thief import Thief
from tests.simulator import Custodian, Site, nhs

WORDS: Final = "Sorrel-Bexley was acquitted on 3 May"
LEFT: Final = "what a statement of another record says"


def stated(custodian: Custodian, record_id: EntryId, text: str) -> None:
    """Put a statement beside a record."""
    path = f"/v1/records/{record_id.hex()}/statements"
    custodian.desk.told("leo", "POST", path, {"text": text})


def shred(custodian: Custodian, record_id: EntryId) -> None:
    """Destroy the record, and its statement with it."""
    custodian.shred(record_id)


def withdraw(custodian: Custodian, record_id: EntryId) -> None:
    """Destroy the statement alone."""
    (found,) = custodian.call(lambda custody: custody.supplements.of(record_id))
    custodian.desk.change(
        WithdrawStatement(record=record_id.hex(), statement=found.id.hex(), authority="AXT")
    )


def secrets(custody: Custody, record_id: EntryId) -> dict[str, bytes]:
    """Return what nobody is to find afterwards, by what it is."""
    (found,) = custody.supplements.of(record_id)
    return {
        "the text": WORDS.encode(),
        "its key": found.key.expose(),
        "its text's name": found.blob,
        "its entry's id": found.id,
    }


@pytest.mark.parametrize("destroy", [shred, withdraw])
def test_neither_the_text_nor_that_there_was_one_is_left(
    destroy: Callable[[Custodian, EntryId], None],
) -> None:
    """All of it is found while it stands there; after, nothing, in all bytes of all times.

    Besides what opens, the blobs' names are looked at: the store of now has none that is nobody's.
    """
    with Site() as site, site.open() as custodian, Thief(site) as thief:
        record_id, other = custodian.add("gone", nhs(1)), custodian.add("left", nhs(2))
        thief.look(custodian)
        stated(custodian, other, LEFT)
        stated(custodian, record_id, WORDS)
        thief.look(custodian)
        hidden = custodian.call(lambda custody: secrets(custody, record_id))
        before = thief.steal()
        assert [what for what, value in hidden.items() if not before.holds(value)] == []

        destroy(custodian, record_id)
        thief.look(custodian)

        after = thief.steal()
        assert [what for what, value in hidden.items() if after.holds(value)] == []
        assert after.holds(LEFT.encode())
        assert after.holds(record_id) == (destroy is withdraw)
        there = {entry.id for entry in after.entries if entry.kind == Kind.SUPPLEMENT}
        assert there == custodian.call(
            lambda custody: {each.id for each in custody.supplements.of(other)}
        )
        names = custodian.call(lambda custody: {name for name, _ in custody.store.blob_names()})
        assert not names & set(hidden.values())
