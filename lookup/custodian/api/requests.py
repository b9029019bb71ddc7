"""What every endpoint asks of a request: who calls, how large it is, what it holds.

Invariants:

* A body is read to a bound and never spooled to a file.
* Who calls is an officer, by a token that they have made with their own key (officers/token.py),
  and may do what the table of roles says. Whoever the file system lets to the UNIX socket keeps the
  machine: they need no token for what `require_local` guards, nor to send records.
* No request has a query, but for the cursor of `GET /v1/accesses`: what is in a URL gets into the
  logs of whoever passes it on.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

import msgspec
from fastapi import Depends, Path, Request, Response

from keys.entry import EntryId
from keys.epoch import Destruction
from keys.errors import KeysError
from keys.slot import DESTRUCTION
from lookup.custodian.cases.carrying_out import CarriedOut
from lookup.custodian.custody import Custody
from lookup.custodian.store.database import StoreError
from lookup.custodian.writer import Writer
from lookup.errors import (
    Forbidden,
    InvalidRequest,
    NotFound,
    TooLarge,
    Unauthorized,
    UnsupportedMediaType,
)
from lookup.officers.roles import Act, Officer
from lookup.officers.token import InvalidToken, parse_token, verify_token

T = TypeVar("T", bound=msgspec.Struct)

JSON: Final = "application/json"
_MAX_JSON: Final = 1 << 20
NO_STORE: Final = {"cache-control": "no-store"}
VAULT_FAILURES: Final = (KeysError, StoreError)
VAULT_FAILED: Final = "the vault could not do this; see the custodian's log"


def answer(content: object, status: int = 200, headers: dict[str, str] = NO_STORE) -> Response:
    """Return an answer in JSON."""
    return Response(msgspec.json.encode(content), status, NO_STORE | headers, JSON)


def describe_body(shape: type[msgspec.Struct]) -> dict[str, Any]:
    """Return what the description of the interface says of a body: endpoints read it themselves."""
    schema = msgspec.json.schema(shape)["$defs"][shape.__name__]
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


def describe_destruction(done: Destruction) -> dict[str, Any]:
    """Tell what was destroyed, and what the slots' classes promise of it."""
    return {
        "intent": done.intent.hex(),
        "epoch": done.epoch,
        "time": done.time,
        "confirmed": [
            {"slot": slot.hex(), "class": letter, "promise": DESTRUCTION[letter]}
            for slot, letter in done.confirmed
        ],
        "lagging": [slot.hex() for slot in done.lagging],
        "lost": [slot.hex() for slot in done.lost],
        "certain": not (done.lagging or done.lost),
    }


def describe_carried_out(done: CarriedOut, *, demo: bool) -> dict[str, Any]:
    """Tell which records are gone, and what certifies it."""
    return {
        "record_ids": [each.hex() for each in done.record_ids],
        "certificates": [each.hex() for each in done.certificates],
        **describe_destruction(done.destruction),
        "demo": demo,
    }


def is_local(request: Request) -> bool:
    """Say whether a request came through the UNIX socket."""
    server = request.scope.get("server")
    return server is not None and server[1] is None


def officer_of(request: Request) -> Officer:
    """Return the officer whose token came with a request. Raises Unauthorized."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    custody: Custody = request.app.state.custody
    now = request.app.state.site.clock()
    try:
        claims = parse_token(token)
        officer = custody.office.by_key_id[claims.key_id]
        verify_token(claims, officer.key, custody.vault.id, now)
    except (InvalidToken, KeyError):
        officer = None
    if officer is None or scheme.lower() != "bearer":
        raise Unauthorized(
            "send an officer's token, not older than ten minutes: Authorization: Bearer ..."
        )
    return officer


def may(act: Act) -> Callable[[Request], Officer]:
    """Return what lets officers pass whose roles allow an act, and says who they are."""

    def require(request: Request) -> Officer:
        officer = officer_of(request)
        if not officer.may(act):
            raise Forbidden(f"none of this officer's roles may {act}")
        return officer

    return require


def may_send_records(request: Request) -> str | None:
    """Let a registrar pass, and whoever keeps this machine; return whose records they may send.

    None: every authority's.
    """
    if is_local(request) and "authorization" not in request.headers:
        return None
    return may(Act.SEND_RECORDS)(request).authority


def require_own(authority: str, bound: str | None) -> None:
    """Raise Forbidden where an officer of one authority sends or asks for another's."""
    if bound is not None and authority != bound:
        raise Forbidden("the record is of an authority that is not the officer's")


def require_local(request: Request) -> None:
    """Let only the UNIX socket pass; over TCP these paths do not exist."""
    if not is_local(request):
        raise NotFound("there is no such path")


def refuse_query(request: Request) -> None:
    """Refuse what nobody asked for, before anybody makes a habit of it."""
    if request.scope["query_string"]:
        raise InvalidRequest("there is no query here: what is in a url gets into logs")


def the_writer(request: Request) -> Writer:
    """Return the process's writer."""
    writer: Writer = request.app.state.writer
    return writer


def record_id(record_id: Annotated[str, Path(pattern="^[0-9a-f]{32}$")]) -> EntryId:
    """Parse the record id in a path: 32 hexadecimal digits."""
    return EntryId(bytes.fromhex(record_id))


async def read_body(request: Request, limit: int, media_type: str = JSON) -> bytes:
    """Return the body, or raise TooLarge, UnsupportedMediaType or InvalidRequest."""
    require_media_type(request, media_type)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise TooLarge(f"the body may have at most {limit} bytes")
        parts.append(part)
    if not size:
        raise InvalidRequest("the body is empty")
    return b"".join(parts)


async def read_json(request: Request, shape: type[T]) -> T:
    """Return the body of an officer's call, or raise as `read_body` does."""
    try:
        return msgspec.json.decode(await read_body(request, _MAX_JSON), type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError):
        known = ", ".join(shape.__struct_fields__)
        raise InvalidRequest(f"the body must be a JSON object with only {known}") from None


def require_media_type(request: Request, media_type: str) -> None:
    """Raise UnsupportedMediaType for any other."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != media_type:
        raise UnsupportedMediaType(f"send content-type {media_type}")


SendsFor = Annotated[str | None, Depends(may_send_records)]
TheWriter = Annotated[Writer, Depends(the_writer)]
RecordId = Annotated[EntryId, Depends(record_id)]
