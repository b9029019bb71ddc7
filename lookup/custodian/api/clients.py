"""Clients, for this machine's officers: who may ask, how much, and with which secret.

Only over the UNIX socket, as everything under /v1/local. A secret leaves in the answer that made
it, and never again.
"""

from asyncio import wrap_future
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Request, Response

from lookup.client.enrolment import enrolment_members, format_enrolment
from lookup.custodian import enrolling
from lookup.custodian.api.local import PREFIX
from lookup.custodian.api.requests import (
    JSON,
    NO_STORE,
    TheWriter,
    answer,
    describe_body,
    describe_destruction,
    read_json,
)
from lookup.custodian.clients import Allowance, ClientCard
from lookup.custodian.custody import Custody

router = APIRouter(prefix=f"{PREFIX}/clients", tags=["local"])

DAY: Final = 86_400
Fingerprint = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
ClientId = Annotated[str, Path(pattern="^[0-9a-f]{28}$")]
_USUAL: Final = Allowance()


class ClientRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A new client: its name, as people know it, and what it may do.

    `certificates` are the SHA-256 of client certificates in DER, in hexadecimal.
    """

    name: str
    per_second: int = _USUAL.per_second
    per_day: int = _USUAL.per_day
    batch: bool = _USUAL.batch
    certificates: tuple[Fingerprint, ...] = ()


class RotationRequest(msgspec.Struct, forbid_unknown_fields=True):
    """For how long the secret of now stays valid beside the new one."""

    grace_seconds: int = DAY


@router.get("")
async def list_clients(request: Request, writer: TheWriter) -> Response:
    """Return the clients that may ask, by name."""
    now = request.app.state.site.clock()

    def run(custody: Custody) -> list[dict[str, Any]]:
        cards = sorted(custody.policy.clients.values(), key=lambda card: card.name)
        return [_described(card, now) for card in cards]

    return answer({"clients": await wrap_future(writer.call(run))})


def _described(card: ClientCard, now: int) -> dict[str, Any]:
    may = card.allowance
    return {
        "id": card.id,
        "name": card.name,
        "made": card.made,
        "per_second": may.per_second,
        "per_day": may.per_day,
        "batch": may.batch,
        "certificates": [each.hex() for each in may.certificates],
        "former_secrets_until": sorted(each.until or 0 for each in card.former(now)),
    }


@router.post("", status_code=201, openapi_extra=describe_body(ClientRequest))
async def add_client(request: Request, writer: TheWriter) -> Response:
    """Enrol a client; the answer is its enrolment file, and the only copy of its secret."""
    wanted = await read_json(request, ClientRequest)
    allowance = Allowance(
        wanted.per_second,
        wanted.per_day,
        wanted.batch,
        tuple(bytes.fromhex(each) for each in wanted.certificates),
    )
    site = request.app.state.site
    run = enrolling.add_client(wanted.name, allowance, site.config.base_urls, site.clock())
    enrolment = await wrap_future(writer.call(run))
    return Response(format_enrolment(enrolment), 201, NO_STORE, JSON)


@router.post("/{client_id}/rotate", openapi_extra=describe_body(RotationRequest))
async def rotate_client(client_id: ClientId, request: Request, writer: TheWriter) -> Response:
    """Give a client another secret; the answer has its new enrolment file."""
    wanted = await read_json(request, RotationRequest)
    site = request.app.state.site
    run = enrolling.rotate_client(
        client_id, wanted.grace_seconds, site.config.base_urls, site.clock()
    )
    done = await wrap_future(writer.call(run))
    return answer(
        {
            "enrolment": enrolment_members(done.enrolment),
            "former_until": done.former_until,
            **describe_destruction(done.destruction),
        }
    )


@router.post("/{client_id}/revoke")
async def revoke_client(client_id: ClientId, writer: TheWriter) -> Response:
    """Forget a client; every worker refuses it from now on."""
    done = await wrap_future(writer.call(enrolling.revoke_client(client_id)))
    return answer({"id": client_id, **describe_destruction(done)})
