"""Claim: a probe of the index costs at most 1.5 µs of CPU, however many links there are.

Floor: 1.5 µs for a hit and for a miss at 1,000,000 links; at most 1.5 times the cost at 10,000.

Method: tables of all sizes at once, a quarter of their room free, every twentieth link on the tag
of another one; 100,000 probes at random places in each round, the tables in turn; the median of
seven rounds, CPU of this thread, the loop around the call included. `hit` and `miss` are the probe
that a lookup makes. `check` is the look just before the answer leaves, `links` unpacks what was
found; they depend on no size. Also the CPU of changing the table, over 1,000 changes, and of
filling it.
"""

import secrets
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from bench.claim import Claim, Floor, Json, Outcome, Plot
from bench.running import Run
from crypto.tag import TAG_SIZE, Tag
from lookup.index.layout import HANDLE_SIZE, NO_DAY, Link, pack_body, who_of
from lookup.index.placing import Bytes, Chunk
from lookup.index.reader import TableReader, make_decoys
from lookup.index.writer import Table

_FLOOR: Final = Floor("<=", 1.5)
_RATIO: Final = Floor("<=", 1.5)
_PROBES: Final = 100_000
_CHANGES: Final = 1_000
_LINK: Final = Link(bytes(HANDLE_SIZE), 9_498, NO_DAY, NO_DAY, 3, 2, test=False)
_DECOYS: Final = make_decoys([who_of(3, 2, test=False, honey=False)])


def measure(run: Run) -> Outcome:
    """Probe tables of each size in turn."""
    cost: dict[int, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(dir="/dev/shm"))  # tables are on tmpfs alone
        stack.callback(shutil.rmtree, folder)
        tables = [_Probed.of(folder, links) for links in run.sizes]
        for table in tables:
            cost[table.links] = defaultdict(list)
            cost[table.links]["fill, s"].append(table.fill)
        for at in range(rounds := run.rounds(7)):
            run.progress.tell(f"probing, round {at + 1} of {rounds}")
            for table in tables:
                for name, figure in table.round(_PROBES // (10 if run.quick else 1)).items():
                    cost[table.links][name].append(figure)
        for table in tables:
            table.table.close()
    rows = tuple(
        {"links": links, **{name: round(median(of), 3) for name, of in figures.items()}}
        for links, figures in cost.items()
    )
    return Outcome(tuple(_claims(run, rows)), rows, (_plot(rows),))


def _claims(run: Run, rows: tuple[Json, ...]) -> list[Claim]:
    least, largest = (max(row["hit, µs"], row["miss, µs"]) for row in (rows[0], rows[-1]))
    bound_by = "the interpreter; beyond the processor's caches, two lines of memory for each probe"
    claims = [
        Claim(
            name="probe",
            says="CPU of one probe, the dearer of hit and miss",
            value=largest,
            unit="µs",
            records=run.largest,
            judged=run.judged,
            floor=_FLOOR,
            bound_by=bound_by,
        )
    ]
    if len(run.sizes) > 1:
        ratio = Claim(
            name="probe-ratio",
            says=f"CPU of one probe, {run.sizes[-1]:,} links : {run.sizes[0]:,}",
            value=largest / least,
            unit="times",
            records=run.largest,
            judged=run.compared,
            floor=_RATIO,
            bound_by=bound_by,
        )
        claims.append(ratio)
    return claims


@dataclass(frozen=True, slots=True)
class _Probed:
    """A table, what is in it, and how long that took."""

    links: int
    table: Table
    reader: TableReader
    tags: Bytes
    fill: float

    @classmethod
    def of(cls, folder: Path, links: int) -> "_Probed":
        """Fill a table."""
        tags, bodies = _links(links)
        table = Table.create(folder, 1, links * 5 // 4)
        begun = time.process_time()
        table.fill([(tags, bodies)])
        fill = time.process_time() - begun
        table.complete()
        return cls(links, table, TableReader(table.path), tags, fill)

    def round(self, probes: int) -> dict[str, float]:
        """Return µs of CPU for each operation."""
        reader = self.reader
        chosen = np.random.default_rng(1).integers(0, len(self.tags), probes)
        hits = [Tag(self.tags[i].tobytes()) for i in chosen]
        misses = [Tag(secrets.token_bytes(TAG_SIZE)) for _ in range(probes)]
        hit, miss = reader.probe(hits[0]), reader.probe(misses[0])
        return {
            "hit, µs": _cpu(reader.probe, hits),
            "miss, µs": _cpu(reader.probe, misses),
            "check, µs": _cpu(reader.check, [miss] * probes),
            "links of a hit, µs": _cpu(lambda probe: probe.read(_DECOYS), [hit] * probes),
            "links of a miss, µs": _cpu(lambda probe: probe.read(_DECOYS), [miss] * probes),
            **self._changes(),
        }

    def _changes(self) -> dict[str, float]:
        tags = [Tag(secrets.token_bytes(TAG_SIZE)) for _ in range(_CHANGES)]
        other = _LINK._replace(category=3)
        return {
            "add, µs": _cpu(lambda tag: self.table.add(tag, _LINK), tags),
            "replace, µs": _cpu(lambda tag: self.table.replace(tag, _LINK.handle, other), tags),
            "remove, µs": _cpu(lambda tag: self.table.remove(tag, _LINK.handle), tags),
        }


def _links(count: int) -> Chunk:
    """Random links, every twentieth on the tag of another one."""
    random = np.random.default_rng(count)
    tags = random.integers(0, 256, (count, TAG_SIZE), np.uint8)
    tags[: count // 20] = tags[count // 20 : count // 20 * 2]
    bodies = np.tile(np.frombuffer(pack_body(_LINK), np.uint8), (count, 1))
    bodies[:, :HANDLE_SIZE] = random.integers(0, 256, (count, HANDLE_SIZE), np.uint8)
    return tags, bodies


def _cpu(operation: Callable[[Any], object], arguments: list[Any]) -> float:
    """Return microseconds of CPU for each call."""
    begun = time.thread_time()
    for argument in arguments:
        operation(argument)
    return (time.thread_time() - begun) / len(arguments) * 1e6


def _plot(rows: tuple[Json, ...]) -> Plot:
    lines = {
        name: [(float(row["links"]), float(row[f"{name}, µs"])) for row in rows]
        for name in ("hit", "miss", "check")
    }
    return Plot("One probe of the index", "links in the table", "µs of CPU", lines, _FLOOR.limit)
