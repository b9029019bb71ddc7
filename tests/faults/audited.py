"""What workers have audited before something goes wrong, and what must be there afterwards.

Three segments: one of a living worker, which dies with the process under fault; one that is
finished; one of a worker that has died. In each two groups: somebody asked for ann and for bob.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lookup.custodian.audit.auditing import GroupUnreadable
from tests.faults.site import NOW, ONE_SLOT, Serving, draft, serve
from tests.lookup.custodian.segments import SegmentFile, head_of

AUDITED: Final = 6
_ASKED_FOR: Final = ("ann", "bob")


def serve_audited(folder: Path, slots: Sequence[str] = ONE_SLOT) -> Serving:
    """Open a site, then have workers write; nothing is taken in before it is told to."""
    site = serve(folder, slots)
    audit = site.custody.audit
    audit._intake_due = math.inf
    living, finished, dead = segments = [
        SegmentFile(audit.handed_out(demo=True), site.opened.vault.id) for _ in range(3)
    ]
    number = 0
    for segment in segments:
        for name in _ASKED_FOR:
            head = head_of(NOW * 1_000_000)._replace(request_id=number.to_bytes(16, "big"))
            segment.ask([[_handle(site, name)]], head)
            number += 1
    finished.end()
    finished.close()
    dead.close()
    _ALIVE.append(living)
    return site


# For as long as the process lives.
_ALIVE: Final[list[SegmentFile]] = []


def _handle(site: Serving, name: str) -> bytes:
    record = site.custody.by_source(draft(name).source)
    assert record is not None
    return record.body.links[0].handle


def requests_in(site: Serving) -> list[int]:
    """Return the number of every request that the chain tells of, in order."""
    audit = site.custody.audit
    found = []
    for row in audit.chain.walk():
        try:
            entries = audit.groups.entries(row)
        except GroupUnreadable:
            return [-1]
        found += [int.from_bytes(entry.head.request_id, "big") for entry in entries]
    return sorted(found)


def notices_in(site: Serving) -> list[str]:
    """Return the name of the record of every notice, in order."""
    names = {bytes(record_id): source for source, record_id in site.custody.sources.items()}
    known = {draft(name).source: name for name in _ASKED_FOR}
    notices = site.custody.audit.notices.after(0, 1_000)
    return sorted(known[names[notice.record]] for notice in notices)


def files_in(site: Serving) -> int:
    """Return how many segments are left."""
    return len(list(site.config.audit.iterdir()))
