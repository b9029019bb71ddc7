"""Claim: ten thousand records that are due are destroyed within ten seconds.

Floor: 10 s at 1,000,000 records.

Method: cases of 64 records each, spread over the leaves, are approved and due; then the scheduler
does what it does in an idle moment, and all of them are carried out in one epoch change and
certified in one commit: `tend`, timed in the writer's thread, in this process (held.py). A tenth of
the site where it is small. Median of three batches, sizes in turn. No worker is connected.
"""

import time
from collections import defaultdict
from contextlib import ExitStack
from typing import Final

from bench.casework import Inside
from bench.claim import Claim, Floor, Outcome, Plot
from bench.held import Held, held
from bench.running import Run, Took, summed_up, timed
from bench.shredding import QUIET
from bench.sites import Site
from keys.entry import EntryId
from lookup.custodian.cases.carrying_out import MOST_AT_ONCE, tend
from lookup.custodian.custody import Custody

_FLOOR: Final = Floor("<=", 10)
_BATCH: Final = 10_000


def measure(run: Run) -> Outcome:
    """Destroy many records at once, at each size in turn."""
    took: dict[int, list[Took]] = defaultdict(list)
    cases: dict[int, int] = {}
    with ExitStack() as stack:
        sites = {records: run.sites.filled(records)[0] for records in run.sizes}
        custodians = {
            records: stack.enter_context(held(site.config)) for records, site in sites.items()
        }
        for at in range(rounds := run.rounds(3)):
            run.progress.tell(f"batch {at + 1} of {rounds}")
            for records, custodian in custodians.items():
                wanted = custodian.some_records(min(_BATCH, records // 10))
                time.sleep(QUIET)
                cases[records], one = _destroy(custodian, sites[records], wanted)
                took[records].append(one)
    rows = tuple(
        {
            "records": records,
            "destroyed at once": min(_BATCH, records // 10),
            "cases": cases[records],
            "median, s": round(summed_up(took[records], 1)[0], 3),
            "longest, s": round(summed_up(took[records], 1)[2], 3),
            "CPU, s": round(summed_up(took[records], 1)[3], 3),
        }
        for records in run.sizes
    )
    claim = Claim(
        name="destroy_10000",
        says=f"{rows[-1]['destroyed at once']:,} due records destroyed in one batch",
        value=rows[-1]["median, s"],
        unit="s",
        records=run.largest,
        judged=run.judged,
        floor=_FLOOR,
        bound_by="CPU: ten thousand leaves opened, sealed under new keys and written twice",
    )
    lines = {"median": [(float(row["records"]), float(row["median, s"])) for row in rows]}
    plot = Plot("10,000 records in one batch", "records in the site", "s", lines, _FLOOR.limit)
    return Outcome((claim,), rows, (plot,))


def _destroy(custodian: Held, site: Site, record_ids: list[EntryId]) -> tuple[int, Took]:
    """Return how many cases were carried out, and what that took."""

    def run(custody: Custody) -> tuple[int, Took]:
        inside = Inside(site, custody)
        cases = inside.ready(record_ids)
        if len(cases) > MOST_AT_ONCE:
            raise RuntimeError(f"{len(cases)} cases are more than one epoch change carries out")
        inside.approve(cases)
        epoch = custody.vault.version.epoch
        _, took = timed(lambda: tend(custody))
        if custody.docket.cases or custody.vault.version.epoch != epoch + 1:
            raise RuntimeError("the cases were not carried out in one epoch change")
        return len(cases), took

    return custodian.writer.call(run).result()
