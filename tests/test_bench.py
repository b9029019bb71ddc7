"""The benchmarks work: each measures at a tiny size, and what they write can be relied upon.

No figure is looked at here: on a machine that runs tests it would mean nothing.
"""

import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as command
from bench import machine, report, syncing
from bench.claim import CLAIMED_SIZE, Claim, Floor, Outcome, Plot
from bench.machine import Others, doubts
from bench.plots import draw
from bench.running import Progress, Run
from bench.sites import NoRoom, Sites, require_room

ROOT = Path(__file__).parent.parent

# What is promised at a million records; None: a figure that is told without a promise.
PROMISED: dict[str, dict[str, tuple[str, float] | None]] = {
    "importing": {"import-rate": (">=", 8_000)},
    "importing_http": {"import-rate-http": None},
    "starting": {"start-one-key": ("<=", 6), "start-two-keys": ("<=", 12)},
    "memory": {"custodian-memory": ("<=", 1_000)},
    "index_size": {"index-bytes-per-link": ("<=", 80)},
    "single": {
        "lookup-cpu": None,
        "lookup-rate": None,
        "lookup-nginx": ("<=", 3),
        "lookup-webdis": ("<=", 1.25),
        "lookup-ordinary": ("<=", 0.2),
        "lookup-ordinary-rate": (">=", 8),
        "lookup-unaudited-nginx": ("<=", 2.3),
    },
    "batch": {"batch-token-cpu": ("<=", 3)},
    "latency": {"lookup-p99-half": ("<=", 10), "lookup-p50-half": None},
    "growth": {"lookup-latency-growth": ("<=", 1.1), "lookup-cpu-growth": None},
    "workers": {"lookup-cpu-two-workers": ("<=", 1.1)},
    "layers": {"authentication-cpu": ("<=", 3)},
    "shredding": {"shred": ("<=", 10), "shred-ratio": ("<=", 1.5), "shred-over-socket": None},
    "shredding_many": {"destroy_10000": ("<=", 10)},
    "sweeping": {"sweep": ("<=", 60), "sweep-step": None},
    "appending": {"log-append": (">=", 2_000), "log-proof": ("<=", 1)},
    "timing": {
        "timing-median": ("<=", 1),
        "timing-auc": ("<=", 0.52),
        "timing-round-trip": None,
    },
    "probe": {"probe": ("<=", 1.5), "probe-ratio": ("<=", 1.5)},
    "syncing": {
        "syncs-per-add": None,
        "syncs-per-import-batch": None,
        "syncs-per-expungement": None,
    },
    "certificates": {"certificate-verify": ("<=", 300), "inclusion-proof": ("<=", 1)},
    "recalling": {"recipients": ("<=", 2), "recipients-under-load": ("<=", 2)},
    "exporting": {"export": ("<=", 5)},
    "large": {
        "large-start": ("<=", 60),
        "large-index": ("<=", 80),
        "large-memory": ("<=", 6_000),
        "large-lookup-latency-growth": ("<=", 1.1),
        "large-lookup-cpu-growth": None,
    },
}
TOOLS = {
    "syncing": ("strace",),
    "single": ("wrk", "nginx", "webdis", "redis-server"),
    **dict.fromkeys(("batch", "latency", "growth", "workers", "layers", "large"), ("wrk",)),
}


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder for sites; its path is short, for sockets are in it."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o711)  # a database server, which must not be root, walks through it
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        (("importing", "starting", "memory", "index_size"), "300"),
        (
            ("importing_http", "shredding", "shredding_many", "appending", "probe", "syncing"),
            "300,400",
        ),
        (("single", "layers"), "400"),
        (("certificates", "recalling", "exporting", "sweeping"), "300,400"),
        (("batch", "latency", "growth", "workers", "timing"), "300,400"),
    ],
)
def test_each_benchmark_measures_what_was_promised(
    names: tuple[str, ...],
    sizes: str,
    tmp_path: Path,
    short_folder: Path,
    require_tool: Callable[[str], str],
) -> None:
    """Every claim is there under its name and with its floor, and no site is left."""
    for tool in {tool for name in names for tool in TOOLS.get(name, ())}:
        require_tool(tool)
    what = ("--quick", "--sizes", sizes, "--only", ",".join(names), "--output", tmp_path)
    done = subprocess.run(
        (sys.executable, "-m", "bench", *what),
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(short_folder)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    page = (tmp_path / "BENCHMARKS.md").read_text()
    assert set(summary) == {claim for name in names for claim in PROMISED[name]}
    for name in names:
        assert f"{name}: " in done.stderr
        result = json.loads((tmp_path / f"{name}.json").read_text())
        assert_well_formed(name, result)
        for claim in PROMISED[name]:
            assert summary[claim]["value"] == result["claims"][claim]["value"]
            assert f"(`{claim}`)" in page
    assert list(short_folder.iterdir()) == []


def assert_well_formed(name: str, result: dict[str, Any]) -> None:
    floors = {
        claim: None if found["floor"] is None else (found["relation"], found["floor"])
        for claim, found in result["claims"].items()
    }
    assert floors == PROMISED[name]
    for found in result["claims"].values():
        assert math.isfinite(found["value"])
        assert found["value"] > 0
        assert found["met"] is None  # nothing was promised of so few
    assert result["rows"]
    assert all(row.keys() == result["rows"][0].keys() for row in result["rows"])
    wanted = {"cpu", "cores", "kernel", "python", "python_loop_ms", "libraries"}
    assert wanted <= result["machine"].keys()
    assert {"cryptography", "numpy", "sqlcipher3"} == result["machine"]["libraries"].keys()
    assert {"start", "end"} == result["load"].keys()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", result["date"])


CLAIM = Claim(
    name="speed",
    says="how fast it is",
    value=9_000.0,
    unit="records/s",
    records=CLAIMED_SIZE,
    judged=True,
    floor=Floor(">=", 8_000),
    bound_by="the disk",
)


def write_result(folder: Path, claim: Claim, missing: tuple[str, ...] = ()) -> str:
    """Write one result as a run does; return the page made of it."""
    plot = Plot("a title", "records", "ms", {"a line": [(1.0, 2.0)]}, 3.0)
    found = Outcome((claim,), ({"records": 1, "ms": 2.0},), (plot,), missing).to_json() | {
        "order": 0,
        "machine": {
            "cpu": "a processor",
            "cores": 2,
            "memory_mb": 1,
            "kernel": "Linux 6",
            "python": "3.11",
            "python_loop_ms": 8.0,
            "libraries": {"numpy": "2"},
            "filesystem": "ext4",
            "fdatasync_ms": 0.1,
        },
        "date": "2026-11-23T10:00:00+00:00",
        "load": {"start": [0.0, 0.0, 0.0], "end": [0.0, 0.0, 0.0]},
        "others_cores": 0.0,
        "doubts": [],
    }
    (folder / "importing.json").write_text(json.dumps(found))
    report.write(folder, folder / "page.md")
    return (folder / "page.md").read_text()


class TestReport:
    """What people read."""

    @pytest.mark.parametrize(
        ("claim", "met", "said"),
        [
            (CLAIM, True, "Every floor is kept."),
            (replace(CLAIM, value=8_000.0), True, "Every floor is kept."),
            (replace(CLAIM, value=6_000.0), False, "6,000 records/s, 25 % below the floor"),
            (
                replace(CLAIM, value=9.0, unit="ms", floor=Floor("<=", 6)),
                False,
                "9 ms, 50 % above the floor (≤ 6 ms). What it is made of: the disk.",
            ),
            (replace(CLAIM, judged=False), None, "No floor is about a size that was measured."),
            (replace(CLAIM, floor=None), None, "No floor is about a size that was measured."),
        ],
    )
    def test_a_missed_floor_is_told_with_how_much_and_why(
        self, tmp_path: Path, claim: Claim, met: object, said: str
    ) -> None:
        page = write_result(tmp_path, claim)

        summary = json.loads((tmp_path / "summary.json").read_text())
        assert summary["speed"]["met"] is met
        assert said in page

    def test_what_could_not_be_measured_is_said(self, tmp_path: Path) -> None:
        page = write_result(tmp_path, CLAIM, ("no tool",))

        assert "Not measured: no tool." in page

    def test_the_page_repeats_claim_and_method(self, tmp_path: Path) -> None:
        page = write_result(tmp_path, CLAIM)

        assert "Claim: the custodian imports at least 8,000 records a second" in page
        assert "Method: " in page

    def test_without_matplotlib_there_are_no_plots_and_a_line_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)

        page = write_result(tmp_path, CLAIM)

        assert "matplotlib is not installed" in page
        assert "![" not in page
        assert draw("name", [], tmp_path) == []


