"""Recalling: before a case destroys, whoever was answered with its records is told (Art 19).

    due: its records are answered no more   Docket.withhold, Custody.show_and_hide
    the whole audit is looked through       Search, a moment at a time
    `recall` and the outbox, in one commit  clients poll, and acknowledge (lookup/worker/recalls.py)
    all have acknowledged, or `letters`     only then carrying_out.py destroys

Invariants:

* The search begins when the answers are withdrawn and every worker has passed, and all that was
  audited is taken in: nobody is answered whom it does not see. Where a record is shown again
  meanwhile, it begins anew.
* Whom it finds are clients. Officers who have read a record, in segments of the custodian's own,
  act for its authority.
* Of a client the last 10,000 requests are told for each case, and of at most as many clients as a
  site has: neither who asks on and on nor a worker that makes clients up keeps the site from it.
* A case whose records nobody was ever answered with is not held up, and has no such step.
* A client that is enrolled no more cannot acknowledge: it gets a letter, as who is late does.
* Audit rows that cannot be read tell of nobody; they raise an alarm when they are met first.

To find a record's recipients takes 1 to 2 us for each token that was ever asked for, and link
(bench/recalling.py).
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from crypto.audit import WitnessFinder
from keys.entry import EntryId, Put
from keys.pages import BlobChange
from lookup.audit.entry import asker_of, sift
from lookup.cases.standing import State
from lookup.cases.step import MOST_RECIPIENTS
from lookup.custodian.audit.accesses import Walk
from lookup.custodian.audit.auditing import GroupUnreadable
from lookup.custodian.audit.own_segment import is_own
from lookup.custodian.cases.case import Case, recall
from lookup.custodian.cases.recalls import Recall, new_recalls
from lookup.custodian.cases.remedy import withdrawn
from lookup.custodian.clients import entry_id_of
from lookup.custodian.custody import Custody
from lookup.custodian.store.chain import Row

# Of the writer's time at once: a million entries are looked through within ten seconds of idleness.
MOMENT: Final = 0.05
# Where an officer waits for it: most sites' entries of some days.
PATIENCE: Final = 0.5

# Of one client for one case; a child in care who is looked up daily for eighteen years has 6,575.
MOST_TOLD: Final = 10_000
# Links that one search is for: as many as one case has at most. Others wait for the next.
MOST_SOUGHT: Final = 512

# For each case, by client, the requests that were answered, the latest last.
Found = dict[EntryId, dict[bytes, dict[bytes, None]]]


class Search(Walk):
    """Finds who was answered with the records of cases."""

    def __init__(self, handles: Mapping[EntryId, Sequence[bytes]]) -> None:
        super().__init__()
        self.found: Found = {case_id: {} for case_id in handles}
        self._handles = handles
        self._own: dict[bytes, bool] = {}
        self._finders: dict[EntryId, WitnessFinder] = {}
        self._every: WitnessFinder | None = None
        # So that a step takes as long for many links as for one.
        self.rows_at_once = max(1, self.rows_at_once // max(1, sum(map(len, handles.values()))))

    def read(self, custody: Custody, row: Row) -> list[dict[str, Any]]:
        """Note who was answered."""
        if self._every is None:
            audit, handles = custody.audit, self._handles
            self._every = audit.finder(each for those in handles.values() for each in those)
            self._finders = {each: audit.finder(those) for each, those in handles.items()}
        try:
            encoded = custody.audit.groups.encoded(row)
        except GroupUnreadable:
            return []
        found = sift(encoded, self._every)
        if not found or self._is_own(custody, row):
            return []
        for each in found:
            for case_id, finder in self._finders.items():
                if len(self._finders) == 1 or sift([each], finder):
                    self._note(case_id, *asker_of(each))
        return []

    def _is_own(self, custody: Custody, row: Row) -> bool:
        if row.segment not in self._own:
            self._own[row.segment] = is_own(custody.store.audit.header(row.segment))
        return self._own[row.segment]

    def _note(self, case_id: EntryId, client: bytes, request_id: bytes) -> None:
        by_client = self.found[case_id]
        if client in by_client or len(by_client) < MOST_RECIPIENTS:
            requests = by_client.setdefault(client, {})
            requests[request_id] = None
            if len(requests) > MOST_TOLD:
                del requests[next(iter(requests))]


def told(custody: Custody, cases: Sequence[Case], seconds: float = MOMENT) -> list[Case]:
    """Return those of cases that are due of which everybody knows who has to.

    The records of these cases are answered no more. The others are worked on for so long.
    """
    states = {case.id: custody.docket.standing(case).state for case in cases}
    asking = [case for case in cases if states[case.id] is State.COOLING_OFF]
    nobody = {case.id for case in _search(custody, asking, seconds)}
    return [
        case
        for case in cases
        if case.id in nobody or (states[case.id] is State.RECALLING and is_told(custody, case))
    ]


def is_told(custody: Custody, case: Case) -> bool:
    """Say whether all recipients have acknowledged, or the rest was written to."""
    return custody.docket.standing(case).written or not custody.outbox.waiting(case.id)


def acknowledge(custody: Custody, client: bytes, ids: Collection[EntryId]) -> None:
    """Note that a client has deleted what it was told to; what is not its own is left alone."""
    done = custody.outbox.acknowledged(client, ids)
    if done:
        custody.commit(tuple(Put(each.entry()) for each in done), BlobChange())
        custody.outbox.put(done)
        custody.offer()


def _search(custody: Custody, cases: Sequence[Case], seconds: float) -> list[Case]:
    """Go on looking for recipients; return the cases that turn out to have none."""
    if custody.search is None and cases:
        custody.search = Search(_sought(custody, cases))
    search, until = custody.search, time.monotonic() + seconds
    if search is None:
        return []
    while search.step(custody) is not None:
        if time.monotonic() > until:
            return []
    custody.search = None
    searched = [case for case in cases if case.id in search.found]
    _tell(custody, [(case, by) for case in searched if (by := search.found[case.id])])
    return [case for case in searched if not search.found[case.id]]


def _sought(custody: Custody, cases: Iterable[Case]) -> dict[EntryId, list[bytes]]:
    """Return the handles of the first of these cases."""
    found: dict[EntryId, list[bytes]] = {}
    for case in cases:
        handles = _handles(custody, case)
        if found and sum(map(len, found.values())) + len(handles) > MOST_SOUGHT:
            break
        found[case.id] = handles
    return found


def _handles(custody: Custody, case: Case) -> list[bytes]:
    """Return the handles of all answers that a case withdraws or changes."""
    records = (custody.record(each) for each in case.record_ids)
    return [
        handle
        for each in records
        if each is not None
        for handle in withdrawn(case.content, each.body)
    ]


def _tell(custody: Custody, found: Iterable[tuple[Case, dict[bytes, dict[bytes, None]]]]) -> None:
    """Fill the outbox for cases with recipients, and note in each case how many they are."""
    at = custody.moment()
    recalls: list[Recall] = []
    steps = []
    for case, by_client in found:
        before = {(r.client, q) for r in custody.outbox.of({case.id}) for q in r.requests}
        for client, requests in by_client.items():
            new = [each for each in requests if (client, each) not in before]
            recalls += new_recalls(case.id, client, _name(custody, client), new)
        steps.append(recall(case, custody.office, custody.vault, len(by_client), at))
    if steps:
        batch = tuple(Put(each.entry()) for each in recalls)
        custody.commit(batch, BlobChange(), steps=tuple(steps))
        custody.outbox.put(recalls)
        custody.offer()


def _name(custody: Custody, client: bytes) -> str:
    """Return a client's name, for a letter; of one that has gone the name went with it."""
    card = custody.policy.clients.get(entry_id_of(client))
    return "" if card is None else card.name
