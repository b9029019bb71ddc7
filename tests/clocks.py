"""The clocks of a site, in the hands of a test: that of the wall, and the seconds it has run."""

import time
from dataclasses import dataclass, field
from typing import Final

from lookup.cases.standing import DAY
from lookup.custodian import unlocking


class Clocks:
    """Those of this machine."""

    chores = True

    def wall(self) -> int:
        """Seconds since 1970, as somebody has set them."""
        return int(time.time())

    def running(self) -> float:
        """Seconds that nobody can set."""
        return unlocking.running()


REAL: Final = Clocks()


@dataclass
class SetClocks(Clocks):
    """Two clocks that a test moves, together or apart.

    A day that passes brings no daily chores (writer.py) unless the test asks for them.
    """

    chores: bool = False
    at: int = field(default_factory=REAL.wall)
    run: float = 0.0

    def wall(self) -> int:
        """What the test has set."""
        return self.at

    def running(self) -> float:
        """What the test lets pass."""
        return self.run

    def let_pass(self, seconds: int) -> None:
        """Let time pass as it does, for both."""
        self.at += seconds
        self.run += seconds

    def let_days_pass(self, days: float) -> None:
        """Let days pass, for both."""
        self.let_pass(int(days * DAY))
