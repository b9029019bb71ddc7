"""Cases at a site under fault: made by its officers, and what must be there of them afterwards.

A case is about one record, and its note is a text that nothing else has. Nothing is carried out in
an idle moment here: an operation says when, and so does whoever examines.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from lookup.cases.standing import State
from lookup.custodian.cases.case import Case
from lookup.custodian.cases.certifying import certificates
from lookup.custodian.custody import Custody
from lookup.officers.roles import Act
from lookup.transparency.certificate import leaf_of
from tests.certificates import waiting
from tests.faults.site import BENCH, ONE_SLOT, Serving, draft, serve

_NOTE: Final = "note of the case about "


class Found(msgspec.Struct):
    """What a custodian has of cases.

    `open` and `due` name the records of cases; `steps` has the number of each case's steps, and
    `logged` for each step, `certified` for each certificate, how often the log has it. `twice` are
    leaves that the log has more than once, `waiting` cases that were not certified.
    """

    open: list[str]
    due: list[str]
    steps: dict[str, int]
    logged: list[int]
    certified: list[int]
    twice: int
    waiting: int


def note(name: str) -> str:
    """Return a text that only the case about this record has."""
    return f"{_NOTE}{name}."


def serve_approved(
    names: Sequence[str],
    folder: Path,
    slots: Sequence[str] = ONE_SLOT,
    prepare: Callable[..., Serving] = serve,
) -> Serving:
    """Open a site, then have a case about each of these records approved: they are due."""
    site = prepare(folder, slots)
    for name in names:
        approve(site, name)
    return site


def approve(site: Serving, name: str) -> Case:
    """Have a case about a record opened, shortened and approved."""
    wanted = [site.record_id(name)]
    run = partial(BENCH.approved_of, record_ids=wanted, note=note(name))
    return site.writer.call(run).result()


def case_about(custody: Custody, name: str) -> Case:
    """Return the open case about a record."""
    case = custody.docket.open_case_of(custody.sources[draft(name).source])
    assert case is not None
    return case


def write_letters(custody: Custody) -> None:
    """Say that recipients of answers were written to, in each case that waits for them."""
    for case in list(custody.docket.cases.values()):
        if custody.docket.standing(case).state is State.RECALLING:
            BENCH.step(custody, "leo", case, Act.LETTERS)


def find(custody: Custody) -> Found:
    """Look at all cases, certificates, and the log."""
    leaves = Counter(custody.store.log.leaves(0))
    docket = custody.docket
    return Found(
        open=sorted(map(_name, docket.cases.values())),
        due=sorted(map(_name, docket.due(custody.moment()))),
        steps={_name(case): len(case.signed) for case in docket.cases.values()},
        logged=[leaves[case.leaf(each)] for case in docket.cases.values() for each in case.signed],
        certified=[leaves[leaf_of(each.statement, each.nonce)] for each in certificates(custody)],
        twice=sum(times > 1 for times in leaves.values()),
        waiting=len(waiting(custody)),
    )


def _name(case: Case) -> str:
    return case.content.note.removeprefix(_NOTE).removesuffix(".")
