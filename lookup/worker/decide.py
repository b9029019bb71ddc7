"""The lookup: from a view, a request and today's number to an answer.

    tag → links of one window → those that may be answered today → 2,048 bytes

Invariants:

* *No record* is said only if the table is live and complete, the kid is live, and no link may be
  answered; everything that is not so raises, which is *could not check*.
* A link is answered if its category is answerable and its answer window has not ended, or if it
  is the canary's. All others, and none at all, are one case: same work, same bytes.
* A probe that found nothing is worked on as if it had found one link that may not be answered.
* A tag and what it leads to live as long as one call.

Pure but for the reading of the shared table, whose state `Decision.check` asks for once more.
"""

from collections.abc import Sequence
from typing import Final

from lookup import wire
from lookup.errors import IndexStale, UnknownKid
from lookup.index.layout import HANDLE_SIZE, NO_DAY, Link
from lookup.index.reader import Probe, TableReader
from lookup.worker.view import OpenView

TEST_CATEGORY: Final = b'"test"'
# Nobody is rung because of a test.
TEST_AUTHORITY: Final = wire.make_authority("TEST", "Test entry, no child", "none", "none")
SHORT_TEST_AUTHORITY: Final = wire.make_short_authority("TEST")

_NO_LINKS: Final = (Link(bytes(HANDLE_SIZE), 0, NO_DAY, 0, 0, 0, test=False),)


class Decision:
    """An answer, what it rests on, and the handles that the audit is to witness, by token."""

    __slots__ = ("_probes", "_table", "_unknown", "body", "handles")

    def __init__(
        self,
        body: bytes,
        handles: Sequence[Sequence[bytes]],
        table: TableReader,
        probes: Sequence[Probe],
        *,
        unknown: bool,
    ) -> None:
        self.body = body
        self.handles = handles
        self._table = table
        self._probes = probes
        self._unknown = unknown

    def check(self) -> None:
        """Return if the answer still stands; call it just before the answer leaves.

        Raises IndexSuperseded, IndexNotReady or IndexStale.
        """
        check = self._table.check
        for probe in self._probes:
            check(probe)
        if self._unknown:  # also where links were found that may not be answered
            self._table.require_ready()


def decide_one(view: OpenView, request: wire.Lookup, today: int) -> Decision:
    """Answer one lookup. Raises InvalidRequest, UnknownKid, or what the table's reader raises."""
    _require_kid(view, request.kid)
    probe = view.table.probe(view.tags.make(wire.parse_token(request.token)))
    records, handles = _records(view, probe, today, view.authorities, TEST_AUTHORITY)
    body = wire.make_answer(records)
    return Decision(body, (handles,), view.table, (probe,), unknown=not records)


def decide_many(view: OpenView, request: wire.Lookups, today: int) -> Decision:
    """Answer a batch, all or nothing. Raises as `decide_one`."""
    _require_kid(view, request.kid)
    probe, make_tag, parse_token = view.table.probe, view.tags.make, wire.parse_token
    probes = [probe(make_tag(parse_token(token))) for token in request.tokens]
    answers, handles = [], []
    for each in probes:
        records, witnessed = _records(
            view, each, today, view.short_authorities, SHORT_TEST_AUTHORITY
        )
        answers.append(records)
        handles.append(witnessed)
    body = wire.make_batch_answer(answers)
    return Decision(body, handles, view.table, probes, unknown=not all(answers))


def _require_kid(view: OpenView, kid: str) -> None:
    if kid not in view.kids:
        raise UnknownKid("this lookup key is unknown, retired or not completely indexed")


def _records(
    view: OpenView, probe: Probe, today: int, authorities: Sequence[bytes], test_authority: bytes
) -> tuple[list[bytes], list[bytes]]:
    """Render every link; return those that may be answered, newest first, and their handles.

    A honey link is witnessed like an answered one, and answered like none.
    """
    links = probe.links or _NO_LINKS
    if len(links) > 1:
        links = tuple(sorted(links, key=_newest_first))
    records: list[bytes] = []
    handles: list[bytes] = []
    for link in links:
        handle, since, until, answer_until, authority, category, test, honey = link
        try:
            name = TEST_CATEGORY if test else view.categories[category]
            whom = test_authority if test else authorities[authority]
        except IndexError:
            raise IndexStale("the index names what the hand-off does not") from None
        record = wire.make_record(name or TEST_CATEGORY, since, until, whom)
        if name is not None and answer_until >= today:
            handles.append(handle)
            if not honey:
                records.append(record)
    return records, handles[: wire.MAX_RECORDS]


def _newest_first(link: Link) -> tuple[int, bytes]:
    return -link.since, link.handle
