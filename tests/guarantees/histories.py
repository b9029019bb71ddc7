"""Histories of additions, shreds and lookups, and what linearizability says of them.

All times are of one monotonic clock: a step *began* before it was sent, and *ended* after its
answer was read. What happened at the same time may have happened in either order.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

KNOWN: Final = "known"
NO_RECORD: Final = "no-record"
NEVER: Final = float("inf")


@dataclass
class Life:
    """When a child was added and shredded; NEVER: not yet."""

    add_began: float = NEVER
    add_ended: float = NEVER
    shred_began: float = NEVER
    shred_ended: float = NEVER


@dataclass(frozen=True)
class Look:
    """One lookup and what it said."""

    child: str
    began: float
    ended: float
    outcome: str


@dataclass
class History:
    """What happened, of which one child has at most one life."""

    lives: dict[str, Life] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)

    def wrong(self) -> list[tuple[str, Look, Life]]:
        """Return the answers that no order of the steps explains; *could not check* needs none."""
        found = []
        for look in self.looks:
            life = self.lives.get(look.child, Life())
            if look.outcome == KNOWN and look.ended < life.add_began:
                found.append(("known before it was added", look, life))
            if look.outcome == KNOWN and look.began > life.shred_ended:
                found.append(("known after its shred was acknowledged", look, life))
            lived = life.add_ended < look.began and look.ended < life.shred_began
            if look.outcome == NO_RECORD and lived:
                found.append(("no record after its addition was acknowledged", look, life))
        return found

    def outcomes(self) -> Counter[str]:
        """Count what was said."""
        return Counter(look.outcome for look in self.looks)
