"""Custody without a writer, where nothing happens but what a test does; and what it publishes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from crypto.record import Dek
from crypto.tag import TAG_SIZE, Tag
from keys.entry import Kind, new_entry_id
from keys.slot.lock import Passphrase
from lookup.custodian.custody import Custody
from lookup.custodian.door import Door
from lookup.custodian.records.record import Record, make_body
from lookup.custodian.starting import publish, take_custody
from lookup.custodian.table.publishing import Named, Publication
from lookup.custodian.unlocking import open_site
from lookup.custodian.writer import Prepare
from lookup.index.layout import EMPTY_SLOT, HANDLE_SIZE, Link
from tests.simulator import PASSPHRASE, Site

Handles = dict[Tag, list[bytes]]


@contextmanager
def unattended(site: Site) -> Iterator[Custody]:
    """A custodian's inside, for one thread."""
    config = site.config
    with ExitStack() as closing:
        opened = open_site(config, Passphrase(PASSPHRASE.encode()), lambda: 0)
        closing.callback(opened.close)
        door = Door(config.worker_socket, print)
        closing.callback(door.close)
        custody = take_custody(config, opened, door)
        closing.callback(custody.close)
        publish(custody)
        yield custody


def commit(custody: Custody, prepare: Prepare[Any]) -> None:
    """Do what the writer does with one command."""
    prepared = prepare(custody)
    if not prepared.empty:
        custody.commit(prepared.batch, prepared.blobs, prepared.edits, prepared.steps)


def new_record(site: Site, source_ref: str, *identifiers: str) -> Record:
    """A record that is stored nowhere."""
    draft = site.draft(source_ref, *identifiers)
    return Record(new_entry_id(Kind.RECORD), 1, 0, make_body(draft, Dek.generate()))


def published(publication: Publication) -> Handles:
    """What a table holds, and what waits beside it."""
    found: Handles = {}
    for row in publication.table._slots():
        slot = row.tobytes()
        if slot != EMPTY_SLOT:
            found.setdefault(Tag(slot[:TAG_SIZE]), []).append(slot[TAG_SIZE:][:HANDLE_SIZE])
    for tag, waiting in publication._crowded.items():
        found.setdefault(tag, []).extend(waiting)
    return {tag: sorted(handles) for tag, handles in found.items()}


def to_publish(custody: Custody, publication: Publication) -> Handles:
    """What the map says that should be there."""
    links: list[tuple[Named, Link]] = [publication.rules.canary_link()]
    for leaf in range(custody.vault.leaves):
        for entry in custody.vault.scan_leaf(Kind.RECORD, leaf):
            links += publication.rules.links(Record.of(entry).body)
    found: Handles = {}
    for tag, link in publication.slots(links):
        found.setdefault(tag, []).append(link.handle)
    return {tag: sorted(handles) for tag, handles in found.items()}


def verify_published(custody: Custody) -> None:
    """The table in force holds exactly what it should."""
    assert custody.publication is not None
    assert published(custody.publication) == to_publish(custody, custody.publication)
