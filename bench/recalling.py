"""Claim: whoever was answered with a record is found at two microseconds for each audit entry.

Floor: 2 us of CPU for each entry of the chain, for one record with one link: reading rows, opening
groups, comparing witnesses, and noting who it was. In groups of five, as workers commit them at
their ease, and in groups of 32, as they do under load, where long chains come from; groups of one
are shown besides.

Method: a site of its own for each size of groups, of which each has one entry about the record.
Segments as workers write them lie there before the custodian starts in this process (held.py). The
search that a case makes when it is due (lookup/custodian/cases/recalling.py) then goes along the
whole chain in the writer's thread; median of five. How many records a site has does not matter: it
is the smallest.
"""

from statistics import median
from typing import Final

from bench.audited import some_record, write_accesses
from bench.claim import Claim, Floor, Json, Outcome
from bench.filling import fill
from bench.held import Held, held, opened
from bench.running import Run, Took, timed
from lookup.custodian.cases.recalling import Search
from lookup.custodian.custody import Custody
from lookup.custodian.records.record import Record

FLOOR: Final = Floor("<=", 2)
ENTRIES: Final = 200_000
_CLAIMS: Final = {5: "recipients", 32: "recipients-under-load"}
_SIZES: Final = (1, *_CLAIMS)


def measure(run: Run) -> Outcome:
    """Write accesses, start a custodian on them, look for who they were; for each size."""
    rows = [_row(run, size) for size in _SIZES]
    claims = [
        Claim(
            name=name,
            says=f"a record's recipients found, for each audit entry, in groups of {size}",
            value=rows[_SIZES.index(size)]["CPU for each, us"],
            unit="us",
            records=run.sizes[0],
            judged=run.judged,
            floor=FLOOR,
            bound_by="the interpreter, a keyed hash for each entry, and a page of SQLCipher for"
            " each group, which is decrypted, and its HMAC taken",
        )
        for size, name in _CLAIMS.items()
    ]
    return Outcome(tuple(claims), tuple(rows))


def _row(run: Run, size: int) -> Json:
    records = run.sizes[0]
    site = run.sites.fresh(f"recalling-{size}", records)
    fill(site.config, run.sites.lines(records), records, run.progress.tell)
    accesses = (ENTRIES // 100 if run.quick else ENTRIES) // size
    run.progress.tell(f"writing {accesses * size:,} audit entries")
    with opened(site.config) as custodian:
        record = some_record(custodian.vault)
        write_accesses(site, custodian.vault, record, accesses, size)
    with held(site.config) as custodian:
        entries = custodian.writer.call(_entries).result()
        took = [_search(custodian, record, accesses) for _ in range(run.rounds(5))]
    return {
        "entries": entries,
        "in groups of": size,
        "about the record": accesses,
        "CPU for each, us": round(median(each.cpu for each in took) / entries * 1e6, 2),
        "the whole search, s": round(median(each.wall for each in took), 2),
    }


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
