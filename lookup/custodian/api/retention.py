"""Retention over HTTP: what is listed and would be, what is due for review, and that one looked.

Invariants:

* A walk over all records takes the writer's time in small steps.
* Whoever keeps the machine may begin a night's sweep early; more than a night's caps allow it does
  not do, however often it is asked for.
"""

from asyncio import wrap_future
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from lookup.custodian.api.requests import RecordId, TheWriter, answer, may
from lookup.custodian.retention import retention_view
from lookup.custodian.retention.reviewing import Reviews, review
from lookup.custodian.retention.surveying import Survey
from lookup.custodian.retention.sweeping import Sweep
from lookup.officers.roles import Act, Officer

router = APIRouter(prefix="/v1/retention", tags=["retention"])
local = APIRouter(prefix="/v1/local/retention", tags=["local"])

Reader = Annotated[Officer, Depends(may(Act.READ_RETENTION))]


@router.get("")
async def list_records(officer: Reader, writer: TheWriter) -> Response:
    """Return what officers have approved, which records are listed, and what left a list alive."""
    told = await wrap_future(writer.call(retention_view.standing))
    records: list[dict[str, Any]] = []
    for each in await wrap_future(writer.call(retention_view.lists_for(officer))):
        records += await wrap_future(writer.call(retention_view.rows_of(each)))
    left = await wrap_future(writer.call(retention_view.left_for(officer)))
    return answer(told | {"records": records, "left": left})


@router.get("/classes")
async def read_classes(request: Request, officer: Reader) -> Response:
    """Return the file of the classes in force, whose SHA-256 officers sign."""
    del officer
    return answer({"file": request.app.state.custody.classes.text})


@router.get("/dry-run")
async def dry_run(request: Request, officer: Reader, writer: TheWriter) -> Response:
    """Return what a sweep would find, without doing anything; with or without an approval."""
    survey = Survey(request.app.state.custody.vault, officer.authority)
    while not await wrap_future(writer.call(survey.step)):
        continue
    told = await wrap_future(writer.call(retention_view.standing))
    return answer(told | survey.report())


@local.post("/sweep")
async def sweep_now(writer: TheWriter) -> Response:
    """Do tonight's sweep now, as far as tonight's caps allow it yet."""
    night = Sweep()
    while not await wrap_future(writer.call(night.step)):
        continue
    told = await wrap_future(writer.call(retention_view.standing))
    return answer(told | night.swept.report())


@router.get("/reviews")
async def list_reviews(request: Request, officer: Reader, writer: TheWriter) -> Response:
    """Return the records whose accuracy is due for review, the longest due first."""
    reviews = Reviews(request.app.state.custody.vault, officer)
    while not await wrap_future(writer.call(reviews.step)):
        continue
    return answer(
        {
            "total": reviews.total,
            "reviews": [
                {"record_id": each.record_id.hex(), "class": each.code, "day": each.day.isoformat()}
                for each in reviews.due
            ],
            "damaged_pages": reviews.walk.damaged,
        }
    )


@router.post("/reviews/{record_id}")
async def note_review(
    record_id: RecordId,
    officer: Annotated[Officer, Depends(may(Act.REVIEW_RECORDS))],
    writer: TheWriter,
) -> Response:
    """Note that the officer has looked at a record today."""
    day = await wrap_future(writer.call(review(record_id, officer)))
    return answer({"record_id": record_id.hex(), "day": day.isoformat()})
