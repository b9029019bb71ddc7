"""A model of a case's life, written without a look at the machine: rules over its whole history."""

from dataclasses import dataclass, field
from typing import Final

from lookup.cases.standing import Moment
from lookup.officers.roles import Act, Role

HOUR: Final = 3_600
DAY: Final = 24 * HOUR
CHANGES: Final = frozenset({Act.OPEN, Act.AMEND, Act.ESCALATE})
DECIDES: Final = frozenset({Role.APPROVER, Role.LEGAL})

Who = bytes


@dataclass(frozen=True)
class Event:
    """Somebody did something at a time, and with what roles."""

    act: Act
    who: Who | None
    at: Moment
    roles: frozenset[Role] = frozenset()
    days: int = 0
    order: str = ""


@dataclass
class Law:
    """The people and the rules of now."""

    people: dict[Who, frozenset[Role]] = field(default_factory=dict)
    approvals: int = 2
    days: int = 14


@dataclass
class Story:
    """All that has happened to one case."""

    malicious: bool
    asked: bool
    events: list[Event] = field(default_factory=list)

    @property
    def changers(self) -> set[Who]:
        return {e.who for e in self.events if e.act in {Act.OPEN, Act.AMEND} and e.who is not None}

    @property
    def is_closed(self) -> bool:
        return bool({Act.WITHDRAW, Act.REVIEW} & {event.act for event in self.events})

    @property
    def is_held(self) -> bool:
        marks = [e.act for e in self.events if e.act in {Act.HOLD, Act.RELEASE}]
        return marks[-1:] == [Act.HOLD]

    def since_change(self) -> list[Event]:
        """Return what was signed of the case as it stands."""
        last = max(at for at, event in enumerate(self.events) if event.act in CHANGES)
        return self.events[last + 1 :]

    def may_be_destroyed(self, law: Law, now: Moment) -> bool:
        """Say whether enough people have approved, long enough ago, and nothing stands against."""
        if self.is_closed or self.is_held:
            return False
        approved = self._approved(law)
        if approved is None:
            return False
        wait = self._days(law) * DAY
        return now.elapsed - approved.elapsed >= wait and now.time - approved.time >= wait

    def _approved(self, law: Law) -> Moment | None:
        """Return when the last approval came of those that were needed."""
        signed: set[Who] = set()
        for event in self.since_change():
            if event.act is Act.APPROVE and event.who is not None:
                signed.add(event.who)
            valid = {w for w in signed - self.changers if law.people.get(w, frozenset()) & DECIDES}
            legal = any(Role.LEGAL in law.people[w] for w in valid)
            if len(valid) >= law.approvals and (legal or not self.malicious):
                return event.at
        return None

    def _days(self, law: Law) -> int:
        shortened = [
            event.days
            for event in self.since_change()
            if event.act is Act.SHORTEN
            and Role.LEGAL in law.people.get(event.who or b"", frozenset())
        ]
        return shortened[-1] if shortened else law.days

    def may_be_hidden(self, now: Moment) -> bool:
        """Say whether two have asked for it lately, or three have."""
        if self.is_closed or not self.asked:
            return False
        for at, event in enumerate(self.events):
            if event.act is not Act.RESTRICT:
                continue
            before = Story(self.malicious, self.asked, self.events[:at])
            after = self.events[at + 1 :]
            if event.who in before.changers or Role.SAFEGUARDING not in event.roles:
                continue
            if any(later.act is Act.LIFT for later in after):
                continue
            if _lasts(event.at, now) or self._confirmed(event, after, now):
                return True
        return False

    def _confirmed(self, restricted: Event, after: list[Event], now: Moment) -> bool:
        for at, event in enumerate(after):
            if event.act is Act.CONFIRM and event.who not in self.changers | {restricted.who}:
                changed = [e.at for e in after[at + 1 :] if e.act in CHANGES]
                if not changed or _lasts(changed[0], now):
                    return True
            elif event.act is Act.CONFIRM and event.who != restricted.who:
                # Whoever confirmed changed the case later: that change has begun the time anew.
                changed = [e.at for e in after[at + 1 :] if e.act in CHANGES]
                if changed and _lasts(changed[0], now):
                    return True
        return False


def _lasts(since: Moment, now: Moment) -> bool:
    return now.elapsed - since.elapsed < 72 * HOUR and now.time - since.time < 72 * HOUR
