"""What a caller needs to know before it sends anything: authorities, health, this interface."""

from asyncio import wrap_future

from fastapi import APIRouter, Request, Response

from lookup.custodian.api.requests import TheWriter, answer
from lookup.custodian.custody import Custody

router = APIRouter(tags=["authorities"])
health = APIRouter(prefix="/health", tags=["health"])


@router.get("/v1/authorities")
async def authorities(request: Request) -> Response:
    """Return this site's authorities with their telephone numbers, and the categories."""
    catalogue = request.app.state.custody.catalogue
    return answer(
        {
            "authorities": catalogue.authorities,
            "categories": [c for c in catalogue.categories if c.name in catalogue.category_numbers],
        }
    )


@router.get("/openapi.json")
async def describe(request: Request) -> Response:
    """Return the description of this interface."""
    return answer(request.app.openapi())


@health.get("/live")
async def live() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "pass"}


@health.get("/ready")
async def ready(writer: TheWriter) -> dict[str, str]:
    """Say that the writer takes commands, and of which vault; officers' tokens name it."""

    def vault(custody: Custody) -> str:
        return custody.vault.id.hex()

    return {"status": "pass", "vault": await wrap_future(writer.call(vault))}
