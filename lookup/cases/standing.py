"""Where a case stands: what its steps amount to. How they do is in lookup/cases/machine.py.

Times are told by two clocks. `elapsed` counts the seconds that the site has run (keys/anchor.py)
and cannot be set; `time` is of the wall, in seconds since 1970, for people.

Pure: frozen values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from lookup.cases.step import Step
from lookup.officers.roles import Officer, OfficerId

DAY: Final = 24 * 3_600
RESTRICTED_SECONDS: Final = 72 * 3_600
# Whoever has not acknowledged a recall by then is to be written to; the case waits until they were.
RECALL_SECONDS: Final = 7 * DAY
MALICIOUS: Final = "art-17-1-g"
# Why the site escalates a case: what came is nothing that its requester has seen.
NEW_CATEGORY: Final = "new-category"
NEW_CHILD: Final = "new-child"
NEW_DATES: Final = "new-dates"
NEW_RECORD: Final = "new-record"
# Or: another record of the same child was destroyed, and the site itself took it off the list.
OTHER_GONE: Final = "other-gone"


class Remedy(StrEnum):
    """What a case asks for. Only the first leaves nothing."""

    ERASE = "erase"
    UNLINK = "unlink"
    RECTIFY = "rectify"
    RESTRICT = "restrict"


class State(StrEnum):
    """Where a case stands."""

    REQUESTED = "requested"
    COOLING_OFF = "cooling-off"
    RECALLING = "recalling"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


APPROVED: Final = frozenset({State.COOLING_OFF, State.RECALLING})
UNDECIDED: Final = APPROVED | {State.REQUESTED}


@dataclass(frozen=True, slots=True)
class Moment:
    """A time by both clocks: seconds that the site has run, and seconds since 1970."""

    elapsed: int
    time: int


@dataclass(frozen=True, slots=True)
class Taken:
    """A step, and when it was taken."""

    step: Step
    at: Moment


@dataclass(frozen=True, slots=True)
class Terms:
    """What of a case's content its life depends on; of one revision."""

    ground: str
    authority: str
    restrict: bool = False
    remedy: Remedy = Remedy.ERASE


@dataclass(frozen=True, slots=True)
class Rules:
    """What a site asks of every case of an authority."""

    approvals: int = 2
    cooling_off_days: int = 14


@dataclass(frozen=True, slots=True)
class Restriction:
    """A protecting record is hidden. Unconfirmed, it lapses after 72 hours."""

    by: OfficerId
    since: Moment
    confirmed_by: OfficerId | None = None

    def holds(self, now: Moment) -> bool:
        """Say whether it has not lapsed: it has when either clock says so."""
        if self.confirmed_by is not None:
            return True
        return (
            now.time - self.since.time < RESTRICTED_SECONDS
            and now.elapsed - self.since.elapsed < RESTRICTED_SECONDS
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Somebody has refused; it stands when another has reviewed it."""

    by: OfficerId
    reason: str


@dataclass(frozen=True, slots=True)
class Shortening:
    """Another length of the cooling-off, in days; none at all by a court's order."""

    days: int
    court_order: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What a case's steps amount to.

    `revision` is the number of the step that last changed the case; `changers` who has opened or
    changed it; `approved` when the last approval that was needed came, `wanting` what else is;
    `restricted` whether a restriction was laid on since a requester last signed; `unseen` what came
    since, and no requester has seen; `recalled` when the recipients of answers were first told, of
    whom there are `recipients`, and `written` whether the rest got letters. `signed` counts steps
    of officers.
    """

    state: State
    revision: int
    opener: OfficerId
    opened: Moment
    changers: frozenset[OfficerId]
    approvals: tuple[OfficerId, ...] = ()
    wanting: tuple[str, ...] = ()
    approved: Moment | None = None
    default_days: int = 14
    shortened: Shortening | None = None
    held_by: OfficerId | None = None
    refusal: Refusal | None = None
    restriction: Restriction | None = None
    restricted: bool = False
    escalated: tuple[str, ...] = ()
    unseen: frozenset[str] = frozenset()
    identity_asked: bool = False
    recalled: Moment | None = None
    recipients: int = 0
    written: bool = False
    signed: int = 0
    last: Taken | None = field(default=None, repr=False)

    @property
    def is_open(self) -> bool:
        """Say whether it can still end in a destruction."""
        return self.state in UNDECIDED

    @property
    def stale(self) -> bool:
        """Say whether it has to be amended before anybody approves it."""
        return bool(self.unseen - {OTHER_GONE})

    @property
    def cooling_off_days(self) -> int:
        """How long the case waits after it was approved."""
        return self.default_days if self.shortened is None else self.shortened.days

    @property
    def due(self) -> int | None:
        """When it may be carried out, in seconds that the site has run; None: not approved."""
        if self.approved is None:
            return None
        return self.approved.elapsed + self.cooling_off_days * DAY

    def is_due(self, now: Moment) -> bool:
        """Say whether it is to be carried out."""
        due, approved = self.due, self.approved
        return (
            self.state in APPROVED
            and self.held_by is None
            and due is not None
            and approved is not None
            and now.elapsed >= due
            and now.time >= approved.time + self.cooling_off_days * DAY
        )

    def restricts(self, now: Moment) -> bool:
        """Say whether officers hide its records although they protect a child."""
        return self.is_open and self.restriction is not None and self.restriction.holds(now)

    def hides(self, now: Moment) -> bool:
        """Say whether its records are not answered as they are."""
        return self.restricts(now) or self.state is State.RECALLING

    def is_overdue(self, now: Moment) -> bool:
        """Say whether recipients have had the time that they get to acknowledge a recall."""
        since = self.recalled
        return (
            self.state is State.RECALLING
            and since is not None
            and not self.written
            and max(now.time - since.time, now.elapsed - since.elapsed) >= RECALL_SECONDS
        )


Officers = Mapping[OfficerId, Officer]
