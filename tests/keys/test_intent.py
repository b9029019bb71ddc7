"""Intents come back from the map exactly as they were decided."""

import random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from keys.entry import Batch, Entry, EntryId, Kind, Put, Remove, new_entry_id
from keys.intent import Intent, intent_id_of, parse_intents
from tests.keys.site import DATABASE_KEY, NEW, lock_of

ids = st.binary(min_size=16, max_size=16).map(EntryId)
entries = st.builds(Entry, st.just(Kind.RECORD), ids, st.binary(max_size=4096))
steps = st.one_of(
    st.builds(Put, entries),
    st.builds(Remove, st.just(Kind.RECORD), ids),
)


def parts(intent: Intent) -> list[Entry]:
    return [step.entry for step in intent.entries() if isinstance(step, Put)]


@given(
    st.lists(steps, max_size=12).map(tuple),
    st.lists(st.tuples(ids, st.integers(1, 1000)), max_size=3).map(tuple),
    st.lists(st.binary(max_size=5000), max_size=3).map(tuple),
    st.randoms(use_true_random=False),
)
def test_an_intent_is_what_it_was(
    batch: Batch,
    blobs: tuple[tuple[EntryId, int], ...],
    log: tuple[bytes, ...],
    chance: random.Random,
) -> None:
    """In the same order too: an entry that is put and removed must not be there afterwards."""
    intent = Intent.make(batch, blobs, log=log)
    stored = parts(intent)
    chance.shuffle(stored)
    assert parse_intents(stored, DATABASE_KEY) == [intent]


def test_a_lock_comes_back_without_its_passphrase() -> None:
    lock = lock_of(NEW)
    (found,) = parse_intents(parts(Intent.make((), lock=lock)), DATABASE_KEY)
    assert found.lock is not None
    assert found.lock.kek.expose() == lock.kek.expose()
    assert (found.lock.salt, found.lock.cost) == (lock.salt, lock.cost)


def test_two_intents_are_kept_apart() -> None:
    one = Intent.make((Put(Entry(Kind.RECORD, new_entry_id(Kind.RECORD), bytes(4000))),) * 3)
    two = Intent.make((Remove(Kind.RECORD, EntryId(bytes(16))),))
    mixed = sorted(parts(one) + parts(two), key=lambda entry: entry.id)
    assert {intent.id: intent for intent in parse_intents(mixed, DATABASE_KEY)} == {
        one.id: one,
        two.id: two,
    }
    assert {intent_id_of(entry) for entry in parts(one)} == {one.id}


def test_all_parts_lie_in_the_first_leaf() -> None:
    """A start reads that leaf and no other before it decides."""
    long = Put(Entry(Kind.RECORD, new_entry_id(Kind.RECORD), bytes(4096)))
    stored = parts(Intent.make((long,) * 50))
    assert len(stored) > 50
    assert {entry.id[:2] for entry in stored} == {b"\0\0"}


def test_an_intent_does_not_print_a_key() -> None:
    intent = Intent.make((Put(Entry(Kind.RECORD, EntryId(bytes(16)), b"body")),), lock=lock_of(NEW))
    assert "body" not in repr(intent)
    assert "kek" not in repr(intent)


def test_an_intent_of_yesterday_has_no_leaves() -> None:
    """Its content ended with the lock; the step was the name of an entry to remove."""
    name = EntryId(bytes(range(16)))
    content = msgspec.msgpack.encode([[(1, name)], [(name, 3)], None])
    head = b"i" * 16 + b"\0\0" + b"\0\1"
    entry = Entry(Kind.INTENT, new_entry_id(Kind.INTENT), head + content)
    expected = Intent(b"i" * 16, (Remove(Kind.RECORD, name),), ((name, 3),))
    assert parse_intents([entry], DATABASE_KEY) == [expected]
