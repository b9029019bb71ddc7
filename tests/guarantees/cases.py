"""A model of a case's life, written without a look at the machine: rules over its whole history."""

from dataclasses import dataclass, field
from typing import Final

from lookup.cases.standing import Moment
from lookup.officers.roles import Act, Role

HOUR: Final = 3_600
DAY: Final = 24 * HOUR
CHANGES: Final = frozenset({Act.OPEN, Act.AMEND, Act.ESCALATE})
DECIDES: Final = frozenset({Role.APPROVER, Role.LEGAL})
HIDES: Final = frozenset({Role.SAFEGUARDING})
CONFIRMS: Final = frozenset({Role.APPROVER, Role.LEGAL, Role.SAFEGUARDING})
SEEN: Final = "other-gone"  # the one escalation that brings nothing which has to be looked at

Who = bytes


@dataclass(frozen=True)
class Event:
    """Somebody did something at a time, and with what roles."""

    act: Act
    who: Who | None
    at: Moment
    roles: frozenset[Role] = frozenset()
    days: int = 0
    reason: str = ""


@dataclass
class Law:
    """The people and the rules of now."""

    people: dict[Who, frozenset[Role]] = field(default_factory=dict)
    approvals: int = 2
    days: int = 14

    def has(self, who: Who | None, roles: frozenset[Role]) -> bool:
        """Say whether somebody is here who has one of these roles."""
        return bool(self.people.get(who or b"", frozenset()) & roles)


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

    @property
    def is_unseen(self) -> bool:
        """Say whether something has come that no requester has looked at."""
        for event in reversed(self.events):
            if event.act is Act.AMEND:
                return False
            if event.act is Act.ESCALATE and event.reason != SEEN:
                return True
        return False

    def since_change(self, law: Law) -> list[Event]:
        """Return what was signed of the case as it stands; its cooling-off is a part of it."""
        last = max(
            at
            for at, event in enumerate(self.events)
            if event.act in CHANGES or self._shortens(event, law)
        )
        return self.events[last:]

    def _shortens(self, event: Event, law: Law) -> bool:
        return event.act is Act.SHORTEN and law.has(event.who, frozenset({Role.LEGAL}))

    def may_be_destroyed(self, law: Law, now: Moment) -> bool:
        """Say whether enough people have approved, long enough ago, and nothing stands against."""
        if self.is_closed or self.is_held or self.is_unseen:
            return False
        approved = self._approved(law, self.since_change(law))
        if approved is None:
            return False
        wait = self._days(law) * DAY
        return now.elapsed - approved.elapsed >= wait and now.time - approved.time >= wait

    def _approved(self, law: Law, events: list[Event]) -> Moment | None:
        """Return when the last approval came of those that were needed."""
        signed: set[Who] = set()
        for event in events:
            if event.act is Act.APPROVE and event.who is not None:
                signed.add(event.who)
            valid = {who for who in signed - self.changers if law.has(who, DECIDES)}
            legal = any(Role.LEGAL in law.people[who] for who in valid)
            if len(valid) >= law.approvals and (legal or not self.malicious):
                return event.at
        return None

    def _days(self, law: Law) -> int:
        first = self.since_change(law)[0]
        return first.days if first.act is Act.SHORTEN else law.days

    def may_be_refused(self, law: Law, reviewer: Who | None) -> bool:
        """Say whether another, who is here yet, has refused it; whoever asked does neither."""
        last = max(at for at, event in enumerate(self.events) if event.act in CHANGES)
        return reviewer not in self.changers and any(
            event.act is Act.REFUSE
            and event.who not in self.changers | {reviewer}
            and law.has(event.who, DECIDES)
            for event in self.events[last + 1 :]
        )

    def may_be_hidden(self, law: Law, now: Moment) -> bool:
        """Say whether it is restricted, or recipients of answers are being told."""
        return self.may_be_restricted(law, now) or self.is_recalled(law)

    def is_recalled(self, law: Law) -> bool:
        """Say whether recipients were told of it as it stands, after all who had to approved."""
        if self.is_closed:
            return False
        signed = self.since_change(law)
        recalls = [at for at, event in enumerate(signed) if event.act is Act.RECALL]
        if not recalls or {Act.HOLD, Act.TAKE_BACK} & {each.act for each in signed[recalls[-1] :]}:
            return False
        return self._approved(law, signed[: recalls[-1]]) is not None

    def may_be_restricted(self, law: Law, now: Moment) -> bool:
        """Say whether two have asked for it lately, or three have, who are here yet."""
        if self.is_closed or not self.asked:
            return False
        for at, event in enumerate(self.events):
            if event.act is not Act.RESTRICT:
                continue
            before = Story(self.malicious, self.asked, self.events[:at])
            after = self.events[at + 1 :]
            if event.who in before.changers or Role.SAFEGUARDING not in event.roles:
                continue
            if not law.has(event.who, HIDES):
                continue
            if any(later.act is Act.LIFT for later in after):
                continue
            if _lasts(event.at, now) or self._confirmed(law, event, after, now):
                return True
        return False

    def _confirmed(self, law: Law, restricted: Event, after: list[Event], now: Moment) -> bool:
        for at, event in enumerate(after):
            if event.act is not Act.CONFIRM or event.who == restricted.who:
                continue
            if not law.has(event.who, CONFIRMS):
                continue
            changed = [later.at for later in after[at + 1 :] if later.act in CHANGES]
            # Whoever confirmed may change the case later: that change has begun the time anew.
            if changed and _lasts(changed[0], now):
                return True
            if not changed and event.who not in self.changers:
                return True
        return False


def _lasts(since: Moment, now: Moment) -> bool:
    return now.elapsed - since.elapsed < 72 * HOUR and now.time - since.time < 72 * HOUR
