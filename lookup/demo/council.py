"""The council of the story: speaks HTTP to the custodian, as an authority's own system would."""

import http.client
import json
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from lookup.config import Address
from lookup.demo.narrator import StepFailed
from lookup.demo.sample import SampleRecord, to_line

_PATIENCE: Final = 10.0
_MAX_ANSWER: Final = 1 << 21
_BUSY: Final = HTTPStatus.INTERNAL_SERVER_ERROR


class Reply(NamedTuple):
    """A status and a JSON object."""

    status: int
    content: dict[str, Any]


class Council:
    """Calls the custodian with the officer's token."""

    def __init__(self, address: Address, token: str) -> None:
        self._address = address
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def send(self, record: SampleRecord) -> Reply:
        """Send a record; in the same words as before it is not stored twice."""
        return self._call("POST", "/v1/records", to_line(record).encode())

    def read(self, record_id: str) -> Reply:
        """Read a record."""
        return self._call("GET", f"/v1/records/{record_id}", None)

    def _call(self, method: str, path: str, body: bytes | None) -> Reply:
        host, port = self._address.host, self._address.port
        connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
        try:
            connection.request(method, path, body, self._headers)
            response = connection.getresponse()
            reply = Reply(response.status, json.loads(response.read(_MAX_ANSWER)))
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise StepFailed(f"the custodian does not answer: {error}") from None
        finally:
            connection.close()
        if reply.status >= _BUSY:
            raise StepFailed(f"the custodian says {reply.status}")
        return reply
