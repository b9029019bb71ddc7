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

_NO_LINK: Final = Link(bytes(HANDLE_SIZE), 0, NO_DAY, 0, 0, 0, test=False)


class Decision:
    """An answer, and what it rests on."""

    __slots__ = ("_probes", "_table", "body", "known")

    def __init__(
        self, body: bytes, table: TableReader, probes: Sequence[Probe], *, known: int
    ) -> None:
        self.body = body
        self.known = known  # how many of the tokens
        self._table = table
        self._probes = probes

    @property
    def tokens(self) -> int:
        """How many were looked up."""
        return len(self._probes)

    def check(self) -> None:
        """Return if the answer still stands; call it just before the answer leaves.

        Raises IndexSuperseded, IndexNotReady or IndexStale.
        """
        for probe in self._probes:
            self._table.check(probe)
        if self.known < len(self._probes):  # also where links were found that may not be answered
            self._table.require_ready()


def decide_one(view: OpenView, request: wire.Lookup, today: int) -> Decision:
    """Answer one lookup. Raises InvalidRequest, UnknownKid, or what the table's reader raises."""
    _require_kid(view, request.kid)
    probe = _probe(view, request.token)
    records = _records(view, probe, today, view.authorities, TEST_AUTHORITY)
    return Decision(wire.make_answer(records), view.table, (probe,), known=bool(records))


def decide_many(view: OpenView, request: wire.Lookups, today: int) -> Decision:
    """Answer a batch, all or nothing. Raises as `decide_one`."""
    _require_kid(view, request.kid)
    probes = [_probe(view, token) for token in request.tokens]
    answers = [
        _records(view, probe, today, view.short_authorities, SHORT_TEST_AUTHORITY)
        for probe in probes
    ]
    body = wire.make_batch_answer(answers)
    return Decision(body, view.table, probes, known=sum(map(bool, answers)))


def _require_kid(view: OpenView, kid: str) -> None:
    if kid not in view.kids:
        raise UnknownKid("this lookup key is unknown, retired or not completely indexed")


def _probe(view: OpenView, token: str) -> Probe:
    return view.table.probe(view.tags.make(wire.parse_token(token)))


def _records(
    view: OpenView, probe: Probe, today: int, authorities: Sequence[bytes], test_authority: bytes
) -> list[bytes]:
    """Render every link, then keep those that may be answered, newest first."""
    links = probe.links or (_NO_LINK,)
    if len(links) > 1:
        links = tuple(sorted(links, key=_newest_first))
    rendered = [_render(view, link, authorities, test_authority) for link in links]
    return [
        record
        for link, record in zip(links, rendered, strict=True)
        if _answerable(view, link, today)
    ]


def _newest_first(link: Link) -> tuple[int, bytes]:
    return -link.since, link.handle


def _answerable(view: OpenView, link: Link, today: int) -> bool:
    return link.answer_until >= today and (link.test or view.categories[link.category] is not None)


def _render(
    view: OpenView, link: Link, authorities: Sequence[bytes], test_authority: bytes
) -> bytes:
    if link.test:
        return wire.make_record(TEST_CATEGORY, link.since, link.until, test_authority)
    try:
        category, authority = view.categories[link.category], authorities[link.authority]
    except IndexError:
        raise IndexStale("the index names what the hand-off does not") from None
    return wire.make_record(category or TEST_CATEGORY, link.since, link.until, authority)
