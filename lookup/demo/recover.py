"""The thief: opens what all bytes of all times and every secret of today open together.

    passphrase, salt          -> Argon2id -> KEK        KEK, slot blob  -> epoch key
    epoch key, any wrap ever  -> root key               root key, root  -> page keys
    page key, any page ever   -> page keys, entries     entry           -> DEK, case key
    DEK, any blob ever        -> payload                case key        -> content of the case

It shares no code with `keys` and repeats the formats of slots, locks, pages, entries and intents
on purpose: it is the proof that what was shredded is gone, and a proof that used the code it
tests would share its mistakes. Whoever finds the duplication and mends it breaks the proof.

Greedy rather than clever: it tries each slot area under each passphrase and label, each key on
every version of a page it could belong to, each DEK on every blob that its own did not open.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import sha256, sha512
from itertools import chain, product
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

import msgspec
import sqlcipher3

from crypto.aead import AssociatedData, InvalidCiphertext, associate, unseal
from crypto.allornothing import BlobDigest, fold
from crypto.derive import Argon2Cost, Kek, stretch
from crypto.encoding import uint
from crypto.padding import InvalidPadding, unpad
from crypto.secret import SecretBytes

SECTOR: Final = 4096
FANOUT: Final = 256
KEY_SIZE: Final = 32
KIND_RECORD: Final = 1
KIND_INTENT: Final = 4
# Kinds whose entries hold keys of blobs: records, cases, what was parked for a case, statements.
KEEPERS: Final = frozenset({KIND_RECORD, 16, 20, 26})
_LABEL = Struct(">8sBB16s16sQ16sQ")
_COST = Struct(">III")
_LOCK_SIZE = 16 + _COST.size + 12 + KEY_SIZE + 16
_ENTRY = Struct(">B16sIIH")
_INTENT_HEAD = 20


class Guess(SecretBytes):
    """Thirty-two bytes that may be a key of something."""


class Root(NamedTuple):
    """A root page as it lay in some storage at some time."""

    vault: bytes
    epoch: int
    sequence: int
    sealed: bytes


class Wrap(NamedTuple):
    """A root key wrapped for a slot, as it lay beside a root."""

    vault: bytes
    epoch: int
    slot: bytes
    sealed: bytes


class Blob(NamedTuple):
    """A sealed payload."""

    id: bytes
    version: int
    sealed: bytes


class Entry(NamedTuple):
    """An entry of the map."""

    kind: int
    id: bytes
    version: int
    flags: int
    body: bytes


class _Label(NamedTuple):
    vault: bytes
    slot: bytes
    lock: bytes


@dataclass(repr=False)
class Evidence:
    """Everything the thief has, in any order; nothing in it need fit together."""

    passphrases: set[bytes] = field(default_factory=set)
    slots: set[bytes] = field(default_factory=set)
    roots: set[Root] = field(default_factory=set)
    wraps: set[Wrap] = field(default_factory=set)
    pages: dict[int, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    blobs: set[Blob] = field(default_factory=set)


@dataclass(repr=False)
class Loot:
    """Everything that opens. `texts` holds each opened page and payload, whole."""

    entries: set[Entry] = field(default_factory=set)
    payloads: dict[Blob, bytes] = field(default_factory=dict)
    texts: list[bytes] = field(default_factory=list)

    @cached_property
    def _all(self) -> bytes:
        return b"\n".join(self.texts)

    def holds(self, text: bytes) -> bool:
        """Say whether anything that opened contains this: a name, a number, a key."""
        return text in self._all

    @property
    def records(self) -> set[bytes]:
        """The ids of all records whose payload opened."""
        others = {entry.id for entry in self.entries if entry.kind in KEEPERS - {KIND_RECORD}}
        return {blob.id for blob in self.payloads} - others


def recover(evidence: Evidence) -> Loot:
    """Open everything that the evidence opens."""
    return _Thief(evidence).run()


def database_keys(slots: Iterable[bytes], passphrases: Iterable[bytes]) -> set[bytes]:
    """Return the keys of the database files that the slots' locks hold."""
    labels = {label for label, _ in _areas(slots) if label}
    opened = (_open_lock(*pair) for pair in product(labels, passphrases))
    return {key for key in opened if key}


