"""Claim: at half of saturation the slowest lookup in a hundred takes at most ten medians.

Floor: p99 of latency at half of saturation at most 10 times the median, at 1,000,000 records.

Method: saturation is what 32 connections in a closed loop get (median of three rounds). Then
requests are offered at shares of it at random moments (Poisson), whatever the answers do, over 128
keep-alive connections; latency counts from when a request was due (load/offered.py). Two rounds of
five seconds for each share, in turn; the median of the rounds' percentiles. One worker on one CPU,
generator and custodian on another one. The disk's own syncs are timed in the same run, between the
rounds: no audited answer can be faster than one. `late` had no answer two seconds after the end.
"""

from statistics import median
from typing import Final

from bench.asking import NO_AUDIT, Asked, are_audited, asked
from bench.claim import Claim, Floor, Json, Outcome, Plot
from bench.load.closed import CONNECTIONS, ToolMissing, drive, require_wrk
from bench.load.offered import Offered, offer
from bench.machine import sync_times
from bench.running import Run

_FLOOR: Final = Floor("<=", 10)
_SHARES: Final = (0.1, 0.25, 0.5, 0.7, 0.85, 0.95)
_HALF: Final = 0.5
_PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
_SYNCS: Final = 500


def measure(run: Run) -> Outcome:
    """Find saturation, then offer less."""
    try:
        require_wrk()
    except ToolMissing as error:
        return Outcome((), (), (), (f"anything: {error}",))
    with asked(run, run.largest) as site:
        most = saturation(run, site)
        found: dict[float, list[Offered]] = {share: [] for share in _SHARES}
        syncs: list[float] = []
        for at in range(rounds := run.rounds(2)):
            for share, offered in found.items():
                run.progress.tell(f"{share:.0%} of saturation, round {at + 1} of {rounds}")
                offered.append(offered_once(run, site, most * share))
            syncs += sync_times(run.sites.folder, _SYNCS // rounds)
    rows = tuple(_row(share, offered) for share, offered in found.items())
    syncs.sort()
    disk = {
        "share of saturation": "the disk's own syncs",
        **dict.fromkeys(("offered/s", "late"), ""),
        **{
            f"{name}, ms": round(syncs[int(share * len(syncs))] * 1e3, 3)
            for name, share in _PERCENTILES.items()
        },
    }
    half = next(row for row in rows if row["share of saturation"] == _HALF)
    claim = Claim(
        name="lookup-p99-half",
        says="p99 : median of latency, at half of saturation",
        value=half["p99, ms"] / half["p50, ms"],
        unit="times",
        records=run.largest,
        judged=run.judged and are_audited(),
        floor=_FLOOR,
        bound_by=f"the disk: its p99 alone is {disk['p99, ms']} ms; and lookups that wait for a"
        " group of others",
    )
    missing = () if are_audited() else (NO_AUDIT,)
    return Outcome((claim, _median(run, half)), (*rows, disk), (_plot(rows),), missing)


def saturation(run: Run, site: Asked) -> float:
    """Return the lookups a second of a closed loop."""
    rounds = [
        drive(
            *(site.answering.address, site.answering.pids, site.calls()),
            *(1 if run.quick else 2, site.processors.load),
            connections=CONNECTIONS,
        )
        for _ in range(run.rounds(3))
    ]
    return median(each.rate for each in rounds)


def offered_once(run: Run, site: Asked, rate: float) -> Offered:
    """Offer a rate to a site for one round."""
    seconds = 0.3 if run.quick else 5.0
    return offer(site.answering.address, site.calls(), rate, seconds, site.processors.load)


def _row(share: float, rounds: list[Offered]) -> Json:
    return {
        "share of saturation": share,
        "offered/s": round(rounds[0].rate),
        "late": sum(each.late for each in rounds),
        **{
            f"{name}, ms": round(median(each.percentile(of) for each in rounds) * 1e3, 3)
            for name, of in _PERCENTILES.items()
        },
    }


def _median(run: Run, half: Json) -> Claim:
    return Claim(
        name="lookup-p50-half",
        says="median latency, at half of saturation",
        value=half["p50, ms"],
        unit="ms",
        records=run.largest,
        judged=False,
    )


def _plot(rows: tuple[Json, ...]) -> Plot:
    lines = {
        name: [(float(row["offered/s"]), float(row[f"{name}, ms"])) for row in rows]
        for name in _PERCENTILES
    }
    return Plot("Latency against offered load", "offered lookups/s", "ms", lines, scale="log-log")
