"""A3 and A7 at the audit: what is shredded is forgotten there too, and nothing else ever is.

The thief has every database and segment as it lay at each moment, and every secret of now. So he
opens all groups; what he looks for is in the entries: which of them were answered with the record
that was shredded, and which belong together.
"""

import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from crypto.aead import InvalidCiphertext
from crypto.audit import AnswerKey, AuditKey, WitnessKey, WitnessMaker
from keys.entry import EntryId, Kind
from keys.slot.lock import DatabaseKey
from lookup.audit.entry import HEAD_SIZE, Entry, entry_size, find_witness, open_answers, parse_entry
from lookup.audit.segment import open_header, parse_header, split_group
from lookup.custodian.store.database import connect
from lookup.demo.recover import Evidence, Loot, database_keys, read_database, recover
from tests.attacks.copier import Copier
from tests.lookup.custodian.segments import SegmentFile, head_of, id_of
from tests.simulator import PASSPHRASE, Custodian, Json, Site, nhs

Matrix = NDArray[np.float64]

# The record is asked for so many times, and as often somebody who is unknown.
ASKED: Final = 2_000
_GROUP: Final = 50
# Of a normal variable, in a few hundred looks at it: once in ten thousand runs of this test.
_SIGMAS: Final = 6.0


@dataclass
class Thief:
    """Copies everything whenever he comes by."""

    site: Site
    copier: Copier
    folder: Path
    visits: list[Path] = field(default_factory=list)

    def visit(self) -> None:
        """Take a copy of all that lies around."""
        visit = self.folder / f"visit-{len(self.visits)}"
        visit.mkdir()
        self.copier.copy(self.site.config.store_file, visit / "vault.db")
        self.copier.copy(self.site.config.mirror_file, visit / "mirror.db")
        shutil.copytree(self.site.config.audit, visit / "audit")
        self.visits.append(visit)

    def open(self) -> "Loot":
        """Open the map with every secret of now: what opens of any time."""
        evidence = Evidence(
            passphrases={PASSPHRASE.encode()},
            slots={path.read_bytes() for path in self.site.folder.glob("slot-*/slot")},
        )
        for database in self._databases(("vault.db", "mirror.db")):
            haul = read_database(database, self._keys())
            if haul:
                haul.into(evidence)
        return recover(evidence)

    def entries(self, loot: Loot, vault: bytes) -> dict[bytes, Entry]:
        """Open every group of every time."""
        (body,) = {entry.body for entry in loot.entries if entry.kind == Kind.AUDIT_KEY}
        key = AuditKey(msgspec.msgpack.decode(body)[0])
        found: dict[bytes, Entry] = {}
        for database in self._databases(("vault.db",)):
            for header, number, sealed in self._groups(database):
                opener = open_header(parse_header(header), key, vault)
                for encoded in split_group(opener, number, sealed):
                    found[id_of(encoded)] = parse_entry(encoded)
        return found

    def _databases(self, names: Sequence[str]) -> Iterator[Path]:
        return (visit / name for visit in self.visits for name in names)

    def _keys(self) -> set[bytes]:
        slots = {path.read_bytes() for path in self.site.folder.glob("slot-*/slot")}
        return database_keys(slots, {PASSPHRASE.encode()})

    def _groups(self, database: Path) -> list[tuple[bytes, int, bytes]]:
        (key,) = self._keys()
        connection = connect(database, DatabaseKey(key), "rw")
        try:
            rows: list[tuple[bytes, int, bytes]] = connection.execute(
                "SELECT s.header, g.number, g.sealed FROM audit_group AS g"
                " JOIN audit_segment AS s ON s.id = g.segment"
            ).fetchall()
            return rows
        finally:
            connection.close()


@dataclass(frozen=True)
class Theft:
    """What the thief has, and for the controls what he never gets."""

    loot: Loot
    entries: dict[bytes, Entry]
    asked: list[bytes]
    unknown: list[bytes]
    handles: list[bytes]
    old_answer_key: bytes
    shredded: EntryId
    kept: EntryId
    verdict: Json

    def of(self, ids: Sequence[bytes]) -> list[Entry]:
        """Return entries in this order."""
        return [self.entries[name] for name in ids]


