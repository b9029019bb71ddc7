"""Audit entries for benchmarks: segments as workers that have ended leave them."""

import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bench.sites import Site
from crypto.audit import AnswerKey, AuditPublicKey, WitnessKey
from keys.entry import Kind
from keys.vault import Vault
from lookup.audit.entry import CLIENT_ID_SIZE, UNSCHEDULED, EntryMaker, Head
from lookup.audit.segment import make_end, make_group, make_header, whole_blocks
from lookup.custodian.audit.audit_keys import AuditKeys
from lookup.custodian.records.record import Record
from lookup.private_file import new_private_file

_IN_SEGMENT: Final = 12_500  # entries


def some_record(vault: Vault) -> Record:
    """Return a record of a vault."""
    found = (entry for leaf in range(vault.leaves) for entry in vault.scan_leaf(Kind.RECORD, leaf))
    return Record.of(next(found))


def write_accesses(site: Site, vault: Vault, record: Record, accesses: int, size: int) -> None:
    """Write segments of workers that have ended: groups of a size, each with one access of it."""
    audit = AuditKeys.load(vault).handed_out(site.config.audit, demo=True)
    maker = EntryMaker(WitnessKey(audit.witness_key), AnswerKey(audit.answer_key))
    (link, *_) = record.body.links
    at_once = _IN_SEGMENT // size
    for first in range(0, accesses, at_once):
        header, sealer = make_header(
            0, int(time.time()), vault.id, AuditPublicKey(audit.public_key)
        )
        path = Path(audit.folder) / secrets.token_hex(16)
        with new_private_file(path) as file:
            file.write(header)
            for entries in _groups(maker, link.handle, min(at_once, accesses - first), size):
                group = make_group(sealer, entries)
                file.write(group.ljust(whole_blocks(len(group)), b"\0"))
            file.write(make_end(sealer))


def _groups(maker: EntryMaker, handle: bytes, count: int, size: int) -> Iterator[Sequence[bytes]]:
    clients = [secrets.token_bytes(CLIENT_ID_SIZE) for _ in range(20)]
    for number in range(count):
        head = Head(
            UNSCHEDULED,
            int(time.time() * 1_000_000),
            clients[number % len(clients)],
            secrets.token_bytes(16),
            b"nurse-%d" % (number % 500),
            b"triage nurse",
            b"visit-%d" % number,
        )
        misses = [maker.make(head, [[]]) for _ in range(size - 1)]
        yield [maker.make(head, [[handle]]), *misses]
