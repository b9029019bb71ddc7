"""Claim: with two workers a lookup costs at most 1.1 times the CPU that it costs with one.

Floor: 1.1 times at 1,000,000 records. Throughput with two workers on two cores, which also carry
the load, would say nothing; so CPU is compared, in which a lock or a line of memory that both want
would show just as well.

Method: one custodian; one worker on one port and two on another one. Where a machine has three CPUs
or more each worker has its own; where it has two, all are on the one that the load is not on. The
closed loop of single.py, the median of five rounds of three seconds, in turn.
"""

import os
from functools import partial
from statistics import median
from typing import Final

from bench.asking import Asked, asked
from bench.claim import Claim, Floor, Json, Outcome
from bench.load.closed import Closed, ToolMissing, drive, in_turn, require_wrk
from bench.processors import Processors
from bench.running import Run
from bench.served import Answering, Workers, answered

_FLOOR: Final = Floor("<=", 1.1)
_COUNTS: Final = (1, 2)


def measure(run: Run) -> Outcome:
    """Load one worker and two in turn."""
    try:
        require_wrk()
    except ToolMissing as error:
        return Outcome((), (), (), (f"anything: {error}",))
    cpus = _cpus()
    with (
        asked(run, run.largest) as site,
        (run.sites.folder / "workers.log").open("wb") as errors,
        answered(site.custodian.site, Workers(2, cpus, first_slot=1), errors) as two,
    ):
        two.await_ready()
        drives = {
            str(count): partial(_drive, run, site, answering)
            for count, answering in zip(_COUNTS, (site.answering, two), strict=True)
        }
        found = in_turn(run.rounds(5), drives, run.progress.tell)
    rows = tuple(_row(count, found[str(count)]) for count in _COUNTS)
    claim = Claim(
        name="lookup-cpu-two-workers",
        says="CPU of a lookup, two workers : one",
        value=rows[1]["CPU, µs"] / rows[0]["CPU, µs"],
        unit="times",
        records=run.largest,
        judged=run.judged,
        floor=_FLOOR,
        bound_by="fewer lookups for each turn of an event loop and for each audit group",
    )
    return Outcome((claim,), rows)


def _cpus() -> tuple[int, ...]:
    load = Processors.choose().load
    others = tuple(sorted(os.sched_getaffinity(0) - {load}, reverse=True))
    return others or (load,)


def _drive(run: Run, site: Asked, answering: Answering) -> Closed:
    seconds = 1 if run.quick else 3
    load = site.processors.load
    return drive(answering.address, answering.pids, site.calls(), seconds, load)


def _row(count: int, rounds: list[Closed]) -> Json:
    return {
        "workers": count,
        "CPU, µs": round(median(each.micros for each in rounds), 2),
        "lookups/s": round(median(each.rate for each in rounds)),
    }