@pytest.fixture(scope="module")
def theft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theft]:
    folder = tmp_path_factory.mktemp("thief")
    with Site() as site, Copier() as copier, site.open() as custodian:
        thief = Thief(site, copier, folder)
        doomed, kept = custodian.add("doomed", nhs(1), nhs(2)), custodian.add("kept", nhs(3))
        handles = _handles(custodian, doomed)
        audit = custodian.call(lambda custody: custody.audit.handed_out(demo=True))
        segment = SegmentFile(audit, custodian.custody.vault.id, size=8 << 20)
        made = _ask(segment, handles, thief)
        segment.ask([_handles(custodian, kept)])
        custodian.feed.get("/v1/accesses")
        thief.visit()
        custodian.shred(doomed)
        thief.visit()
        custodian.call(lambda custody: custody.audit.flush())
        loot = thief.open()
        yield Theft(
            loot,
            thief.entries(loot, custodian.custody.vault.id),
            [name for name, known in made if known],
            [name for name, known in made if not known],
            handles,
            audit.answer_key,
            doomed,
            kept,
            _verdict(custodian),
        )
        segment.close()


def _handles(custodian: Custodian, record_id: EntryId) -> list[bytes]:
    record = custodian.call(lambda custody: custody.record(record_id))
    assert record is not None
    return [link.handle for link in record.body.links]


