"""What a custodian counts of its own work, for metrics and `lacuna status`.

Invariants:

* Whole numbers of what was done, by a result from a fixed list; nothing of a record.
* One thread writes, that of the event loop; others only read. Counting begins with the process.
"""

from dataclasses import dataclass, field

from lookup.custodian.records.adding import (
    ADDED,
    DETACHED,
    FENCED,
    PARKED,
    REPLAYED,
    UNCHANGED,
    UPDATED,
)

INVALID = "invalid"


def _no_lines() -> dict[str, int]:
    return dict.fromkeys(
        (ADDED, UPDATED, UNCHANGED, PARKED, DETACHED, FENCED, REPLAYED, INVALID), 0
    )


@dataclass(slots=True)
class Counts:
    """Lines of imports by their result."""

    import_lines: dict[str, int] = field(default_factory=_no_lines)
