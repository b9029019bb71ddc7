"""One lookup, from who asks to the answer that leaves; both edges (hot.py, routes.py) call it.

    admit, parse → begin: count, look up, audit → … durable … → finish: look again → leave

Invariants:

* A lookup is counted as in flight from `begin`, before anything of the table is read, to `leave`,
  when nothing of its answer is in this process any more. A turn that began leaves, once.
* No answer is finished before its audit entry is durable; one that cannot be audited is *could
  not check*.
* At the moment an answer leaves the table is asked again, and after a change of views all is: what
  was revoked or removed while the entry was written is not answered, and what is answered is what
  was audited.
* Known, no record, and a record that may not be answered take one path.
"""

import time
from binascii import unhexlify
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from lookup import wire
from lookup.audit.entry import ABSENT, SCHEDULED, UNSCHEDULED, Head
from lookup.errors import (
    AuditUnavailable,
    CustodianUnavailable,
    Forbidden,
    IndexStale,
    ServiceError,
)
from lookup.handoff import Client
from lookup.metering import Meter
from lookup.worker.auditing import Auditor
from lookup.worker.certificates import require_certificate
from lookup.worker.decide import Decision, decide
from lookup.worker.passage import Passage
from lookup.worker.quota import Quotas
from lookup.worker.sessions import Sessions
from lookup.worker.view import OpenView, Standing, boot_clock, utc_day

Audited = Callable[[ServiceError | None], None]

_PURPOSES: Final = {
    msgspec.UNSET: ABSENT,
    "unscheduled-care": UNSCHEDULED,
    "scheduled-care": SCHEDULED,
}


class Credential(NamedTuple):
    """What a caller has shown: a header, and perhaps a certificate (hex SHA-256 of its DER)."""

    authorization: bytes
    certificate: str | None

    def __repr__(self) -> str:
        return "<Credential>"


@dataclass(frozen=True, slots=True)
class Desk:
    """What a worker answers with. Without an auditor nothing is audited: for benchmarks alone."""

    standing: Standing
    passage: Passage
    sessions: Sessions
    quotas: Quotas
    auditor: Auditor | None
    meter: Meter

    def admit(self, credential: Credential) -> tuple[OpenView, Client]:
        """Return the view in force and who asks. Raises Unauthorized, or CustodianUnavailable."""
        view = self.standing.view
        if view is None:
            raise CustodianUnavailable("no custodian has handed anything over yet")
        client = self.sessions.client_of(credential.authorization, view, time.time())
        require_certificate(client, credential.certificate)
        return self.standing.require_view(boot_clock()), client

    def require_ready(self) -> None:
        """Return if a lookup would be answered now; else raise why not."""
        self.standing.require_view(boot_clock()).table.require_ready()
        if self.auditor is not None and not self.auditor.healthy:
            raise AuditUnavailable("the audit cannot be written")


class Turn:
    """One lookup whose body is here: used once."""

    __slots__ = (
        "_admitted",
        "_begun",
        "_credential",
        "_day",
        "_decision",
        "_desk",
        "_number",
        "_request",
        "_request_id",
    )

    def __init__(
        self,
        desk: Desk,
        admitted: tuple[OpenView, Client],
        credential: Credential,
        request_id: bytes,
        request: wire.Lookup | wire.Lookups,
    ) -> None:
        """`admitted` is what `Desk.admit` gave, `request_id` the UUID as it was sent."""
        self._desk = desk
        self._admitted = admitted
        self._credential = credential
        self._request_id = request_id
        self._request = request
        self._number = 0
        self._begun = time.perf_counter_ns()  # the whole request is here

    def begin(self, audited: Audited) -> None:
        """Look up and have it audited; `audited` is called once the entry is durable, or cannot be.

        Raises Unauthorized, Forbidden, TooManyRequests, AuditUnavailable, CustodianUnavailable and
        what `decide` raises; `audited` is not called then.
        """
        desk, request = self._desk, self._request
        view, client = self._readmit()
        now = time.time()
        desk.quotas.take(client, _count(client, request), now)
        self._number = desk.passage.enter()
        self._day = utc_day(now)
        decision = self._decision = decide(view, request, self._day)
        if desk.auditor is None:
            audited(None)
        else:
            desk.auditor.append(self._entry(desk.auditor, client, decision, now), audited)

    def finish(self) -> bytes:
        """Return the body of the answer, which leaves now.

        Raises as `begin`, and IndexStale if it is not the answer any more that was audited.
        """
        decision, before = self._decision, self._admitted[0]
        self._desk.standing.require_view(boot_clock())
        view, _ = self._readmit()
        if view is not before:
            again = decide(view, self._request, self._day)
            if again.handles != decision.handles:
                raise IndexStale("the answer has changed since it was looked up")
            decision = again
        decision.check()
        self._measure(decision)
        return decision.body

    def leave(self) -> None:
        """Nothing of the answer is in this process any more, or there is none."""
        number, self._number = self._number, 0
        if number:
            self._desk.passage.leave(number)

    def _readmit(self) -> tuple[OpenView, Client]:
        """Look for the client again if there is another view than it was found in."""
        standing = self._desk.standing
        if standing.view is not self._admitted[0]:
            self._admitted = self._desk.admit(self._credential)
        return self._admitted

    def _measure(self, decision: Decision) -> None:
        microseconds = (time.perf_counter_ns() - self._begun) // 1_000
        if isinstance(self._request, wire.Lookup):
            self._desk.meter.answered(decision.known, microseconds)
        else:
            self._desk.meter.answered_batch(decision.known, decision.tokens, microseconds)

    def _entry(self, auditor: Auditor, client: Client, decision: Decision, now: float) -> bytes:
        request = self._request
        encounter = request.encounter
        head = Head(
            purpose=_PURPOSES[request.purpose],
            time=int(now * 1e6),
            client=unhexlify(client.id),
            request_id=unhexlify(self._request_id.replace(b"-", b"")),
            user=request.user.id.encode(),
            role=request.user.role.encode(),
            encounter=encounter.encode() if encounter else b"",
        )
        return auditor.maker.make(head, decision.handles)


def _count(client: Client, request: wire.Lookup | wire.Lookups) -> int:
    """Return how many tokens are asked about. Raises Forbidden."""
    if isinstance(request, wire.Lookup):
        return 1
    require_batch(client)
    return len(request.tokens)


def require_batch(client: Client) -> None:
    """Return if a client may ask in batches. Raises Forbidden."""
    if not client.batch:
        raise Forbidden("this client may not ask in batches")
