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
from lookup.index.layout import Fields
from lookup.index.reader import Probe, Probes, TableReader
from lookup.worker.view import OpenView
from lookup.worker.wording import Wordings

_UNNAMED: Final = "the index names what the hand-off does not"


class Decision:
    """An answer, what it rests on, and the handles that the audit is to witness, by token."""

    __slots__ = ("_probe", "_table", "body", "handles", "known")

    def __init__(
        self,
        body: bytes,
        handles: Sequence[Sequence[bytes]],
        table: TableReader,
        probe: Probe | Probes,
        *,
        known: int,
    ) -> None:
        self.body = body
        self.handles = handles
        self.known = known  # how many of the tokens
        self._table = table
        self._probe = probe

    @property
    def tokens(self) -> int:
        """How many were looked up."""
        return len(self.handles)

    def check(self) -> None:
        """Return if the answer still stands; call it just before the answer leaves.

        Raises IndexSuperseded, IndexNotReady or IndexStale.
        """
        self._table.check(self._probe)
        if self.known < len(self.handles):  # also where links were found that may not be answered
            self._table.require_ready()


def decide(view: OpenView, request: wire.Lookup | wire.Lookups, today: int) -> Decision:
    """Answer one lookup, or a batch. Raises as `decide_one`."""
    if isinstance(request, wire.Lookup):
        return decide_one(view, request, today)
    return decide_many(view, request, today)


def decide_one(view: OpenView, request: wire.Lookup, today: int) -> Decision:
    """Answer one lookup. Raises InvalidRequest, UnknownKid, or what the table's reader raises."""
    _require_kid(view, request.kid)
    probe = view.table.probe(view.tags.make(wire.parse_token(request.token)))
    records, handles = _records(probe.read(view.decoys), today, view.wordings, found=probe.found)
    body = wire.make_answer(records)
    return Decision(body, (handles,), view.table, probe, known=bool(records))


def decide_many(view: OpenView, request: wire.Lookups, today: int) -> Decision:
    """Answer a batch, all or nothing. Raises as `decide_one`."""
    _require_kid(view, request.kid)
    probes = view.table.probe_all(view.tags.make_each(wire.parse_tokens(request.tokens)))
    answers, handles = _records_of_each(probes, view, today)
    body = wire.make_batch_answer(answers)
    return Decision(body, handles, view.table, probes, known=sum(map(bool, answers)))


def _require_kid(view: OpenView, kid: str) -> None:
    if kid not in view.kids:
        raise UnknownKid("this lookup key is unknown, retired or not completely indexed")


def _records(
    links: list[Fields], today: int, wordings: Wordings, *, found: bool
) -> tuple[list[bytes], list[bytes]]:
    """Word every link; return those that may be answered, newest first, and their handles.

    A honey link is witnessed like an answered one, and answered like none.
    """
    if len(links) > 1:
        links.sort(key=_newest_first)
    records: list[bytes] = []
    handles: list[bytes] = []
    hidden: list[bytes] = []  # so that what is not told takes the same steps
    for handle, since, until, answer_until, who in links:
        try:
            answerable, honey, begin, end = wordings[who]
        except KeyError:
            raise IndexStale(_UNNAMED) from None
        record = wire.word_record(begin, since, until, end)
        witnessed = answerable and answer_until >= today and found
        (handles if witnessed else hidden).append(handle)
        (records if witnessed and not honey else hidden).append(record)
    return records, handles[: wire.MAX_RECORDS]


def _records_of_each(
    probes: Probes, view: OpenView, today: int
) -> tuple[list[list[bytes]], list[list[bytes]]]:
    """As `_records`, for each token of a batch."""
    wordings, word = view.short_wordings, wire.word_record
    links, several = probes.read(view.decoys)
    answers: list[list[bytes]] = []
    handles: list[list[bytes]] = []
    try:
        for found, (handle, since, until, answer_until, who) in zip(
            probes.found, links, strict=True
        ):
            answerable, honey, begin, end = wordings[who]
            record = word(begin, since, until, end)
            witnessed = answerable and answer_until >= today and found
            handles.append([handle] if witnessed else [])
            answers.append([record] if witnessed and not honey else [])
    except KeyError:
        raise IndexStale(_UNNAMED) from None
    for place, of_token in several.items():
        answers[place], handles[place] = _records(of_token, today, wordings, found=True)
    return answers, handles


def _newest_first(link: tuple[bytes, int, int, int, int]) -> tuple[int, bytes]:
    return -link[1], link[0]
