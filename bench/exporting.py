"""Claim: a family's copy of a record that was told 10,000 times is made in 5 seconds.

Floor: 5 s for a record with 10,000 accesses among 50,000 audit entries: the site's walk, the
transfer, and both files, made and written.

Method: the custodian's process (served.py) without workers; segments as workers write them, in
groups of five entries of which one is about the record, lie there before it starts. Then an officer
exports over TCP loopback, by the code of `lacuna record export`, in this process; median of five.
Each round adds one access, the export's own, and one row to the chain. `walk` is until the last
line has come, `files` from there to both files' ends, on disk and synced.
"""

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from bench.audited import some_record, write_accesses
from bench.claim import Claim, Floor, Json, Outcome
from bench.held import opened
from bench.officers import REQUESTER
from bench.running import Run
from bench.served import Served, served
from lookup.cli.custodian import Custodian
from lookup.cli.walking import walk
from lookup.custodian.records.record import Record
from lookup.disclosure.export import make_export
from lookup.disclosure.page import render_html
from lookup.disclosure.redacting import redact
from lookup.private_file import new_private_file

FLOOR: Final = Floor("<=", 5)
ACCESSES: Final = 10_000
GROUP: Final = 5


class _Took(NamedTuple):
    walk: float
    files: float
    accesses: int
    size: int
    cpu: float


def measure(run: Run) -> Outcome:
    """Write accesses, start a custodian on them, export."""
    site, _ = run.sites.filled(run.largest)
    run.progress.tell(f"writing {ACCESSES * GROUP:,} audit entries")
    with opened(site.config) as custodian:
        record = some_record(custodian.vault)
        write_accesses(site, custodian.vault, record, ACCESSES, GROUP)
    with served(site, workers=None) as custodian:
        took = [_export(run, custodian, record) for _ in range(run.rounds(5))]
    whole = median(each.walk + each.files for each in took)
    row: Json = {
        "accesses": took[0].accesses,
        "audit entries": ACCESSES * GROUP,
        "walk, s": round(median(each.walk for each in took), 2),
        "files, s": round(median(each.files for each in took), 2),
        "custodian CPU, s": round(median(each.cpu for each in took), 2),
        "both files, MB": round(took[0].size / 1e6, 1),
    }
    claim = Claim(
        name="export",
        says=f"a family's copy of a record that was told {ACCESSES:,} times",
        value=whole,
        unit="s",
        records=run.largest,
        judged=run.judged,
        floor=FLOOR,
        bound_by="the interpreter: each audit entry is opened, and compared with the record's link",
    )
    return Outcome((claim,), (row,))


def _export(run: Run, served_: Served, record: Record) -> _Took:
    host, port = served_.connection.host, served_.connection.port
    custodian = Custodian.at_url(f"http://{host}:{port}", None)
    custodian.authorize({"authorization": f"Bearer {served_.site.token(REQUESTER)}"})
    cpu, begun = served_.cpu(), time.perf_counter()
    lines = list(walk(custodian, f"/v1/records/{record.id.hex()}/export", "exporting"))
    walked = time.perf_counter()
    told = redact(make_export(lines), [])
    with tempfile.TemporaryDirectory(dir=run.sites.folder) as folder:
        size = 0
        for name, content in (
            ("export.json", told.json()),
            ("export.html", render_html(told).encode()),
        ):
            with new_private_file(Path(folder) / name) as file:
                size += file.write(content)
    ended = time.perf_counter()
    custodian.close()
    accesses = len(told.document["accesses"])
    if accesses < ACCESSES:
        raise RuntimeError(f"of {ACCESSES} accesses {accesses} were found")
    return _Took(walked - begun, ended - walked, accesses, size, served_.cpu() - cpu)
