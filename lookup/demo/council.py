"""The council's system in the story: speaks HTTP to the custodian, and says who it is each time."""

import http.client
import json
import time
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from crypto.sshsig import OfficerKey
from lookup.config import Address
from lookup.demo.narrator import StepFailed
from lookup.demo.sample import SampleRecord, to_line
from lookup.officers.signing import token_header

_PATIENCE: Final = 10.0
_MAX_ANSWER: Final = 1 << 21
_BUSY: Final = HTTPStatus.INTERNAL_SERVER_ERROR


class Reply(NamedTuple):
    """A status and a JSON object."""

    status: int
    content: dict[str, Any]


class Council:
    """Calls the custodian as a registrar: an officer that is a system."""

    def __init__(self, address: Address, key: OfficerKey) -> None:
        self._address = address
        self._key = key
        self._vault = bytes.fromhex(self._call("GET", "/health/ready", None, {}).content["vault"])

    def send(self, record: SampleRecord) -> Reply:
        """Send a record; in the same words as before it is not stored twice."""
        return self._ask("POST", "/v1/records", to_line(record).encode())

    def import_again(self, record: SampleRecord) -> str:
        """Send a record as a nightly import does; return what became of it."""
        body = to_line(record).encode()
        said = token_header(self._key, self._vault, int(time.time()))
        headers = said | {"Content-Type": "application/x-ndjson"}
        return str(self._call("POST", "/v1/records/import", body, headers).content["result"])

    def read(self, record_id: str) -> Reply:
        """Read a record."""
        return self._ask("GET", f"/v1/records/{record_id}", None)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Reply:
        # A token is good for ten minutes, and made in less than a millisecond: one for each call.
        said = token_header(self._key, self._vault, int(time.time()))
        return self._call(method, path, body, said | {"Content-Type": "application/json"})

    def _call(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        host, port = self._address.host, self._address.port
        connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            first, *_ = response.read(_MAX_ANSWER).splitlines()
            reply = Reply(response.status, json.loads(first))
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise StepFailed(f"the custodian does not answer: {error}") from None
        finally:
            connection.close()
        if reply.status >= _BUSY:
            raise StepFailed(f"the custodian says {reply.status}")
        return reply
