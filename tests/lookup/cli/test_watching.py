"""`lacuna status --watch`: what it draws, where, and that Ctrl-C is a good end."""

import contextlib
import copy
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from lookup import exits
from lookup.cli.console import Failure
from lookup.cli.watching import SPAN, History, between, draw, line, watch
from lookup.errors import PROBLEMS
from tests.lookup.cli.commanding import ROOT, Served

KINDS = [problem.type.rpartition(":")[2] for problem in PROBLEMS.values()]
Json = dict[str, Any]


def histogram(*counts: int) -> Json:
    return {"count": sum(counts), "buckets": [*counts, *[0] * (18 - len(counts))]}


def a_report(**changes: Any) -> Json:  # noqa: ANN401  # members of a report
    """A report of a site with all there can be on it."""
    worker = {"connected": True, "current": True, "connections": 32}
    audit = {"audit_pending": 3, "audit_pending_most": 17}
    slot = {"class": "D", "lost": False}
    return {
        "demo": True,
        "vault": "6f0c" * 8,
        "epoch": 123_456,
        "sequence": 9,
        "processes": {"supervisor": 1, "custodian": 2},
        "workers": [{"slot": n, "pid": 4_000_000 + n, **worker, **audit} for n in range(64)],
        "records": 10_000_000,
        "clients": 250,
        "mirror": {"behind": 0, "age_seconds": 86_400},
        "slots": [
            {"id": f"{n:032x}", "label": "/mnt/" + "slot" * 30, "lagging": not n, **slot}
            for n in range(2)
        ],
        "table": {"links": 24_000_000, "load": 0.6, "complete": True, "building": 0.4},
        "lookups": {"ready": True, "detail": "ready"},
        "findings": ["slot 00000000 lags: /mnt/" + "slot" * 30],
        "alarms": {"honey": 2, "enumeration": 0},
        "traffic": {
            "tokens": {"known": 30, "no-record": 970},
            "could_not_check": dict.fromkeys(KINDS, 0),
            "lookup": histogram(0, 0, 500, 490, 10),
            "lookups": histogram(1),
            "audit": {"entries": 5, **histogram(0, 0, 0, 0, 0, 9)},
        },
    } | changes


def later(report: Json, *, tokens: int, problems: int = 0) -> Json:
    """The same site after so many more lookups."""
    changed = copy.deepcopy(report)
    traffic = changed["traffic"]
    traffic["tokens"]["no-record"] += tokens
    traffic["lookup"]["buckets"][2] += tokens
    traffic["lookup"]["count"] += tokens
    traffic["could_not_check"]["unknown-kid"] += problems
    return changed


def drawn(report: Json, history: History, width: int = 80) -> list[str]:
    console = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(draw(report, history))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def noted(*reports: Json) -> History:
    """A report a second."""
    history = History()
    for second, report in enumerate(reports):
        history.note(float(second), report)
    return history


def test_rates_are_of_the_last_seconds() -> None:
    """Not since the workers started, and not of one second alone."""
    first = a_report()
    reports = [later(first, tokens=100 * n, problems=n) for n in range(30)]
    history = noted(*reports)
    pace = history.pace()

    assert pace.seconds == SPAN
    assert (pace.tokens, pace.requests, pace.problems) == (1_000, 1_000, 10)
    assert pace.each_second(pace.tokens) == 100
    assert pace.could_not_check == {"unknown-kid": 10}
    assert pace.p50 == 48
    assert set(history.curve) == {100.0}


def test_another_custodian_is_another_history() -> None:
    """Whose counters may be behind: no rate is negative."""
    before = later(a_report(), tokens=5_000)
    history = noted(before, a_report(processes={"supervisor": 1, "custodian": 3}))

    assert history.pace().tokens == 0
    assert history.pace().each_second(history.pace().tokens) == 0


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0.5, 20))
def test_what_lies_between_two_reports(tokens: int, problems: int, seconds: float) -> None:
    before = a_report()
    pace = between(5.0, before, 5.0 + seconds, later(before, tokens=tokens, problems=problems))

    assert (pace.tokens, pace.problems) == (tokens, problems)
    assert (pace.p99 is None) == (tokens == 0)


def test_a_full_picture_fits_a_terminal_of_80_columns() -> None:
    """Whatever the numbers: no line is longer, and none is torn at the frame."""
    report = later(a_report(), tokens=123_456_789, problems=1_000_000)
    lines = drawn(report, noted(a_report(), report))

    assert {len(each) for each in lines} == {80}
    text = "\n".join(lines)
    for part in ("123,456,789.0 tokens/s", "unknown-kid 1000000", "lags", "honey 2", "p99 64 µs"):
        assert part in text
    assert "64 of 64 have the current view" in text


def test_a_usual_picture_fits_a_terminal_of_24_lines() -> None:
    report = a_report()
    report |= {"workers": report["workers"][:2], "findings": [], "alarms": {}}
    report["slots"] = [{**report["slots"][1], "label": "/mnt/slot/lacuna"}]
    lines = drawn(report, noted(report))

    assert len(lines) <= 24
    assert "nothing" in lines[-2]


def test_nothing_yet_is_drawn_as_nothing() -> None:
    report = a_report(workers=[{"slot": 0, "connected": False, "audit_pending": 0}])
    text = "\n".join(drawn(report, noted(report)))

    assert "p50 - · p99 -" in text
    assert "missing" in text


def test_a_line_says_the_same() -> None:
    report = later(a_report(), tokens=100, problems=1)
    told = line(report, noted(a_report(), report).pace())

    assert "\n" not in told
    for part in ("100.0 tokens/s", "no record 100", "unknown-kid 1", "workers 64/64", "lags"):
        assert part in told


def test_without_a_custodian_it_goes_on_and_says_how_lookups_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: Iterator[Failure | Json] = iter(
        [Failure(exits.UNAVAILABLE, "no custodian answers"), a_report()]
    )

    def ask() -> Json:
        answer = next(answers, None)
        if answer is None:
            raise KeyboardInterrupt
        if isinstance(answer, Failure):
            raise answer
        return answer

    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert watch(ask, lambda: "ready") == exits.OK

    first, second = capsys.readouterr().out.splitlines()
    assert "no custodian answers; lookups: ready" in first
    assert "workers 64/64" in second


@contextlib.contextmanager
def watching(served: Served, **streams: Any) -> Iterator["subprocess.Popen[bytes]"]:  # noqa: ANN401  # Popen's
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.lookup.cli.commanding"),
            *("--config", str(served.site.config), "status", "--watch"),
        ],
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
        **streams,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_at_a_terminal_until_ctrl_c(served: Served) -> None:
    """A live picture; the end is status 0, and the cursor is back."""
    leader, follower = pty.openpty()
    seen = bytearray()
    with watching(served, stdin=follower, stdout=follower, stderr=follower) as process:
        os.close(follower)

        def read() -> None:
            with contextlib.suppress(OSError):  # the other end is closed
                while True:
                    seen.extend(os.read(leader, 65_536))

        reader = threading.Thread(target=read)
        reader.start()
        deadline = time.monotonic() + 20
        while seen.count(b"needs you") < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == exits.OK
        reader.join()
    os.close(leader)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())

    assert "worker 1" in text
    assert "Traceback" not in text
    assert seen.rstrip().endswith(b"\x1b[?25h")


def test_elsewhere_a_line_each_second(served: Served) -> None:
    with watching(served, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)

    assert process.returncode == exits.OK
    assert errors == b""
    assert all(b"tokens/s" in each and b"\x1b" not in each for each in lines)
