"""The hospital of the story: asks over HTTP, keeps the connection, and keeps the answers' bytes.

The question is the SDK's; the bytes are read off the socket, for the story compares them.
"""

import re
import socket
import statistics
import time
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from lookup.client.access import AccessToken, TokenRequest
from lookup.client.attempts import seconds_since_boot
from lookup.client.enrolment import Enrolment
from lookup.client.outcome import Answer, Known, NoRecord
from lookup.client.questions import Occasion, Question, Questioner, User
from lookup.demo.narrator import StepFailed
from lookup.identifiers import parse_identifier

_PATIENCE: Final = 10.0
_MAX_ANSWER: Final = 65_536
_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d{1,5})\r\n", re.IGNORECASE)
# What is new in every answer, whoever it is about; stars of the same length take its place.
_ITS_OWN: Final = re.compile(
    rb'(?<=\r\nx-request-id: )[^\r]+|(?<=\r\ndate: )[^\r]+|(?<="padding":")[^"]+', re.IGNORECASE
)
_REQUEST_ID: Final = re.compile(rb"\r\nx-request-id: ([^\r]+)", re.IGNORECASE)
_OCCASION: Final = Occasion(User("triage", "demonstration"))


class Heard(NamedTuple):
    """An answer: as bytes, as what it says, and how long it took."""

    raw: bytes
    answer: Answer | None
    seconds: float

    @property
    def said(self) -> str:
        """The outcome in words."""
        if isinstance(self.answer, Known):
            return "known"
        return "no record" if isinstance(self.answer, NoRecord) else "could not check"

    @property
    def request_id(self) -> str:
        """The request that it answers."""
        found = _REQUEST_ID.search(self.raw)
        return "" if found is None else found[1].decode()

    @property
    def comparable(self) -> bytes:
        """The bytes without those that are new in every answer."""
        return _ITS_OWN.sub(lambda found: b"*" * len(found[0]), self.raw)


class Hospital:
    """One enrolled client with one connection at a time."""

    def __init__(self, enrolment: Enrolment) -> None:
        self.base_url = enrolment.base_urls[0]
        url = urlsplit(self.base_url)
        self._address = (url.hostname or "", url.port or 80)
        self._host = url.netloc
        self._questioner = Questioner(enrolment)
        self._token_request = TokenRequest(enrolment)
        self._access: AccessToken | None = None
        self._connection: socket.socket | None = None

    def question(self, identifier: str) -> Question[Answer]:
        """Make the question about a child."""
        return self._questioner.one(parse_identifier(identifier), _OCCASION)

    def headers(self, question: Question[Answer]) -> dict[str, str]:
        """What a question is sent with: its own headers, and an access token that is valid yet."""
        now = seconds_since_boot()
        if self._access is None or self._access.is_due(now):
            request = self._token_request
            _, _, body = self._send(request.path, request.headers, request.body).partition(
                b"\r\n\r\n"
            )
            self._access = request.parse(body, now)
            if self._access is None:
                raise StepFailed("the lookup plane gives no access token")
        return {**question.headers, "Authorization": self._access.header}

    def ask(self, identifier: str) -> Heard:
        """Ask about a child. Raises StepFailed if nothing comes back."""
        begun = time.perf_counter()
        question = self.question(identifier)
        try:
            raw = self._send(question.path, self.headers(question), question.body)
        except OSError as error:
            self.hang_up()
            raise StepFailed(f"the lookup plane does not answer: {error}") from None
        seconds = time.perf_counter() - begun
        head, _, body = raw.partition(b"\r\n\r\n")
        answers = question.parse(body) if head.startswith(b"HTTP/1.1 200 ") else None
        return Heard(raw, answers[0] if answers else None, seconds)

    def median_of(self, count: int, identifier: str) -> float:
        """Ask again and again over one connection; return the median of the seconds it took."""
        return statistics.median(self.ask(identifier).seconds for _ in range(count))

    def hang_up(self) -> None:
        """Close the connection; the next question opens another, to whichever worker takes it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        if self._connection is None:
            self._connection = socket.create_connection(self._address, _PATIENCE)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fields = {
            "Host": self._host,
            "Content-Length": str(len(body)),
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        start = f"POST {path} HTTP/1.1\r\n{head}\r\n"
        self._connection.sendall(start.encode() + body)
        return _read_answer(self._connection)


def _read_answer(connection: socket.socket) -> bytes:
    raw = b""
    while len(raw) < _MAX_ANSWER:
        part = connection.recv(_MAX_ANSWER)
        if not part:
            raise ConnectionError("the connection ended in the middle")
        raw += part
        head, separator, body = raw.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if separator and (length is None or len(body) >= int(length[1])):
            return raw
    raise ConnectionError("the answer does not end")
