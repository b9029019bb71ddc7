"""The app: routers, and one way to tell what went wrong.

Invariants:

* Every error is a problem (RFC 9457). None repeats what was sent: FastAPI's own answer to a
  request that does not validate would hand an identifier back, and write it to a log.
* No page of documentation: the default one loads scripts from a third party. The description of
  the interface is data, at /openapi.json.
"""

import threading

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from lookup.custodian.api import (
    audit,
    authorities,
    cases,
    certificates,
    clients,
    imports,
    local,
    log,
    officers,
    records,
    retention,
)
from lookup.custodian.api.records import InvalidRecordRequest
from lookup.custodian.api.requests import (
    VAULT_FAILED,
    VAULT_FAILURES,
    is_local,
    may_send_records,
    refuse_query,
    require_local,
)
from lookup.custodian.custody import Custody
from lookup.custodian.running import Running
from lookup.custodian.writer import Writer
from lookup.errors import (
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    ServiceError,
    Unavailable,
    problem_body,
    problem_headers,
    problem_of,
)
from lookup.logs import log_defect


def make_app(writer: Writer, custody: Custody, site: Running) -> FastAPI:
    """Return the app of one custodian, for both of its listeners."""
    app = FastAPI(
        title="Lacuna custodian",
        version="1",
        openapi_url=None,
        redirect_slashes=False,  # a redirect would name a path of whoever's choice of host
    )
    app.state.writer = writer
    app.state.custody = custody
    app.state.site = site
    app.state.backing_up = threading.Lock()
    app.state.importing = threading.BoundedSemaphore(imports.MOST_AT_ONCE)
    app.include_router(authorities.health)
    app.state.log_cache = log.Cache()
    app.include_router(log.router, dependencies=[Depends(refuse_query)])
    for router, guard in (
        (imports.router, refuse_query),
        (records.router, refuse_query),
        (authorities.router, may_send_records),
        (cases.router, refuse_query),
        (officers.router, refuse_query),
        (certificates.router, refuse_query),
        (retention.router, refuse_query),
        (local.router, require_local),
        (clients.router, require_local),
        (audit.local, require_local),
        (log.local, require_local),
        (retention.local, require_local),
    ):
        app.include_router(router, dependencies=[Depends(guard), Depends(refuse_query)])
    # A cursor is the only thing that may stand in a URL: it names nothing but a place.
    app.include_router(audit.router)
    app.add_exception_handler(ServiceError, _tell)
    for failure in VAULT_FAILURES:
        app.add_exception_handler(failure, _tell_vault)
    app.add_exception_handler(RequestValidationError, _tell_invalid)
    app.add_exception_handler(HTTPException, _tell_http)
    app.add_exception_handler(Exception, _tell_defect)
    return app


def _problem(error: ServiceError) -> Response:
    members = {"rule": error.rule} if isinstance(error, InvalidRecordRequest) else {}
    status = problem_of(error).status
    return Response(problem_body(error, **members), status, problem_headers(error))


async def _tell(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)  # noqa: S101  # registered for it alone
    return _problem(error)


async def _tell_vault(_: Request, error: Exception) -> Response:
    log_defect("the vault", error)
    return _problem(Unavailable(VAULT_FAILED))


async def _tell_invalid(_: Request, error: Exception) -> Response:
    del error  # it holds what was sent
    return _problem(InvalidRequest("a part of the path or query is not as described"))


async def _tell_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for it alone
    hidden = request.url.path.startswith(local.PREFIX) and not is_local(request)
    if error.status_code == 404 or hidden:
        return _problem(NotFound("there is no such path"))
    if error.status_code == 405:
        return _problem(MethodNotAllowed((error.headers or {}).get("Allow", "other methods")))
    return _problem(InvalidRequest("the request is not as described"))


async def _tell_defect(_: Request, error: Exception) -> Response:
    del error  # it is raised again, and logged by lookup/exchange.py
    return _problem(InternalError())
