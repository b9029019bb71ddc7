"""Claim: whoever was answered with a record is found at two microseconds for each audit entry.

Floor: 2 us of CPU for each entry of the chain, for one record with one link: reading rows, opening
groups, comparing witnesses, and noting who it was.

Method: segments as workers write them, in groups of five entries of which one is about the record,
lie there before the custodian starts in this process (held.py). The search that a case makes when
it is due (lookup/custodian/cases/recalling.py) then goes along the whole chain in the writer's
thread; median of five.
"""

from statistics import median
from typing import Final

from bench.audited import GROUP, some_record, write_accesses
from bench.claim import Claim, Floor, Json, Outcome
from bench.held import Held, held, opened
from bench.running import Run, Took, timed
from lookup.custodian.cases.recalling import Search
from lookup.custodian.custody import Custody
from lookup.custodian.records.record import Record

FLOOR: Final = Floor("<=", 2)
ACCESSES: Final = 40_000


def measure(run: Run) -> Outcome:
    """Write accesses, start a custodian on them, look for who they were."""
    accesses = ACCESSES // 100 if run.quick else ACCESSES
    site, _ = run.sites.filled(run.sizes[0])
    run.progress.tell(f"writing {accesses * GROUP:,} audit entries")
    with opened(site.config) as custodian:
        record = some_record(custodian.vault)
        write_accesses(site, custodian.vault, record, accesses)
    with held(site.config) as custodian:
        entries = custodian.writer.call(_entries).result()
        took = [_search(custodian, record, accesses) for _ in range(run.rounds(5))]
    cpu = median(each.cpu for each in took) / entries * 1e6
    row: Json = {
        "entries": entries,
        "about the record": accesses,
        "CPU for each, us": round(cpu, 2),
        "the whole search, s": round(median(each.wall for each in took), 2),
    }
    claim = Claim(
        name="recipients",
        says="a record's recipients found, for each audit entry",
        value=cpu,
        unit="us",
        records=run.largest,
        judged=run.judged,
        floor=FLOOR,
        bound_by="the interpreter: a keyed hash for each entry; a fifth are found, and parsed",
    )
    return Outcome((claim,), (row,))


def _entries(custody: Custody) -> int:
    rows = custody.store.audit.walk(0)
    return sum(len(custody.audit.groups.encoded(row)) for row in rows)


def _search(custodian: Held, record: Record, accesses: int) -> Took:
    def run(custody: Custody) -> Took:
        search = Search({record.id: [link.handle for link in record.body.links]})

        def to_the_end() -> None:
            while search.step(custody) is not None:
                pass

        _, took = timed(to_the_end)
        found = search.found[record.id]
        if sum(map(len, found.values())) < accesses:
            raise RuntimeError("not everybody was found")
        return took

    return custodian.writer.call(run).result()
