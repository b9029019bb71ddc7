"""Claim: a lookup does not get slower with the number of records.

Floor: median latency at the largest size at most 1.1 times that at 10,000 records. What was
promised is about 10 million (large.py); here up to a million are judged by the same floor.

Method: the sites of all sizes served at once, each by a worker of its own on the same CPU, loaded
in turn, the order turned round each time. CPU per lookup: the closed loop of single.py, the median
of five rounds of two seconds. Latency: the open loop of latency.py, all sites at the same rate,
half of what the smallest one can do; the median of three rounds of five seconds each.
"""

from contextlib import ExitStack
from statistics import median
from typing import Final

from bench.asking import Asked, asked
from bench.claim import CLAIMED_SIZE, LEAST_SIZE, Claim, Floor, Json, Outcome, Plot
from bench.latency import offered_once, saturation
from bench.load.closed import Closed, ToolMissing, drive, in_turn, require_wrk
from bench.load.offered import Offered
from bench.running import Run

FLOOR: Final = Floor("<=", 1.1)
_BOUND_BY: Final = "beyond the processor's caches, two lines of memory for each probe"


def measure(run: Run) -> Outcome:
    """Load sites of all sizes in turn."""
    try:
        require_wrk()
    except ToolMissing as error:
        return Outcome((), (), (), (f"anything: {error}",))
    rows = observe(run)
    if len(run.sizes) == 1:
        return Outcome((), rows)
    lines = {
        name: [(float(row["records"]), float(row[f"{name}, ms"])) for row in rows]
        for name in ("p50", "p99")
    }
    cpu = {"CPU": [(float(row["records"]), float(row["CPU, µs"])) for row in rows]}
    plots = (
        Plot("CPU of one lookup", "records in the site", "µs of CPU", cpu),
        Plot("Latency at equal load", "records in the site", "ms", lines),
    )
    return Outcome(claims(run, rows, "", judged_at=CLAIMED_SIZE), rows, plots)


def claims(run: Run, rows: tuple[Json, ...], prefix: str, *, judged_at: int) -> tuple[Claim, ...]:
    """Compare the largest site with the smallest."""
    least, largest = rows[0], rows[-1]
    ratio = f"{run.sizes[-1]:,} records : {run.sizes[0]:,}"
    return (
        Claim(
            name=f"{prefix}lookup-latency-growth",
            says=f"median latency of a lookup, {ratio}",
            value=largest["p50, ms"] / least["p50, ms"],
            unit="times",
            records=run.largest,
            judged=run.sizes[0] == LEAST_SIZE and run.largest == judged_at,
            floor=FLOOR,
            bound_by=_BOUND_BY,
        ),
        Claim(
            name=f"{prefix}lookup-cpu-growth",
            says=f"CPU of a lookup, {ratio}",
            value=largest["CPU, µs"] / least["CPU, µs"],
            unit="times",
            records=run.largest,
            judged=False,
        ),
    )


def observe(run: Run) -> tuple[Json, ...]:
    """Return a row for each size."""
    with ExitStack() as stack:
        sites = {records: stack.enter_context(asked(run, records)) for records in run.sizes}
        drives = {str(records): _Drive(run, site) for records, site in sites.items()}
        closed = in_turn(run.rounds(5), drives, run.progress.tell)
        rate = saturation(run, sites[run.sizes[0]]) / 2
        offered: dict[int, list[Offered]] = {records: [] for records in sites}
        for at in range(rounds := run.rounds(3)):
            run.progress.tell(f"latency, round {at + 1} of {rounds}")
            for records, site in sites.items():
                offered[records].append(offered_once(run, site, rate))
    return tuple(_row(records, closed[str(records)], offered[records]) for records in sites)


class _Drive:
    """A closed loop on one site."""

    def __init__(self, run: Run, site: Asked) -> None:
        self._run = run
        self._site = site

    def __call__(self) -> Closed:
        site = self._site
        answering, load = site.answering, site.processors.load
        seconds = 1 if self._run.quick else 2
        return drive(answering.address, answering.pids, site.calls(), seconds, load)


def _row(records: int, closed: list[Closed], offered: list[Offered]) -> Json:
    return {
        "records": records,
        "CPU, µs": round(median(each.micros for each in closed), 2),
        "lookups/s": round(median(each.rate for each in closed)),
        "offered/s": round(offered[0].rate),
        "p50, ms": round(median(each.percentile(0.5) for each in offered) * 1e3, 4),
        "p99, ms": round(median(each.percentile(0.99) for each in offered) * 1e3, 4),
    }
