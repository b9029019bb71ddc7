"""What lookups are measured with: peers that start and stop, loads that tell the truth."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from bench import __main__ as command
from bench import flame
from bench.asking import bearer_of, mixed, single, takes, unknown_tokens
from bench.distinguishing import auc, interval
from bench.load.closed import LoadFailed, drive
from bench.load.offered import offer
from bench.peers import nginx, webdis
from bench.peers.process import HOST, PeerMissing, free_port, require_program
from bench.processors import Processors, cpu_seconds, pinned, tree
from lookup.config import Address
from lookup.wire import ANSWER_SIZE

ROOT = Path(__file__).parent.parent
CALL = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
CPU = Processors.choose()


class TestFiles:
    """One file for each claim."""

    @pytest.mark.parametrize("name", command.BENCHMARKS)
    def test_every_benchmark_says_what_it_claims_and_how_it_measures(self, name: str) -> None:
        told = (ROOT / "bench" / f"{name}.py").read_text()

        assert re.search(r"^Floors?( at|:)", told, flags=re.MULTILINE)
        assert re.search(r"^Method: ", told, flags=re.MULTILINE)
        assert re.search(r"^def measure\(run: Run\) -> Outcome:", told, flags=re.MULTILINE)

    def test_no_file_of_the_load_test_shadows_a_package(self) -> None:
        """Locust puts its file's folder in front of all others."""
        names = {path.stem for path in (ROOT / "bench").glob("*.py")}
        names |= {path.name for path in (ROOT / "bench").iterdir() if path.is_dir()}

        assert not names & ({"crypto", "keys", "lookup", "tests"} | set(sys.stdlib_module_names))

    def test_ten_million_are_for_the_full_run_alone(self) -> None:
        full = command._parse(["--full"])

        assert "large" not in command.EVERYDAY
        assert (full.only, full.sizes) == (("large",), command.FULL_SIZES)
        assert command._where(full) == (command.RESULTS, ROOT / "BENCHMARKS.md")


class TestPeers:
    """nginx, webdis: their configurations are accepted, and nothing of them stays."""

    def test_nginx_accepts_its_configuration(
        self, tmp_path: Path, require_tool: Callable[[str], str]
    ) -> None:
        program = require_program("nginx", "nginx") if Path("/usr/sbin/nginx").exists() else ""
        program = program or require_tool("nginx")
        config = tmp_path / "nginx.conf"
        config.write_text(nginx.make_config(tmp_path, Address(HOST, free_port())))
        done = subprocess.run(
            (program, "-t", "-p", tmp_path, "-e", "stderr", "-c", config),
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 0, done.stderr

    def test_webdis_is_told_where_redis_is(self) -> None:
        config = json.loads(json.dumps(webdis.make_config(Address(HOST, 1), Address(HOST, 2))))

        assert (config["http_port"], config["redis_port"]) == (1, 2)
        assert config["daemonize"] is False

    def test_a_peer_answers_and_leaves_nothing_behind(
        self, tmp_path: Path, require_tool: Callable[[str], str]
    ) -> None:
        require_tool("nginx")
        with nginx.nginx(tmp_path / "peer", CPU.server, (CALL,)) as peer:
            with socket.create_connection((HOST, peer.address.port)) as line:
                line.sendall(CALL)
                answer = line.makefile("rb").read(ANSWER_SIZE)
            processes = tree(peer.pids)

        assert b"content-length: %d" % ANSWER_SIZE in answer.lower()
        assert len(processes) == 2  # master and worker
        assert not any(Path(f"/proc/{pid}").exists() for pid in processes)

    def test_what_is_not_installed_is_named_with_its_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))

        with pytest.raises(PeerMissing, match=r"no-such is not installed \(Debian package some\)"):
            require_program("no-such", "some")


@contextmanager
def answering(answer: bytes, *, stall: float = 0.0) -> Iterator[Address]:
    """Serve one answer for ever; the first second request of a connection waits."""
    listening = socket.create_server((HOST, 0))
    stalled = threading.Event()

    def serve(line: socket.socket) -> None:
        with line, suppress(ConnectionError):
            asked = 0
            while line.recv(65_536):
                asked += 1
                if asked == 2 and stall and not stalled.is_set():
                    stalled.set()
                    time.sleep(stall)
                line.sendall(answer)

    def accept() -> None:
        while True:
            try:
                line, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(line,), daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield Address(*listening.getsockname())
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        accepting.join()


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}"


class TestOffered:
    """The open loop."""

    def test_latency_counts_from_when_a_request_was_due(self) -> None:
        """One connection that stalls for 0.3 s: whoever came meanwhile waited too."""
        with answering(OK, stall=0.3) as address:
            found = offer(address, (CALL,), 200, 0.5, CPU.load, connections=1)

        assert len(found.latencies) == 100
        assert found.late == 0
        assert sum(latency > 0.1 for latency in found.latencies) > 20

    def test_what_is_no_answer_ends_it(self) -> None:
        with answering(BUSY) as address, pytest.raises(LoadFailed, match="503"):
            offer(address, (CALL,), 100, 0.1, CPU.load, connections=1)

    def test_where_the_caller_ran_before_it_runs_again(self) -> None:
        before = os.sched_getaffinity(0)
        with pinned(CPU.load):
            assert os.sched_getaffinity(0) == {CPU.load}

        assert os.sched_getaffinity(0) == before


