"""The usual head: what the parser has said of one, known of the next by its bytes.

    before | first value | between | second value | after

A hospital's system sends the same head with each request, but for two values: X-Request-ID and
Content-Length. What the parser found in it once need not be found again.

Invariants:

* Two heads are alike if they have one length, and are equal in every byte outside the two values,
  which are a UUID and digits. The parser would say the same of both, but for these values; so
  nothing here parses HTTP.
* A head is learned only in the plain spelling, in which the places of its values can be reckoned
  from what the parser said: one space behind each colon, and nothing else but the line ends.
* What is taken is one whole request and not a byte more; all else is the parser's.

Recognizing takes 0.9 µs, learning 2.2. In process, without an audit, a lookup took 19.0 µs with the
parser and 13.2 without.
"""

from dataclasses import dataclass
from typing import Final, Self

from lookup import wire
from lookup.exchange import UUID, Headers, join_fields

REQUEST_LINE: Final = b"POST /v1/lookup HTTP/1.1\r\n"
_REQUEST_ID: Final = b"x-request-id"
_LENGTH: Final = b"content-length"


@dataclass(frozen=True, slots=True, repr=False)
class UsualHead:
    """One head of one connection, cut at its two values; `first` and `second` are their places."""

    before: bytes
    first: slice
    between: bytes
    second: slice
    after: bytes
    size: int
    length_first: bool

    @classmethod
    def learn(cls, data: bytes, headers: Headers) -> Self | None:
        """Return the head that data begin with, if it is spelled plainly; `headers` are its fields.

        Each field is there once, by its name in lower case, and both values are among them.
        """
        spelled = b"%b%b\r\n" % (REQUEST_LINE, join_fields(headers))
        if not data.startswith(REQUEST_LINE):
            return None
        if data[: len(spelled)].lower() != spelled.lower():
            return None
        places, at = {}, len(REQUEST_LINE)
        for name, value in headers:
            start = at + len(name) + 2
            if not data.startswith(value, start):
                return None
            places[name] = slice(start, start + len(value))
            at = start + len(value) + 2
        request_id, length = places[_REQUEST_ID], places[_LENGTH]
        length_first = length.start < request_id.start
        first, second = (length, request_id) if length_first else (request_id, length)
        return cls(
            before=data[: first.start],
            first=first,
            between=data[first.stop : second.start],
            second=second,
            after=data[second.stop : len(spelled)],
            size=len(spelled),
            length_first=length_first,
        )

    def match(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Return request id and body, if this is one whole request with such a head."""
        first, second, size = self.first, self.second, self.size
        if not (
            data.startswith(self.before)
            and data.startswith(self.between, first.stop)
            and data.startswith(self.after, second.stop)
        ):
            return None
        request_id, length = data[first], data[second]
        if self.length_first:
            request_id, length = length, request_id
        room = len(data) - size
        if length == b"%d" % room and room <= wire.MAX_LOOKUP_BODY and UUID.fullmatch(request_id):
            return request_id, data[size:]
        return None
