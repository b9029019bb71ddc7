"""The export: all that a site holds about one record, as one JSON document.

    {"format": "lacuna-subject-access/v1", "made": ..., "site": ..., "authority": {...},
     "record": {...}, "payload": ..., "statements": [...], "cases": [...], "waiting": 0,
     "accesses": [...], "missing": 0, "redactions": {}}

Invariants:

* The document is canonical: UTF-8, members in the order above and in `_Record` to `_Access`, those
  of the payload in their own; indented by two.
* The payload is whole. Numbers stay as they were written; a member that an object has twice, by
  names as they are shown, is named again with a number; what is no character is U+FFFD; what is
  nested deeper than 64 levels is given as the text that it is.
* It is made whole or not at all: without the site's last line there is none.

crypto/FORMATS.md shows one. Pure.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from lookup.disclosure.errors import InvalidExport

Json = dict[str, Any]
T = TypeVar("T")

FORMAT: Final = "lacuna-subject-access/v1"
# As many as a site takes today; it has taken ten times as many, which no JSON library reads.
MAX_NESTING: Final = 64
_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]|[\]}]|[^"\[\]{}]+|"', re.DOTALL)


class _Authority(msgspec.Struct):
    code: str
    name: str
    office_hours: str
    out_of_hours: str


class _Kept(msgspec.Struct):
    """By which class it is kept; until when, unless a day that nobody knows has to be known."""

    schedule: str
    until: str | None


class _Record(msgspec.Struct):
    record_id: str
    version: int
    source_ref: str
    identifiers: list[str]
    category: str
    since: str
    until: str | None
    answer_until: str | None
    kept: _Kept | None


class _Told(_Record):
    """The record as the site tells of it."""

    payload: str
    site: str
    time: str
    authority: _Authority


class _Statement(msgspec.Struct):
    day: str
    text: str | None


class _Step(msgspec.Struct):
    act: str
    time: str
    by: str | None
    words: str | None


class _Case(msgspec.Struct):
    state: str | None
    remedy: str | None
    ground: str | None
    received: str | None
    steps: list[_Step]


class _Access(msgspec.Struct):
    time: str
    officer: bool
    client: str | None
    client_name: str | None
    role: str | None
    purpose: str | None
    user: str | None
    encounter: str | None
    request_id: str


@dataclass(frozen=True, slots=True)
class Export:
    """One export. Its document does not print."""

    document: Json = field(repr=False)

    def json(self) -> bytes:
        """Return the file."""
        return msgspec.json.format(msgspec.json.encode(self.document), indent=2) + b"\n"


def make_export(lines: Iterable[Json]) -> Export:
    """Return the export that a site's lines are. Raises InvalidExport for less, or for others."""
    found: dict[str, list[Any]] = {}
    for line in lines:
        for name, value in line.items():
            found.setdefault(name, []).append(value)
    if not found.get("complete"):
        raise InvalidExport("the site stopped in the middle: this is not all that it holds")
    record = _one(found, "record", _Told)
    head = {
        "format": FORMAT,
        "made": record.time,
        "site": record.site,
        "authority": msgspec.to_builtins(record.authority),
        "record": {
            name: msgspec.to_builtins(getattr(record, name)) for name in _Record.__struct_fields__
        },
        "payload": parse_payload(record.payload),
    }
    return Export(
        head
        | {
            "statements": _all(found, "statement", _Statement),
            "cases": _all(found, "case", _Case),
            "waiting": _one(found, "waiting", int),
            "accesses": _all(found, "access", _Access),
            "missing": _one(found, "missing", int),
            "redactions": {},
        }
    )


def parse_payload(text: str) -> Any:  # noqa: ANN401  # whatever JSON holds
    """Return a payload; numbers as `msgspec.Raw`, which keeps how they were written."""
    try:
        return _clean(
            json.loads(
                "".join(_flattened(text)),
                object_pairs_hook=_members,
                parse_int=_number,
                parse_float=_number,
                parse_constant=_refuse,
            )
        )
    except ValueError:
        raise InvalidExport("the payload is no JSON") from None


def _flattened(text: str) -> Iterator[str]:
    """Yield JSON of the same content, in which what is nested too deep is a string."""
    depth, deep = 0, list[str]()
    for token in _TOKEN.findall(text):
        depth += token in {"[", "{"}
        if depth > MAX_NESTING:
            deep.append(token)
        else:
            yield token
        depth -= token in {"]", "}"}
        if deep and depth <= MAX_NESTING:
            yield json.dumps("".join(deep))
            deep = []


def _members(pairs: list[tuple[str, Any]]) -> Json:
    """Return an object with all its members, also those that it has twice."""
    members: Json = {}
    numbers: dict[str, int] = {}
    for name, value in pairs:
        # Names that are no characters may be one as they are shown.
        unique = shown = _characters(name)
        while unique in members:
            numbers[shown] = numbers.get(shown, 1) + 1
            unique = f"{shown} ({numbers[shown]})"
        members[unique] = value
    return members


def _number(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _clean(value: Any) -> Any:  # noqa: ANN401  # whatever JSON holds
    """Return a value whose strings are characters, as the names of its members are already."""
    if isinstance(value, str):
        return _characters(value)
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if isinstance(value, dict):
        return {name: _clean(each) for name, each in value.items()}
    return value


def _characters(text: str) -> str:
    """Return a text in characters: JSON can write halves of surrogate pairs."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _one(found: dict[str, list[Any]], name: str, shape: type[T]) -> T:
    values = found.get(name, [])
    if len(values) != 1:
        raise InvalidExport(f"the site has not said {name} just once")
    return _convert(values[0], name, shape)


def _all(found: dict[str, list[Any]], name: str, shape: type[T]) -> list[Json]:
    return [msgspec.to_builtins(_convert(value, name, shape)) for value in found.get(name, [])]


def _convert(value: object, name: str, shape: type[T]) -> T:
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError:  # its words may quote what they were given
        raise InvalidExport(f"the site says {name} in another form than this program") from None
