"""Casework: opening a case, and taking its steps.

Invariants:

* Whatever is taken is signed by the officer that it names, with the key that is registered now,
  and is durable, with its commitment in the log, before anybody hears of it.
* A record is in one open case at most, as its requester saw it; of a record that is in none,
  nothing changes.
* What a step hides or shows again is hidden or shown by every worker before anybody hears of it.
* The `others` of a case are all the records that name the same child: the caller has looked for
  them in the whole vault (`others_of`), and what arrives later escalates the case.
"""

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from crypto.record import Dek
from crypto.sshsig import InvalidSignature, Signature, verify
from keys.entry import EntryId, Kind, Put, new_entry_id
from keys.errors import PageDamaged
from keys.pages import BlobChange
from lookup.cases.clock import InvalidClock
from lookup.cases.content import Content, InvalidContent, parse_content
from lookup.cases.content import Named as NamedRecord
from lookup.cases.evidence import InvalidEvidence
from lookup.cases.permitting import StepRefused, require
from lookup.cases.standing import Taken
from lookup.cases.step import (
    FIRST_AFTER,
    NAMESPACE,
    SALT_SIZE,
    InvalidStep,
    Step,
    digest_of,
    parse_step,
)
from lookup.cases.supporting import COUNTED, require_countable, require_reason, require_supported
from lookup.custodian.cases.carrying_out import (
    ON_HOLD,
    CarriedOut,
    carry_out_now,
    is_on_hold,
    is_whole,
)
from lookup.custodian.cases.case import Case, Signed, new_step
from lookup.custodian.cases.certifying import can_be_certified
from lookup.custodian.cases.docket import Lookout, Named
from lookup.custodian.cases.recalls import Recall
from lookup.custodian.cases.remedy import can_be_remade
from lookup.custodian.custody import Custody
from lookup.custodian.records.adding import resume_drafts
from lookup.custodian.records.detaching import NO_CASE, is_detached
from lookup.custodian.records.draft import InvalidRecord
from lookup.custodian.records.parking import Parked
from lookup.custodian.records.record import Record, decode_body, names_of
from lookup.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    RecordNotFound,
    ServiceError,
    Unavailable,
)
from lookup.officers.roles import Act, Officer

ID_SIZE = 16
MOST_WITHDRAWN = 8

logger = logging.getLogger("lookup.custodian")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A step as an officer sends it: its text, the signature, and the content if it brings one."""

    text: str
    signature: bytes
    content: bytes = field(default=b"", repr=False)

    def parsed(self) -> Content:
        """Return what the case would say. Raises InvalidRequest."""
        return _content(self.content)


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens a case: its first step, and the salt that its officer has drawn."""

    wanted: Wanted
    salt: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Done:
    """A step was taken; where it was the last one, this is what it has destroyed.

    Nothing yet, where recipients of answers have to be told first.
    """

    case: Case
    carried_out: CarriedOut | None = None


