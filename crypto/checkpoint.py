"""Checkpoints: how large a log is and what its root is, in the text of a signed note.

    text = origin || newline || size || newline || base64(root) || newline || extension lines

Invariants:

* The origin names the log and is never empty: a checkpoint of one log cannot pose as another's,
  as long as whoever opens it says which it wants.
* There is one text for each checkpoint: sizes have no leading zeroes and fit into 63 bits, base64
  is canonical, no line is empty.
* What a log signs is not taken back: two checkpoints of one log that are not consistent
  (`merkle.verify_consistency`) show that it lies.

C2SP tlog-checkpoint (c2sp.org/tlog-checkpoint). We write no extension lines; others may. Pure.
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from crypto.merkle import HASH_SIZE, Hash
from crypto.note import VerifierKey, decode_base64, is_text, open_note

MAX_SIZE: Final = 2**63 - 1

_SIZE: Final = re.compile("0|[1-9][0-9]{0,18}")


class InvalidCheckpoint(Exception):
    """The text is no checkpoint, or that of another log."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log commits to: its first `size` entries, and no others in their place."""

    origin: str
    size: int
    root: Hash
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(_is_line(line) for line in (self.origin, *self.extensions)):
            raise ValueError("origin and extensions are lines that are not empty")
        if not 0 <= self.size <= MAX_SIZE or len(self.root) != HASH_SIZE:
            raise ValueError("a size has 63 bits, a root 32 bytes")

    def text(self) -> str:
        """Return the text to sign."""
        root = b64encode(self.root).decode()
        return "".join(f"{line}\n" for line in (self.origin, self.size, root, *self.extensions))


def parse_checkpoint(text: str) -> Checkpoint:
    """Return the checkpoint of a note's text, or raise InvalidCheckpoint."""
    lines = text.split("\n")
    if lines.pop() or len(lines) < 3:
        raise InvalidCheckpoint
    origin, size, encoded, *extensions = lines
    root = decode_base64(encoded)
    if root is None or not _SIZE.fullmatch(size):
        raise InvalidCheckpoint
    try:
        return Checkpoint(origin, int(size), Hash(root), tuple(extensions))
    except ValueError:
        raise InvalidCheckpoint from None


def open_checkpoint(raw: bytes, origin: str, keys: Iterable[VerifierKey]) -> Checkpoint:
    """Return the checkpoint in a note that one of `keys` signed, of this log.

    Raises InvalidNote, or InvalidCheckpoint if it is none or another log's.
    """
    checkpoint = parse_checkpoint(open_note(raw, keys).text)
    if checkpoint.origin != origin:
        raise InvalidCheckpoint
    return checkpoint


def _is_line(line: str) -> bool:
    return bool(line) and "\n" not in line and is_text(f"{line}\n")
