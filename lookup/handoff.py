"""The hand-off: how a custodian tells workers what they need to answer lookups.

    frame   = length u32 big-endian, MessagePack
    worker  → custodian   Hello {slot, pid} with one descriptor: its pass page
    custodian → worker    View {number, …}      whole, at first and after every change
    worker  → custodian   Confirm {number}      that view and no other answers from now on
    worker  → custodian   Acknowledge {…}       a client has deleted what was recalled

A UNIX stream socket in a folder of mode 0700; each side checks who the other is (SO_PEERCRED).

The pass page is a sealed memfd. Its first two words are `entered` and `left`: lookups are numbered
as they begin; `left` is the number of the last one before which none is unanswered. So
whoever reads e = entered, and later left ≥ e, knows that every answer begun before the first
reading has been handed to the kernel, or thrown away with its connection. From the eighth word on
it holds what the worker counts, as lookup/metering.py says.

Invariants:

* A View is complete: nothing of an earlier one is merged into it.
* No frame is longer than 16 MiB, no message has members that its type does not know, and a worker
  can make the custodian keep at most one descriptor.
* A worker cannot shrink its pass page (which would kill the custodian with SIGBUS): the custodian
  maps it only when it is sealed.
* Recalls fit into a view beside as many clients as there may be: see `fit_recalls`.
* No repr shows a key, a client or a recall.

Neither side of this module decides anything; the worker's is `lookup/worker/link.py`.
"""

import array
import contextlib
import fcntl
import mmap
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import msgspec

MAX_FRAME: Final = 16 * 1024 * 1024
# 10,000 recalls of 200 requests each would be 37 MB. Of a frame, 10,000 clients with all that they
# may have take 11 MB; recalls up to all three bounds take 2.5 MB, and 20 ms to read.
MOST_RECALLS: Final = 10_000
MOST_REQUESTS: Final = 200  # of one recall
MOST_REQUESTS_IN_ALL: Final = 100_000
MOST_ACKNOWLEDGED: Final = 100
_LENGTH: Final = struct.Struct(">I")
_READ_SIZE: Final = 64 * 1024


class HandoffError(Exception):
    """The other side is gone, or does not keep to the protocol."""


class HandoffClosed(HandoffError):
    """The other side has closed the connection."""


class Hello(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="hello"):
    """A worker introduces itself; its pass page comes with the same bytes."""

    slot: int
    pid: int


class Confirm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="confirm"):
    """The view of this number is in force, and its table is mapped."""

    number: int


ClientId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{28}\Z")]
RecallId = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
RequestId = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]


class Acknowledge(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="acknowledge"):
    """A client says that it has deleted what these recalls name; a worker's word, no proof."""

    client: ClientId
    recalls: Annotated[list[RecallId], msgspec.Meta(min_length=1, max_length=MOST_ACKNOWLEDGED)]

    def __repr__(self) -> str:
        return "<Acknowledge>"


# A union is a type to msgspec, and not yet to mypy (PEP 747).
FROM_WORKER: Final[type[Confirm | Acknowledge]] = Confirm | Acknowledge  # type: ignore[assignment]


