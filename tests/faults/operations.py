"""What the process under fault does: one operation each, with what it leads from and to.

A state maps the names of records to their versions. An operation acknowledges each of its steps
when the step is done; a step says what it changes, None meaning: gone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from unittest import mock

from keys.pages import SlotId
from keys.slot.file import FileSlot
from lookup.cases.standing import Moment
from lookup.custodian import slotting
from lookup.custodian.cases import carrying_out
from lookup.custodian.cases.carrying_out import tend
from lookup.custodian.custody import Custody
from lookup.custodian.enrolling import rotate_lookup_key
from lookup.custodian.records.adding import add, add_or_change, change
from lookup.custodian.retention.sweep_list import WAIT
from lookup.custodian.retention.sweeping import sweep
from lookup.custodian.store.backup import back_up
from lookup.custodian.store.restore import rehearse, restore
from lookup.custodian.writer import Prepare
from lookup.index.writer import Table
from lookup.officers.proposal import SetRetention
from lookup.officers.roles import Act
from lookup.retention.expiry import Retention
from tests.faults.audited import AUDITED, serve_audited
from tests.faults.casework import approve, case_about, note, serve_approved
from tests.faults.site import (
    BENCH,
    NOW,
    ONE_SLOT,
    PASSPHRASES,
    SMALL_BLOB,
    TWO_SLOTS,
    Serving,
    blobs_of,
    configure,
    draft,
    hold,
    make_site,
    serve,
)

State = Mapping[str, int]
Step = Mapping[str, int | None]
Answer = Callable[[], None]
T = TypeVar("T")

BEFORE: Final[State] = {"ann": 1, "bob": 1, "cat": 1, "dan": 1}


@dataclass(frozen=True, slots=True)
class Operation:
    """`prepare` runs before any fault can happen, `perform` under it; both in `folder`.

    `audited` entries lie in segments by then; `tests/faults/audited.py` says what they are. There
    is an approved case about each of `cases`, from before or, where the record is new, made by the
    operation; about `opens` it makes one that is not decided. `swept` was on a list for a week.
    """

    base: str
    prepare: Callable[[Path], Any]
    perform: Callable[[Any, Answer], None]
    steps: Sequence[Step] = ({},)
    slots: Sequence[str] = ONE_SLOT
    slots_after: Sequence[str] = ONE_SLOT
    passphrase_after: int = 0
    audited: int = 0
    cases: Sequence[str] = ()
    opens: str = ""
    swept: str = ""
    before: State = field(default_factory=lambda: BEFORE)

    def states(self) -> list[dict[str, int]]:
        """Return the state before, and the one after each step."""
        found = [dict(self.before)]
        for step in self.steps:
            state = {**found[-1], **step}
            found.append({name: version for name, version in state.items() if version})
        return found


# What sites are made of before anything goes wrong.


def make_plain(folder: Path, slots: Sequence[str] = ONE_SLOT) -> None:
    """Four records, one of which the backup does not have."""
    make_site(folder, slots)
    site = serve(folder, slots)
    _change(site, add_or_change([draft("ann"), draft("bob"), draft("cat")]))
    back_up_alone(folder)
    _change(site, add(draft("dan")))
    site.stop()
    Table.create(site.config.index, 1, 1).close(unlink=False)  # as a dead custodian leaves one


def make_listed(folder: Path) -> None:
    """One record's time is over; it has been on a list for a week, by a standing approval."""
    make_plain(folder)
    site = serve(folder)
    closed = Retention("allegation-unfounded", closed=date(2001, 1, 1))
    over = replace(draft("ann", 2), category="allegation", retention=closed)
    _change(site, change(site.record_id("ann"), over, expected=1))

    def list_it(custody: Custody) -> None:
        now, classes = custody.moment(), custody.classes
        earlier = Moment(now.elapsed - WAIT, now.time - WAIT)
        wanted = SetRetention(policy=classes.policy.hex(), version=classes.version, cap=1)
        with mock.patch.object(Custody, "moment", return_value=earlier):
            BENCH.make(custody, wanted)
            assert sweep(custody).listed == 1

    _call(site, list_it)
    site.stop()
    Table.create(site.config.index, 1, 1).close(unlink=False)  # as in make_plain


def make_lost(folder: Path) -> None:
    """The store is lost: pages are in the mirror, blobs in a backup of an earlier epoch."""
    make_plain(folder)
    back_up_alone(folder)
    site = serve(folder)
    _call(site, lambda custody: custody.vault.purge())
    site.stop()
    for file in (folder / "store").iterdir():
        file.unlink()


