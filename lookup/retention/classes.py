"""Retention classes as data: what lookup/retention/data holds, or a site's own file of that form.

Invariants:

* A file says its version, its source and when that was read; each class, where it is from. What is
  in force is named by `policy`, the SHA-256 of the file's bytes: officers sign that.
* Codes are unique, no clock of a class has two clauses of a kind, and each class has one at least
  that always counts: none lets a record go at once.
* A clause for an early death keeps nobody longer than the clause on birth, whose place it takes: so
  that a death which nobody has told of never makes anything early.
"""

import re
from datetime import date
from enum import StrEnum
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Annotated, Final

import msgspec

MAX_CLASSES_SIZE: Final = 1 << 16
MAX_CLASSES: Final = 64
MAX_YEARS: Final = 150
CLASS_CODE: Final = re.compile(r"[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?")

_Years = Annotated[int, msgspec.Meta(ge=1, le=MAX_YEARS)]
_Words = Annotated[str, msgspec.Meta(min_length=1, max_length=400)]


class InvalidClasses(ValueError):
    """These are no retention classes; the message names the rule."""


class Clock(StrEnum):
    """What years are counted from: days of the person's life, or of the matter's."""

    BIRTH = "birth"
    CLOSURE = "closure"
    ORDER = "order"
    DEATH = "death"


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table without members that nobody reads."""


class Clause(_Strict, frozen=True):
    """So many years on a clock; `before_age`: instead of birth's, for who died before that age."""

    clock: Clock
    years: _Years
    before_age: _Years | None = None


class RetentionClass(_Strict, frozen=True):
    """One kind of matter, how long it is kept, and how often it is reviewed."""

    code: str
    text: _Words
    origin: _Words
    review_months: Annotated[int, msgspec.Meta(ge=1, le=600)]
    keep: Annotated[tuple[Clause, ...], msgspec.Meta(min_length=1, max_length=5)]

    @property
    def always(self) -> tuple[Clause, ...]:
        """The clauses that count whatever has become of the person."""
        return tuple(each for each in self.keep if each.before_age is None)

    @property
    def early_death(self) -> Clause | None:
        """The clause that takes the place of birth's for who died young."""
        return next((each for each in self.keep if each.before_age is not None), None)


class _File(_Strict, frozen=True, rename={"classes": "class"}):
    version: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    source: _Words
    read: date
    classes: Annotated[tuple[RetentionClass, ...], msgspec.Meta(min_length=1)]


class Classes(msgspec.Struct, frozen=True):
    """All classes of one file; `policy` names the very bytes that they were read from, `text`."""

    version: int
    policy: bytes
    text: str
    by_code: dict[str, RetentionClass]


NO_CLASSES: Final = Classes(0, b"", "", {})


def parse_classes(raw: bytes) -> Classes:
    """Return the classes that a TOML file describes. Raises InvalidClasses."""
    if len(raw) > MAX_CLASSES_SIZE:
        raise InvalidClasses(f"retention classes have at most {MAX_CLASSES_SIZE} bytes")
    try:
        loaded = msgspec.toml.decode(raw, type=_File)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidClasses(f"these are no retention classes: {error}") from None
    by_code = {each.code: each for each in loaded.classes}
    if len(by_code) < len(loaded.classes):
        raise InvalidClasses("a class is given twice: codes are unique")
    if len(by_code) > MAX_CLASSES:
        raise InvalidClasses(f"there are at most {MAX_CLASSES} classes")
    for each in loaded.classes:
        _check_class(each)
    return Classes(loaded.version, sha256(raw).digest(), raw.decode(), by_code)


@cache
def shipped_classes() -> Classes:
    """Return the classes that come with this version, for a site without a file of its own."""
    return parse_classes((files("lookup.retention") / "data" / "classes.toml").read_bytes())


def _check_class(found: RetentionClass) -> None:
    if not CLASS_CODE.fullmatch(found.code):
        raise InvalidClasses(
            "the code of a class has 1 to 32 of a to z, 0 to 9 and hyphens, a letter first"
        )
    kinds = [(each.clock, each.before_age is None) for each in found.keep]
    if len(set(kinds)) < len(kinds):
        raise InvalidClasses(f"{found.code}: a clock has two clauses")
    if not found.always:
        raise InvalidClasses(f"{found.code}: one clause at least has no before_age")
    early = found.early_death
    if early is None or early.before_age is None:
        return
    if (
        early.clock is not Clock.DEATH
        or sum(each.before_age is not None for each in found.keep) > 1
    ):
        raise InvalidClasses(f"{found.code}: before_age belongs to one clause, on death")
    birth = next((each.years for each in found.always if each.clock is Clock.BIRTH), 0)
    if early.before_age + early.years > birth:
        raise InvalidClasses(
            f"{found.code}: a clause with before_age takes the place of one on birth, and keeps"
            " nobody longer: before_age + years is at most its years"
        )
