"""The interface against its own description, and against what breaks it (schemathesis).

In this process, through the local listener's scope, so that officers' calls are reached too. Those
that take a folder are left out: what is drawn at random there would be made on this machine. Each
call comes from another officer.
"""

# ruff: noqa: ANN401  # ASGI's own messages and callables

from collections.abc import Iterator
from itertools import cycle
from typing import Any, Final, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from lookup.custodian.api.app import make_app
from lookup.custodian.custody import Custody
from lookup.custodian.running import Running
from lookup.custodian.starting import now
from lookup.custodian.writer import Writer
from tests.simulator import Site, nhs, record

_NOTHING: Final = cast("Any", None)
_DESCRIBED: Final = make_app(
    cast("Writer", _NOTHING), cast("Custody", _NOTHING), cast("Running", _NOTHING)
).openapi()
# An import's lines are no JSON document; test_importing.py draws them.
_LEFT_OUT: Final = ("/slots", "/backup", "/import")
# Whatever is sent there is as described.
_ANY_PATH: Final = "/{rest}"
OPERATIONS: Final = [
    (method.upper(), path, mode)
    for path, methods in _DESCRIBED["paths"].items()
    for method, described in methods.items()
    for mode in GenerationMode
    if not path.endswith(_LEFT_OUT)
    and (
        mode.is_positive
        or ("parameters" in described and not path.endswith(_ANY_PATH))
        or "requestBody" in described
    )
]


@pytest.fixture(scope="module")
def description() -> Iterator[Any]:
    """The description of a custodian that has a record, and its application."""
    with Site() as site:
        with site.open() as custodian:
            custodian.add("there", nhs(1))

            names = cycle(site.officers.keys)

            async def local(scope: Any, receive: Any, send: Any) -> None:
                scope["server"] = ("officer.sock", None)
                if scope.get("path", "").startswith("/v1/"):
                    signer = site.officers.signer(site.vault, next(names))
                    token = signer.headers(now())["authorization"].encode()
                    scope["headers"] = [*scope["headers"], (b"authorization", token)]
                await custodian.app(scope, receive, send)

            yield schemathesis.openapi.from_asgi("/openapi.json", local)
        assert custodian.failures == []


@pytest.mark.parametrize(("method", "path", "mode"), OPERATIONS)
def test_no_request_is_a_defect_of_ours(
    description: Any, method: str, path: str, mode: GenerationMode
) -> None:
    """Whether it is as described or not: no status of 500 or more; refusals are problems."""

    @settings(
        max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(description[path][method].as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        response = case.call()
        assert response.status_code < 500
        if response.status_code >= 400:
            assert response.headers["content-type"] == ["application/problem+json"]

    ask()


def test_a_record_is_as_described(description: Any) -> None:
    """What the description calls a record is one, and no more is needed."""
    body = _DESCRIBED["paths"]["/v1/records"]["post"]["requestBody"]["content"]
    schema = body["application/json"]["schema"]
    assert set(record("x", nhs(1))) <= set(schema["properties"])
    assert set(schema["required"]) <= set(record("x", nhs(1)))
    assert description["/v1/records"]["POST"] is not None