def open_case(
    opening: Opening, others: frozenset[EntryId], lookout: Lookout | None = None
) -> Callable[[Custody], Case]:
    """Open a case; `lookout` was kept while the others were looked for.

    Raises InvalidRequest, RecordNotFound, Conflict or Forbidden.
    """
    step = _parsed(opening.wanted.text)
    content = _content(opening.wanted.content)
    if len(opening.salt) != SALT_SIZE:
        raise InvalidRequest(f"a salt has {SALT_SIZE} bytes")
    if step.act is not Act.OPEN or step.number != 1 or step.after != FIRST_AFTER:
        raise InvalidRequest("a case begins with its first step, open")
    if step.digest != digest_of(opening.salt, step.case, 1, opening.wanted.content):
        raise InvalidRequest("the step was signed of another content")
    if step.case[0] or len(step.case) != ID_SIZE:
        raise InvalidRequest("a case's id begins with two zeros")

    def run(custody: Custody) -> Case:
        officer = _signer(custody, step, opening.wanted.signature)
        if not officer.may(Act.OPEN, content.authority):
            raise Forbidden("none of the officer's roles may open a case of this authority")
        case_id = EntryId(step.case)
        if custody.docket.damaged:
            raise Unavailable("pages with cases are damaged: restore them, then open new ones")
        if case_id in custody.docket.cases:
            raise Conflict("a case of this id is open already")
        records = _records(custody, content)
        _require_all_others(content, others, lookout)
        _require_evidence(content)
        _require_remedy(custody, content)
        _require_few_withdrawn(custody, officer, content)
        _require_countable(custody, content, [], InvalidRequest)
        case = Case(
            case_id,
            Dek.generate(),
            EntryId(secrets.token_bytes(ID_SIZE)),
            opening.salt,
            secrets.token_bytes(SALT_SIZE),
            new_entry_id(Kind.DESTROYED),
            content,
        )
        signed = new_step(case, step, opening.wanted.signature, custody.moment())
        blob = case.sealed(custody.vault, 1, opening.wanted.content)
        custody.docket.add(case, [name for each in records for name in names_of(each)])
        try:
            custody.commit((Put(case.entry(1)),), blob, steps=(signed,))
        except BaseException:
            custody.docket.remove(case_id)
            raise
        return case

    return run


def _require_few_withdrawn(custody: Custody, officer: Officer, content: Content) -> None:
    """Raise Conflict for an officer who opens cases about a record and withdraws them, on and on.

    A withdrawn case stays, so that nothing that was signed of it can be played again.
    """
    record_ids = [EntryId(each) for each in content.record_ids]
    own = [
        case
        for case in custody.docket.naming(record_ids)
        if case.last.act is Act.WITHDRAW
        and case.last.officer == officer.id == case.signed[0].step.officer
    ]
    if len(own) >= MOST_WITHDRAWN:
        raise Conflict("you have withdrawn too many cases about a record: let another open this")


def take_step(
    case_id: EntryId,
    wanted: Wanted,
    others: frozenset[EntryId] = frozenset(),
    lookout: Lookout | None = None,
) -> Callable[[Custody], Done]:
    """Take a further step; `others` and `lookout` are for an amendment.

    Raises as `open_case` does, and Conflict where the step may not be taken.
    """
    step = _parsed(wanted.text)
    if step.case != case_id:
        raise InvalidRequest("the step is of another case")
    if bool(wanted.content) != (step.act is Act.AMEND):
        raise InvalidRequest("a content comes with `amend`, and with nothing else")
    content = _content(wanted.content) if wanted.content else None

    def run(custody: Custody) -> Done:
        case = find(custody, case_id)
        _signer(custody, step, wanted.signature)
        standing = custody.docket.standing(case)
        digest = case.digest(standing.revision)
        if content is not None:
            digest = case.digest(step.number, wanted.content)
        now = custody.moment()
        try:
            require(standing, step, case.content.terms, custody.office.officers, now, digest=digest)
        except StepRefused as refused:
            raise Conflict(str(refused)) from None
        if step.act is Act.CARRY_OUT and not (
            is_whole(custody, case) and can_be_certified(custody, case)
        ):
            raise Conflict("a record of the case was lost: withdraw it, and open another")
        if step.act is Act.CARRY_OUT and is_on_hold(custody, case):
            raise Conflict(ON_HOLD)
        signed = new_step(case, step, wanted.signature, now)
        if content is not None or step.act in COUNTED:
            told = content or case.content
            _require_countable(custody, told, [*case.steps, signed.taken], Conflict)
        if content is None:
            custody.commit((), BlobChange(), steps=(signed,))
        else:
            _require_all_others(content, others, lookout)
            _amend(custody, case, signed, content)
        return _follow(custody, case, step)

    return run