def make_mirrorless(folder: Path) -> None:
    """The store is damaged and the mirror lost: what the backup does not have is in the store."""
    make_plain(folder)
    (folder / "store").rename(folder / "damaged")
    for file in (folder / "mirror").iterdir():
        file.unlink()


BASES: Final[Mapping[str, Callable[[Path], None]]] = {
    "plain": make_plain,
    "listed": make_listed,
    "two slots": partial(make_plain, slots=TWO_SLOTS),
    "lost": make_lost,
    "mirrorless": make_mirrorless,
    "nothing": lambda _: None,
}


# What is done under fault.


def _change(site: Serving, prepare: Prepare[T]) -> T:
    return site.writer.change(prepare).result()


def _call(site: Serving, run: Callable[[Custody], T]) -> T:
    return site.writer.call(run).result()


def _add(names: Sequence[str], site: Serving, answer: Answer) -> None:
    for name in names:
        _change(site, add(draft(name)))
        answer()


def _add_and_checkpoint(site: Serving, answer: Answer) -> None:
    """As an addition is that finds the WAL full."""
    with mock.patch("lookup.custodian.store.database.MAX_WAL", 0):
        _add(["new"], site, answer)


def _import(site: Serving, answer: Answer) -> None:
    _change(site, add_or_change([draft("new"), draft("one"), draft("two")]))
    answer()
    _change(site, add_or_change([draft("six"), draft("ann", 2), draft("bob")]))
    answer()


def _update(site: Serving, answer: Answer) -> None:
    _change(site, change(site.record_id("ann"), draft("ann", 2), expected=1))
    answer()


def _work_on_a_case(site: Serving, answer: Answer) -> None:
    """It is opened, then approved by one: nothing is decided."""
    case = _call(
        site,
        lambda custody: BENCH.case_of(custody, [site.record_id("ann")], note("ann")),
    )
    answer()
    _call(site, lambda custody: BENCH.step(custody, "ana", case, Act.APPROVE))
    answer()


def _carry_out(name: str, site: Serving, answer: Answer) -> None:
    """An officer's last step; it waits for recipients to be found, or a busy machine takes two."""

    def run(custody: Custody) -> None:
        with mock.patch.object(carrying_out, "PATIENCE", 60):
            BENCH.carry_through(custody, case_about(custody, name))

    _call(site, run)
    answer()


def _tend(site: Serving, answer: Answer) -> None:
    """What the scheduler does with all that is due."""
    _call(site, tend)
    answer()


def _sweep(site: Serving, answer: Answer) -> None:
    _call(site, sweep)
    answer()


def _carry_out_after_add(site: Serving, answer: Answer) -> None:
    """The WAL is not empty, and a page changes that was written a moment ago."""
    _add(["new"], site, answer)
    approve(site, "new")
    _carry_out("new", site, answer)


def _add_slot(site: Serving, answer: Answer) -> None:
    small = partial(FileSlot.create, blob_size=SMALL_BLOB)
    with mock.patch.object(FileSlot, "create", small):
        _call(site, slotting.add_slot(site.config.slots[0].with_name("slot-1"), site.running))
    answer()


def _remove_slot(site: Serving, answer: Answer) -> None:
    _call(site, slotting.remove_slot(SlotId(site.opened.slots[1].id)))
    answer()


def _change_passphrase(site: Serving, answer: Answer) -> None:
    _call(site, slotting.change_passphrase(PASSPHRASES[1].decode(), site.running))
    answer()


def _purge(site: Serving, answer: Answer) -> None:
    _call(site, lambda custody: custody.vault.purge())
    answer()


def _rotate(site: Serving, answer: Answer) -> None:
    """A new lookup key, and a table in which every link has a slot for it."""
    kid = _call(site, rotate_lookup_key(NOW))
    answer()
    while kid not in _call(site, lambda custody: custody.kids):
        pass  # each call also takes the build a step further
    answer()


def _take_in(site: Serving, answer: Answer) -> None:
    _call(site, lambda custody: custody.audit.flush())
    answer()


def _stop(site: Serving, answer: Answer) -> None:
    site.stop()
    answer()


def _start(slots: Sequence[str], folder: Path, answer: Answer) -> None:
    serve(folder, slots)
    answer()


def back_up_alone(folder: Path) -> None:
    """Back the store up, whoever else has it open."""
    config = configure(folder)
    back_up(
        config.store_file,
        hold(config).database_key,
        folder=folder / "backup",
        apart_from=(config.store, config.mirror, *config.slots),
        clock=lambda: NOW,
    )


