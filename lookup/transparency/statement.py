"""The statement of a certificate: what was destroyed, when, by whom approved, and what it means.

    lacuna-certificate/v1
    certificate: 32 hex                 random: names nothing
    site: 32 hex                        the vault's id
    authority: 1 to 16 of A-Z 0-9
    ground: art-17-1-a ... art-17-1-g | art-16 | retention
    remedy: unlink | rectify            left out where whole records were destroyed
    record: base64                      a commitment (opening.py); 1 to 100, sorted
    requested_at: 2026-11-27T10:00:00Z
    approved_at: ...
    effective_not_before: ...           the site's anchor had shown this moment before the keys went
    destroyed_at: ...                   the last slot had confirmed by now
    epoch: decimal                      no key of an earlier epoch is left in a confirmed slot
    approval: ROLE SHA256:43 base64     an officer's key as OpenSSH prints it; 1 to 20, sorted
    cooling_off: 14 days                | 0 days, court order | 0 days, demonstration
    slot: LETTER 32 hex                 it confirmed; 1 to 16, sorted
    lost_slot: 32 hex                   it was signed off as lost; 0 to 16, sorted
    workers: decimal                    processes that had no answer of before under way
    not_covered: NAME                   from NOT_COVERED, in its order
    demo: yes | no

Invariants:

* One statement has one text: `parse_statement` takes nothing but what `Statement.text` gives.
  Every line ends in one LF, all else is printable ASCII, base64 is canonical (RFC 4648 section
  3.5), numbers have no leading zeros, lists are sorted as their text and hold nothing twice.
* A Statement that exists keeps every rule: times are in their order and the cooling-off lies
  between approval and `effective_not_before`; what a certificate never covers is always said.
* Nothing in it names a child, a family or an officer: commitments hide, ids are random, a
  fingerprint is of a public key.

What a slot's letter promises is in `keys.slot.DESTRUCTION`; meaning.py says it to people.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from crypto.commitment import Commitment
from lookup.transparency.errors import InvalidStatement

VERSION: Final = "lacuna-certificate/v1"
INACCURATE: Final = "art-16"
RETENTION: Final = "retention"  # nobody asked: its time was over, by a standing approval
GROUNDS: Final = (*(f"art-17-1-{letter}" for letter in "abcdefg"), INACCURATE, RETENTION)
ERASE: Final = "erase"
UNLINK: Final = "unlink"
RECTIFY: Final = "rectify"
NOT_COVERED: Final = ("hospital-copies", "documents-handed-out", "feed-fence", "slot-class-d")
MAX_STATEMENT: Final = 16_384
MAX_RECORDS: Final = 100
COURT_ORDER: Final = "court order"
DEMONSTRATION: Final = "demonstration"

_DAY: Final = 86_400
_END: Final = 253_402_300_800  # the year 10000: it would not be written with four digits
_TEXT: Final = re.compile(rb"(?:[ -~]+\n)+")
_HEX: Final = "[0-9a-f]{32}"
_MOMENT: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
_COMMITMENT: Final = "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="
_FINGERPRINT: Final = "SHA256:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]"
_ROLE: Final = "[a-z](?:[a-z-]{0,30}[a-z])?"


class _Line(NamedTuple):
    name: str
    value: re.Pattern[str]
    least: int = 1
    most: int = 1


_LINES: Final = tuple(
    _Line(name, re.compile(value), *counts)
    for name, value, *counts in (
        ("certificate", _HEX),
        ("site", _HEX),
        ("authority", "[A-Z0-9]{1,16}"),
        ("ground", "|".join(GROUNDS)),
        ("remedy", f"{UNLINK}|{RECTIFY}", 0, 1),
        ("record", _COMMITMENT, 1, MAX_RECORDS),
        ("requested_at", _MOMENT),
        ("approved_at", _MOMENT),
        ("effective_not_before", _MOMENT),
        ("destroyed_at", _MOMENT),
        ("epoch", "[1-9][0-9]{0,18}"),
        ("approval", f"{_ROLE} {_FINGERPRINT}", 1, 20),
        ("cooling_off", f"[1-9][0-9]{{0,2}} days|0 days, (?:{COURT_ORDER}|{DEMONSTRATION})"),
        ("slot", f"[ABD] {_HEX}", 1, 16),
        ("lost_slot", _HEX, 0, 16),
        ("workers", "0|[1-9][0-9]{0,3}"),
        ("not_covered", "|".join(NOT_COVERED), 2, len(NOT_COVERED)),
        ("demo", "yes|no"),
    )
)


class Approval(NamedTuple):
    """One officer's signature that counted: the role it counted for, and the key's fingerprint."""

    role: str
    fingerprint: str


class ConfirmedSlot(NamedTuple):
    """A slot that has shown that it holds no earlier key: its class's letter, and its id."""

    letter: str
    id: str


