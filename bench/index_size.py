"""Claim: the index takes at most 80 bytes of shared memory for each link.

Floor: 80 bytes per link at 1,000,000 links, in steady state: at any moment after a table was built
and before the next one is. While one is built there are two.

Method: `built`: the table that the real custodian built from the site (in the starts of
starting.py), its file's length over the links in it; a link is one identifier of a record that may
be answered. `full`, `grown`: a table of that many links, filled to the last one that it was made
for, and the same after it made room for half as many more. The claim is the worst of the three.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np

from bench.claim import Claim, Floor, Json, Outcome, Plot
from bench.running import Run
from bench.starting import observe, pick
from crypto.tag import TAG_SIZE
from lookup.index.layout import BODY
from lookup.index.writer import Table

_FLOOR = Floor("<=", 80)
_STATES = ("built", "full", "grown")


def measure(run: Run) -> Outcome:
    """Look at real tables, and at ones in their best and their worst state."""
    starts = observe(run)
    rows = []
    for records in run.sizes:
        start = pick(starts, records, 1)[0]
        row: Json = {
            "records": records,
            "links": start.links,
            "built, bytes/link": round(start.table_size / start.links, 1),
        }
        full, grown = _full_and_grown(records)
        row |= {"full, bytes/link": round(full, 1), "grown, bytes/link": round(grown, 1)}
        rows.append(row)
    claim = Claim(
        name="index-bytes-per-link",
        says="index, in its worst steady state",
        value=max(rows[-1][f"{state}, bytes/link"] for state in _STATES),
        unit="bytes",
        records=run.largest,
        judged=run.judged,
        floor=_FLOOR,
        bound_by="32 bytes a slot, five slots in eight taken, half as much room after growing",
    )
    lines = {
        state: [(float(row["records"]), float(row[f"{state}, bytes/link"])) for row in rows]
        for state in _STATES
    }
    plot = Plot("Index", "records, or links", "bytes/link", lines, _FLOOR.limit)
    return Outcome((claim,), tuple(rows), (plot,))


def _full_and_grown(links: int) -> tuple[float, float]:
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))  # tables are on tmpfs alone
    random = np.random.default_rng(links)
    tags = random.integers(0, 256, (links, TAG_SIZE), np.uint8)
    bodies = random.integers(0, 256, (links, BODY.size), np.uint8)
    try:
        table = Table.create(folder, 1, links)
        table.fill([(tags, bodies)])
        larger = table.grow(2)
        sizes = table.path.stat().st_size, larger.path.stat().st_size
        table.close()
        larger.close()
    finally:
        shutil.rmtree(folder)
    return sizes[0] / links, sizes[1] / links