def _amend(custody: Custody, case: Case, signed: Signed, content: Content) -> None:
    """Change what a case says; its records stay the same."""
    if content.authority != case.content.authority or content.record_ids != case.content.record_ids:
        raise Conflict("a case's records stay the same: withdraw it, and open another")
    # A restriction hides what is to be unlinked: of other numbers nobody else has signed anything.
    was, asks = ((c.terms.remedy, c.unlinked) for c in (case.content, content))
    if asks != was:
        raise Conflict("what a case asks for stays the same: withdraw it, and open another")
    if any(_version(custody, named) != named.version for named in content.records):
        raise Conflict("a record of the case has changed since it was looked at")
    _require_evidence(content)
    _require_remedy(custody, content)
    blob = case.sealed(custody.vault, signed.step.number, content.encode())
    before, case.content = case.content, content
    try:
        custody.commit((Put(case.entry(signed.step.number)),), blob, steps=(signed,))
    except BaseException:
        case.content = before
        raise


def _require_remedy(custody: Custody, content: Content) -> None:
    """Raise Conflict where a case could never be carried out as it says."""
    vault, store, catalogue = custody.vault, custody.store, custody.catalogue
    for each in content.record_ids:
        record = custody.record(EntryId(each))
        try:
            if record is not None:
                can_be_remade(vault, store, catalogue, content, record)
        except InvalidRecord as error:
            raise Conflict(f"the record could not be so: {error}") from None


def _version(custody: Custody, named: NamedRecord) -> int | None:
    record = custody.record(EntryId(bytes.fromhex(named.record_id)))
    return None if record is None else record.version


def _follow(custody: Custody, case: Case, step: Step) -> Done:
    """Do what a step has decided."""
    if step.act is Act.CARRY_OUT:
        return Done(case, carry_out_now(custody, case))
    if not _is_open(custody, case):
        resume(custody, case)
    return Done(case)


def resume(custody: Custody, case: Case) -> None:
    """Let what was kept aside for a case, which has ended without a destruction, come to pass.

    What is no record by the catalogue of now stays aside: its authority sends it again.
    """
    recalls = custody.outbox.of({case.id})
    _take_up(custody, custody.lot.of(case.id), recalls)
    if recalls:
        custody.outbox.drop(recalls)
        custody.offer()


def resume_attached(custody: Custody, record_id: EntryId) -> None:
    """Let what was kept aside for a record, which is detached no more, come to pass."""
    record, parked = custody.record(record_id), custody.lot.about({record_id})
    if record is not None and not is_detached(record):
        _take_up(custody, [each for each in parked if each.case == NO_CASE])


def _take_up(custody: Custody, kept: Sequence[Parked], recalls: Sequence[Recall] = ()) -> None:
    """Store what was kept aside, and tell nobody any more of what is recalled no more."""
    vault, store, catalogue, classes = (
        *(custody.vault, custody.store),
        *(custody.catalogue, custody.classes),
    )
    found = [(each, each.draft(vault, store, catalogue, classes)) for each in kept]
    parked = [(each, draft) for each, draft in found if draft is not None]
    if not parked and not recalls:
        return
    # It waits no more when it is judged: what may only wait, again, is parked anew.
    custody.lot.drop([each for each, _ in parked])
    try:
        prepared = resume_drafts(custody, [(each.record, draft) for each, draft in parked])
        removals = [each.removal() for each, _ in parked]
        receipt = custody.commit(
            (
                *prepared.batch,
                *(step for batch, _ in removals for step in batch),
                *(each.removal() for each in recalls),
            ),
            BlobChange(
                prepared.blobs.put,
                (*prepared.blobs.delete, *(name for _, gone in removals for name in gone.delete)),
            ),
            prepared.edits,
            steps=prepared.steps,
        )
    except BaseException:
        custody.lot.parked |= {each.record: each for each, _ in parked}
        raise
    prepared.answer(receipt)


def resume_all(custody: Custody) -> None:
    """Resume what a crash cut off between a decision and what was kept aside until then."""
    ended = [case for case in custody.docket.cases.values() if not _is_open(custody, case)]
    for case in ended:
        with _told(f"for case {case.id.hex()}"):
            resume(custody, case)
    for each in custody.lot.of(NO_CASE):
        with _told("for a record"):
            resume_attached(custody, each.record)


