"""A site whose clocks a test has in its hands, and whose sweeps it begins."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from keys.entry import EntryId
from lookup.custodian.cases.certifying import certificates
from lookup.custodian.custody import Custody
from lookup.custodian.records.adding import add
from lookup.custodian.retention.sweeping import Swept, sweep
from lookup.officers.proposal import Change, SetRetention
from lookup.transparency.certificate import leaf_of
from tests.clocks import SetClocks
from tests.officers import Json
from tests.simulator import Custodian, Site, nhs

TODAY: Final = date(2026, 11, 27)
# Ten years from closure: due since the day before, on the day, and in a year.
OVER: Final = {"class": "allegation-unfounded", "closed": "2016-11-25"}
LAST_DAY: Final = {"class": "allegation-unfounded", "closed": "2016-11-27"}
NOT_YET: Final = {"class": "allegation-unfounded", "closed": "2017-11-25"}


@dataclass
class Depot:
    """A site whose clocks the test has, and whose sweeps it begins."""

    custodian: Custodian
    clocks: SetClocks

    def keep(self, source: str, said: Json | None = OVER, **changes: Any) -> EntryId:  # noqa: ANN401  # JSON
        members: Json = {"category": "allegation", "retention": said} | changes
        draft = self.custodian.site.draft(source, nhs(len(source)), **members)
        return self.custodian.change(add(draft)).record_id

    def approve(self, cap: int = 100, **changes: Any) -> None:  # noqa: ANN401  # of the change
        self.change(self.retention(cap, **changes))

    def retention(self, cap: int = 100, **changes: Any) -> SetRetention:  # noqa: ANN401  # of the change
        classes = self.custodian.custody.classes
        named: Json = {"policy": classes.policy.hex(), "version": classes.version, "cap": cap}
        return SetRetention(**(named | changes))

    def change(self, change: Change) -> None:
        self.custodian.desk.change(change)

    def night(self) -> Swept:
        return self.custodian.call(sweep)

    def nights(self, count: int) -> list[tuple[int, int]]:
        """Let days pass, with a sweep at the end of each; return what each destroyed and listed."""
        done = []
        for _ in range(count):
            self.clocks.let_days_pass(1)
            swept = self.night()
            done.append((swept.destroyed, swept.listed))
        return done

    def there(self, *ids: EntryId) -> list[bool]:
        return self.custodian.call(
            lambda custody: [custody.record(each) is not None for each in ids]
        )

    def told(self, path: str = "/v1/retention", officer: str = "ada") -> Json:
        headers = self.custodian.desk.signer(officer).headers(self.clocks.wall())
        response = self.custodian.officer.get(path, headers=headers)
        assert response.status_code == 200, response.text
        return dict(response.json())


def start() -> SetClocks:
    at = datetime(TODAY.year, TODAY.month, TODAY.day, 3, tzinfo=UTC)
    return SetClocks(at=int(at.timestamp()))


def opened(site: Site) -> Custodian:
    custodian = site.open()
    object.__setattr__(custodian.facts, "clock", site.clocks.wall)
    return custodian


def certified(custody: Custody) -> list[tuple[str, int, int]]:
    """Return ground and number of records of each certificate, and how often the log has it."""
    leaves = list(custody.store.log.leaves(0))
    return [
        (each.statement.ground, len(each.statement.records), leaves.count(leaf))
        for each in certificates(custody)
        for leaf in (leaf_of(each.statement, each.nonce),)
    ]
