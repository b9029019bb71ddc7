"""Claim: with ten million records a site starts in a minute, fits into 6 GB, and is as quick.

Floors at 10,000,000 records: 60 s from the custodian's start to ready, one live lookup key; 80
bytes of index for each link; 6,000 MB for all of Lacuna, the custodian at its peak with the table
and one worker; median latency of a lookup at most 1.1 times that at 10,000 records.

Method: that of starting.py, index_size.py, memory.py and growth.py, at 10,000 and at 10,000,000
records; one custodian process, as always. Not part of `make bench`, for filling the site takes half
an hour: `make bench-full`.
"""

from statistics import median
from typing import Final

from bench import growth
from bench.asking import asked
from bench.claim import Claim, Floor, Json, Outcome
from bench.load.closed import ToolMissing, require_wrk
from bench.processors import resident
from bench.running import Run
from bench.starting import Start, observe, pick

RECORDS: Final = 10_000_000
_START: Final = Floor("<=", 60)
_INDEX: Final = Floor("<=", 80)
_MEMORY: Final = Floor("<=", 6_000)


def measure(run: Run) -> Outcome:
    """Start, look, load."""
    starts = pick(observe(run), run.largest, 1)
    claims, missing = _standing(run, starts, _worker_memory(run)), []
    rows: tuple[Json, ...] = ()
    try:
        require_wrk()
        rows = growth.observe(run)
    except ToolMissing as error:
        missing.append(f"lookups: {error}")
    if len(rows) > 1:
        claims += growth.claims(run, rows, "large-", judged_at=RECORDS)
    return Outcome(claims, rows or (_row(claims),), (), tuple(missing))


def _worker_memory(run: Run) -> int:
    with asked(run, run.largest) as site:
        return resident(site.answering.pids)


def _row(claims: tuple[Claim, ...]) -> Json:
    return {claim.says: round(claim.value, 2) for claim in claims}


def _standing(run: Run, starts: list[Start], worker: int) -> tuple[Claim, ...]:
    judged = run.largest == RECORDS
    peak = median(start.memory["VmHWM"] for start in starts)
    return (
        Claim(
            name="large-start",
            says="custodian start to ready, one key",
            value=median(start.seconds for start in starts),
            unit="s",
            records=run.largest,
            judged=judged,
            floor=_START,
            bound_by="CPU: opening leaves and making a token and a tag per link, in one process",
        ),
        Claim(
            name="large-index",
            says="index, as built",
            value=starts[0].table_size / starts[0].links,
            unit="bytes/link",
            records=run.largest,
            judged=judged,
            floor=_INDEX,
            bound_by="32 bytes a slot, five slots in eight taken",
        ),
        Claim(
            name="large-memory",
            says="all of Lacuna: custodian's peak with the table, and one worker",
            value=(peak + worker) / 1e6,
            unit="MB",
            records=run.largest,
            judged=judged,
            floor=_MEMORY,
            bound_by="the table, and a dict entry per record for its source reference",
        ),
    )