def _back_up_site(site: Serving, answer: Answer) -> None:
    back_up_alone(site.config.path.parent)
    answer()


def rehearse_backup(folder: Path) -> int:
    """Return how many records the backup alone would bring back."""
    config = configure(folder)
    backup = folder / "backup" / "backup.db"
    report = rehearse([backup], hold(config), blobs_of, scratch=folder)
    assert report.key_without_blob == 0
    return report.restored


def bring_back(folder: Path) -> None:
    """Restore from whatever is there."""
    config = configure(folder)
    places = ("damaged/vault.db", "backup/backup.db")
    restore(
        [folder / place for place in places if (folder / place).exists()],
        hold(config),
        blobs_of,
        store=config.store_file,
        mirror=config.mirror_file,
        accept_loss=False,
    )


def _restore(folder: Path, answer: Answer) -> None:
    bring_back(folder)
    answer()


def _initialize(folder: Path, answer: Answer) -> None:
    make_site(folder)
    answer()


def _itself(folder: Path) -> Path:
    return folder


def _served(
    perform: Callable[[Serving, Answer], None],
    *steps: Step,
    base: str = "plain",
    slots: Sequence[str] = ONE_SLOT,
    prepare: Callable[..., Serving] = serve,
    **after: Any,  # noqa: ANN401  # as Operation has them
) -> Operation:
    return Operation(
        base,
        partial(prepare, slots=slots),
        perform,
        steps or ({},),
        slots,
        **({"slots_after": slots} | after),
    )


def _approved(
    perform: Callable[[Serving, Answer], None],
    step: Step,
    *,
    cases: Sequence[str],
    prepare: Callable[..., Serving] = serve,
    **more: Any,  # noqa: ANN401  # as _served has them
) -> Operation:
    return _served(
        perform,
        step,
        prepare=partial(serve_approved, cases, prepare=prepare),
        cases=cases,
        **more,
    )


OPERATIONS: Final[Mapping[str, Operation]] = {
    "add": _served(partial(_add, ["new", "one"]), {"new": 1}, {"one": 1}),
    "add and checkpoint": _served(_add_and_checkpoint, {"new": 1}),
    "import": _served(_import, {"new": 1, "one": 1, "two": 1}, {"six": 1, "ann": 2}),
    "update": _served(_update, {"ann": 2}),
    "work on a case": _served(_work_on_a_case, {}, {}, opens="ann"),
    "carry out": _approved(partial(_carry_out, "ann"), {"ann": None}, cases=["ann"]),
    "carry out what is due": _approved(_tend, {"ann": None}, cases=["ann"]),
    "carry out a batch": _approved(
        _tend, {"ann": None, "bob": None, "cat": None}, cases=["ann", "bob", "cat"]
    ),
    "carry out after add": _served(_carry_out_after_add, {"new": 1}, {"new": None}, cases=["new"]),
    "carry out with two slots": _approved(
        partial(_carry_out, "ann"),
        {"ann": None},
        cases=["ann"],
        base="two slots",
        slots=TWO_SLOTS,
    ),
    "sweep": _served(
        _sweep,
        {"ann": None},
        base="listed",
        before={**BEFORE, "ann": 2},
        swept="ann",
    ),
    "add a slot": _served(_add_slot, slots_after=TWO_SLOTS),
    "remove a slot": _served(_remove_slot, base="two slots", slots=TWO_SLOTS, slots_after=ONE_SLOT),
    "change the passphrase": _served(_change_passphrase, passphrase_after=1),
    "change the passphrase of two slots": _served(
        _change_passphrase, base="two slots", slots=TWO_SLOTS, passphrase_after=1
    ),
    "purge": _served(_purge),
    "take segments in": _served(_take_in, prepare=serve_audited, audited=AUDITED),
    "carry out what was asked for": _approved(
        partial(_carry_out, "ann"),
        {"ann": None},
        cases=["ann"],
        prepare=serve_audited,
        audited=AUDITED,
    ),
    "rotate the lookup key": _served(_rotate, {}, {}),
    "stop": _served(_stop),
    "back up": _served(_back_up_site),
    "start": Operation("plain", _itself, partial(_start, ONE_SLOT)),
    "start with two slots": Operation(
        "two slots", _itself, partial(_start, TWO_SLOTS), slots=TWO_SLOTS, slots_after=TWO_SLOTS
    ),
    "restore from the mirror": Operation("lost", _itself, _restore),
    "restore from a damaged store": Operation("mirrorless", _itself, _restore),
    "make a site": Operation("nothing", _itself, _initialize, before={}),
}
