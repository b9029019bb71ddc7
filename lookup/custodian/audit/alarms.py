"""What the custodian notices in the audit, as counters that any thread may read.

    honey          a link that is nobody's was asked for
    enumeration    a client asked for more tokens in an hour than care explains, or hit too few
    damage         a segment or an entry is not as its worker left it
    hidden         records that protect a child are not answered, because of a case
    escalated      what a case was signed of is no longer the whole picture
    untold         accesses that no authority could be told of
    entries, rows  what was taken in by this process, and how far the chain reaches
    taken_in       when segments were last looked at, on the monotonic clock

Invariants:

* A log line names at most a client's random id; a counter names nothing.
* Memory is bounded by the number of enrolled clients. Whoever is none of them counts as one.
"""

import logging
from dataclasses import dataclass, field
from typing import Final

HOUR: Final = 3_600
# A large hospital's day has 2,000 attendances at A&E; its busiest hour a tenth of them, and each is
# looked up a few times. A client that has a reason to ask for more is told to the officers first.
MOST_IN_AN_HOUR: Final = 5_000
# 97 % of children are unknown: of 1,000 asked for, fewer than three are known once in 10 ** 10.
LEAST_KNOWN: Final = 3
_OF: Final = 1_000

logger = logging.getLogger("lookup.custodian")


@dataclass(slots=True)
class _Hour:
    """What a client has asked for within one hour."""

    number: int = -1
    tokens: int = 0
    known: int = 0
    told: bool = False


@dataclass(slots=True)
class Alarms:
    """The counters of one process, and what they are counted from."""

    honey: int = 0
    enumeration: int = 0
    damage: int = 0
    untold: int = 0
    hidden: int = 0
    escalated: int = 0
    entries: int = 0
    rows: int = 0
    taken_in: float = 0
    _hours: dict[str, _Hour] = field(default_factory=dict, repr=False)

    def touch_honey(self, client: str) -> None:
        """A link that is nobody's was asked for."""
        self.honey += 1
        logger.warning("alarm: client %s asked for a honey record", client)

    def find_damage(self, what: str) -> None:
        """Something is not as its worker left it."""
        self.damage += 1
        logger.error("alarm: %s", what)

    def hide(self, records: int) -> None:
        """Two officers hide records that hospitals would be told of."""
        if records:
            self.hidden += records
            logger.warning("alarm: a case hides %d records that protect a child", records)

    def escalate(self, case: str, reason: str) -> None:
        """Something came that the officers of a case have not seen."""
        self.escalated += 1
        logger.warning("alarm: case %s is to be looked at again: %s", case, reason)

    def leave_untold(self, accesses: int) -> None:
        """No authority can be told of these accesses; said whenever they have doubled.

        An outbox that nobody empties loses one with each lookup: no log has room for all these.
        """
        before, self.untold = self.untold, self.untold + accesses
        if self.untold.bit_length() > before.bit_length():
            logger.error(
                "alarm: authorities could not be told of %d accesses since the start", self.untold
            )

    def count(self, client: str, time: int, tokens: int, known: int) -> None:
        """A client asked for tokens at a time, in seconds, and so many were known."""
        self.entries += 1
        hour = self._hours.setdefault(client, _Hour())
        if hour.number != time // HOUR:
            hour = self._hours[client] = _Hour(time // HOUR)
        hour.tokens += tokens
        hour.known += known
        many = hour.tokens > MOST_IN_AN_HOUR
        mostly_unknown = hour.tokens >= _OF and hour.known * _OF < LEAST_KNOWN * hour.tokens
        if (many or mostly_unknown) and not hour.told:
            hour.told = True
            self.enumeration += 1
            why = "asks for more than care explains" if many else "asks for hardly any known child"
            logger.warning("alarm: client %s %s", client, why)