class Category(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of record, numbered by its position; only answerable ones are told of."""

    name: str
    answerable: bool


class Authority(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who keeps a record and how to ring them, numbered by its position."""

    code: str
    name: str
    office_hours: str
    out_of_hours: str


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may ask, and how much.

    `per_second` and `per_day` count tokens; `batch` allows the batch route; where `certificates`
    names any (hex SHA-256 of the DER), a connection must have shown one of them. `cell` is the
    client's number in the cells that workers count in (lookup/cells.py): no other client has it.
    """

    id: str
    name: str
    per_second: int = 50
    per_day: int = 100_000
    batch: bool = True
    certificates: list[str] = []  # msgspec copies it
    cell: int = 0

    def __repr__(self) -> str:
        return "<Client>"


class Former(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A secret that was replaced, and the second since 1970 from which it is refused."""

    client: str
    until: int

    def __repr__(self) -> str:
        return "<Former>"


class Recall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answers that a client was given under these request ids, and must delete (Art 19).

    `id` names it to this client, who has no other recall of this id.
    """

    client: ClientId
    id: RecallId
    requests: Annotated[list[RequestId], msgspec.Meta(max_length=MOST_REQUESTS)]

    def __repr__(self) -> str:
        return "<Recall>"


class Audit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where answers are audited, and with which keys.

    Segments in `folder` are sealed to `public_key` (X25519); witnesses are made under
    `witness_key`, answers sealed under `answer_key`, which changes with every epoch. A `demo` site
    may lie where nothing outlives the machine's power; its banner and certificates say *demo*.
    """

    public_key: bytes
    witness_key: bytes
    answer_key: bytes
    folder: str
    demo: bool = False

    def __repr__(self) -> str:
        return "<Audit>"


class View(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="view"):
    """All that a worker knows.

    `vault` names the vault at random; `table` is the path of the index, whose tags were made with
    `index_key`; `kids` are the lookup keys that are live and completely indexed; `clients` are
    found by the hex SHA-256 of their secret, `former` by that of a secret that was replaced and is
    valid for a while yet; without word from a custodian for `belt_seconds` nothing is answered.
    `token_key` authenticates the access tokens that workers give out. `recalls` are those that were
    not acknowledged yet, in the order in which clients are to hear of them.
    """

    number: int
    vault: bytes
    table: str
    index_key: bytes
    kids: list[str]
    clients: dict[str, Client]
    authorities: list[Authority]
    categories: list[Category]
    belt_seconds: int
    token_key: bytes = b""
    audit: Audit | None = None
    former: dict[str, Former] = {}  # msgspec copies it
    recalls: Annotated[list[Recall], msgspec.Meta(max_length=MOST_RECALLS)] = []  # the same

    def __repr__(self) -> str:
        return f"<View {self.number}>"


def fit_recalls(
    recalls: Iterable[Recall], most: int = MOST_RECALLS, requests: int = MOST_REQUESTS_IN_ALL
) -> list[Recall]:
    """Return as many of the first as a view may hold; the others follow when these have gone."""
    fitting: list[Recall] = []
    for recall in recalls:
        requests -= len(recall.requests)
        if requests < 0 or len(fitting) == most:
            break
        fitting.append(recall)
    return fitting


Message = TypeVar("Message", bound=msgspec.Struct)


def make_frame(message: Hello | Confirm | Acknowledge | View) -> bytes:
    """The message as it travels. Raises HandoffError if it is larger than a frame may be."""
    payload = msgspec.msgpack.encode(message)
    if len(payload) > MAX_FRAME:
        raise HandoffError(f"a frame holds at most {MAX_FRAME} bytes")
    return _LENGTH.pack(len(payload)) + payload


class Frames:
    """Cuts a stream of bytes into messages."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        self._buffer += data

    def take(self, kind: type[Message]) -> Message | None:
        """The next message, or None while it is incomplete. Raises HandoffError."""
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > MAX_FRAME:
            raise HandoffError(f"a frame holds at most {MAX_FRAME} bytes")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        try:
            return msgspec.msgpack.decode(payload, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise HandoffError("not a message that is expected here") from None


class Channel:
    """One connected socket that speaks in frames; blocking, for one thread."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._frames = Frames()
        self._descriptor: int | None = None

    def send(
        self, message: Hello | Confirm | Acknowledge | View, descriptor: int | None = None
    ) -> None:
        """Send a message, with at most one descriptor. Raises HandoffError, also on time-out.

        Nothing can follow half a frame: what was not sent whole ends the connection.
        """
        frame = make_frame(message)
        sent = 0
        try:
            if descriptor is not None:
                sent = socket.send_fds(self._socket, [frame], [descriptor])
            self._socket.sendall(memoryview(frame)[sent:])
        except OSError as error:
            hang_up(self._socket)
            raise HandoffClosed(f"the hand-off was not sent: {error.strerror}") from None

    def receive(self, kind: type[Message], seconds: float) -> Message | None:
        """The next message; None if it has not come whole within the time.

        What has come of it is kept for the next call. Raises HandoffError.
        """
        message = self._frames.take(kind)
        self._socket.settimeout(seconds)
        while message is None:
            try:
                self._read()
            except TimeoutError:
                return None
            except OSError as error:
                raise HandoffClosed(f"the hand-off was not received: {error.strerror}") from None
            message = self._frames.take(kind)
        return message

    def _read(self) -> None:
        ancillary_size = socket.CMSG_SPACE(array.array("i").itemsize)
        data, ancillary, _, _ = self._socket.recvmsg(
            _READ_SIZE, ancillary_size, socket.MSG_CMSG_CLOEXEC
        )
        for descriptor in _descriptors(ancillary):
            if self._descriptor is None:
                self._descriptor = descriptor
            else:
                os.close(descriptor)
        if not data:
            raise HandoffClosed("the other side has closed the hand-off")
        self._frames.feed(data)

    def take_descriptor(self) -> int:
        """The descriptor that came; the caller closes it. Raises HandoffError if none did."""
        if self._descriptor is None:
            raise HandoffError("no pass page came with the hello")
        descriptor, self._descriptor = self._descriptor, None
        return descriptor

    def close(self) -> None:
        """Close the connection, and a descriptor that nobody took."""
        self._socket.close()
        if self._descriptor is not None:
            os.close(self.take_descriptor())


def hang_up(connected: socket.socket) -> None:
    """End a connection under whoever waits at either end; the socket is still to be closed."""
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> Iterator[int]:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors = array.array("i")
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
            yield from descriptors


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the kernel says."""

    pid: int
    uid: int
    gid: int


def peer_of(connected: socket.socket) -> Peer:
    """Who connected, or who listens, at the time of connecting."""
    layout = struct.Struct("3i")
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, layout.size)
    return Peer(*layout.unpack(credentials))


def verify_peer(connected: socket.socket, uids: frozenset[int]) -> Peer:
    """Return the peer, or raise HandoffError if it runs as none of these users."""
    peer = peer_of(connected)
    if peer.uid not in uids:
        raise HandoffError(f"the other side runs as user {peer.uid}")
    return peer


PASS_PAGE_SIZE: Final = mmap.PAGESIZE
_FIRST_COUNTER: Final = 8  # a cache line apart from the words that others wait for
COUNTER_WORDS: Final = PASS_PAGE_SIZE // 8 - _FIRST_COUNTER
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class PassPage:
    """The worker's side of its pass page. Words are stored whole: readers see no half of one."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("lacuna-pass", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.descriptor, PASS_PAGE_SIZE)
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SEALS)
        self._words = memoryview(mmap.mmap(self.descriptor, PASS_PAGE_SIZE)).cast("Q")

    def write_entered(self, number: int) -> None:
        """Say that the lookup of this number begins."""
        self._words[0] = number

    def write_left(self, number: int) -> None:
        """Say that no lookup up to this number is unanswered."""
        self._words[1] = number

    @property
    def counters(self) -> "memoryview[int]":
        """The words for what this worker counts."""
        return self._words[_FIRST_COUNTER:]


class PassReader:
    """The custodian's side of a worker's pass page."""

    def __init__(self, descriptor: int) -> None:
        """Map it and close the descriptor. Raises HandoffError unless it is sealed and whole."""
        try:
            self._words = _map_sealed(descriptor)
        finally:
            os.close(descriptor)

    def entered(self) -> int:
        """How many lookups have begun."""
        return self._words[0]

    def left(self) -> int:
        """The number up to which all lookups have been answered or thrown away."""
        return self._words[1]

    def counters(self) -> list[int]:
        """What the worker has counted, word by word; it stays readable when the worker is dead."""
        return self._words[_FIRST_COUNTER:].tolist()


def _map_sealed(descriptor: int) -> "memoryview[int]":
    try:
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
        if seals & fcntl.F_SEAL_SHRINK and os.fstat(descriptor).st_size >= PASS_PAGE_SIZE:
            page = mmap.mmap(descriptor, PASS_PAGE_SIZE, access=mmap.ACCESS_READ)
            return memoryview(page).cast("Q")
    except OSError:
        pass
    raise HandoffError("the pass page must be a memfd of one page, sealed against shrinking")
