"""Claim: a thousand records are shredded in one call within a second.

Floor: 1 s at 1,000,000 records.

Method: as in shredding.py, but each call names 1,000 records (a tenth of the site where it is
small), spread over the leaves; it is one epoch change. Median of three calls, sizes in turn.
"""

import time
from collections import defaultdict
from contextlib import ExitStack
from typing import Final

from lookup.custodian.shredding import shred

from bench.claim import Claim, Floor, Outcome, Plot
from bench.held import Held, held
from bench.running import Run, Took, summed_up, timed
from bench.shredding import QUIET

_FLOOR: Final = Floor("<=", 1)
_BATCH: Final = 1_000


def measure(run: Run) -> Outcome:
    """Shred many records at once, at each size in turn."""
    took: dict[int, list[Took]] = defaultdict(list)
    with ExitStack() as stack:
        custodians = {
            records: stack.enter_context(held(run.sites.filled(records)[0].config))
            for records in run.sizes
        }
        for at in range(rounds := run.rounds(3)):
            run.progress.tell(f"batch {at + 1} of {rounds}")
            for records, custodian in custodians.items():
                time.sleep(QUIET)
                took[records].append(_shred(custodian, min(_BATCH, records // 10)))
    rows = tuple(
        {
            "records": records,
            "shredded at once": min(_BATCH, records // 10),
            "median, s": round(summed_up(took[records], 1)[0], 3),
            "longest, s": round(summed_up(took[records], 1)[2], 3),
            "CPU, s": round(summed_up(took[records], 1)[3], 3),
        }
        for records in run.sizes
    )
    claim = Claim(
        name="shred-thousand",
        says=f"{rows[-1]['shredded at once']:,} shreds in one call",
        value=rows[-1]["median, s"],
        unit="s",
        records=run.largest,
        judged=run.judged,
        floor=_FLOOR,
        bound_by="CPU: a thousand leaves opened, sealed under new keys and written twice",
    )
    lines = {"median": [(float(row["records"]), float(row["median, s"])) for row in rows]}
    plot = Plot("1,000 shreds in one call", "records in the site", "s", lines, _FLOOR.limit)
    return Outcome((claim,), rows, (plot,))


def _shred(custodian: Held, count: int) -> Took:
    record_ids = custodian.some_records(count)
    _, took = timed(lambda: custodian.writer.change(shred(record_ids)).result())
    return took
