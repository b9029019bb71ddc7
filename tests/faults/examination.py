"""What is there after a fault: what a start finishes, what a second one finds, what a thief finds.

Nothing is judged here: tests compare with what may be.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from crypto.record import Dek, unseal_payload
from keys.anchor import AnchorFile, AnchorKey
from keys.disk import Disk
from keys.entry import Kind
from keys.errors import WrongPassphrase
from keys.slot.file import FileSlot
from lookup.custodian.cases.carrying_out import tend
from lookup.custodian.records.record import Record
from lookup.custodian.unlocking import OpenSite
from lookup.demo.recover import KIND_INTENT, Evidence, Loot, database_keys, read_database, recover
from tests.faults.audited import files_in, notices_in, requests_in
from tests.faults.casework import Found, find, write_letters
from tests.faults.site import PASSPHRASES, Serving, marker, records, serve, unlock

T = TypeVar("T")

_DATABASES: Final = ("store/vault.db", "mirror/mirror.db", "backup/backup.db", "damaged/vault.db")


class Question(msgspec.Struct):
    """How to start, and what the thief gets and looks for.

    Passphrases are tried one after the other. `then` has the site's bytes before the start, and
    `earlier` more of them. `secrets` are hexadecimal, and the answer gives their names.
    """

    slots: list[str]
    passphrases: list[int]
    then: str
    earlier: list[str]
    secrets: dict[str, str]


class Started(msgspec.Struct):
    """A start: the records that it shows, and how many epoch changes it made first.

    `at_start` and `cases_at_start` are from before what was due is carried out, the others from
    after it. `secrets` gives what was drawn for the records, in hex; `requests`, `notices` and
    `segments` tell what has become of the audit (tests/faults/audited.py).
    """

    at_start: dict[str, int]
    cases_at_start: Found
    state: dict[str, int]
    cases: Found
    secrets: dict[str, str]
    finished: int
    tables: int
    requests: list[int]
    notices: list[str]
    segments: int


class Again(msgspec.Struct):
    """The start after that one. `slots` has the epochs that each registered slot has a key of."""

    epoch: int
    finished: int
    registered: int
    slots: dict[str, list[int]]
    let_go: dict[str, list[int]]
    anchors_fit: bool
    mirror_fits: bool


class Answer(msgspec.Struct):
    """All that there is to know. `decided` says that the store held an intent then."""

    decided: bool
    started: Started
    again: Again
    stolen: list[str]


def examine(folder: Path, question: Question) -> Answer:
    """Start a site twice, then let the thief have it."""
    then, earlier = Path(question.then), map(Path, question.earlier)
    passphrases = range(len(PASSPHRASES))
    return Answer(
        _is_decided(then),
        _start(folder, question),
        start_again(folder, question.slots, question.passphrases),
        hunt([folder, then, *earlier], passphrases, question.secrets),
    )


def _start(folder: Path, question: Question) -> Started:
    """Start a site, carry out what is due, and stop it."""
    site = _with_either(partial(serve, folder, question.slots), question.passphrases)
    call = site.writer.call
    at_start, _ = _read(site)
    cases_at_start = call(find).result()
    call(tend).result()
    call(write_letters).result()
    call(tend).result()
    state, secrets = _read(site)
    cases = call(find).result()
    finished = len(site.opened.vault.started_with)
    tables = len(list(site.config.index.glob("*.table")))
    audit = requests_in(site), notices_in(site), files_in(site)
    site.stop()
    return Started(at_start, cases_at_start, state, cases, secrets, finished, tables, *audit)


def _read(site: Serving) -> tuple[dict[str, int], dict[str, str]]:
    """Read every record, payload included; return versions, and what was drawn for them."""
    state: dict[str, int] = {}
    secrets: dict[str, str] = {}
    for record in records(site.opened.vault):
        name = record.body.source_ref.removeprefix("source of ").removesuffix(".")
        assert marker(name, record.version).encode() in _payload(site, record)
        state[name] = record.version
        secrets |= _secrets(name, record)
    return state, secrets


def start_again(folder: Path, slots: Sequence[str], passphrases: Sequence[int]) -> Again:
    """Open a site that was stopped cleanly, and compare what lies around it."""
    opened = _with_either(partial(unlock, folder, slots), passphrases)
    registered = {entry.id for entry in opened.vault.scan(Kind.SLOT)}
    keep, go = (
        [slot for slot in opened.slots if (bytes(slot.id) in registered) is known]
        for known in (True, False)
    )
    found = Again(
        epoch=opened.vault.version.epoch,
        finished=len(opened.vault.started_with),
        registered=len(registered),
        slots=_held(keep),
        let_go=_held(go),
        anchors_fit=_anchors_fit(opened, keep),
        mirror_fits=_mirror_fits(opened),
    )
    opened.close()
    return found


def _with_either(act: Callable[[int], T], passphrases: Sequence[int]) -> T:
    *first, last = passphrases
    for passphrase in first:
        with suppress(WrongPassphrase):
            return act(passphrase)
    return act(last)


def _payload(site: Serving, record: Record) -> bytes:
    blob = site.opened.store.blob(record.id, record.version)
    assert blob is not None
    dek, vault = Dek(record.body.dek), site.opened.vault.id
    return unseal_payload(dek, blob, vault, record.id, record.version)


def _secrets(name: str, record: Record) -> dict[str, str]:
    child, alias = (
        next(link.handle for link in record.body.links if part in link.value)
        for part in ("CHILD", "ALIAS")
    )
    return {
        f"{name}/handle": child.hex(),
        f"{name}/{record.version}/dek": record.body.dek.hex(),
        f"{name}/from {record.version}/handle": alias.hex(),
    }


def _held(slots: Iterable[FileSlot]) -> dict[str, list[int]]:
    return {slot.path.parent.name: [key.epoch for key in slot.held()] for slot in slots}


def _anchors_fit(opened: OpenSite, slots: Iterable[FileSlot]) -> bool:
    (key,) = opened.vault.scan(Kind.ANCHOR_KEY)
    stored = opened.store.root()
    found = [AnchorFile(Disk(), slot.path.parent).load(AnchorKey(key.body)) for slot in slots]
    return stored is not None and all(
        anchor is not None
        and anchor.version == stored.version
        and anchor.root_hash == sha256(stored.sealed).digest()
        for anchor in found
    )


def _mirror_fits(opened: OpenSite) -> bool:
    store, mirror = opened.store, opened.mirror
    return store.root() == mirror.root() and dict(store.pages()) == dict(mirror.pages())


def hunt(folders: Sequence[Path], passphrases: Sequence[int], secrets: dict[str, str]) -> list[str]:
    """Name the secrets that the thief finds with the first folder's slots and all databases."""
    loot = _steal(folders, passphrases)
    return [name for name, secret in secrets.items() if loot.holds(bytes.fromhex(secret))]


def _is_decided(folder: Path) -> bool:
    """Say whether the store, as it lies there, holds an intent: the thief can tell."""
    loot = _steal([folder], range(len(PASSPHRASES)))
    return any(entry.kind == KIND_INTENT for entry in loot.entries)


def _steal(folders: Sequence[Path], passphrases: Sequence[int]) -> Loot:
    evidence = Evidence(
        passphrases={PASSPHRASES[number] for number in passphrases},
        slots={path.read_bytes() for path in folders[0].glob("slot-*/slot")},
    )
    keys = database_keys(evidence.slots, set(PASSPHRASES))
    for path in (folder / name for folder in folders for name in _DATABASES):
        haul = read_database(path, keys) if path.exists() else None
        if haul:
            haul.into(evidence)
    return recover(evidence)
