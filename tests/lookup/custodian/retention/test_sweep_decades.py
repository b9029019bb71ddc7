"""The sweep over decades, against a model that counts days: nothing early, late, or on hold."""

from base64 import b64decode
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keys.entry import EntryId
from lookup.custodian.proposals import propose
from lookup.custodian.records.adding import add
from lookup.custodian.records.draft import describe_retention
from lookup.custodian.retention.sweeping import sweep
from lookup.officers.proposal import Change, LiftHold, PlaceHold, SetRetention
from lookup.retention.classes import Classes, parse_classes, shipped_classes
from lookup.retention.expiry import Retention
from tests.clocks import SetClocks
from tests.conftest import SOAK
from tests.lookup.retention.calendar import free_from
from tests.simulator import Custodian, Site, nhs

BEGIN: Final = date(2026, 2, 27)
WEEK: Final = 7
VERSIONS: Final = (
    shipped_classes(),
    parse_classes(
        shipped_classes().text.replace("years = 75", "years = 60").replace("= 35", "= 12").encode()
    ),
)
DAYS = st.none() | st.dates(date(1900, 1, 1), date(2026, 2, 28)) | st.just(date(2004, 2, 29))
SAID = st.builds(
    Retention, st.sampled_from(sorted(VERSIONS[0].by_code)), DAYS, DAYS, DAYS, DAYS
).filter(
    lambda said: (
        said.born is None
        or all(day is None or said.born <= day for day in (said.ordered, said.died))
    )
)
EVENTS = st.one_of(
    st.tuples(st.just("nights"), st.sampled_from([1, 6, 7, 8, 30, 400, 3_000])),
    st.tuples(st.just("hold"), st.integers(0, 5)),
    st.tuples(st.just("lift"), st.integers(0, 5)),
    st.tuples(st.just("classes"), st.integers(0, 1)),
    st.tuples(st.just("approve"), st.just(0)),
)


@dataclass
class Model:
    """What should be there, by a calendar. A listed record has the day on which it was listed."""

    said: list[Retention | None]
    classes: Classes = VERSIONS[0]
    approved: Classes | None = None
    held: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    listed: dict[int, date] = field(default_factory=dict)

    def is_due(self, at: int, today: date) -> bool:
        told = self.said[at]
        free = None if told is None else free_from(told, self.classes.by_code[told.code])
        return free is not None and free <= today and at not in self.held

    def night(self, today: date) -> None:
        if self.approved is not self.classes:
            self.listed.clear()
            return
        for at, since in list(self.listed.items()):
            if (today - since).days >= WEEK:
                del self.listed[at]
                if self.is_due(at, today):
                    self.gone.add(at)
        for at in range(len(self.said)):
            if at not in self.gone and at not in self.listed and self.is_due(at, today):
                self.listed[at] = today


class Real:
    """A site that is told the same."""

    def __init__(self, site: Site, said: list[Retention | None]) -> None:
        self.site, self.day = site, BEGIN
        at = datetime(BEGIN.year, BEGIN.month, BEGIN.day, 3, tzinfo=UTC)
        self.clocks = site.clocks = SetClocks(at=int(at.timestamp()))
        site.tables["retention"] = {"classes": "classes.toml"}
        self.custodian = self.opened(VERSIONS[0])
        self.holds: dict[int, str] = {}
        self.ids = [self.keep(at, told) for at, told in enumerate(said)]

    def opened(self, classes: Classes) -> Custodian:
        (self.site.folder / "classes.toml").write_text(classes.text)
        self.site.configure()
        return self.site.open()

    def keep(self, at: int, told: Retention | None) -> EntryId:
        """Add a record; what it says of its retention goes through JSON as an authority's does."""
        said = describe_retention(told)
        draft = self.site.draft(f"r-{at}", nhs(at), category="allegation", retention=said)
        return self.custodian.change(add(draft)).record_id

    def hold(self, at: int) -> str:
        """Put a record on hold; return the hold's id."""
        wanted = PlaceHold(reason="inquiry", record=self.ids[at].hex())
        changes = self.custodian.custody.office.governance.changes
        signed = self.site.officers.signer(self.site.vault, "leo").proposal(wanted, changes)
        placed = propose(signed["text"], b64decode(signed["signature"]))
        return self.custodian.call(placed)[0].id.hex()

    def change(self, wanted: Change) -> None:
        """Have a change made, with as many signatures as it needs."""
        self.custodian.call(lambda custody: self.site.officers.make(custody, wanted))

    def approve(self) -> None:
        classes = self.custodian.custody.classes
        self.change(SetRetention(policy=classes.policy.hex(), version=classes.version, cap=10_000))

    def night(self, days: int) -> date:
        self.day += timedelta(days=days)
        self.clocks.let_days_pass(days)
        self.custodian.call(sweep)
        return self.day

    def there(self) -> list[bool]:
        return self.custodian.call(lambda c: [c.record(each) is not None for each in self.ids])


def play(model: Model, real: Real, events: list[tuple[str, int]]) -> None:
    """Do the same to both; after each night what is there, and listed, is the same."""
    for what, value in events:
        if what == "nights":
            model.night(real.night(value))
            expected = [at not in model.gone for at in range(len(model.said))]
            assert real.there() == expected
            listed = real.custodian.call(lambda c: set(c.sweeps.listed))
            assert listed == {real.ids[at] for at in model.listed}
        elif what == "hold" and value not in model.held | model.gone and value < len(model.said):
            real.holds[value] = real.hold(value)
            model.held.add(value)
        elif what == "lift" and value in model.held:
            real.change(LiftHold(hold=real.holds.pop(value)))
            model.held.discard(value)
        elif what == "classes" and VERSIONS[value] is not model.classes:
            real.custodian.stop()
            real.custodian, model.classes = real.opened(VERSIONS[value]), VERSIONS[value]
        elif what == "approve":
            real.approve()
            model.approved = model.classes
            model.listed.clear()


@given(st.lists(st.none() | SAID, min_size=1, max_size=6), st.lists(EVENTS, max_size=24))
@settings(
    max_examples=400 if SOAK else 12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_what_is_there_is_what_a_calendar_says(
    said: list[Retention | None], events: list[tuple[str, int]]
) -> None:
    """Four clocks, leap days, days that nobody knows, holds, other classes, other approvals."""
    with Site() as site:
        real = Real(site, said)
        try:
            play(Model(said), real, [("approve", 0), *events, ("nights", 1), ("nights", 7)])
            assert real.custodian.failures == []
        finally:
            real.custodian.stop()
