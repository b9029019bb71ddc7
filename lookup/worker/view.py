"""What a worker knows: the last whole view that a custodian gave it, opened.

Invariants:

* A view is opened whole before it is in force: its table is mapped, its names are rendered, and
  every record that it can lead to fits into an answer.
* A view is never changed. Another takes its place in the thread of the event loop, where no
  lookup is then in the middle of one; only then is the old table let go.
* A view is believed for `belt_seconds` after a custodian was last known to stand behind it, by a
  clock that also runs while the machine sleeps.
"""

import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import msgspec

from crypto.tag import IndexKey, TagMaker
from lookup import handoff, wire
from lookup.errors import CustodianUnavailable
from lookup.index.errors import InvalidTable
from lookup.index.layout import days_of
from lookup.index.reader import TableReader
from lookup.worker.wording import (
    SHORT_TEST_AUTHORITY,
    TEST_AUTHORITY,
    Wordings,
    make_wordings,
)


class InvalidView(Exception):
    """The view cannot be put in force."""


@dataclass(frozen=True, slots=True, repr=False)
class OpenView:
    """A view, ready to answer from.

    `short_wordings` are what a batch's answers show.
    """

    number: int
    vault: bytes
    path: str
    table: TableReader
    tags: TagMaker
    kids: frozenset[str]
    clients: dict[str, handoff.Client]
    wordings: Wordings
    short_wordings: Wordings
    belt_seconds: int


def open_view(view: handoff.View, current: OpenView | None) -> OpenView:
    """Map the table and render the names; the current view's table is used again if it is the same.

    Raises InvalidView.
    """
    if current is not None and current.vault != view.vault:
        raise InvalidView("another vault than before answers at this socket")
    categories = tuple(
        msgspec.json.encode(each.name) if each.answerable else None for each in view.categories
    )
    authorities = tuple(
        wire.make_authority(each.code, each.name, each.office_hours, each.out_of_hours)
        for each in view.authorities
    )
    short_authorities = tuple(wire.make_short_authority(each.code) for each in view.authorities)
    _require_fitting(categories, authorities, wire.MAX_RECORD)
    _require_fitting(categories, short_authorities, wire.MAX_BATCH_RECORD)
    try:
        tags = TagMaker(IndexKey(view.index_key))
        # Last of all: a view that is refused must not leave this process a reader of its table.
        table = _open_table(view.table, current)
    except (ValueError, OSError, InvalidTable) as error:
        raise InvalidView(f"the table cannot be used: {type(error).__name__}") from None
    return OpenView(
        number=view.number,
        vault=view.vault,
        path=view.table,
        table=table,
        tags=tags,
        kids=frozenset(view.kids),
        clients=view.clients,
        wordings=make_wordings(categories, authorities, TEST_AUTHORITY),
        short_wordings=make_wordings(categories, short_authorities, SHORT_TEST_AUTHORITY),
        belt_seconds=view.belt_seconds,
    )


def _open_table(path: str, current: OpenView | None) -> TableReader:
    if current is not None and current.path == path:
        return current.table
    return TableReader(Path(path))


def _require_fitting(
    categories: tuple[bytes | None, ...], authorities: tuple[bytes, ...], room: int
) -> None:
    if not (categories and authorities):
        raise InvalidView("there must be a category and an authority")
    category = max((each for each in categories if each is not None), key=len, default=b"")
    longest = max(authorities, key=len)
    if len(wire.make_record(category, 0, 0, longest)) > room:
        raise InvalidView("a record with the longest names does not fit into an answer")


class Standing:
    """The view in force, and since when nothing was heard of who gave it."""

    def __init__(self) -> None:
        self.view: OpenView | None = None
        self.heard_at = 0.0

    def replace(self, view: OpenView) -> None:
        """Put a view in force. Only from the event loop, between lookups."""
        before, self.view = self.view, view
        if before is not None and before.table is not view.table:
            before.table.close()

    def heard(self) -> None:
        """A custodian stands behind the view now."""
        self.heard_at = boot_clock()

    def require_view(self, now: float) -> OpenView:
        """The view, or CustodianUnavailable if there is none or it is too old to be believed."""
        view = self.view
        if view is None:
            raise CustodianUnavailable("no custodian has handed anything over yet")
        if now - self.heard_at > view.belt_seconds:
            raise CustodianUnavailable("no custodian was heard of for too long")
        return view


def boot_clock() -> float:
    """Seconds since the machine started, asleep or not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


DAY_SECONDS: Final = 86_400
_EPOCH: Final = days_of(date(1970, 1, 1))


def utc_day(now: float) -> int:
    """The day of a time since 1970, in UTC, as the index counts days."""
    return _EPOCH + int(now // DAY_SECONDS)
