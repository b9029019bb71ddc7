"""What the head of a request must say before its body is read, for the worker's ASGI routes.

Invariants:

* Mistakes are told in the order in which a route asks: X-Request-ID, who sends, then the body's
  description.
* Of two fields that contradict each other neither is believed.
* A message names the rule, and nothing of what was sent.
"""

from typing import Any, Final

from lookup.errors import InvalidRequest, LengthRequired, TooLarge, UnsupportedMediaType
from lookup.exchange import Headers, request_id_of, sent_once
from lookup.worker.answering import Credential

_JSON: Final = b"application/json"


def require_request_id(headers: Headers) -> bytes:
    """The X-Request-ID as it was sent. Raises InvalidRequest."""
    request_id = request_id_of(headers)
    if request_id is None:
        raise InvalidRequest("x-request-id must be given once, as a uuid")
    return request_id


def credential_of(scope: Any) -> Credential:  # noqa: ANN401  # ASGI's scope
    """What the sender has shown; a header that was not given once is empty, which is nobody's."""
    authorization = sent_once(scope["headers"], b"authorization") or b""
    return Credential(authorization, scope["lacuna.certificate"])


def require_no_query(scope: Any) -> None:  # noqa: ANN401  # ASGI's scope
    """Return unless there is a query. Raises InvalidRequest."""
    if scope["query_string"]:
        raise InvalidRequest("there is no query: what is in a url gets into logs")


def require_json(scope: Any, most: int) -> None:  # noqa: ANN401  # ASGI's scope
    """Return if a body of JSON is announced, of at most so many bytes.

    Raises InvalidRequest, UnsupportedMediaType, LengthRequired or TooLarge.
    """
    require_no_query(scope)
    fields = dict(scope["headers"])
    if len(fields) != len(scope["headers"]):
        _refuse_repeated(scope["headers"])
    if fields.get(b"content-type", b"").partition(b";")[0].strip().lower() != _JSON:
        raise UnsupportedMediaType("content-type must be application/json")
    if b"content-encoding" in fields:
        raise UnsupportedMediaType("content-encoding is not taken")
    length = fields.get(b"content-length")
    if length is None and b"transfer-encoding" not in fields:
        raise LengthRequired("content-length is required")
    if length is not None and int(length) > most:
        raise TooLarge(f"the body may have {most} bytes")


def _refuse_repeated(headers: Headers) -> None:
    """Many fields may repeat; of two media types neither is believed."""
    if [name for name, _ in headers].count(b"content-type") > 1:
        raise InvalidRequest("content-type must be given once")
