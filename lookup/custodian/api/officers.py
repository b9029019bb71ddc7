"""Officers over HTTP: who they are, the rules for cases, and proposals to change either."""

from asyncio import wrap_future
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from crypto.sshsig import fingerprint, format_public_key
from lookup.custodian.api.requests import TheWriter, answer, describe_body, may, read_json
from lookup.custodian.cases.case import LostCase
from lookup.custodian.custody import Custody
from lookup.custodian.officers import Office, OfficeRules
from lookup.custodian.proposals import Pending, approve, proposals, propose
from lookup.custodian.retention.holding import Hold
from lookup.officers.proposal import MAX_TEXT, PlaceHold, encode_change
from lookup.officers.roles import Act, Officer, OfficerId

router = APIRouter(prefix="/v1/officers", tags=["officers"])

Reader = Annotated[Officer, Depends(may(Act.READ_OFFICERS))]


class ProposalRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What an officer has signed of a proposal."""

    text: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


@router.get("")
async def list_officers(officer: Reader, writer: TheWriter) -> Response:
    """Return the officers, the rules, the proposals that wait, and how far feeds have come."""
    del officer

    def listed(custody: Custody) -> dict[str, Any]:
        office = custody.office
        return {
            "vault": custody.vault.id.hex(),
            "officers": sorted(map(_officer, office.officers.values()), key=lambda o: o["name"]),
            "rules": _rules(office.governance.site)
            | {
                "authorities": {
                    code: _rules(rules) for code, rules in office.governance.authorities.items()
                }
            },
            "changes": office.governance.changes,
            "proposals": [_proposal(office, each) for each in proposals(custody.vault)],
            "cursors": {code: each.cursor for code, each in sorted(custody.fences.feeds.items())},
            "holds": [
                *(_hold(office, each) for each in custody.holds.holds.values()),
                *(hold for each in custody.docket.lost for hold in _lost_holds(office, each)),
            ],
        }

    return answer(await wrap_future(writer.call(listed)))


@router.post("/proposals", status_code=201, openapi_extra=describe_body(ProposalRequest))
async def propose_change(
    request: Request, officer: Annotated[Officer, Depends(may(Act.PROPOSE))], writer: TheWriter
) -> Response:
    """Propose a change of officers or rules; place a hold, or propose to lift one."""
    del officer
    wanted = await read_json(request, ProposalRequest)
    pending, made = await wrap_future(writer.call(propose(wanted.text, wanted.signature)))
    return answer(_proposal(request.app.state.custody.office, pending) | {"made": made}, 201)


@router.post("/proposals/approve", openapi_extra=describe_body(ProposalRequest))
async def approve_change(
    request: Request,
    officer: Annotated[Officer, Depends(may(Act.APPROVE_PROPOSAL))],
    writer: TheWriter,
) -> Response:
    """Approve a proposal; with the last approval that it needs, the change is made."""
    del officer
    wanted = await read_json(request, ProposalRequest)
    run = approve(wanted.text, wanted.signature)
    pending, made = await wrap_future(writer.call(run))
    return answer(_proposal(request.app.state.custody.office, pending) | {"made": made})


def _officer(officer: Officer) -> dict[str, Any]:
    return {
        "id": officer.id.hex(),
        "name": officer.name,
        "roles": sorted(officer.roles),
        "authority": officer.authority,
        "key": format_public_key(officer.key),
        "fingerprint": fingerprint(officer.key),
    }


def _rules(rules: OfficeRules) -> dict[str, Any]:
    day = rules.malicious_from_day
    return {
        "approvals": rules.approvals,
        "cooling_off_days": rules.cooling_off_days,
        "malicious_from": None if day is None else day.isoformat(),
    }


def _hold(office: Office, hold: Hold) -> dict[str, Any]:
    officer = office.officers.get(hold.officer)
    return {
        "hold": hold.id.hex(),
        "scope": msgspec.Raw(encode_change(hold.scope)),
        "placed_by": None if officer is None else officer.name,
        "time": hold.time,
    }


def _lost_holds(office: Office, case: LostCase) -> Iterator[dict[str, Any]]:
    """Yield the hold of a case whose content was lost, for each of its records."""
    held = case.hold
    if held is None:
        return
    officer = office.officers.get(OfficerId(held.step.officer or b""))
    for record_id in sorted(case.record_ids):
        scope = PlaceHold(reason=str(held.step.details["reason"]), record=record_id.hex())
        yield {
            "hold": case.id.hex(),
            "scope": msgspec.Raw(encode_change(scope)),
            "placed_by": None if officer is None else officer.name,
            "time": held.taken.at.time,
        }


def _proposal(office: Office, pending: Pending) -> dict[str, Any]:
    signers = (OfficerId(each.officer) for each in pending.signatures)
    names = [office.officers[each].name if each in office.officers else None for each in signers]
    return {
        "proposal": pending.id.hex(),
        "change": msgspec.Raw(encode_change(pending.change)),
        "proposed_by": names[0],
        "approved_by": names[1:],
        "needs": office.governance.strictest,
        "time": pending.signatures[0].time,
    }
