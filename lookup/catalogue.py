"""The catalogue of a site: its categories, its authorities, and what a lookup may be for.

    [[category]]                        # optional: without any, DEFAULT_CATEGORIES
    name = "child-protection-plan"
    answerable = true

    [[authority]]                       # at least one
    code = "AXT"
    name = "Axtonbury City Council"
    office_hours = "01632 960100"
    out_of_hours = "01632 960199"
    replay_months = 13                  # optional: how far back its feed may send records again
    cursor = false                      # optional: true: its records have a cursor (fencing.py)

Invariants:

* What is stored and what is answered differ: a lookup is told of answerable categories only.
* A category's or an authority's number is its position. Numbers live in one index (four and ten
  bits of a slot) and the hand-off beside it; whatever outlives them keeps the name or the code.
* `test`, the canary's category, is answerable and always there. Records may not use it, so an
  answer *known, test* can only be the canary's.
* `honey`, where a site has it, is a category of records that are nobody's: it is not answerable.
* Whatever is shown to a hospital is printable, and short enough for its place in an answer.

Pure: the caller reads the file.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Final

MAX_CATEGORIES: Final = 16
MAX_AUTHORITIES: Final = 1024
REPLAY_MONTHS: Final = 13  # a year and a month: what an annual reconciliation may send again
MAX_REPLAY_MONTHS: Final = 120
MAX_NAME: Final = 80
MAX_PHONE: Final = 32

AUTHORITY_CODE: Final = re.compile(r"[A-Z0-9]{1,16}")
_CATEGORY_NAME: Final = re.compile(r"[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?")
_PHONE: Final = re.compile(r"[ -~]*[0-9][ -~]*")


class InvalidCatalogue(ValueError):
    """The catalogue breaks a rule; the message says where and what to write instead."""


class Purpose(StrEnum):
    """What a lookup is made for. Whoever asks must say."""

    UNSCHEDULED_CARE = "unscheduled-care"
    SCHEDULED_CARE = "scheduled-care"


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of record, and whether a lookup may be told of it."""

    name: str
    answerable: bool


@dataclass(frozen=True, slots=True)
class Authority:
    """Who keeps a record, and where it can be rung by day and by night."""

    code: str
    name: str
    office_hours: str
    out_of_hours: str


@dataclass(frozen=True, slots=True)
class Replay:
    """How an authority's feed may repeat itself: so far back; or, with a cursor, not at all.

    Where officers have set a cursor back, so far back, too (fencing.py).
    """

    months: int = REPLAY_MONTHS
    cursor: bool = False


_USUAL: Final = Replay()


TEST: Final = Category("test", answerable=True)
# Its records are nobody's: whoever asks for one is answered *no record*, and raises an alarm.
HONEY: Final = "honey"

DEFAULT_CATEGORIES: Final = (
    Category("child-protection-plan", answerable=True),
    Category("looked-after", answerable=True),
    Category("unborn-plan", answerable=True),
    Category("enquiry-no-further-action", answerable=False),
    Category("child-in-need", answerable=False),
    Category("allegation", answerable=False),
    TEST,
)


@dataclass(frozen=True)
class Catalogue:
    """Categories and authorities, each numbered by its position.

    Raises InvalidCatalogue for too many, none, or two of the same; for a name, code or telephone
    number that cannot be shown; unless `test` is among the categories and answerable; for
    `honey` that is.
    """

    categories: tuple[Category, ...]
    authorities: tuple[Authority, ...]
    replays: Mapping[str, Replay] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_size("category", len(self.categories), MAX_CATEGORIES)
        _check_size("authority", len(self.authorities), MAX_AUTHORITIES)
        for position, category in enumerate(self.categories, start=1):
            _check_category(f"category {position}", category)
        for position, authority in enumerate(self.authorities, start=1):
            _check_authority(f"authority {position}", authority)
        _check_distinct("category", "name", (category.name for category in self.categories))
        _check_distinct("authority", "code", (authority.code for authority in self.authorities))
        if Category(HONEY, answerable=True) in self.categories:
            raise InvalidCatalogue("the category honey is never answered: write answerable = false")
        if TEST not in self.categories:
            raise InvalidCatalogue("the categories lack test, answerable: add it for the canary")

    @cached_property
    def category_numbers(self) -> Mapping[str, int]:
        """The categories that a record may have, by name; `test` is none of them."""
        return MappingProxyType(
            {each.name: number for number, each in enumerate(self.categories) if each != TEST}
        )

    @cached_property
    def authority_numbers(self) -> Mapping[str, int]:
        """The authorities, by code."""
        return MappingProxyType({each.code: n for n, each in enumerate(self.authorities)})

    def authority(self, code: str) -> Authority:
        """Return the authority of a code, which is one of this site's."""
        return self.authorities[self.authority_numbers[code]]

    def replay_of(self, authority: str) -> Replay:
        """Return how an authority's feed may repeat itself."""
        return self.replays.get(authority, _USUAL)

    @property
    def test_number(self) -> int:
        """The number of the canary's category."""
        return self.categories.index(TEST)


