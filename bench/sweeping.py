"""Claim: a night's sweep of a million records takes a minute, and nobody waits for it for long.

Floor: 60 s at 1,000,000 records, a hundredth of which is destroyed.

Method: a site of its own, each record with its retention, a hundredth of them due. Officers approve
the classes with a cap of as many. One night lists them. Then a week passes: the lists are made so
much older in memory, for the clock that counts it cannot be set. The night that is timed destroys
them, in epoch changes of at most 256 records each, certifies them, and walks over all the others.
Every step is run by the writer's thread, in this process (held.py), as it does in idle moments; the
longest is what a lookup's withdrawal or an addition may have to wait for. No worker is connected.
"""

import json
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from bench.claim import Claim, Floor, Outcome, Plot
from bench.filling import fill
from bench.held import Held, held
from bench.officers import APPROVER, LEGAL, REQUESTER
from bench.running import Run, timed
from bench.sites import Site
from lookup.cases.standing import Moment
from lookup.custodian.custody import Custody
from lookup.custodian.proposals import approve, propose
from lookup.custodian.retention.sweep_list import WAIT
from lookup.custodian.retention.sweeping import Sweep, Swept
from lookup.officers.proposal import SetRetention

_FLOOR: Final = Floor("<=", 60)
_OF: Final = 100  # records, of which one is due
_DUE: Final = {"class": "allegation-unfounded", "closed": "2001-01-01"}
_KEPT: Final = {"class": "looked-after", "born": "2020-02-29"}

Json = dict[str, Any]


def measure(run: Run) -> Outcome:
    """Sweep a site of each size."""
    rows = tuple(_row(run, records) for records in run.sizes)
    last = rows[-1]
    claim = Claim(
        name="sweep",
        says=f"a night's sweep, in which {last['destroyed']:,} records are destroyed",
        value=last["night, s"],
        unit="s",
        records=run.largest,
        judged=run.judged,
        floor=_FLOOR,
        bound_by="CPU: every leaf opened and every record's retention read; for each record that is"
        " destroyed a leaf written anew, twice",
    )
    longest = Claim(
        name="sweep-step",
        says="the longest step of it, for which additions wait",
        value=last["longest step, ms"],
        unit="ms",
        records=run.largest,
        judged=run.judged,
    )
    lines = {"night": [(float(row["records"]), float(row["night, s"])) for row in rows]}
    plot = Plot("A night's sweep", "records in the site", "s", lines, _FLOOR.limit)
    return Outcome((claim, longest), rows, (plot,))


def _row(run: Run, records: int) -> Json:
    site = run.sites.fresh(f"sweeping-{records}", records)
    lines = _with_retention(run.sites.lines(records))
    fill(site.config, lines, records, run.progress.tell)
    lines.unlink()
    due = records // _OF
    with held(site.config) as custodian:
        custodian.writer.call(lambda custody: _approve(custody, site, due)).result()
        run.progress.tell(f"sweeping {records:,} records")
        (listed, _), first = timed(lambda: _night(custodian))
        custodian.writer.call(_let_a_week_pass).result()
        (swept, longest), night = timed(lambda: _night(custodian))
    if listed.listed != due or swept.destroyed != due:
        raise RuntimeError(f"{due} were due, {listed.listed} listed, {swept.destroyed} destroyed")
    return {
        "records": records,
        "destroyed": swept.destroyed,
        "night, s": round(night.wall, 2),
        "CPU, s": round(night.cpu, 2),
        "the night that lists, s": round(first.wall, 2),
        "longest step, ms": round(longest * 1e3, 1),
    }


def _night(custodian: Held) -> tuple[Swept, float]:
    """Sweep step by step; return what was done, and the seconds of the longest step."""
    night, longest, over = Sweep(), 0.0, False
    while not over:
        begun = time.perf_counter()
        over = custodian.writer.call(night.step).result()
        longest = max(longest, time.perf_counter() - begun)
    return night.swept, longest


def _with_retention(lines: Path) -> Path:
    """Write an import file whose records say how long they are kept; those due are not answered."""
    path = lines.with_suffix(".kept")
    with lines.open() as given, path.open("w") as file:
        for number, line in enumerate(given):
            record: Json = json.loads(line)
            if number % _OF:
                record["retention"] = _KEPT
            else:
                record |= {"retention": _DUE, "category": "allegation"}
            file.write(json.dumps(record) + "\n")
    return path


def _approve(custody: Custody, site: Site, cap: int) -> None:
    """Have the classes in force approved, by a requester and two others."""
    classes = custody.classes
    change = SetRetention(policy=classes.policy.hex(), version=classes.version, cap=cap)
    proposed = site.signer(REQUESTER).proposal(change, custody.office.governance.changes)
    pending, _ = _signed(propose, proposed)(custody)
    for role in (APPROVER, LEGAL):
        _signed(approve, site.signer(role).approval(pending.id, change))(custody)


def _signed(call: Callable[[str, bytes], Any], signed: Json) -> Any:  # noqa: ANN401  # what runs in custody
    return call(signed["text"], b64decode(signed["signature"]))


def _let_a_week_pass(custody: Custody) -> None:
    sweeps = custody.sweeps
    sweeps.lists = {
        each.id: replace(each, at=Moment(each.at.elapsed - WAIT, each.at.time - WAIT))
        for each in sweeps.lists.values()
    }
