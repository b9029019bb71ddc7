"""The docket: all cases of a site in memory, and what is asked of them together.

Invariants:

* `by_record` and `watched` are read from the map at start and kept in step with it.
* Standings and clocks are kept until a step changes them: what is asked every second looks at each
  case and computes none, and what is asked with every commit does not grow with the number of cases
  that hide nothing.
* A case whose content was lost with a store is kept apart: it hides and destroys nothing, and
  leaves with its records all the same. If it was on hold, they stay until that is lifted.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple, TypeVar

from keys.entry import EntryId, Kind
from keys.errors import PageDamaged
from keys.vault import Vault
from lookup.cases.clock import Clock
from lookup.cases.standing import Moment, Standing, State
from lookup.cases.supporting import clock_of
from lookup.custodian.cases.case import Case, LostCase, Signed, read_case, read_step
from lookup.custodian.officers import Office
from lookup.custodian.store.pages import Store
from lookup.officers.roles import Act

Named = tuple[str, str]
T = TypeVar("T")


class Hiding(NamedTuple):
    """Which case keeps a record from being answered as it is; by a restriction, or its end."""

    case: EntryId
    restricted: bool


@dataclass(slots=True)
class Docket:
    """All cases of a site."""

    office: Office
    cases: dict[EntryId, Case] = field(default_factory=dict)
    by_record: dict[EntryId, set[EntryId]] = field(default_factory=dict)
    watched: dict[Named, set[EntryId]] = field(default_factory=dict)
    lost: list[LostCase] = field(default_factory=list)
    damaged: bool = False  # pages with cases open nowhere: none is known, none may be opened
    _standings: dict[EntryId, Standing] = field(default_factory=dict)
    _clocks: dict[EntryId, tuple[date, Clock]] = field(default_factory=dict)
    _names: dict[EntryId, tuple[Named, ...]] = field(default_factory=dict)
    _hiding: set[EntryId] = field(default_factory=set)  # restricted or recalled, now or before
    _withheld: frozenset[EntryId] = frozenset()
    _lookouts: list["Lookout"] = field(default_factory=list)

    def add(self, case: Case, names: Iterable[Named]) -> None:
        """Take a case in; `names` are the identifiers of its records."""
        self.cases[case.id] = case
        for record_id in case.record_ids:
            self.by_record.setdefault(record_id, set()).add(case.id)
        self._names[case.id] = tuple(set(names))
        for name in self._names[case.id]:
            self.watched.setdefault(name, set()).add(case.id)
        for signed in case.signed:
            self._note(signed)

    def watch(self, record_id: EntryId, names: Iterable[Named]) -> None:
        """Hear which children a record names from now on; its cases look out for all of them."""
        for case_id in self.by_record.get(record_id, ()):
            new = set(names) - set(self._names[case_id])
            self._names[case_id] += tuple(new)
            for name in new:
                self.watched.setdefault(name, set()).add(case_id)

    def watch_no_more(self, case: Case, names: frozenset[Named]) -> None:
        """Let a case look out for these children no more."""
        self._names[case.id] = tuple(set(self._names[case.id]) - names)
        for name in names:
            _discard(self.watched, name, case.id)

    def names(self, case: Case) -> frozenset[Named]:
        """Return the children for whom a case looks out."""
        return frozenset(self._names[case.id])

    def remove(self, case_id: EntryId) -> None:
        """Forget a case."""
        case = self.cases.pop(case_id)
        self._standings.pop(case_id, None)
        self._clocks.pop(case_id, None)
        self._hiding.discard(case_id)
        self._withheld -= {case_id}
        for record_id in case.record_ids:
            _discard(self.by_record, record_id, case_id)
        for name in self._names.pop(case_id):
            _discard(self.watched, name, case_id)

    def take(self, signed: Signed) -> None:
        """Hear of a step that is durable."""
        self.cases[EntryId(signed.step.case)].signed.append(signed)
        self._note(signed)

    def _note(self, signed: Signed) -> None:
        case_id = EntryId(signed.step.case)
        self._standings.pop(case_id, None)
        self._clocks.pop(case_id, None)
        if signed.step.act in {Act.RESTRICT, Act.RECALL}:
            self._hiding.add(case_id)

    def leaves(self, signed: Iterable[Signed]) -> tuple[bytes, ...]:
        """Return what the log is told of steps."""
        return tuple(self.cases[EntryId(each.step.case)].leaf(each) for each in signed)

    def rules_changed(self) -> None:
        """Hear that officers or rules are not what they were: every case may stand elsewhere."""
        self._standings.clear()

    def standing(self, case: Case) -> Standing:
        """Return where a case stands now."""
        found = self._standings.get(case.id)
        if found is None:
            found = self._standings[case.id] = case.stand(self.office)
        return found

    def open_case_of(self, record_id: EntryId) -> Case | None:
        """Return the open case that names a record, or None. There is at most one."""
        for case_id in self.by_record.get(record_id, ()):
            if self.standing(self.cases[case_id]).is_open:
                return self.cases[case_id]
        return None

    def lost_on_hold(self, record_ids: Iterable[EntryId]) -> list[LostCase]:
        """Return the cases on hold that name one of these records, and whose content was lost."""
        ids = set(record_ids) if self.lost else set()
        return [each for each in self.lost if each.hold and not ids.isdisjoint(each.record_ids)]

    def clock(self, case: Case, today: date) -> Clock:
        """Return how the time of Art 12(3) stands for a case."""
        found = self._clocks.get(case.id)
        if found is None or found[0] != today:
            clock = clock_of(case.content, case.steps, today)
            found = self._clocks[case.id] = today, clock
        return found[1]

    def look_out(self, names: frozenset[Named]) -> "Lookout":
        """Note whether a record of these identifiers is added, until `stop_looking`."""
        lookout = Lookout(names)
        self._lookouts.append(lookout)
        return lookout

    def stop_looking(self, lookout: "Lookout") -> None:
        """End a lookout."""
        self._lookouts.remove(lookout)

    def watching(self, names: Collection[Named]) -> list[Case]:
        """Return the open cases of children whom a record that comes now names, too."""
        for lookout in self._lookouts:
            lookout.seen = lookout.seen or not lookout.names.isdisjoint(names)
        ids = {case_id for name in names for case_id in self.watched.get(name, ())}
        cases = (self.cases[case_id] for case_id in sorted(ids))
        return [case for case in cases if self.standing(case).is_open]

    def hiding(self, now: Moment) -> dict[EntryId, Hiding]:
        """Return the records that are not answered as they are, and why."""
        found: dict[EntryId, Hiding] = {}
        for case in map(self.cases.__getitem__, self._hiding | self._withheld):
            standing = self.standing(case)
            restricted = standing.restricts(now)
            withheld = case.id in self._withheld and standing.is_due(now)
            if restricted or withheld or standing.state is State.RECALLING:
                hiding = Hiding(case.id, restricted=restricted)
                found |= dict.fromkeys(case.record_ids, hiding)
        return found

    def due(self, now: Moment) -> list[Case]:
        """Return the cases that are to be carried out."""
        return [case for case in self.cases.values() if self.standing(case).is_due(now)]

    @property
    def recalling(self) -> list[Case]:
        """The cases whose recipients are being told."""
        cases = (self.cases[each] for each in sorted(self._hiding))
        return [case for case in cases if self.standing(case).state is State.RECALLING]

    @property
    def withheld(self) -> list[Case]:
        """The cases whose records are hidden because they are being carried out."""
        return [self.cases[each] for each in sorted(self._withheld)]

    def withhold(self, cases: Iterable[Case]) -> None:
        """Hide the records of cases that are being carried out, for as long as they are due."""
        self._withheld = frozenset(case.id for case in cases)

    def listing(self, record_ids: Collection[EntryId]) -> list[Case]:
        """Return every case that lists one of these records among the others of its child."""
        gone = {each.hex() for each in record_ids}
        return [case for case in self.cases.values() if not gone.isdisjoint(case.content.others)]

    def naming(self, record_ids: Iterable[EntryId]) -> list[Case]:
        """Return every case, open or not, that names one of these records."""
        ids = {case_id for each in record_ids for case_id in self.by_record.get(each, ())}
        return [self.cases[case_id] for case_id in sorted(ids)]


@dataclass(slots=True, eq=False)
class Lookout:
    """Whether a record of these identifiers was added while somebody walked over the vault."""

    names: frozenset[Named]
    seen: bool = False


def load_docket(
    vault: Vault, store: Store, office: Office, names_of: Callable[[EntryId], Sequence[Named]]
) -> Docket:
    """Read a vault's cases; `names_of` tells a record's identifiers.

    A case whose content was lost with a store is kept apart: it hides and destroys nothing. Where
    pages are damaged all are, until a restore: hospitals are told what they would be without cases.
    """
    try:
        steps, entries = list(vault.scan(Kind.STEP)), list(vault.scan(Kind.CASE))
    except PageDamaged:
        return Docket(office, damaged=True)
    signed: dict[bytes, list[Signed]] = {}
    for step in steps:
        found = read_step(vault, step)
        signed.setdefault(found.step.case, []).append(found)
    docket = Docket(office)
    for entry in entries:
        taken = sorted(signed[entry.id], key=lambda each: each.step.number)
        case = read_case(vault, store, entry, taken)
        if isinstance(case, LostCase):
            docket.lost.append(case)
            continue
        docket.add(case, [name for each in case.record_ids for name in names_of(each)])
    return docket


def _discard(index: dict[T, set[EntryId]], name: T, case_id: EntryId) -> None:
    found = index.get(name, set())
    found.discard(case_id)
    if not found:
        index.pop(name, None)
