"""The demonstration's records: 17 that tell a story, and as many generated ones as are asked for.

    python -m lookup.demo.sample > lookup/demo/data/sample.ndjson

Invariants:

* Equal arguments give equal records, on every machine and Python: no clock, no `random`.
* Nobody real is meant. NHS numbers come from the range that is never issued (900 to 999 millions
  of its first nine digits), downward from 999; all that begin with 999000 are the scenes'.
* In a stream no two generated records share an identifier or a marker. The 999 range has room for
  907,273 children; from then on numbers of 998, 997, … follow, 90.9 million in all.
* Each payload has a `marker` found in no other, so that a search for it decides whether that
  record can still be read anywhere.
* What is answered today is answered for years: the scenes until 2040, of the generated records
  seven in eight until 2036 at least, while the others ended long ago.

The records are in the format that the custodian imports: one JSON object a line.
"""

import json
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from importlib.resources import files
from itertools import islice
from typing import Any, Final, NotRequired, TypedDict

SAMPLE_SIZE: Final = 1000
SAMPLE_SEED: Final = 2026
MAX_GENERATED: Final = 90_000_000

_DATA: Final = files("lookup.demo") / "data"
_MASK: Final = (1 << 64) - 1


class SampleRecord(TypedDict):
    """A record as a line of an import file has it; dates are ISO 8601."""

    authority: str
    source_ref: str
    identifiers: list[str]
    category: str
    since: str
    until: str | None
    answer_until: NotRequired[str]
    payload: dict[str, str]


@dataclass(frozen=True)
class Scene:
    """A child, or several who belong together: canonical identifiers, and what is recorded."""

    identifiers: tuple[str, ...]
    records: tuple[SampleRecord, ...]

    @property
    def identifier(self) -> str:
        """The first identifier."""
        return self.identifiers[0]

    @property
    def source_ref(self) -> str:
        """The first record's source reference."""
        return self.records[0]["source_ref"]

    @property
    def marker(self) -> str:
        """What only the first record's payload contains."""
        return self.records[0]["payload"]["marker"]


@dataclass(frozen=True)
class Scenes:
    """Who the demonstration is about."""

    known: Scene  # a plan that rested on malicious calls, and ended; the record that is expunged
    unknown: Scene  # a valid number under which nothing is recorded
    no_further_action: Scene  # an allegation, looked into, with nothing in it
    two_records: Scene  # one child, two authorities
    two_identifiers: Scene  # one record, found by NHS number and by UPN
    siblings: Scene  # three children, a record each
    twins: Scene  # two children, numbers one apart
    unborn: Scene  # recorded under the mother's number
    ended: Scene  # over, and still answered
    expired: Scene  # over, and answered no longer
    child_in_need: Scene  # stored, not answered
    allegation: Scene  # stored, not answered
    local_number: Scene  # known by the authority's own number only
    sibling: Scene  # of the first child: a plan that protects him, of the same authority
    adopted: Scene  # one record under two numbers: that from before the adoption, and the new one


def load_authorities() -> dict[str, Any]:
    """Return the tables of the three authorities, as lookup.catalogue reads them."""
    return _load_toml("authorities.toml")


def load_sample() -> bytes:
    """Return the shipped import file."""
    return (_DATA / "sample.ndjson").read_bytes()


def scenes() -> Scenes:
    """Return the scenes. All of their records are in the sample."""
    tables = _load_toml("scenes.toml")
    unknown = Scene((tables.pop("unknown"),), ())
    return Scenes(unknown=unknown, **{name: _scene(rows) for name, rows in tables.items()})


def sample() -> Iterator[SampleRecord]:
    """Yield the sample: the scenes' records, then generated ones."""
    told = scenes()
    codes = [authority["code"] for authority in load_authorities()["authority"]]
    records = [record for field in fields(told) for record in getattr(told, field.name).records]
    yield from records
    yield from generate(SAMPLE_SIZE - len(records), SAMPLE_SEED, codes)


