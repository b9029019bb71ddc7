"""Lines of a file or a pipe, in pieces of bounded size.

Invariant: at most MAX_LINES lines or about MAX_BYTES bytes are in memory, whatever comes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

MAX_LINES: Final = 5_000
MAX_BYTES: Final = 32 << 20
# One byte more than the custodian takes (lookup/custodian/records/draft.py): a line that is cut
# here is refused there, by its rule.
MAX_LINE: Final = (1 << 20) + (1 << 14) + 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Some lines, the number of lines before them, and the bytes read up to their end."""

    before: int
    lines: int
    content: bytes
    read: int


def batches(source: BinaryIO) -> Iterator[Batch]:
    """Yield all lines of a source."""
    before = read = 0
    content = bytearray()
    lines = 0
    while line := source.readline(MAX_LINE):
        read += len(line)
        content += line
        lines += 1
        if not line.endswith(b"\n"):
            read += _skip_rest(source)
            content += b"\n"
        if lines == MAX_LINES or len(content) > MAX_BYTES - MAX_LINE:
            yield Batch(before, lines, bytes(content), read)
            before, lines = before + lines, 0
            content.clear()
    if lines:
        yield Batch(before, lines, bytes(content), read)


def _skip_rest(source: BinaryIO) -> int:
    """Read to the end of a line that is too long to keep."""
    skipped = 0
    while part := source.readline(MAX_LINE):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped
