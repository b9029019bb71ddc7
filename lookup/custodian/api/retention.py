"""Retention over HTTP: which records are due for review, and that somebody has looked.

Invariant: a walk over all records takes the writer's time in small steps.
"""

from asyncio import wrap_future
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from lookup.custodian.api.requests import RecordId, TheWriter, answer, may
from lookup.custodian.reviewing import Reviews, review
from lookup.officers.roles import Act, Officer

router = APIRouter(prefix="/v1/retention", tags=["retention"])

Reader = Annotated[Officer, Depends(may(Act.READ_RETENTION))]


@router.get("/reviews")
async def list_reviews(request: Request, officer: Reader, writer: TheWriter) -> Response:
    """Return the records whose accuracy is due for review, the longest due first."""
    reviews = Reviews(request.app.state.custody, officer)
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
