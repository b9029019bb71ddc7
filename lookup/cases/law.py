"""The law as data: what lookup/cases/data holds, loaded once and strictly.

Invariants:

* Every file says its version, its source and the day on which that was read.
* Codes and ids are unique within their file and never change their meaning; what refers to another
  entry refers to one that is there.
* No file says whether Art 17(1)(g) is in force: that is the site's configuration, and offences.toml
  says why.

The words of the data are shorter than the law's, and the law's count.
"""

from collections.abc import Iterable
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Final, NewType, TypeVar

import msgspec

OffenceId = NewType("OffenceId", str)

_DATA: Final = files("lookup.cases") / "data"


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table without members that nobody reads."""


class Origin(_Strict, frozen=True):
    """Where a file's content is from."""

    version: int
    source: str
    read: date


class Offence(_Strict, frozen=True):
    """An entry of the table of Art 17(5). `column_2` says who the data subject has to be."""

    id: OffenceId
    entry: int
    enactment: str
    sections: tuple[str, ...]
    about: str
    jurisdiction: str
    column_2: str
    corresponding: tuple[OffenceId, ...] = ()


class Order(_Strict, frozen=True):
    """A stalking protection order of Art 17(4)(b)."""

    id: str
    enactment: str
    sections: tuple[str, ...]
    jurisdiction: str
    column_2: str


class NotInTable(_Strict, frozen=True):
    """An offence, order or finding that people offer, and that makes nobody malicious in law."""

    id: str
    about: str


class Offences(Origin, frozen=True):
    """Art 17(4) and (5)."""

    offence: tuple[Offence, ...]
    order: tuple[Order, ...]
    not_in_table: tuple[NotInTable, ...]


class EvidenceKind(_Strict, frozen=True):
    """Something that a ground must be shown with."""

    code: str
    text: str


class GroundText(_Strict, frozen=True):
    """A ground, and of which remedies. `instead`: what to look at where (g) does not hold."""

    code: str
    text: str
    evidence: tuple[EvidenceKind, ...]
    instead: str = ""
    instead_for_child: str = ""
    instead_needs: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ("erase",)


class Grounds(Origin, frozen=True):
    """Art 16, 17(1) and 18(1)."""

    ground: tuple[GroundText, ...]


class RefusalReason(_Strict, frozen=True):
    """Why an erasure can be refused, and what the refusal's own text has to name."""

    code: str
    text: str
    needs: str


class Refusals(Origin, frozen=True):
    """Art 17(3), Art 12(4) to (6)."""

    appeal: str
    reason: tuple[RefusalReason, ...]


class BankHolidays(Origin, frozen=True):
    """Which days are no working days, besides weekends; nothing is known outside first to last."""

    jurisdiction: str
    first: date
    last: date
    holidays: frozenset[date]


@cache
def offences() -> Offences:
    """Return the table of offences, the orders, and what is in neither."""
    loaded = _load("offences.toml", Offences)
    _require_distinct(
        [
            *(each.id for each in loaded.offence),
            *(each.id for each in loaded.order),
            *(each.id for each in loaded.not_in_table),
        ]
    )
    known = {each.id for each in loaded.offence if not each.corresponding}
    if any(set(each.corresponding) - known for each in loaded.offence):
        raise ValueError("offences.toml: a corresponding offence is not in the table")
    return loaded


@cache
def grounds() -> Grounds:
    """Return the grounds of Art 17(1), (a) to (g), and those of Art 16 and 18(1)."""
    loaded = _load("grounds.toml", Grounds)
    _require_distinct(each.code for each in loaded.ground)
    for ground in loaded.ground:
        _require_distinct(each.code for each in ground.evidence)
    return loaded


@cache
def refusals() -> Refusals:
    """Return the reasons for which an erasure can be refused."""
    loaded = _load("refusals.toml", Refusals)
    _require_distinct(each.code for each in loaded.reason)
    return loaded


@cache
def bank_holidays() -> BankHolidays:
    """Return the bank holidays of England and Wales."""
    return _load("bank-holidays.toml", BankHolidays)


Loaded = TypeVar("Loaded", bound=Origin)


def _load(name: str, shape: type[Loaded]) -> Loaded:
    return msgspec.toml.decode((_DATA / name).read_bytes(), type=shape)


def _require_distinct(codes: Iterable[str]) -> None:
    every = list(codes)
    if len(set(every)) < len(every):
        raise ValueError("the law's data give a code twice")