class _Thief:
    """One pass after another, until nothing new opens."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.loot = Loot()
        areas = list(_areas(evidence.slots))
        self._labels = {label for label, _ in areas if label}
        self._digests = {sha512(blob).digest() for _, blob in areas}
        self._keks = {
            kek
            for label in self._labels
            for passphrase in evidence.passphrases
            if (kek := _stretch(label.lock, passphrase))
        }
        self._root_keys: set[bytes] = set()
        self._page_keys: set[tuple[bytes, int, int, bytes]] = set()
        self._deks: dict[bytes, set[bytes]] = defaultdict(set)

    def run(self) -> Loot:
        tried: set[bytes] = set()
        while new := self._keks - tried:
            tried |= new
            for root_key, vault in self._unwrap(new):
                self._open_roots(root_key, vault)
            self._read_intents()
        self._open_blobs()
        return self.loot

    def _unwrap(self, keks: set[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Yield root keys: each KEK with each blob under each label, against every wrap ever."""
        for vault, slot in {(label.vault, label.slot) for label in self._labels}:
            wraps = [
                (wrap.sealed, associate("lacuna/wrap/v1", vault, slot, uint(wrap.epoch)))
                for wrap in self.evidence.wraps
                if (wrap.vault, wrap.slot) == (vault, slot)
            ]
            for kek, digest in product(keks, self._digests):
                epoch_key = fold(Kek(kek), BlobDigest(digest), vault, slot)
                for sealed, place in wraps:
                    opened = _try(epoch_key, sealed, place)
                    if opened and opened not in self._root_keys:
                        self._root_keys.add(opened)
                        yield opened, vault

    def _open_roots(self, root_key: bytes, vault: bytes) -> None:
        for root in self.evidence.roots:
            if root.vault == vault:
                place = associate("lacuna/root/v1", vault, uint(root.epoch), uint(root.sequence))
                opened = self._take(Guess(root_key), root.sealed, place)
                if opened:
                    self._follow(vault, opened[1], 1, 0, opened[2:])

    def _follow(self, vault: bytes, depth: int, level: int, first: int, keys: bytes) -> None:
        """Use the page keys of an interior page on every version of each child."""
        for index in range(FANOUT):
            key = keys[index * KEY_SIZE : (index + 1) * KEY_SIZE]
            ordinal = first + index
            name = (vault, level, ordinal, key)
            if not any(key) or name in self._page_keys:
                continue
            self._page_keys.add(name)
            place = associate("lacuna/page/v1", vault, uint(level), uint(ordinal))
            for sealed in self.evidence.pages[ordinal + (1 if level == 1 else 1 + FANOUT)]:
                opened = self._take(Guess(key), sealed, place)
                if opened and level < depth:
                    self._follow(vault, depth, level + 1, ordinal * FANOUT, opened[1:])
                elif opened:
                    self._note(_unpadded(opened)[1:])

    def _note(self, encoded: bytes) -> None:
        """Keep entries that stand one behind the other, and the keys of blobs in them."""
        for entry in _entries(encoded):
            self.loot.entries.add(entry)
            if entry.kind in KEEPERS:
                self._deks[entry.id].update(_keys_in(entry.body))

    def _read_intents(self) -> None:
        """Look into what epoch changes had set out to do: entries to put, a lock to close."""
        parts: dict[bytes, dict[bytes, bytes]] = defaultdict(dict)
        for entry in self.loot.entries:
            if entry.kind == KIND_INTENT:
                parts[entry.body[:16]][entry.body[16:18]] = entry.body[_INTENT_HEAD:]
        for found in parts.values():
            content = b"".join(found[number] for number in sorted(found))
            self.loot.texts.append(content)  # entries are cut where parts end; here they are whole
            for value in _values(content):
                self._note(value)
                if len(value) == KEY_SIZE:
                    self._keks.add(value)

    def _open_blobs(self) -> None:
        vaults = {root.vault for root in self.evidence.roots}
        everything = set().union(*self._deks.values())
        for blob in self.evidence.blobs:
            own = self._deks[blob.id]
            for vault, dek in product(vaults, chain(own, everything - own)):
                place = associate("lacuna/blob/v1", vault, blob.id, uint(blob.version))
                opened = self._take(Guess(dek), blob.sealed, place)
                if opened:
                    self.loot.payloads[blob] = _unpadded(opened)
                    break

    def _take(self, key: SecretBytes, sealed: bytes, place: AssociatedData) -> bytes | None:
        opened = _try(key, sealed, place)
        if opened:
            self.loot.texts.append(opened)
        return opened


def _try(key: SecretBytes, sealed: bytes, place: AssociatedData) -> bytes | None:
    try:
        return unseal(key, sealed, place)
    except InvalidCiphertext:
        return None


def _unpadded(opened: bytes) -> bytes:
    try:
        return bytes(unpad(opened))
    except InvalidPadding:
        return opened


def _areas(slots: Iterable[bytes]) -> Iterator[tuple[_Label | None, bytes]]:
    """Yield both areas of each slot file: the label, if it is not torn, and the blob."""
    for raw in slots:
        half = len(raw) // 2
        for area in (raw[:half], raw[half:]):
            yield _label(area[:SECTOR]), area[SECTOR:]


def _label(header: bytes) -> _Label | None:
    end = _LABEL.size + _LOCK_SIZE
    if len(header) < SECTOR or sha256(header[:end]).digest() != header[end : end + 32]:
        return None
    _, _, _, vault, slot, *_ = _LABEL.unpack_from(header)
    return _Label(vault, slot, header[_LABEL.size : end])