def parse_catalogue(tables: Mapping[str, object]) -> Catalogue:
    """Return the catalogue that the tables `category` and `authority` of a TOML file describe.

    The category `test` is added. Raises InvalidCatalogue for a table, key or type that does not
    belong, a missing key, and whatever Catalogue refuses.
    """
    if tables.keys() - {"category", "authority"}:
        raise InvalidCatalogue("only [[category]] and [[authority]] belong here: remove the others")
    categories = tuple(
        Category(_string(where, table, "name"), _boolean(where, table, "answerable"))
        for where, table in _rows(tables, "category", ("name", "answerable"))
    )
    rows = _rows(tables, "authority", _AUTHORITY_KEYS, _FEED_KEYS)
    authorities = tuple(
        Authority(*(_string(where, table, key) for key in _AUTHORITY_KEYS)) for where, table in rows
    )
    replays = {
        authority.code: replay
        for authority, (where, table) in zip(authorities, rows, strict=True)
        if (replay := _replay(where, table)) != _USUAL
    }
    if any(category.name == TEST.name for category in categories):
        raise InvalidCatalogue("the category test is the canary's and always there: remove it")
    return Catalogue(
        (*categories, TEST) if categories else DEFAULT_CATEGORIES,
        authorities,
        MappingProxyType(replays),
    )


_AUTHORITY_KEYS: Final = ("code", "name", "office_hours", "out_of_hours")
_FEED_KEYS: Final = ("replay_months", "cursor")


def _rows(
    tables: Mapping[str, object], name: str, keys: tuple[str, ...], optional: tuple[str, ...] = ()
) -> list[tuple[str, dict[str, object]]]:
    """Return each table of an array with the words that say where it stands."""
    array = tables.get(name, [])
    if not isinstance(array, list):
        raise InvalidCatalogue(f"write each {name} as a table of its own, under [[{name}]]")
    rows = []
    for position, table in enumerate(array, start=1):
        where = f"{name} {position}"
        if not isinstance(table, dict):
            raise InvalidCatalogue(f"write each {name} as a table of its own, under [[{name}]]")
        if not set(keys) <= table.keys() <= {*keys, *optional}:
            also = f"; and, if need be, {', '.join(optional)}" if optional else ""
            raise InvalidCatalogue(f"{where}: give exactly the keys {', '.join(keys)}{also}")
        rows.append((where, table))
    return rows


def _string(where: str, table: dict[str, object], key: str) -> str:
    value = table[key]
    if not isinstance(value, str):
        raise InvalidCatalogue(f"{where}: {key} is not text: put it in quotation marks")
    return value


def _replay(where: str, table: dict[str, object]) -> Replay:
    return Replay(_months(where, table), "cursor" in table and _boolean(where, table, "cursor"))


def _months(where: str, table: dict[str, object]) -> int:
    value = table.get("replay_months", REPLAY_MONTHS)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidCatalogue(f"{where}: replay_months is no number: write one, unquoted")
    if not 1 <= value <= MAX_REPLAY_MONTHS:
        raise InvalidCatalogue(f"{where}: replay_months is from 1 to {MAX_REPLAY_MONTHS}")
    return value


def _boolean(where: str, table: dict[str, object], key: str) -> bool:
    value = table[key]
    if not isinstance(value, bool):
        raise InvalidCatalogue(f"{where}: {key} is neither true nor false: write one, unquoted")
    return value


def _check_size(kind: str, count: int, most: int) -> None:
    if count == 0:
        raise InvalidCatalogue(f"there is no {kind}: add a table [[{kind}]]")
    if count > most:
        raise InvalidCatalogue(f"{count} tables [[{kind}]] where {most} fit: remove some")


def _check_category(where: str, category: Category) -> None:
    if not _CATEGORY_NAME.fullmatch(category.name):
        raise InvalidCatalogue(
            f"{where}: the name must have at most 32 of a to z, 0 to 9 and hyphens, a letter first"
        )


def _check_authority(where: str, authority: Authority) -> None:
    if not AUTHORITY_CODE.fullmatch(authority.code):
        raise InvalidCatalogue(f"{where}: the code must have 1 to 16 of A to Z and 0 to 9")
    if not _can_be_shown(authority.name, MAX_NAME):
        raise InvalidCatalogue(
            f"{where}: the name must have 1 to {MAX_NAME} printable characters, no outer spaces"
        )
    for key in ("office_hours", "out_of_hours"):
        phone = getattr(authority, key)
        if not (_can_be_shown(phone, MAX_PHONE) and _PHONE.fullmatch(phone)):
            raise InvalidCatalogue(
                f"{where}: {key} must be a telephone number of at most {MAX_PHONE} characters"
            )


def _can_be_shown(text: str, most: int) -> bool:
    return 0 < len(text) <= most and text.isprintable() and text == text.strip()


def _check_distinct(kind: str, key: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for position, value in enumerate(values, start=1):
        if value in seen:
            raise InvalidCatalogue(f"{kind} {position}: its {key} is taken: choose another")
        seen.add(value)
