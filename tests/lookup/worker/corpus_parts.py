"""What the cases of corpus.py are made of: a valid lookup, and ways to change it."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LOOKUP, LOOKUPS = b"/v1/lookup", b"/v1/lookups"


@dataclass(frozen=True)
class Given:
    """What a request is about. `credential` is what follows `Bearer`."""

    token: bytes
    credential: str
    request_id: str
    kid: str

    @property
    def text(self) -> str:
        """The token as it is sent."""
        return urlsafe_b64encode(self.token).rstrip(b"=").decode()

    def members(self, **changes: object) -> dict[str, object]:
        """The members of a lookup; one that is `...` is left out."""
        members: dict[str, object] = {
            "kid": self.kid,
            "token": self.text,
            "purpose": "unscheduled-care",
            "user": {"id": "nurse-4711", "role": "triage nurse"},
            "encounter": "encounter-0815",
        }
        return {name: value for name, value in (members | changes).items() if value is not ...}

    def body(self, **changes: object) -> bytes:
        """The body of a lookup."""
        return json.dumps(self.members(**changes)).encode()

    def batch(self, count: int = 2, **changes: object) -> bytes:
        """The body of a batch."""
        return self.body(**{"token": ..., "tokens": [self.text] * count, **changes})


Build = Callable[[Given], bytes]
Fields = list[tuple[bytes, bytes]]
CASES: Final[dict[str, Build]] = {}


def case(name: str, build: Callable[..., bytes], *more: object) -> None:
    """Add one, built from what is given and perhaps more; a name is used once."""
    assert name not in CASES, name
    CASES[name] = lambda given: build(given, *more)


def fields_of(given: Given, body: bytes | None) -> Fields:
    """The usual header fields, in the usual order."""
    fields = [
        (b"Host", b"lookup.test"),
        (b"Authorization", b"Bearer " + given.credential.encode()),
        (b"X-Request-ID", given.request_id.encode()),
        (b"Content-Type", b"application/json"),
    ]
    return fields if body is None else [*fields, (b"Content-Length", b"%d" % len(body))]


def join(fields: Fields, body: bytes, start: bytes = b"POST /v1/lookup HTTP/1.1") -> bytes:
    """A request of these parts, whatever they are."""
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    return b"%b\r\n%b\r\n%b" % (start, lines, body)


def changed(fields: Fields, name: bytes, *values: bytes) -> Fields:
    """The fields with this one's value changed, left out (no values), or repeated."""
    rest = [field for field in fields if field[0].lower() != name.lower()]
    return [*rest, *((name, value) for value in values)]


def good(given: Given, start: bytes = b"POST /v1/lookup HTTP/1.1", *more: bytes) -> bytes:
    """A valid lookup with another first line, and perhaps more lines in its head."""
    body = given.body()
    fields = [tuple(line.split(b": ", 1)) for line in more]
    return join([*fields_of(given, body), *fields], body, start)  # type: ignore[list-item]


def with_field(name: bytes, *values: bytes) -> Build:
    """A valid lookup but for one header field."""
    return lambda given: join(changed(fields_of(given, given.body()), name, *values), given.body())


def with_body(
    make: Callable[..., bytes], *more: object, start: bytes = b"POST /v1/lookup HTTP/1.1"
) -> Build:
    """A valid request but for its body."""

    def build(given: Given) -> bytes:
        body = make(given, *more)
        return join(fields_of(given, body), body, start)

    return build


def chunked(chunks: Build, *, coding: bytes = b"chunked", length: bytes | None = None) -> Build:
    """A lookup whose body comes as these bytes of a chunked coding."""

    def build(given: Given) -> bytes:
        fields = [*fields_of(given, None), (b"Transfer-Encoding", coding)]
        if length is not None:
            fields.append((b"Content-Length", length))
        return join(fields, chunks(given))

    return build


def chunks_of(body: bytes, size: int, line: bytes = b"%x") -> bytes:
    """A body in chunks of a size."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(line % len(piece) + b"\r\n" + piece + b"\r\n" for piece in pieces)


def twice(given: Given, name: bytes, other: bytes | None = None) -> bytes:
    """A valid lookup with one header field twice."""
    fields = fields_of(given, given.body())
    return join([*fields, (name, other or dict(fields)[name])], given.body())
