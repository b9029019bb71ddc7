"""Claim: one record is destroyed within ten milliseconds, whatever the size of the site.

Floor: 10 ms median at 1,000,000 records with the mirror on the same disk; at most 1.5 times the
median at 10,000.

Method: sites of all sizes are open in this process at once (held.py), and each carries a case about
one record out in turn, so that what disturbs one disturbs all. The case has been approved just
before, so that only its end is timed, in the writer's thread: intent, epoch change in store and
mirror, both checkpointed, anchors, the slot that shows the old key destroyed, and the commit that
puts the certificate into the log. `prepared`: one that comes after a quiet moment, which is what
the custodian uses to make the slot's next blob; the claims are about these. `unprepared`: one right
after another. The records are spread over the leaves. No worker is connected; what an officer sees,
whose last step it is, with a worker that must have passed, over the UNIX socket of the real
process, is measured at the largest size alone. `bare sync` is the median of overwriting 4 KiB of a
file on the same disk and syncing them, once per round: what the disk was like meanwhile.
"""

import time
from collections import defaultdict
from contextlib import ExitStack
from statistics import median
from typing import Final

from bench.casework import Desk, Inside
from bench.claim import Claim, Floor, Json, Outcome, Plot
from bench.held import Held, held
from bench.machine import fdatasync
from bench.running import Run, Took, summed_up, timed
from bench.served import served
from bench.sites import Site
from keys.entry import EntryId
from lookup.custodian.cases.carrying_out import carry_out
from lookup.custodian.cases.case import Case
from lookup.custodian.custody import Custody

_FLOOR: Final = Floor("<=", 10)
_RATIO: Final = Floor("<=", 1.5)
QUIET: Final = 0.15  # seconds; the writer prepares after 0.05 without a command
_BOUND_BY: Final = (
    "the disk: as many syncs as syncing.py counts, see `bare sync`; and CPU: two blobs of 1 MiB in"
    " the slot, three commits in store and mirror each"
)


def measure(run: Run) -> Outcome:
    """Destroy records one by one, at each size in turn."""
    prepared: dict[int, list[Took]] = defaultdict(list)
    unprepared: dict[int, list[Took]] = defaultdict(list)
    disk: list[float] = []
    rounds = run.rounds(41)
    with ExitStack() as stack:
        sites = {records: run.sites.filled(records)[0] for records in run.sizes}
        custodians = {
            records: stack.enter_context(held(site.config)) for records, site in sites.items()
        }
        wanted = {
            records: iter(_ready(each, sites[records], each.some_records(2 * rounds)))
            for records, each in custodians.items()
        }
        for at in range(rounds):
            run.progress.tell(f"record {at + 1} of {rounds}")
            disk.append(fdatasync(run.sites.folder, 1))
            for records, custodian in custodians.items():
                time.sleep(QUIET)
                for took in (prepared, unprepared):
                    case = next(wanted[records])
                    took[records].append(_carry_out(custodian, sites[records], case))
        left = custodians[run.largest].some_records(rounds)
    rows = tuple(
        {**_row(n, prepared[n], unprepared[n]), "bare sync, ms": round(median(disk) * 1e3, 2)}
        for n in run.sizes
    )
    claims = (*_claims(run, rows), _seen_by_officer(run, left))
    return Outcome(claims, rows, (_plot(rows),))


def _ready(custodian: Held, site: Site, record_ids: list[EntryId]) -> list[Case]:
    """Return a case about each of these records, all but due."""

    def run(custody: Custody) -> list[Case]:
        inside = Inside(site, custody)
        return [case for each in record_ids for case in inside.ready([each])]

    return custodian.writer.call(run).result()


def _carry_out(custodian: Held, site: Site, case: Case) -> Took:
    def run(custody: Custody) -> Took:
        Inside(site, custody).approve([case])
        _, took = timed(lambda: carry_out(custody, [case]))
        return took

    return custodian.writer.call(run).result()


def _row(records: int, prepared: list[Took], unprepared: list[Took]) -> Json:
    middle, late, longest, cpu = summed_up(prepared, 1e3)
    return {
        "records": records,
        "prepared, ms": round(middle, 2),
        "ninth decile, ms": round(late, 2),
        "longest, ms": round(longest, 2),
        "CPU, ms": round(cpu, 2),
        "unprepared, ms": round(summed_up(unprepared, 1e3)[0], 2),
        "cases": len(prepared) + len(unprepared),
    }


def _claims(run: Run, rows: tuple[Json, ...]) -> list[Claim]:
    least, largest = rows[0]["prepared, ms"], rows[-1]["prepared, ms"]
    claims = [
        Claim(
            name="shred",
            says="one record destroyed and certified, median, mirror on the same disk",
            value=largest,
            unit="ms",
            records=run.largest,
            judged=run.judged,
            floor=_FLOOR,
            bound_by=_BOUND_BY,
        )
    ]
    if len(run.sizes) > 1:
        ratio = Claim(
            name="shred-ratio",
            says=f"one record destroyed, {run.sizes[-1]:,} records : {run.sizes[0]:,}",
            value=largest / least,
            unit="times",
            records=run.largest,
            judged=run.compared,
            floor=_RATIO,
            bound_by="a larger leaf to seal, and less of a larger file in the cache",
        )
        claims.append(ratio)
    return claims


def _seen_by_officer(run: Run, record_ids: list[EntryId]) -> Claim:
    site, _ = run.sites.filled(run.largest)
    took = []
    with served(site) as custodian:
        desk = Desk(site, custodian.local())
        for record_id in record_ids:
            case = desk.ready(record_id.hex())
            time.sleep(QUIET)
            due = desk.approve(case)
            begun = time.perf_counter()
            desk.carry_out(due)
            took.append(time.perf_counter() - begun)
    return Claim(
        name="shred-over-socket",
        says="a case's last step over the officers' socket, with a worker, median",
        value=median(took) * 1e3,
        unit="ms",
        records=run.largest,
        judged=False,
    )


def _plot(rows: tuple[Json, ...]) -> Plot:
    lines = {
        name: [(float(row["records"]), float(row[f"{name}, ms"])) for row in rows]
        for name in ("prepared", "ninth decile", "unprepared")
    }
    return Plot("One record destroyed", "records in the site", "ms", lines, _FLOOR.limit)