def generate(count: int, seed: int, authorities: Sequence[str]) -> Iterator[SampleRecord]:
    """Yield records of one identifier each, about 3 µs apart; at most 90 million."""
    if count > MAX_GENERATED:
        raise ValueError(f"at most {MAX_GENERATED} records can be generated")
    written_by, kinds = _load_kinds()
    for n, number in enumerate(islice(_nhs_numbers(seed), count)):
        bits = _mix(seed, n)
        authority = authorities[n % len(authorities)]
        category, notes, periods = kinds[bits & 15]
        since, until, answer_until = periods[bits >> 4 & 63]
        record: SampleRecord = {
            "authority": authority,
            "source_ref": f"{authority}-{n:08d}",
            "identifiers": [f"nhs:{number}"],
            "category": category,
            "since": since,
            "until": until,
            "payload": {
                "marker": f"marker-{bits:016x}",
                "written_by": written_by[(bits >> 10) % len(written_by)],
                "note": notes[(bits >> 20) % len(notes)],
            },
        }
        if answer_until is not None:
            record["answer_until"] = answer_until
        yield record


def to_line(record: SampleRecord) -> str:
    """Return the record as a line of an import file."""
    return json.dumps(record, separators=(",", ":")) + "\n"


_Period = tuple[str, str | None, str | None]
_Kind = tuple[str, list[str], tuple[_Period, ...]]

# In sixteenths.
_SHARES: Final = {
    "child-protection-plan": 5,
    "child-in-need": 4,
    "looked-after": 3,
    "enquiry-no-further-action": 2,
    "unborn-plan": 1,
    "allegation": 1,
}


def _load_kinds() -> tuple[list[str], tuple[_Kind, ...]]:
    text = _load_toml("notes.toml")
    kinds = tuple(
        (category, text["notes"][category], tuple(_period(category, n) for n in range(64)))
        for category, share in _SHARES.items()
        for _ in range(share)
    )
    return text["written_by"], kinds


def _period(category: str, n: int) -> _Period:
    """Return since, until and answer_until. Every eighth record but those of unborn is long over.

    Of these, every other one stopped being answered on the day it ended.
    """
    since = date(2023, 1, 2) + timedelta(days=21 * n)
    if category == "unborn-plan":
        return (date(2026, 3, 2) + timedelta(days=3 * n)).isoformat(), None, None
    if n % 8 == 0:
        ended = (since - timedelta(days=1300)).isoformat()
        return (since - timedelta(days=1800)).isoformat(), ended, ended if n % 16 else None
    lasts = {"looked-after": 5000, "enquiry-no-further-action": 30}.get(category)
    until = (since + timedelta(days=lasts)).isoformat() if lasts else None
    return since.isoformat(), until, None


def _scene(rows: list[dict[str, Any]]) -> Scene:
    records = tuple(map(_scene_record, rows))
    identifiers = dict.fromkeys(text for record in records for text in record["identifiers"])
    return Scene(tuple(identifiers), records)


def _scene_record(row: dict[str, Any]) -> SampleRecord:
    record: SampleRecord = {
        "authority": row["authority"],
        "source_ref": row["source_ref"],
        "identifiers": row["identifiers"],
        "category": row["category"],
        "since": row["since"],
        "until": row.get("until"),
        "payload": {key: row[key] for key in ("marker", "written_by", "note")},
    }
    if "answer_until" in row:
        record["answer_until"] = row["answer_until"]
    return record


def _nhs_numbers(seed: int) -> Iterator[str]:
    """Yield valid NHS numbers, each once: block after block, inside a block scattered."""
    offset = _mix(seed, -1)
    for block in range(999, 899, -1):
        for step in range(10**6):
            # A stride without the factors 2 and 5 visits every number of the block once.
            middle, tail = divmod((step * 618_033 + offset) % 10**6, 1000)
            check = -(_HEAD[block] + _MIDDLE[middle] + _TAIL[tail]) % 11
            if check < 10 and (block, middle) not in _NOT_GENERATED:
                yield f"{block}{middle:03d}{tail:03d}{check}"


# The scenes' numbers; and those among which are ten nines, which nothing accepts.
_NOT_GENERATED: Final = {(999, 0), (999, 999)}


def _weighted(weight: int) -> tuple[int, ...]:
    """Return what each three digits add to the modulus 11 sum, the first with this weight."""
    return tuple(
        a * weight + b * (weight - 1) + c * (weight - 2)
        for a in range(10)
        for b in range(10)
        for c in range(10)
    )


_HEAD, _MIDDLE, _TAIL = _weighted(10), _weighted(7), _weighted(4)


def _mix(seed: int, n: int) -> int:
    """Return 64 bits that look random; for one seed, no two n give the same (SplitMix64)."""
    z = (seed + (n + 1) * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & _MASK
    return z ^ z >> 31


def _load_toml(name: str) -> dict[str, Any]:
    return tomllib.loads((_DATA / name).read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.stdout.writelines(map(to_line, sample()))
