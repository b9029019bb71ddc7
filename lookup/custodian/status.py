"""Where a site stands, in facts that name nobody."""

from typing import Any

from keys.entry import Kind
from keys.pages import SlotId
from lookup.custodian.custody import Custody
from lookup.custodian.running import Running


def report(custody: Custody, site: Running) -> dict[str, Any]:
    """Return the status that `lacuna status` prints."""
    mirrored = site.mirror.root()
    version = custody.vault.version
    return {
        "demo": custody.policy.demo,
        "vault": custody.vault.id.hex(),
        "epoch": version.epoch,
        "sequence": version.sequence,
        "started": site.started,
        "records": len(custody.sources),
        "clients": len(custody.policy.clients),
        "mirror": {
            "sequence": mirrored.version.sequence if mirrored else None,
            "behind": version.sequence - mirrored.version.sequence if mirrored else None,
        },
        "slots": _slots(custody),
        "absent_slots": [str(folder) for folder in site.absent_slots],
        "lookup_keys": lookup_keys(custody),
        "table": _table(custody),
        "damaged_pages": custody.damaged,
        "workers": [{"slot": slot, "current": now} for slot, now in custody.door.workers()],
        "finished_at_start": len(site.finished_at_start),
    }


def lookup_keys(custody: Custody) -> list[dict[str, Any]]:
    """Return each lookup key's kid and whether every link is indexed under it."""
    indexed = custody.kids
    return [
        {"kid": key.kid, "made": key.made, "indexed": key.kid in indexed}
        for key in custody.policy.live_keys()
    ]


def _slots(custody: Custody) -> list[dict[str, Any]]:
    lagging = custody.vault.lagging
    return [
        {
            "id": entry.id.hex(),
            "class": entry.body[:1].decode(),
            "label": entry.body[1:].decode(errors="replace"),
            "lagging": SlotId(entry.id) in lagging,
        }
        for entry in custody.vault.scan(Kind.SLOT)
    ]


def _table(custody: Custody) -> dict[str, Any]:
    publication = custody.publication
    return {
        "links": len(publication.table) if publication else 0,
        "load": round(publication.table.load, 3) if publication else 0,
        "complete": publication is not None and not custody.damaged,
        "building": custody.build.progress if custody.build else None,
    }
