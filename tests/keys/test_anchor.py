"""A7: anchors cannot be forged, and a torn write costs the newest one nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from crypto.merkle import Hash
from keys import anchor as anchors
from keys.anchor import Anchor, AnchorFile, AnchorKey
from keys.disk import Disk
from keys.errors import SlotUnreachable
from keys.log import NOTHING_LOGGED
from keys.page import VaultId, Version

KEY = AnchorKey(bytes(range(32)))
FIRST = Anchor(
    VaultId(b"v" * 16),
    Version(3, 40),
    b"h" * 32,
    1_000,
    closed=False,
    serial=7,
    audit_head=b"a" * 32,
    audit_row=70,
    log_size=5,
    log_root=Hash(b"l" * 32),
    elapsed=4_000,
)
SECOND = replace(FIRST, version=Version(3, 41), serial=8, closed=True)
THIRD = replace(FIRST, version=Version(4, 42), serial=9)


@pytest.fixture
def file(tmp_path: Path) -> AnchorFile:
    made = AnchorFile(Disk(), tmp_path)
    made.create()
    return made


def tear(folder: Path, place: int) -> None:
    Disk().overwrite(folder / "anchor", place * 4096 + 20, b"torn")


def test_an_empty_file_holds_no_anchor(file: AnchorFile) -> None:
    assert file.load(KEY) is None


def test_the_newest_copy_counts(file: AnchorFile, tmp_path: Path) -> None:
    for anchor in (FIRST, SECOND, THIRD):
        file.store(anchor, KEY)
        assert AnchorFile(Disk(), tmp_path).load(KEY) == anchor


def test_a_torn_copy_leaves_the_other(file: AnchorFile, tmp_path: Path) -> None:
    file.store(FIRST, KEY)
    file.store(SECOND, KEY)
    tear(tmp_path, 1)
    assert file.load(KEY) == FIRST
    tear(tmp_path, 0)
    assert file.load(KEY) is None


@pytest.mark.parametrize("gap", [1, 2])
@pytest.mark.parametrize("written", [[FIRST, SECOND], [FIRST, SECOND, THIRD]], ids=len)
def test_a_write_never_goes_over_the_newest_copy(
    file: AnchorFile, tmp_path: Path, written: list[Anchor], gap: int
) -> None:
    """Not even after writes that this file missed because it was out of reach."""
    for anchor in written:
        file.store(anchor, KEY)
    newest = written[-1]
    again = AnchorFile(Disk(), tmp_path)
    assert again.load(KEY) == newest
    again.store(replace(THIRD, serial=newest.serial + gap), KEY)
    tear(tmp_path, len(written) % 2)
    assert again.load(KEY) == newest


def test_a_copy_of_another_vault_does_not_verify(file: AnchorFile) -> None:
    file.store(FIRST, AnchorKey(bytes(32)))
    assert file.load(KEY) is None


def test_no_byte_can_be_changed() -> None:
    raw = FIRST.encode(KEY)
    assert Anchor.parse(raw, KEY) == FIRST
    used = anchors._CONTENT.size + 32
    for at in range(used):
        changed = raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]
        assert Anchor.parse(changed, KEY) is None
    assert Anchor.parse(raw[: used - 1], KEY) is None


def test_a_format_of_tomorrow_is_no_anchor() -> None:
    content = b"\x04" + FIRST.encode(KEY)[1 : anchors._CONTENT.size]
    assert Anchor.parse(content + anchors._mac(KEY, content), KEY) is None


def test_an_anchor_of_yesterday_knows_no_audit() -> None:
    """Its format had no row; nothing had been audited."""
    before = replace(FIRST, audit_head=bytes(32), audit_row=0, elapsed=0)
    content = b"\x01" + before.encode(KEY)[1 : anchors._CONTENT.size - 16]
    assert Anchor.parse(content + anchors._mac(KEY, content), KEY) == before


def test_an_anchor_of_yesterday_knows_no_log_and_no_running_time() -> None:
    """Its format left the log's root empty, and had no seconds."""
    before = replace(FIRST, log_size=0, log_root=Hash(bytes(32)), elapsed=0)
    content = b"\x02" + before.encode(KEY)[1 : anchors._CONTENT.size - 8]
    found = Anchor.parse(content + anchors._mac(KEY, content), KEY)
    assert found == before
    assert found.log == NOTHING_LOGGED
    assert FIRST.log == (5, b"l" * 32)


def test_a_medium_that_is_away_is_said_so(tmp_path: Path) -> None:
    away = AnchorFile(Disk(), tmp_path / "away")
    assert away.load(KEY) is None
    with pytest.raises(SlotUnreachable, match="no anchor at"):
        away.store(FIRST, KEY)


def test_a_file_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "anchor").mkdir()
    assert AnchorFile(Disk(), tmp_path).load(KEY) is None


def test_a_lost_file_is_made_anew_and_a_kept_one_is_not(file: AnchorFile, tmp_path: Path) -> None:
    file.store(FIRST, KEY)
    file.ensure()
    assert file.load(KEY) == FIRST
    (tmp_path / "anchor").unlink()
    file.ensure()
    assert file.load(KEY) is None
    file.store(SECOND, KEY)
    assert file.load(KEY) == SECOND