class TestCommand:
    """python -m bench."""

    @pytest.mark.parametrize(
        ("text", "sizes"),
        [
            ("10k,100k,1M", (10_000, 100_000, 1_000_000)),
            ("1M,10k,10k", (10_000, 1_000_000)),
            ("300", (300,)),
        ],
    )
    def test_sizes_are_numbers_of_records(self, text: str, sizes: tuple[int, ...]) -> None:
        assert command._sizes(text) == sizes

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--sizes", "ten"),
            ("--sizes", ""),
            ("--sizes", "10"),
            ("--sizes", "11M"),
            ("--sizes", "10k;100k"),
            ("--only", "speed"),
        ],
    )
    def test_what_it_does_not_know_is_refused(
        self, arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as stopped:
            command.main(list(arguments))

        assert stopped.value.code == 2
        assert arguments[0] in capsys.readouterr().err

    def test_help_says_what_each_benchmark_is_about(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            command.main(["--help"])

        told = capsys.readouterr().out
        assert list(PROMISED) == list(command.BENCHMARKS)
        assert all(re.search(rf"^  {name} +\S", told, re.MULTILINE) for name in PROMISED)

    def test_a_trial_leaves_the_published_figures_alone(self) -> None:
        full = command._where(command._parse([]))
        assert full == (command.RESULTS, ROOT / "BENCHMARKS.md")
        assert command._where(command._parse(["--only", "probe"])) == full
        for trial in (["--quick"], ["--sizes", "10k"]):
            folder, page = command._where(command._parse(trial))
            assert folder == command.TRIAL
            assert page.parent == folder

    def test_too_small_a_disk_is_noticed_before_anything_is_made(self, tmp_path: Path) -> None:
        with pytest.raises(NoRoom, match="TMPDIR"):
            require_room(tmp_path, (10**12,))

    def test_what_was_made_is_removed(self, short_folder: Path) -> None:
        """The tables in shared memory too."""
        sites = Sites(short_folder / "sites", lambda _: None)
        index = sites.fresh("one", 300).config.index
        index.mkdir(mode=0o700)

        sites.close()

        assert not index.exists()
        assert list(short_folder.iterdir()) == []

    def test_without_strace_no_syncs_are_counted_and_a_line_says_so(
        self, short_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(short_folder))
        run = Run((300,), quick=True, sites=Sites(short_folder, print), progress=Progress())

        found = syncing.measure(run)

        assert not found.claims
        assert not found.rows
        assert found.missing == ("strace is not installed: no syncs were counted",)

    def test_a_memory_disk_and_a_busy_machine_are_doubted(self) -> None:
        quiet = {"filesystem": "ext4"}

        assert doubts(quiet, 0.1) == []
        assert len(doubts(quiet, 1.0)) == 1
        assert len(doubts({**quiet, "filesystem": "tmpfs"}, 0.1)) == 1

    def test_what_other_processes_take_is_seen_and_what_we_take_is_not(self) -> None:
        """Else every long benchmark would look as if it had been disturbed, by itself."""
        busy, own, others = machine._busy(), machine._own(), Others()
        end = time.thread_time() + 0.3
        while time.thread_time() < end:
            pass
        busy, own = machine._busy() - busy, machine._own() - own

        assert busy >= own - 0.05 >= 0.2  # the clocks have steps of 0.01 s
        assert others.cores() >= 0