def _ask(segment: SegmentFile, handles: list[bytes], thief: Thief) -> list[tuple[bytes, bool]]:
    """Have it asked in random order; return the entries' ids, and which were answered."""
    answered = [True, False] * ASKED
    secrets.SystemRandom().shuffle(answered)
    made = []
    for known in answered:
        answer = secrets.choice([handles, handles[:1]]) if known else []
        made.append((segment.maker.make(head_of(), [answer]), known))
    for at in range(0, len(made), _GROUP):
        segment.append([entry for entry, _ in made[at : at + _GROUP]])
        if at in {0, len(made) // 2}:
            thief.visit()
    return [(id_of(entry), known) for entry, known in made]


class TestTimeTraveller:
    """All bytes of all times, every secret of now."""

    def test_he_has_every_entry_and_the_keys_of_now(self, theft: Theft) -> None:
        """Or what follows would prove nothing."""
        assert theft.entries.keys() >= {*theft.asked, *theft.unknown}
        assert len(theft.entries) == 2 * ASKED + 1
        kinds = {entry.kind for entry in theft.loot.entries}
        assert {Kind.AUDIT_KEY, Kind.ANSWER_KEY, Kind.NOTICE} <= kinds
        assert theft.loot.holds(theft.kept)

    def test_nothing_names_the_record(self, theft: Theft) -> None:
        """Nor a link of it, a notice about it, the key that its answers were sealed with."""
        for secret in (theft.shredded, *theft.handles, theft.old_answer_key):
            assert not theft.loot.holds(secret)

    def test_no_key_that_he_has_opens_an_answer(self, theft: Theft) -> None:
        keys = {entry.body for entry in theft.loot.entries if len(entry.body) == 32}
        assert keys
        for entry in theft.of(theft.asked[:50] + theft.unknown[:50]):
            for key in keys:
                with pytest.raises(InvalidCiphertext):
                    open_answers(entry, AnswerKey(key))

    def test_no_witness_fits_a_link_that_he_knows(self, theft: Theft) -> None:
        """He finds who asked for a record that lives, and nobody else."""
        witnesses = _witnesses(theft.loot)
        alive = [
            bytes(link[2])
            for entry in theft.loot.entries
            if entry.kind == Kind.RECORD
            for link in msgspec.msgpack.decode(entry.body)[7]
        ]
        found = {
            entry.id
            for entry in theft.entries.values()
            for handle in alive
            if find_witness(entry, handle, witnesses)
        }
        assert len(alive) == 1
        assert len(found) == 1
        assert not found & {*theft.asked, *theft.unknown}

    def test_no_two_entries_share_a_witness(self, theft: Theft) -> None:
        """Two lookups of it cannot be told to belong together."""
        all_of_them = [w for entry in theft.entries.values() for w in entry.witnesses_of(0)]
        assert len(set(all_of_them)) == len(all_of_them)

    def test_a_distinguisher_that_learns_learns_nothing(self, theft: Theft) -> None:
        """Trained on half of the entries, with the truth: on the other half it guesses.

        The length is the same, so the bits are all that there is: those of the witnesses, the
        nonce, the sealed answers.
        """
        assert {len(entry._bytes) for entry in theft.entries.values()} == {entry_size(1)}
        asked, unknown = _bits(theft.of(theft.asked)), _bits(theft.of(theft.unknown))
        half = ASKED // 2
        learnt = asked[:half].mean(axis=0) - unknown[:half].mean(axis=0)
        _require_a_guess(asked[half:] @ learnt, unknown[half:] @ learnt)

    def test_no_single_byte_tells(self, theft: Theft) -> None:
        asked, unknown = _bytes(theft.of(theft.asked)), _bytes(theft.of(theft.unknown))
        for column in range(asked.shape[1]):
            _require_a_guess(asked[:, column], unknown[:, column])

    def test_pairs_of_its_entries_are_not_more_alike(self, theft: Theft) -> None:
        """Than pairs of entries that have nothing in common."""
        asked, unknown = _bits(theft.of(theft.asked)), _bits(theft.of(theft.unknown))
        distances = [np.abs(bits[::2] - bits[1::2]).sum(axis=1) for bits in (asked, unknown)]
        _require_a_guess(*distances)

    def test_with_the_old_handles_he_would_know_all(self, theft: Theft) -> None:
        """The positive control: the same entries, and ten bytes that were forgotten."""
        witnesses = _witnesses(theft.loot)
        found = {
            entry.id
            for entry in theft.entries.values()
            for handle in theft.handles
            if find_witness(entry, handle, witnesses)
        }
        assert found == set(theft.asked)

    def test_with_the_old_answer_key_too(self, theft: Theft) -> None:
        key = AnswerKey(theft.old_answer_key)
        for entry in theft.of(theft.asked):
            (answered,) = open_answers(entry, key)
            assert answered
            assert set(answered) <= set(theft.handles)

    def test_the_chain_is_whole(self, theft: Theft) -> None:
        """Forgetting took nothing out of it."""
        assert theft.verdict["sound"]
        assert theft.verdict["entries"] == 2 * ASKED + 1


@pytest.fixture
def custodian() -> Iterator[Custodian]:
    with Site() as site, site.open() as running:
        yield running


@pytest.fixture
def segment(custodian: Custodian) -> Iterator[SegmentFile]:
    audit = custodian.call(lambda custody: custody.audit.handed_out(demo=True))
    made = SegmentFile(audit, custodian.custody.vault.id)
    yield made
    made.close()


class TestOperator:
    """Whoever has the store and its key, and rewrites what was audited (A7)."""

    ATTACKS: ClassVar[dict[str, tuple[str, Json]]] = {
        "dropped": ("DELETE FROM audit_group WHERE row = 2", {"broken": 3}),
        "the last dropped": ("DELETE FROM audit_group WHERE row = 3", {"anchored": False}),
        "reordered": (
            """UPDATE audit_group SET sealed = (SELECT sealed FROM audit_group AS other
               WHERE other.row = 5 - audit_group.row) WHERE row IN (2, 3)""",
            {"broken": 2},
        ),
        "edited": ("UPDATE audit_group SET sealed = x'00' WHERE row = 1", {"broken": 1}),
        "the key dropped": ("DELETE FROM audit_segment", {"unreadable": [1, 2, 3]}),
    }

    @pytest.mark.parametrize("attack", ATTACKS)
    def test_an_attacked_chain(
        self, custodian: Custodian, segment: SegmentFile, attack: str
    ) -> None:
        """A7."""
        for _ in range(3):
            segment.ask([[]])
        custodian.call(lambda custody: custody.audit.take_in())
        statement, said = self.ATTACKS[attack]
        custodian.call(lambda custody: custody.audit.groups._openers.clear())
        custodian.call(
            lambda custody: custody.store._database.connection.execute(statement).fetchall()
        )
        found = _verdict(custodian)
        assert not found["sound"]
        assert said.items() <= found.items()


def _verdict(custodian: Custodian) -> Json:
    last = custodian.officer.post("/v1/local/audit/verify").text.splitlines()[-1]
    verdict: Json = msgspec.json.decode(last)["verdict"]
    return verdict


def _witnesses(loot: Loot) -> WitnessMaker:
    (body,) = {entry.body for entry in loot.entries if entry.kind == Kind.AUDIT_KEY}
    return WitnessMaker(WitnessKey(msgspec.msgpack.decode(body)[1]))


def _bytes(entries: Sequence[Entry]) -> Matrix:
    """Return what of each entry might depend on the answer."""
    parts = b"".join(entry._bytes[HEAD_SIZE:] for entry in entries)
    return np.frombuffer(parts, dtype=np.uint8).reshape(len(entries), -1).astype(np.float64)


def _bits(entries: Sequence[Entry]) -> Matrix:
    return np.unpackbits(_bytes(entries).astype(np.uint8), axis=1).astype(np.float64)


def _require_a_guess(some: Matrix, others: Matrix) -> None:
    """See that a score separates two samples no better than chance (Mann-Whitney)."""
    scores = np.concatenate((some, others))
    order = np.argsort(scores + np.random.default_rng().uniform(0, 1e-9, len(scores)))
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    n, m = len(some), len(others)
    area = (ranks[:n].sum() - n * (n + 1) / 2) / (n * m)
    deviation = ((n + m + 1) / (12 * n * m)) ** 0.5
    assert abs(area - 0.5) < _SIGMAS * deviation, f"area {area:.4f}"