class TestClosed:
    """wrk."""

    def test_refusals_are_no_throughput(self, require_tool: Callable[[str], str]) -> None:
        require_tool("wrk")
        with answering(BUSY) as address, pytest.raises(LoadFailed, match="refused"):
            drive(address, (), (CALL,), 1, CPU.load, connections=1)

    def test_requests_of_different_lengths_are_not_taken(self) -> None:
        with pytest.raises(ValueError, match="one length"):
            drive(Address(HOST, 1), (), (b"a", b"ab"), 1, CPU.load)


class TestProcessors:
    """CPU time."""

    def test_a_whole_tree_is_counted(self) -> None:
        """A shell's child, of which the shell's own times say nothing until it ends."""
        spin = "import time; e=time.process_time()+0.3\nwhile time.process_time()<e: pass\ninput()"
        script = f"{sys.executable} -c '{spin}'; true"
        with subprocess.Popen(("sh", "-c", script), stdin=subprocess.PIPE) as process:
            deadline = time.monotonic() + 20
            while cpu_seconds([process.pid]) < 0.3 and time.monotonic() < deadline:
                time.sleep(0.05)
            spent, processes = cpu_seconds([process.pid]), tree([process.pid])
            process.communicate(b"\n")

        assert spent >= 0.3
        assert len(processes) == 2


class TestDistinguishing:
    """The statistics of timing.py, on times of which the truth is known."""

    SOURCE = np.random.default_rng(2026)

    def test_equal_times_are_not_told_apart(self) -> None:
        first, second = self.SOURCE.gamma(40, 2, (2, 20_000))
        found = interval(first, second)

        assert found.low < 0.3
        assert found.high > -0.3
        assert auc(first, second) < 0.51

    def test_two_microseconds_more_are_seen(self) -> None:
        first, second = self.SOURCE.gamma(40, 2, (2, 20_000))
        found = interval(first + 2, second)

        assert 1 < found.low < 2 < found.high < 3
        assert found.furthest == found.high
        assert auc(first + 2, second) > 0.52

    def test_auc_is_that_of_counting_pairs(self) -> None:
        first, second = self.SOURCE.integers(0, 9, (2, 60)).astype(float)
        wins = sum((a > b) + (a == b) / 2 for a in first for b in second) / 3_600

        assert auc(first, second) == pytest.approx(max(wins, 1 - wins))


class TestFlame:
    """The flame graph."""

    SAMPLES = "main (a.py:1);look_up (b.py:7) 3\nmain (a.py:1);<lambda> (b.py:9) 1\n"

    def test_shares_are_those_of_the_samples(self) -> None:
        idle = "run (lookup/worker/link.py:60) 9\n"
        drawn = flame.render(flame.parse(self.SAMPLES + idle), "a title")

        assert "main (a.py): 100.0%" in drawn
        assert "look_up (b.py): 75.0%" in drawn
        assert "&lt;lambda&gt; (b.py): 25.0%" in drawn
        assert "link.py" not in drawn

    def test_without_py_spy_it_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

        with pytest.raises(flame.NoFlame, match="not installed"):
            flame.sample(1, CPU.load, tmp_path / "samples", lambda: None)


class TestAsking:
    """Requests."""

    def test_requests_differ_in_all_but_their_length(self) -> None:
        tokens = mixed(["k" * 43], 8)
        calls = single("k" * 16, "Bearer secret", Address(HOST, 1), tokens)

        assert "k" * 43 in tokens
        assert len(set(tokens)) == len(set(calls)) == 8
        assert len({len(call) for call in calls}) == 1
        assert {bearer_of(call) for call in calls} == {"secret"}
        assert unknown_tokens(2, 1) != unknown_tokens(2, 2)

    def test_a_switch_that_a_worker_lacks_is_known_to_be_missing(self) -> None:
        assert takes("--socket")
        assert not takes("--no-such-switch")


def test_a_day_is_played(tmp_path: Path) -> None:
    """Three seconds of it, headless: nothing fails but what is expected to."""
    if find_spec("locust") is None:  # not imported: it patches the standard library
        pytest.skip("locust is not installed")
    what = ("--duration", "4s", "--users", "8", "--records", "400", "--workers", "1")
    done = subprocess.run(
        (sys.executable, "-m", "bench.day", *what, "--output", tmp_path),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["requests"] > 0
    assert summary["failures"] == 0
    assert summary["workers' memory"]["end, MB"] > 0
    assert "lookup" in (tmp_path / "report.html").read_text()
