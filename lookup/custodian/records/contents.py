"""Contents: which blobs a vault has keys for. A restore looks for these, and for no others."""

from collections.abc import Iterator

from keys.entry import EntryId, Kind
from keys.vault import Vault
from lookup.custodian.cases.case import content_name
from lookup.custodian.records.supplements import Supplement
from lookup.custodian.retention.sweep_list import list_names


def wanted_blobs(vault: Vault) -> Iterator[tuple[EntryId, int]]:
    """Yield id and version of the blob of each record, case, parked update, statement and list."""
    for index in range(vault.leaves):
        for entry in vault.scan_leaf(Kind.RECORD, index):
            yield entry.id, entry.version
    yield from map(content_name, vault.scan(Kind.CASE))
    yield from ((entry.id, 1) for entry in vault.scan(Kind.PARKED))
    yield from (Supplement.of(entry).text_name for entry in vault.scan(Kind.SUPPLEMENT))
    yield from list_names(vault)
