"""`made_anew` removes what an earlier demonstration left, and nothing else."""

import tempfile
from pathlib import Path

import pytest

from lookup.demo.folders import MARKER, MEMORY, FolderRefused, made_anew


def test_everything_is_private(tmp_path: Path) -> None:
    with made_anew(tmp_path) as folders:
        for made in (folders.site, folders.slot, folders.memory):
            assert made.stat().st_mode & 0o777 == 0o700


def test_nothing_stays_in_memory(tmp_path: Path) -> None:
    with made_anew(tmp_path) as folders:
        folders.loot.mkdir()
    assert not folders.memory.exists()
    assert folders.site.exists()


def test_what_a_killed_one_left_in_memory_is_removed(tmp_path: Path) -> None:
    with made_anew(tmp_path) as folders:
        pass
    folders.loot.mkdir(parents=True)  # as if it had been killed before the end
    with made_anew(tmp_path) as anew:
        assert not folders.memory.exists()
        assert anew.memory != folders.memory


@pytest.mark.parametrize("named", ["{dear}", f"{MEMORY}/lacuna-/../{{other.name}}", "{other}"])
def test_a_marker_cannot_name_what_is_not_ours(tmp_path: Path, named: str) -> None:
    """Whoever can write there must not make us delete something else."""
    dear = tmp_path / "dear"
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="dear-") as name:
        for made in (dear, tmp_path / "demo-site"):
            made.mkdir()
        marker = f"somebody wrote this\n{named.format(dear=dear, other=Path(name))}\n"
        (tmp_path / "demo-site" / MARKER).write_text(marker)
        with made_anew(tmp_path):
            assert dear.exists()
            assert Path(name).exists()


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with made_anew(tmp_path) as first:
        with pytest.raises(FolderRefused, match="a demonstration is running"), made_anew(tmp_path):
            pytest.fail("two demonstrations share a folder")
        assert first.memory.exists()


def test_what_cannot_be_made_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(FolderRefused, match="demo-site cannot be made"),
        made_anew(tmp_path / "not-there"),
    ):
        pytest.fail("made out of nothing")
