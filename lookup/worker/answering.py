"""One lookup, from who asks to the answer that leaves; both edges (hot.py, routes.py) call it.

    admit → join a round: parse, count, look up, audit → … durable … → finish: look again → leave

Invariants:

* A lookup is counted as in flight from before anything of the table is read until `leave`, when
  nothing of its answer is in this process any more. A turn that began leaves, once.
* No answer is finished before its audit entry is durable; one that cannot be audited is *could
  not check*.
* At the moment an answer leaves the table is asked again, and after a change of views all is: what
  was revoked or removed while the entry was written is not answered, and what is answered is what
  was audited.
* Known, no record, and a record that may not be answered take one path.

Lookups that come together are looked up and audited together: see rounds.py.
"""

import time
from binascii import unhexlify
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from lookup import wire
from lookup.audit.entry import ABSENT, SCHEDULED, UNSCHEDULED, EntryMaker, Head
from lookup.errors import (
    AuditUnavailable,
    CustodianUnavailable,
    Forbidden,
    IndexStale,
    Unavailable,
)
from lookup.handoff import Client
from lookup.metering import Meter
from lookup.worker.auditing import Auditor
from lookup.worker.certificates import require_certificate
from lookup.worker.decide import Decision, decide
from lookup.worker.passage import Passage
from lookup.worker.quota import Account, Quotas
from lookup.worker.sessions import Sessions
from lookup.worker.view import OpenView, Standing, boot_clock

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


class Admission(NamedTuple):
    """A caller who may ask: found in this view, with a token that expires then (since 1970)."""

    credential: Credential
    view: OpenView
    client: Client
    client_id: bytes
    account: Account
    expiry: int

    def __repr__(self) -> str:
        return "<Admission>"


class Moment(NamedTuple):
    """When lookups are made, by which number the passage knows them, and what audits them."""

    time: float
    day: int
    number: int
    maker: EntryMaker | None


@dataclass(frozen=True, slots=True)
class Desk:
    """What a worker answers with. Without an auditor nothing is audited: for benchmarks alone."""

    standing: Standing
    passage: Passage
    sessions: Sessions
    quotas: Quotas
    auditor: Auditor | None
    meter: Meter

    def admit(self, credential: Credential) -> Admission:
        """Say who asks. Raises Unauthorized, or CustodianUnavailable."""
        view = self.standing.view
        if view is None:
            raise CustodianUnavailable("no custodian has handed anything over yet")
        client, expiry = self.sessions.client_of(credential.authorization, view, time.time())
        require_certificate(client, credential.certificate)
        self.standing.require_view(boot_clock())
        account = self.quotas.account_of(client)
        return Admission(credential, view, client, bytes.fromhex(client.id), account, expiry)

    def admits(self, admission: Admission, now: float) -> bool:
        """Say whether `admit` would say the same again; where it would not, ask it."""
        return self.standing.view is admission.view and now < admission.expiry

    def require_ready(self) -> None:
        """Return if a lookup would be answered now; else raise why not."""
        self.standing.require_view(boot_clock()).table.require_ready()
        if self.auditor is not None and not self.auditor.healthy:
            raise AuditUnavailable("the audit cannot be written")


_LEFT: Final = 0  # the passage's numbers begin at 1

Parse = Callable[[bytes], wire.Lookup | wire.Lookups]


class Turn:
    """One lookup whose body is here: used once."""

    __slots__ = (
        "_admission",
        "_begun",
        "_body",
        "_day",
        "_decision",
        "_desk",
        "_number",
        "_parse",
        "_request",
        "_request_id",
        "size",
    )

    def __init__(
        self, desk: Desk, admission: Admission, request_id: bytes, parse: Parse, body: bytes
    ) -> None:
        """`request_id` is the UUID as it was sent."""
        self._desk = desk
        self._admission = admission
        self._request_id = request_id
        self._parse, self._body, self.size = parse, body, len(body)
        self._number: int | None = None  # until it begins
        self._begun = time.perf_counter_ns()  # the whole request is here

    def look_up(self, moment: Moment) -> bytes:
        """Look up; return the audit entry, which must be durable before the answer is finished.

        Raises InvalidRequest, Unauthorized, Forbidden, TooManyRequests, CustodianUnavailable and
        what `decide` raises; Unavailable if it has left before it began.
        """
        before, self._number = self._number, moment.number
        if before == _LEFT:
            self.leave()
            raise Unavailable("the caller has left")
        admission, now = self._admission, moment.time
        if not self._desk.admits(admission, now):
            admission = self._admission = self._desk.admit(admission.credential)
        body, self._body = self._body, b""
        request = self._request = self._parse(body)
        admission.account.take(_count(admission.client, request), now)
        self._day = moment.day
        self._decision = decision = decide(admission.view, request, moment.day)
        maker = moment.maker
        if maker is None:
            return b""
        return maker.make(self._head(admission.client_id, now), decision.handles)

    def finish(self) -> bytes:
        """Return the body of the answer, which leaves now.

        Raises as `look_up`, and IndexStale if it is not the answer any more that was audited.
        """
        decision = self._decision
        if self._desk.standing.view is not self._admission.view:
            self._admission = self._desk.admit(self._admission.credential)
            again = decide(self._admission.view, self._request, self._day)
            if again.handles != decision.handles:
                raise IndexStale("the answer has changed since it was looked up")
            decision = again
        decision.check()
        self._measure(decision)
        return decision.body

    def leave(self) -> None:
        """Nothing of the answer is in this process any more, or there is none."""
        number, self._number = self._number, _LEFT
        if number:
            self._desk.passage.leave(number)

    def _measure(self, decision: Decision) -> None:
        microseconds = (time.perf_counter_ns() - self._begun) // 1_000
        if isinstance(self._request, wire.Lookup):
            self._desk.meter.answered(decision.known, microseconds)
        else:
            self._desk.meter.answered_batch(decision.known, decision.tokens, microseconds)

    def _head(self, client_id: bytes, now: float) -> Head:
        request = self._request
        user, encounter = request.user, request.encounter
        return Head(
            _PURPOSES[request.purpose],
            int(now * 1e6),
            client_id,
            unhexlify(self._request_id.replace(b"-", b"")),
            user.id.encode(),
            user.role.encode(),
            encounter.encode() if encounter else b"",
        )


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
