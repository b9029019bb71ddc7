"""Claim: the custodian imports at least 8,000 records a second, up to a million of them.

Floor: 8,000 records/s, averaged over the whole import of 1,000,000 records into an empty site.

Method: the custodian's application in this process (held.py) is called as its server calls it,
with a file of generated lines for a body. So everything is timed that an import does but HTTP and
sockets: lines are split and parsed into drafts while the batch before is stored; per batch one
commit to the store, one to the mirror on the same disk, an anchor; per record a data key, a sealed
payload, its links in the index, a result. The writer adapts its batches to a quarter of a second.
The rate over time is that of each tenth of the import. One import per size: the site that it fills
is the one that the other benchmarks use. `CPU` is that of both threads, so it can exceed the time.
"""

from bench.claim import Claim, Floor, Outcome, Plot
from bench.filling import Imported
from bench.running import Run

_FLOOR = Floor(">=", 8_000)


def measure(run: Run) -> Outcome:
    """Import at each size."""
    done = [run.sites.filled(records)[1] for records in run.sizes]
    claim = Claim(
        name="import-rate",
        says="import through the custodian's application",
        value=done[-1].records / done[-1].seconds,
        unit="records/s",
        records=run.largest,
        judged=run.judged,
        floor=_FLOOR,
        bound_by="CPU: sealing payload and map pages, and SQLCipher's own encryption of store and"
        " mirror; the last tenth shows what a leaf costs that already holds fifteen records",
    )
    plot = Plot(
        "Import rate while a site fills",
        "records in the site",
        "records/s",
        {f"{each.records:,} records": list(each.rates) for each in done},
        _FLOOR.limit,
    )
    return Outcome((claim,), tuple(map(_row, done)), (plot,))


def _row(done: Imported) -> dict[str, float]:
    return {
        "records": done.records,
        "records/s": round(done.records / done.seconds),
        "last tenth, records/s": round(done.rates[-1][1]),
        "CPU µs/record": round(done.cpu / done.records * 1e6, 1),
        "longest batch, s": round(done.longest_batch, 3),
        "store bytes/record": round(done.store_size / done.records),
        "mirror bytes/record": round(done.mirror_size / done.records),
    }
