"""What a worker knows: the last whole view that a custodian gave it, opened.

Invariants:

* A view is opened whole before it is in force: its table is mapped, its names are rendered, and
  every record that it can lead to fits into an answer; no two clients share a cell.
* A view is never changed. Another takes its place in the thread of the event loop, where no
  lookup is then in the middle of one; only then is the old table let go.
* A view is believed for `belt_seconds` after a custodian was last known to stand behind it, by a
  clock that also runs while the machine sleeps.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from crypto.tag import IndexKey, TagMaker
from lookup import handoff, wire
from lookup.audit.entry import CLIENT_ID_SIZE
from lookup.cells import MAX_CLIENTS
from lookup.errors import CustodianUnavailable
from lookup.index.errors import InvalidTable
from lookup.index.layout import days_of, who_of
from lookup.index.reader import Decoys, TableReader, make_decoys
from lookup.worker.access import TokenKey, TokenKeys
from lookup.worker.auditing import require_keys
from lookup.worker.wording import (
    SHORT_TEST_AUTHORITY,
    TEST_AUTHORITY,
    Wordings,
    make_wordings,
)


class InvalidView(Exception):
    """The view cannot be put in force."""


class Secret(NamedTuple):
    """What is known of a client's secret: its SHA-256, and until when it is valid."""

    digest: bytes
    until: float


@dataclass(frozen=True, slots=True, repr=False)
class OpenView:
    """A view, ready to answer from.

    `clients` are found by the bytes of their id, `secrets` by its text; both are what an access
    token and a token request have. `short_wordings` are what a batch's answers show, `decoys` what
    stands in for no link. `recalls` are found by the client's id in hexadecimal, and by their own.
    """

    number: int
    vault: bytes
    path: str
    table: TableReader
    tags: TagMaker
    kids: frozenset[str]
    clients: dict[bytes, handoff.Client]
    secrets: dict[str, tuple[Secret, ...]]
    token_keys: TokenKeys
    wordings: Wordings
    short_wordings: Wordings
    decoys: Decoys
    belt_seconds: int
    audit: handoff.Audit | None
    recalls: dict[str, dict[bytes, handoff.Recall]]


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
    clients, secrets, recalls = _clients(view), _secrets(view), _recalls(view)
    try:
        tags = TagMaker(IndexKey(view.index_key))
        token_keys = _token_keys(view.token_key, current)
        if view.audit is not None:
            require_keys(view.audit)
        # Last of all: a view that is refused must not leave this process a reader of its table.
        table = _open_table(view.table, current)
    except (ValueError, OSError, InvalidTable) as error:
        raise InvalidView(f"table or keys cannot be used: {type(error).__name__}") from None
    return OpenView(
        number=view.number,
        vault=view.vault,
        path=view.table,
        table=table,
        tags=tags,
        kids=frozenset(view.kids),
        clients=clients,
        secrets=secrets,
        token_keys=token_keys,
        wordings=make_wordings(categories, authorities, TEST_AUTHORITY),
        short_wordings=make_wordings(categories, short_authorities, SHORT_TEST_AUTHORITY),
        decoys=make_decoys(_whos(categories, len(authorities))),
        belt_seconds=view.belt_seconds,
        audit=view.audit,
        recalls=recalls,
    )


def _whos(categories: Sequence[bytes | None], authorities: int) -> list[int]:
    """What links may say of a record that may be answered; of any record where none may be."""
    numbers = [number for number, category in enumerate(categories) if category is not None]
    return [
        who_of(authority, number, test=False, honey=False)
        for number in numbers or range(len(categories))
        for authority in range(authorities)
    ]


def _clients(view: handoff.View) -> dict[bytes, handoff.Client]:
    clients = list(view.clients.values())
    try:
        found = {bytes.fromhex(client.id): client for client in clients}
    except ValueError:
        raise InvalidView("a client's id is not in hexadecimal") from None
    if any(len(client_id) != CLIENT_ID_SIZE for client_id in found):
        raise InvalidView(f"a client's id has {CLIENT_ID_SIZE} bytes")
    cells = {client.cell for client in clients if 0 <= client.cell < MAX_CLIENTS}
    if not len(cells) == len(found) == len(clients):
        # They would reset each other's counts, and both be without a quota.
        raise InvalidView("each client has a cell of its own, and one secret of now")
    return found


def _secrets(view: handoff.View) -> dict[str, tuple[Secret, ...]]:
    try:
        found: dict[str, tuple[Secret, ...]] = {
            client.id: (Secret(bytes.fromhex(digest), math.inf),)
            for digest, client in view.clients.items()
        }
        for digest, former in view.former.items():
            secret = Secret(bytes.fromhex(digest), former.until)
            found[former.client] = (*found[former.client], secret)
    except (KeyError, ValueError):
        raise InvalidView("a secret is told by the hex SHA-256 of a client's") from None
    return found


def _recalls(view: handoff.View) -> dict[str, dict[bytes, handoff.Recall]]:
    found: dict[str, dict[bytes, handoff.Recall]] = {}
    for recall in view.recalls:
        own = found.setdefault(recall.client, {})
        if own.setdefault(recall.id, recall) is not recall:
            # To acknowledge one would hide what the other recalls.
            raise InvalidView("no two recalls of a client have one id")
    return found


def _token_keys(key: bytes, current: OpenView | None) -> TokenKeys:
    now = time.time()
    if current is None:
        return TokenKeys(TokenKey(key), now)
    return current.token_keys.followed_by(key, now)


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

    def __init__(self, follow: Callable[[handoff.Audit, bytes], None] | None = None) -> None:
        """`follow` is told how to audit, before a view is in force that says so."""
        self.view: OpenView | None = None
        self._heard_at = 0.0
        self._believed_until = -math.inf
        self._follow = follow
        self._replaced = asyncio.Event()

    def replace(self, view: OpenView) -> None:
        """Put a view in force. Only from the event loop, between lookups."""
        if self._follow is not None and view.audit is not None:
            self._follow(view.audit, view.vault)
        before, self.view = self.view, view
        self._believed_until = self._heard_at + view.belt_seconds
        if before is not None and before.table is not view.table:
            before.table.close()
        self._replaced.set()
        self._replaced = asyncio.Event()

    async def another_view(self) -> None:
        """Return when another view has taken the place of the one of now.

        Whoever waits must hold nothing of a view: it would outlive its time.
        """
        await self._replaced.wait()

    def heard(self) -> None:
        """A custodian stands behind the view now."""
        self._heard_at = boot_clock()
        if self.view is not None:
            self._believed_until = self._heard_at + self.view.belt_seconds

    def require_view(self, now: float) -> OpenView:
        """The view, or CustodianUnavailable if there is none or it is too old to be believed."""
        view = self.view
        if view is None:
            raise CustodianUnavailable("no custodian has handed anything over yet")
        if now > self._believed_until:
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
