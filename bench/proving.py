"""How a client proves itself to a worker. All that benchmarks and load tests know of it is here.

An access token by client credentials (RFC 6749, section 4.4), over a connection of its own.
"""

import json
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Final
from urllib.parse import urlencode

from lookup.client.enrolment import Enrolment
from lookup.config import Address

RENEW_SECONDS: Final = 300  # an access token lives twice as long
_FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
_TIMEOUT: Final = 10.0


def authorization(enrolment: Enrolment, address: Address) -> str:
    """Return the value of the Authorization header, good for ten minutes."""
    form = {
        "grant_type": "client_credentials",
        "client_id": enrolment.client_id,
        "client_secret": enrolment.secret.text(),
    }
    connection = HTTPConnection(address.host, address.port, timeout=_TIMEOUT)
    try:
        connection.request("POST", "/oauth2/token", urlencode(form), _FORM)
        response = connection.getresponse()
        granted = json.loads(response.read())
    finally:
        connection.close()
    if response.status != HTTPStatus.OK:
        raise RuntimeError(f"no access token was given: status {response.status}")
    return f"Bearer {granted['access_token']}"