class CoolingOff(NamedTuple):
    """How many days lay between approval and destruction; why there was none, if so."""

    days: int
    without: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a certificate says. Times are Unix seconds. Raises InvalidStatement for a broken rule.

    Lists may come in any order and are kept sorted.
    """

    certificate: str
    site: str
    authority: str
    ground: str
    records: tuple[Commitment, ...]
    requested_at: int
    approved_at: int
    effective_not_before: int
    destroyed_at: int
    epoch: int
    approvals: tuple[Approval, ...]
    cooling_off: CoolingOff
    slots: tuple[ConfirmedSlot, ...]
    lost_slots: tuple[str, ...]
    workers: int
    not_covered: tuple[str, ...]
    demo: bool
    remedy: str = ERASE

    def __post_init__(self) -> None:
        for name in ("approvals", "slots", "lost_slots"):
            object.__setattr__(self, name, tuple(sorted(getattr(self, name))))
        object.__setattr__(self, "records", tuple(sorted(self.records, key=b64encode)))
        object.__setattr__(self, "not_covered", tuple(sorted(self.not_covered, key=_place)))
        for line, values in zip(_LINES, self._values(), strict=True):
            _require(line.least <= len(values) <= line.most, f"too few or too many of {line.name}")
            _require(all(map(line.value.fullmatch, values)), f"{line.name} breaks its grammar")
        _check_lists(self)
        _check_times(self)
        _check_remedy(self)
        _require(len(self.text()) <= MAX_STATEMENT, f"more than {MAX_STATEMENT} bytes")

    def text(self) -> bytes:
        """Return the one text of this statement, which is what the log is committed to."""
        said = [
            f"{line.name}: {value}"
            for line, values in zip(_LINES, self._values(), strict=True)
            for value in values
        ]
        return ("\n".join([VERSION, *said]) + "\n").encode("ascii")

    def _values(self) -> Iterator[Sequence[str]]:
        """Yield the values of each of _LINES."""
        yield from ([self.certificate], [self.site], [self.authority], [self.ground])
        yield [] if self.remedy == ERASE else [self.remedy]
        yield [b64encode(record).decode() for record in self.records]
        times = (self.requested_at, self.approved_at, self.effective_not_before, self.destroyed_at)
        yield from ([moment(seconds)] for seconds in times)
        yield [str(self.epoch)]
        yield [f"{role} {fingerprint}" for role, fingerprint in self.approvals]
        yield [_cooling_off_text(self.cooling_off)]
        yield [f"{letter} {slot}" for letter, slot in self.slots]
        yield self.lost_slots
        yield [str(self.workers)]
        yield self.not_covered
        yield ["yes" if self.demo else "no"]


def parse_statement(raw: bytes) -> Statement:
    """Return the statement whose text this is. Raises InvalidStatement for any other bytes."""
    _require(len(raw) <= MAX_STATEMENT, f"the statement has more than {MAX_STATEMENT} bytes")
    _require(_TEXT.fullmatch(raw) is not None, "the statement is not lines of printable ascii")
    values = _read_lines(raw.decode("ascii").splitlines())
    one = {name: found[0] for name, found in values.items() if found}
    statement = Statement(
        certificate=one["certificate"],
        site=one["site"],
        authority=one["authority"],
        ground=one["ground"],
        records=tuple(Commitment(b64decode(text)) for text in values["record"]),
        requested_at=_parse_moment(one["requested_at"]),
        approved_at=_parse_moment(one["approved_at"]),
        effective_not_before=_parse_moment(one["effective_not_before"]),
        destroyed_at=_parse_moment(one["destroyed_at"]),
        epoch=int(one["epoch"]),
        approvals=tuple(Approval(*text.split(" ")) for text in values["approval"]),
        cooling_off=_parse_cooling_off(one["cooling_off"]),
        slots=tuple(ConfirmedSlot(*text.split(" ")) for text in values["slot"]),
        lost_slots=tuple(values["lost_slot"]),
        workers=int(one["workers"]),
        not_covered=tuple(values["not_covered"]),
        demo=one["demo"] == "yes",
        remedy=one.get("remedy", ERASE),
    )
    _require(statement.text() == raw, "a list of the statement is not in its order")
    return statement


def moment(seconds: int) -> str:
    """Return a time as the statement writes it, in UTC."""
    _require(0 <= seconds < _END, "a time lies outside 1970 to 9999")
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _place(name: str) -> int:
    return (*NOT_COVERED, name).index(name)


def _read_lines(lines: list[str]) -> dict[str, list[str]]:
    """Return the values of each line, by name. The order is that of _LINES."""
    _require(lines[0] == VERSION, f"line 1: expected {VERSION}")
    values: dict[str, list[str]] = {}
    at = 1
    for line in _LINES:
        start, found = f"{line.name}: ", list[str]()
        while at < len(lines) and len(found) < line.most and lines[at].startswith(start):
            found.append(lines[at].removeprefix(start))
            at += 1
            _require(
                line.value.fullmatch(found[-1]) is not None, f"line {at}: no value of {line.name}"
            )
        _require(len(found) >= line.least, f"line {at + 1}: expected {line.name}")
        values[line.name] = found
    _require(at == len(lines), f"line {at + 1}: repeated, unknown or out of place")
    return values


def _parse_moment(text: str) -> int:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidStatement("a time is on no calendar") from None
    return int(parsed.timestamp())


def _parse_cooling_off(text: str) -> CoolingOff:
    days, _, without = text.partition(" days")
    return CoolingOff(int(days), without.removeprefix(", "))


def _cooling_off_text(cooling_off: CoolingOff) -> str:
    days, without = cooling_off
    return f"{days} days, {without}" if without else f"{days} days"


def _check_lists(said: Statement) -> None:
    lists: tuple[tuple[str, Sequence[object]], ...] = (
        ("record", said.records),
        ("approval", [approval.fingerprint for approval in said.approvals]),
        ("slot", [*(slot.id for slot in said.slots), *said.lost_slots]),
        ("not_covered", said.not_covered),
    )
    for name, values in lists:
        _require(len(set(values)) == len(values), f"a {name} is named twice")
    _require(set(NOT_COVERED[:2]) <= set(said.not_covered), "what is never covered is not said")
    of_class_d = any(slot.letter == "D" for slot in said.slots)
    _require(
        of_class_d == ("slot-class-d" in said.not_covered),
        "slot-class-d is said of slots of class D, and of no others",
    )


def _check_remedy(said: Statement) -> None:
    _require(
        (said.ground == INACCURATE) == (said.remedy != ERASE),
        "art-16 is the ground to unlink or to rectify, and of nothing else",
    )


def _check_times(said: Statement) -> None:
    times = [said.requested_at, said.approved_at, said.effective_not_before, said.destroyed_at]
    _require(times == sorted(times), "the times are not in their order")
    cooled = said.effective_not_before - said.approved_at
    _require(cooled >= said.cooling_off.days * _DAY, "the cooling-off was not waited for")
    _require(
        said.demo or said.cooling_off.without != DEMONSTRATION,
        "only a demonstration goes without cooling-off as one",
    )


def _require(so: bool, rule: str) -> None:  # noqa: FBT001  # what is so is said by the call
    if not so:
        raise InvalidStatement(rule)
