"""Certificates over HTTP: what was destroyed, with the proof that the log says so.

A certificate names nobody, and may be shown to everybody; officers fetch it to hand it out.
"""

from asyncio import wrap_future
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response

from keys.entry import EntryId
from lookup.custodian.api.requests import TheWriter, answer, may
from lookup.custodian.cases.certifying import certificates, find_certificate
from lookup.custodian.custody import Custody
from lookup.errors import Conflict, NotFound
from lookup.officers.roles import Act, Officer
from lookup.transparency.certificate import leaf_of, make_certificate
from lookup.transparency.statement import moment

router = APIRouter(prefix="/v1/certificates", tags=["certificates"])

Reader = Annotated[Officer, Depends(may(Act.READ_CASES))]


@router.get("")
async def list_certificates(officer: Reader, writer: TheWriter) -> Response:
    """Return what was certified for the officer's authorities, in the order of the log."""

    def listed(custody: Custody) -> dict[str, Any]:
        found = (
            each.statement
            for each in certificates(custody)
            if officer.may(Act.READ_CASES, each.statement.authority)
        )
        return {
            "certificates": [
                {
                    "certificate": said.certificate,
                    "authority": said.authority,
                    "ground": said.ground,
                    "records": len(said.records),
                    "destroyed_at": moment(said.destroyed_at),
                }
                for said in found
            ],
            "waiting": len(custody.uncertified),
        }

    return answer(await wrap_future(writer.call(listed)))


@router.get("/{certificate}")
async def read_certificate(
    certificate: Annotated[str, Path(pattern="^[0-9a-f]{32}$")], officer: Reader, writer: TheWriter
) -> Response:
    """Return a certificate, proved by the newest checkpoint."""

    def read(custody: Custody) -> bytes:
        found = find_certificate(custody, EntryId(bytes.fromhex(certificate)))
        if found is None and custody.uncertified:
            raise Conflict("certificates wait for a slot that lags: see `lacuna status`")
        if found is None or not officer.may(Act.READ_CASES, found.statement.authority):
            raise NotFound("there is no such certificate, or its case is not carried out yet")
        log = custody.log
        position = log.place_of(leaf_of(found.statement, found.nonce), found.position)
        proof = log.inclusion(position)
        made = make_certificate(found.statement, found.nonce, position, proof, log.checkpoint())
        return made.text()

    text = await wrap_future(writer.call(read))
    return Response(text, headers={"cache-control": "no-store"}, media_type="text/plain")