@contextmanager
def _told(whom: str) -> Iterator[None]:
    try:
        yield
    except ServiceError as error:
        logger.error("what was parked %s stays so: %s", whom, error)  # noqa: TRY400  # its text is ours


def _is_open(custody: Custody, case: Case) -> bool:
    return custody.docket.standing(case).is_open


def find(custody: Custody, case_id: EntryId) -> Case:
    """Return a case. Raises NotFound."""
    case = custody.docket.cases.get(case_id)
    if case is None:
        raise NotFound("there is no such case; one that was carried out has left a certificate")
    return case


def others_of(
    names: frozenset[Named], record_ids: Iterable[EntryId], leaves: range
) -> Callable[[Custody], list[EntryId]]:
    """Return the records in these leaves, besides those named, that name one of these children.

    Raises Unavailable where a page is damaged: nobody can say then who is named on it.
    """
    known = frozenset(record_ids)
    values = [value.encode() for _, value in names]

    def run(custody: Custody) -> list[EntryId]:
        try:
            found = custody.vault.scan_bodies(Kind.RECORD, leaves)
        except PageDamaged:
            raise Unavailable("pages are damaged: restore them, then look again") from None
        return [
            record_id
            for record_id, body in found
            # To look for the bytes first is ten times quicker than to decode every body.
            if record_id not in known
            and any(value in body for value in values)
            and not names.isdisjoint((each.scheme, each.value) for each in decode_body(body).links)
        ]

    return run


def _parsed(text: str) -> Step:
    try:
        step = parse_step(text)
        require_reason(step)
    except InvalidStep as error:
        raise InvalidRequest(str(error)) from None
    return step


def _content(raw: bytes) -> Content:
    try:
        return parse_content(raw)
    except InvalidContent as error:
        raise InvalidRequest(str(error)) from None


def _signer(custody: Custody, step: Step, signature: bytes) -> Officer:
    if step.vault != custody.vault.id:
        raise InvalidRequest("the step is of another site's case")
    officer = None if step.officer is None else custody.office.officers.get(step.officer)
    if officer is None:
        raise Forbidden("no officer of this site has signed this")
    try:
        verify(officer.key, NAMESPACE, step.text().encode(), Signature(signature))
    except InvalidSignature:
        raise Forbidden("the signature is not this officer's, of this step") from None
    return officer


def _records(custody: Custody, content: Content) -> Sequence[Record]:
    """Return the records of a case, which are as their requester saw them and in no other case."""
    found: list[Record] = []
    for named in content.records:
        record = custody.record(EntryId(bytes.fromhex(named.record_id)))
        if record is None:
            raise RecordNotFound("a record of the case is not there: no case was opened")
        if record.body.authority != content.authority:
            raise Conflict("a record of the case is another authority's: it has cases of its own")
        if record.version != named.version:
            raise Conflict("a record of the case has changed since it was looked at")
        if custody.docket.open_case_of(record.id) is not None:
            raise Conflict("a record of the case is in an open case already")
        found.append(record)
    return found


def _require_all_others(
    content: Content, others: frozenset[EntryId], lookout: Lookout | None
) -> None:
    if lookout is not None and lookout.seen:
        raise Conflict("a record of the same child has come meanwhile: preview it again")
    if {bytes.fromhex(each) for each in content.others} != others:
        raise Conflict(
            "other records name the same child, and the case does not list just these: preview it"
            " again, and sign what you have seen"
        )


def _require_countable(
    custody: Custody, content: Content, steps: Sequence[Taken], error: type[ServiceError]
) -> None:
    try:
        require_countable(content, steps, custody.today())
    except InvalidClock as refused:
        raise error(str(refused)) from None


def _require_evidence(content: Content) -> None:
    try:
        require_supported(content)
    except InvalidEvidence as error:
        raise InvalidRequest(str(error)) from None
