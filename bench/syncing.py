"""How often the custodian syncs: for an added record, an import batch, an expungement.

Floor: none; the figures say what an acknowledgement waits for, and let anyone reckon what another
disk would make of the others.

Method: strace follows the custodian's process and notes every fsync, fdatasync, msync,
sync_file_range and syncfs with its file, in a fresh site with one slot and no worker. Ten single
adds over TCP, one after the other; one import of a single batch of 400; ten cases about one record,
of which the last step over the officers' socket is counted, and the quiet moment before each, in
which the custodian prepares, but not the steps that lead to it. Means over the operations of one
kind; a checkpoint of the WAL, which comes only now and then, makes them broken numbers.
"""

import json
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.casework import Desk
from bench.claim import Claim, Json, Outcome
from bench.officers import REGISTRAR
from bench.running import Run
from bench.served import Served, ask, served
from bench.shredding import QUIET
from lookup.config import Config

_CALLS: Final = "fsync,fdatasync,msync,sync_file_range,syncfs"
_LINE: Final = re.compile(
    r"^\d+ +(\d+\.\d+) (?:" + _CALLS.replace(",", "|") + r")\((?:\d+<(.*?)>)?"
)
_OPERATIONS: Final = 10
_BATCH: Final = 400  # lines; the importer's first batch takes 500
_PLACES: Final = ("store", "mirror", "slot", "anchor", "elsewhere")
_WAIT: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Phase:
    """The stretches of time in which operations of one kind were made."""

    name: str
    operations: int
    stretches: list[tuple[float, float]]


def measure(run: Run) -> Outcome:
    """Count syncs."""
    strace = shutil.which("strace")
    if strace is None:
        return Outcome((), (), (), ("strace is not installed: no syncs were counted",))
    operations = run.rounds(_OPERATIONS)
    site = run.sites.fresh("syncing", run.largest)
    lines = run.sites.lines(operations + _BATCH).read_bytes().splitlines()
    trace = site.config.run / "trace"
    # -D: the custodian stays our child, and strace ends when it does. BPF: other calls run free.
    what = ("-f", "--seccomp-bpf", "-y", "-qq", "-ttt", "-e", f"trace={_CALLS}")
    under = (strace, "-D", *what, "-o", str(trace))
    with served(site, workers=None, under=under) as custodian:
        phases = _Operations(custodian, lines).all(operations)
    syncs = _syncs(trace, site.config)
    rows = tuple(_row(phase, syncs) for phase in phases)
    claims = tuple(
        Claim(
            name=f"syncs-per-{row['operation'].replace(' ', '-')}",
            says=f"syncs for one {row['operation']}",
            value=row["syncs"],
            unit="syncs",
            records=operations + _BATCH,
            judged=False,
        )
        for row in rows
    )
    return Outcome(claims, rows)


@dataclass(slots=True)
class _Operations:
    """Makes the operations, and notes when."""

    custodian: Served
    lines: list[bytes]
    phases: list[_Phase] = field(default_factory=list)

    def all(self, operations: int) -> list[_Phase]:
        """Add, import, expunge."""
        record_ids = self._add(self.lines[:operations])
        self._import(self.lines[operations:])
        self._expunge(record_ids)
        return self.phases

    @contextmanager
    def _phase(self, name: str, operations: int) -> Iterator[None]:
        self.phases.append(_Phase(name, operations, []))
        with self._stretch():
            yield

    @contextmanager
    def _stretch(self) -> Iterator[None]:
        begun = time.time()
        yield
        self.phases[-1].stretches.append((begun, time.time()))

    def _add(self, lines: list[bytes]) -> list[str]:
        with self._phase("add", len(lines)):
            return [
                ask(
                    self.custodian.connection,
                    "/v1/records",
                    json.loads(line),
                    self.custodian.site.token(REGISTRAR),
                )["record_id"]
                for line in lines
            ]

    def _import(self, lines: list[bytes]) -> None:
        with self._phase("import batch", 1):
            connection = self.custodian.local()
            headers = {"content-type": "application/x-ndjson"}
            connection.request("POST", "/v1/records/import", b"\n".join(lines), headers)
            connection.getresponse().read()

    def _expunge(self, record_ids: list[str]) -> None:
        desk = Desk(self.custodian.site, self.custodian.local())
        cases = [desk.ready(record_id) for record_id in record_ids]
        self.phases.append(_Phase("expungement", len(record_ids), []))
        for case in cases:
            with self._stretch():
                time.sleep(QUIET)
            due = desk.approve(case)
            with self._stretch():
                desk.carry_out(due)


def _syncs(trace: Path, config: Config) -> list[tuple[float, str]]:
    """Return when each sync was called, and of what. Raises if the tracer wrote nothing."""
    deadline = time.monotonic() + _WAIT
    size = -1
    while trace.stat().st_size != size and time.monotonic() < deadline:
        size = trace.stat().st_size
        time.sleep(0.2)  # strace ends a moment after the custodian
    found = filter(None, map(_LINE.match, trace.read_text().splitlines()))
    syncs = [(float(match[1]), _place(match[2] or "", config)) for match in found]
    if not syncs:
        raise RuntimeError("strace saw no sync at all: may it trace processes here?")
    return syncs


def _place(path: str, config: Config) -> str:
    if path.endswith("/anchor"):
        return "anchor"
    folders = {"store": config.store, "mirror": config.mirror, "slot": config.slots[0]}
    for place, folder in folders.items():
        if path.startswith(str(folder)):
            return place
    return "elsewhere"


def _row(phase: _Phase, syncs: list[tuple[float, str]]) -> Json:
    places = Counter(
        place for at, place in syncs if any(begun <= at < ended for begun, ended in phase.stretches)
    )
    by_place = {place: round(places[place] / phase.operations, 2) for place in _PLACES}
    return {
        "operation": phase.name,
        "operations": phase.operations,
        "syncs": round(places.total() / phase.operations, 2),
        **by_place,
    }
