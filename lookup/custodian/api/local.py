"""What only the keeper of this machine may call, over the UNIX socket: keys, slots, backups.

Every path starts with /v1/local and does not exist over TCP. Those about clients: clients.py.
"""

import asyncio
from asyncio import wrap_future
from collections.abc import AsyncIterator, Callable
from pathlib import Path as FolderPath
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse

from crypto.token import Kid
from keys.pages import SlotId
from keys.vault import Receipt
from lookup.custodian import enrolling, slotting, status
from lookup.custodian.api.requests import (
    TheWriter,
    answer,
    describe_body,
    describe_destruction,
    read_json,
)
from lookup.custodian.custody import Custody
from lookup.custodian.store.backup import Backup, BackupRefused, back_up
from lookup.custodian.store.database import StoreError
from lookup.errors import Conflict, InvalidRequest

PREFIX: Final = "/v1/local"

router = APIRouter(prefix=PREFIX, tags=["local"])


class PassphraseRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The passphrase to come; the one of now opened the site."""

    passphrase: str

    def __repr__(self) -> str:
        return "<PassphraseRequest>"


class FolderRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A folder on the custodian's machine."""

    folder: str


@router.get("/status")
async def get_status(request: Request, writer: TheWriter) -> Response:
    """Return where the site stands."""
    site = request.app.state.site
    return answer(await wrap_future(writer.call(lambda custody: status.report(custody, site))))


@router.post("/purge")
async def purge(writer: TheWriter) -> Response:
    """Change the epoch without any other change."""
    return await _changed(writer, lambda custody: custody.vault.purge())


@router.get("/lookup-keys")
async def list_lookup_keys(writer: TheWriter) -> Response:
    """Return the lookup keys and whether each is completely indexed."""
    return answer({"lookup_keys": await wrap_future(writer.call(status.lookup_keys))})


@router.post("/lookup-keys", status_code=202)
async def rotate_lookup_key(request: Request, writer: TheWriter) -> Response:
    """Add a lookup key beside the one of now."""
    run = enrolling.rotate_lookup_key(request.app.state.site.clock())
    return answer({"kid": await wrap_future(writer.call(run))}, 202)


@router.post("/lookup-keys/{kid}/retire")
async def retire_lookup_key(
    kid: Annotated[str, Path(pattern="^[A-Za-z0-9_-]{16}$")], writer: TheWriter
) -> Response:
    """Destroy a lookup key; lookups with it are refused from now on."""
    await wrap_future(writer.call(enrolling.retire_lookup_key(Kid(kid))))
    return answer({"kid": kid})


@router.post("/passphrase", openapi_extra=describe_body(PassphraseRequest))
async def change_passphrase(request: Request, writer: TheWriter) -> Response:
    """Lock every slot with another passphrase, and forget the old epoch's keys."""
    wanted = await read_json(request, PassphraseRequest)
    run = slotting.change_passphrase(wanted.passphrase, request.app.state.site)
    return await _changed(writer, run)


@router.post("/slots", openapi_extra=describe_body(FolderRequest))
async def add_slot(request: Request, writer: TheWriter) -> Response:
    """Make a slot in an empty folder and give it the next epoch's key."""
    folder = _folder(await read_json(request, FolderRequest))
    return await _changed(writer, slotting.add_slot(folder, request.app.state.site))


@router.post("/slots/{slot_id}/remove")
async def remove_slot(
    slot_id: Annotated[str, Path(pattern="^[0-9a-f]{32}$")], writer: TheWriter
) -> Response:
    """Let a slot leave; one that is out of reach is signed off as lost."""
    return await _changed(writer, slotting.remove_slot(SlotId(bytes.fromhex(slot_id))))


@router.post("/backup", openapi_extra=describe_body(FolderRequest))
async def make_backup(request: Request) -> Response:
    """Back the store up into a folder; the answer tells of progress, line by line."""
    folder = _folder(await read_json(request, FolderRequest))
    site, running = request.app.state.site, request.app.state.backing_up
    lines: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def tell(done: int, total: int) -> None:
        loop.call_soon_threadsafe(lines.put_nowait, {"done": done, "total": total})

    def run() -> Backup:
        if not running.acquire(blocking=False):
            raise BackupRefused("another backup is being made")
        try:
            return back_up(
                site.config.store_file,
                site.database_key,
                folder=folder,
                apart_from=(site.config.store, site.config.mirror, *site.config.slots),
                clock=site.clock,
                progress=tell,
            )
        finally:
            running.release()

    return StreamingResponse(
        _progress(asyncio.to_thread(run), lines), media_type="application/x-ndjson"
    )


async def _progress(work: Any, lines: asyncio.Queue[dict[str, Any]]) -> AsyncIterator[bytes]:  # noqa: ANN401  # a coroutine
    task = asyncio.create_task(work)
    while not task.done() or not lines.empty():
        try:
            yield msgspec.json.encode(await asyncio.wait_for(lines.get(), 0.1)) + b"\n"
        except TimeoutError:
            continue
    try:
        made = task.result()
    except (StoreError, OSError) as error:
        fact = str(error.strerror if isinstance(error, OSError) else error)
        yield msgspec.json.encode({"error": fact}) + b"\n"
        return
    summary = {"epoch": made.version.epoch, "sequence": made.version.sequence, "time": made.time}
    yield msgspec.json.encode({"backup": summary}) + b"\n"


def _folder(wanted: FolderRequest) -> FolderPath:
    folder = FolderPath(wanted.folder)
    if not folder.is_absolute() or "\0" in wanted.folder:
        raise InvalidRequest("the folder must be an absolute path")
    return folder


async def _changed(writer: TheWriter, run: Callable[[Custody], Receipt]) -> Response:
    receipt = await wrap_future(writer.call(run))
    if receipt.destruction is None:
        raise Conflict("unreachable: this change is always an epoch change")
    return answer(describe_destruction(receipt.destruction))