@lru_cache(maxsize=64)  # Argon2id is made to be slow
def _stretch(lock: bytes, passphrase: bytes) -> bytes | None:
    try:
        cost = Argon2Cost.parse(*_COST.unpack_from(lock, 16))
    except ValueError:
        return None
    return stretch(passphrase, lock[:16], cost).expose()


def _open_lock(label: _Label, passphrase: bytes) -> bytes | None:
    kek = _stretch(label.lock, passphrase)
    place = associate("lacuna/lock/v1", label.vault)
    return _try(Guess(kek), label.lock[16 + _COST.size :], place) if kek else None


def _entries(encoded: bytes) -> Iterator[Entry]:
    """Yield the entries that these bytes are, or nothing where they are something else."""
    at, found = 0, []
    while at + _ENTRY.size <= len(encoded):
        kind, entry_id, version, flags, length = _ENTRY.unpack_from(encoded, at)
        at += _ENTRY.size + length
        found.append(Entry(kind, entry_id, version, flags, encoded[at - length : at]))
    if at == len(encoded):
        yield from found


def _values(packed: bytes) -> Iterator[bytes]:
    """Yield every byte string in a MessagePack value, however deep."""
    with suppress(msgspec.DecodeError):
        left = [msgspec.msgpack.decode(packed)]
        while left:
            value = left.pop()
            if isinstance(value, bytes):
                yield value
            elif isinstance(value, list):
                left.extend(value)
            elif isinstance(value, dict):
                left.extend(value.values())


def _keys_in(body: bytes) -> Iterator[bytes]:
    return (value for value in _values(body) if len(value) == KEY_SIZE)


class Haul(NamedTuple):
    """All rows of one database file."""

    roots: set[Root]
    wraps: set[Wrap]
    pages: set[tuple[int, bytes]]
    blobs: set[Blob]

    def into(self, evidence: Evidence) -> None:
        """Put the rows with what the thief already has."""
        evidence.roots |= self.roots
        evidence.wraps |= self.wraps
        evidence.blobs |= self.blobs
        for number, sealed in self.pages:
            evidence.pages[number].add(sealed)


def read_database(path: Path, keys: Iterable[bytes]) -> Haul | None:
    """Return all rows of a database file, or None if no key opens it.

    A WAL beside it is read too. Nothing is written, and the file may be in use.
    """
    for key in keys:
        with suppress(sqlcipher3.DatabaseError):
            return _read(path, key)
    return None


def _read(path: Path, key: bytes) -> Haul:
    name = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlcipher3.connect(name, uri=True, isolation_level=None)) as connection:
        connection.execute("PRAGMA cipher_log_level = NONE")
        connection.execute("PRAGMA cipher_default_hmac_algorithm = HMAC_SHA256").fetchall()
        connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
        connection.execute("BEGIN")
        roots = {
            Root(*row)
            for row in connection.execute("SELECT vault, epoch, sequence, sealed FROM root")
        }
        wraps = {
            Wrap(root.vault, root.epoch, *row)
            for row in connection.execute("SELECT slot, sealed FROM wrap")
            for root in roots
        }
        pages = set(connection.execute("SELECT number, sealed FROM page"))
        blobs = {Blob(*row) for row in connection.execute("SELECT id, version, sealed FROM blob")}
    return Haul(roots, wraps, pages, blobs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Steal from files, and say what opened; no name, number or payload is printed."""
    options = _parser().parse_args(arguments)
    evidence = Evidence(
        passphrases={options.passphrase_file.read_bytes().removesuffix(b"\n").removesuffix(b"\r")},
        slots={(folder / "slot").read_bytes() for folder in options.slot},
    )
    keys = database_keys(evidence.slots, evidence.passphrases)
    hauls = {path: read_database(path, keys) for path in options.database}
    for haul in hauls.values():
        if haul:
            haul.into(evidence)
    loot = recover(evidence)
    for path, haul in hauls.items():
        print(f"{path}: {_opened(haul, loot)}")  # noqa: T201
    print(f"records opened: {len(loot.records)}")  # noqa: T201
    texts = options.find.read_bytes().splitlines() if options.find else []
    for number, text in enumerate(texts, start=1):
        print(f"line {number}: {'found' if loot.holds(text) else 'not found'}")  # noqa: T201
    return 0


def _opened(haul: Haul | None, loot: Loot) -> str:
    if haul is None:
        return "does not open"
    opened = len(haul.blobs & loot.payloads.keys())
    return f"{opened} of {len(haul.blobs)} sealed payloads opened"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lookup.demo.recover",
        description="Open whatever these files and this passphrase open together.",
        allow_abbrev=False,
    )
    parser.add_argument("--passphrase-file", type=Path, required=True, metavar="FILE")
    parser.add_argument("--slot", type=Path, action="append", required=True, metavar="FOLDER")
    parser.add_argument("--database", type=Path, nargs="+", required=True, metavar="FILE")
    parser.add_argument(
        "--find", type=Path, metavar="FILE", help="say of each of its lines whether it is there"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
