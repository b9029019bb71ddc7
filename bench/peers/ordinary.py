"""The same job as most teams would do it: FastAPI, pydantic, PostgreSQL.

    uvicorn bench.peers.ordinary:app        DATABASE names the server (libpq's conninfo)

What it does for each request: checks the bearer secret against its SHA-256 (looked up once, then
cached for a minute), validates the body, hashes the token under a key of its own, finds the rows
of that hash by an index, writes an audit row that is durable before the answer leaves
(synchronous_commit), answers 2,048 bytes. It does not forget: rows say whom they are about.

Made fast where that is ordinary: one connection pool, one prepared statement that finds and audits
in a single round trip, binary results, uvloop and httptools, the answer serialized once by pydantic
rather than again by FastAPI. 16 connections did as well as 8 or 24; asyncpg in psycopg's place took
25 µs of CPU less, of some 700.
"""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from hashlib import blake2b, sha256
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel

from bench.peers.question import Question

ANSWER_SIZE: Final = 2_048
CACHED_SECONDS: Final = 60.0
HASH_KEY: Final = b"a key from the environment, say "
PADDING: Final = os.urandom(ANSWER_SIZE).hex()

SCHEMA: Final = """
CREATE TABLE client (secret_hash bytea PRIMARY KEY, id integer NOT NULL);
CREATE TABLE authority (
    code text PRIMARY KEY, name text NOT NULL,
    office_hours text NOT NULL, out_of_hours text NOT NULL);
CREATE TABLE record (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, token_hash bytea NOT NULL,
    category text NOT NULL, since date NOT NULL, until date, answer_until date,
    authority text NOT NULL REFERENCES authority);
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(),
    client integer NOT NULL, request_id uuid NOT NULL, user_id text NOT NULL, role text NOT NULL,
    purpose text NOT NULL, encounter text, records bigint[] NOT NULL);
"""
INDEX: Final = "CREATE INDEX record_token_hash ON record (token_hash)"
LOOK_UP: Final = """
WITH found AS MATERIALIZED (
    SELECT id, category, since, until, authority FROM record
    WHERE token_hash = %s AND (answer_until IS NULL OR answer_until >= current_date)
    ORDER BY since DESC LIMIT 8
), audited AS (
    INSERT INTO audit (client, request_id, user_id, role, purpose, encounter, records)
    VALUES (%s, %s, %s, %s, %s, %s, ARRAY(SELECT id FROM found))
)
SELECT category, since, until, code, name, office_hours, out_of_hours
FROM found JOIN authority ON code = authority
"""
FIND_CLIENT: Final = "SELECT id FROM client WHERE secret_hash = %s"


class Authority(BaseModel):
    """Whom to ring."""

    code: str
    name: str
    office_hours: str
    out_of_hours: str


class Record(BaseModel):
    """What is known of a child."""

    category: str
    since: date
    until: date | None
    authority: Authority


class Answer(BaseModel):
    """What the hospital gets."""

    outcome: Literal["known", "no-record"]
    records: list[Record]
    more: bool = False
    padding: str = ""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep connections."""
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        os.environ["DATABASE"],
        min_size=16,
        max_size=16,
        kwargs={"autocommit": True, "prepare_threshold": 0},
        open=False,
    )
    async with pool:
        app.state.pool, app.state.clients = pool, {}
        yield


app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None)
bearer = HTTPBearer()


def hash_token(token: str) -> bytes:
    """Return what a token is found by."""
    return blake2b(token.encode(), key=HASH_KEY, digest_size=16).digest()


async def find_client(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]
) -> int:
    """Return the client of a secret; 401 where there is none."""
    secret_hash = sha256(credentials.credentials.encode()).digest()
    clients: dict[bytes, tuple[int, float]] = request.app.state.clients
    now = time.monotonic()
    cached = clients.get(secret_hash)
    if cached is not None and cached[1] > now:
        return cached[0]
    async with request.app.state.pool.connection() as connection:
        cursor = await connection.execute(FIND_CLIENT, (secret_hash,))
        row = await cursor.fetchone()
    if row is None:
        raise HTTPException(401)
    clients[secret_hash] = row[0], now + CACHED_SECONDS
    found: int = row[0]
    return found


@app.post("/v1/lookup")
async def look_up(
    question: Question,
    request: Request,
    client: Annotated[int, Depends(find_client)],
    x_request_id: Annotated[UUID, Header()],
) -> Response:
    """Find, audit, answer."""
    values = (
        hash_token(question.token),
        *(client, x_request_id, question.user.id, question.user.role, question.purpose),
        question.encounter,
    )
    async with request.app.state.pool.connection() as connection:
        cursor = await connection.execute(LOOK_UP, values, binary=True)
        rows = await cursor.fetchall()
    records = [
        Record(
            category=category,
            since=since,
            until=until,
            authority=Authority(
                code=code, name=name, office_hours=office_hours, out_of_hours=out_of_hours
            ),
        )
        for category, since, until, code, name, office_hours, out_of_hours in rows
    ]
    answer = Answer(outcome="known" if records else "no-record", records=records)
    unpadded = answer.model_dump_json()
    headers = {"cache-control": "no-store, no-transform", "x-request-id": str(x_request_id)}
    padding = PADDING[: ANSWER_SIZE - len(unpadded.encode())]
    return Response(f'{unpadded[:-2]}{padding}"}}', 200, headers, "application/json")
