"""What a benchmark claims and what it found, in the words of the results.

    summary.json   claim's name -> value, unit, relation and floor, met, records, machine, date
    NAME.json      those of one benchmark, its rows, its plots, the machine and its load

`met` is null where nothing was promised, or where the size that the promise is about was not
measured. A row is a table's line: its keys name the columns, with their units.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, NamedTuple

CLAIMED_SIZE: Final = 1_000_000
LEAST_SIZE: Final = 10_000  # what CLAIMED_SIZE is compared with

Json = dict[str, Any]


class Floor(NamedTuple):
    """What was promised of a figure."""

    relation: Literal["<=", ">="]
    limit: float

    def holds(self, value: float) -> bool:
        """Say whether a figure keeps the promise."""
        return value <= self.limit if self.relation == "<=" else value >= self.limit


@dataclass(frozen=True, slots=True)
class Claim:
    """One figure with its floor. `bound_by` says what the figure is made of, for when it misses."""

    name: str
    says: str
    value: float
    unit: str
    records: int
    judged: bool
    floor: Floor | None = None
    bound_by: str = ""

    def to_json(self) -> Json:
        """Return the members that the results have."""
        judged = self.judged and self.floor is not None
        return {
            "says": self.says,
            "value": round(self.value, 3),
            "unit": self.unit,
            "relation": self.floor.relation if self.floor else None,
            "floor": self.floor.limit if self.floor else None,
            "met": self.floor.holds(self.value) if self.floor and judged else None,
            "records": self.records,
            "bound_by": self.bound_by,
        }


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines over something; `limit` is drawn across, where there is one.

    `scale` is that of x, of y too for "log-log". With "bars" each name in `lines` is a bar, as long
    as the y of its one point; x is not drawn.
    """

    title: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float]]]
    limit: float | None = None
    scale: Literal["log", "linear", "log-log", "bars"] = "log"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one benchmark has found; `missing` says what could not be measured here.

    `pictures` are files that it has put among the plots itself.
    """

    claims: tuple[Claim, ...]
    rows: tuple[Json, ...]
    plots: tuple[Plot, ...] = ()
    missing: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()

    def to_json(self) -> Json:
        """Return the members that the results have."""
        return {
            "claims": {claim.name: claim.to_json() for claim in self.claims},
            "rows": list(self.rows),
            "plots": [asdict(plot) for plot in self.plots],
            "missing": list(self.missing),
            "pictures": list(self.pictures),
        }
