"""Lines in pieces: nothing is lost, nothing is large."""

from io import BytesIO
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from lookup.cli import batching
from lookup.cli.batching import batches
from lookup.custodian.records.draft import MAX_RECORD


def test_a_line_that_is_cut_is_one_that_the_custodian_refuses() -> None:
    assert batching.MAX_LINE == MAX_RECORD + 1


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=40))
def test_all_lines_come_through_in_order(lines: list[bytes]) -> None:
    """Whatever they hold; those that are too long are cut, and counted once."""
    content = b"\n".join(lines)
    with (
        patch.object(batching, "MAX_LINES", 4),
        patch.object(batching, "MAX_BYTES", 64),
        patch.object(batching, "MAX_LINE", 16),
    ):
        found = list(batches(BytesIO(content)))

    expected = content.split(b"\n") if content else []
    if expected and expected[-1] == b"":
        expected.pop()
    got = [line for batch in found for line in batch.content.split(b"\n")[:-1]]
    assert got == [line if len(line) < 16 else line[:16] for line in expected]
    assert [batch.before for batch in found] == [
        sum(batch.lines for batch in found[:at]) for at in range(len(found))
    ]
    assert all(batch.lines <= 4 and len(batch.content) <= 64 for batch in found)
    assert not found or found[-1].read == len(content)


def test_a_line_without_end_stays_small() -> None:
    """A pipe that never ends a line costs one line's memory."""
    source = BytesIO(b"x" * (5 << 20) + b"\n{}\n")

    (batch,) = batches(source)

    assert batch.lines == 2
    assert len(batch.content) == batching.MAX_LINE + 1 + 3
