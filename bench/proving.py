"""How a client proves itself to a worker. All that benchmarks and load tests know of it is here."""

from typing import Final

from lookup.client.enrolment import Enrolment
from lookup.config import Address

RENEW_SECONDS: Final = 300  # well before what was had runs out


def authorization(enrolment: Enrolment, address: Address) -> str:  # noqa: ARG001  # where access tokens will be had
    """Return the value of the Authorization header, good for ten minutes."""
    return f"Bearer {enrolment.secret.bearer()}"
