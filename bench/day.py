"""Plays a day of hospitals against a real site: locust, headless or on a web page.

A site is made and filled, its custodian and workers are started, hospitals of different size are
enrolled; then locust plays bench/locustfile.py for the time given. Written are report.html (by
locust) and summary.json: requests, rate, errors by kind, the workers' memory at the start, at the
end and in between, and how many answers have no audit entry. Exit status 1 if anything failed that
should not have.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final

from bench import machine
from bench.__main__ import RESULTS, ROOT
from bench.asking import answering_of, enrol, known_tokens
from bench.claim import Json
from bench.processors import Processors, pin, resident
from bench.running import Progress
from bench.served import Served, Workers, served
from bench.sites import Sites, require_room
from lookup.client.enrolment import format_enrolment

# Requests of a large hospital for one of the smallest.
_WEIGHTS: Final = (20, 12, 8, 5, 3, 2, 1, 1)
_KNOWN: Final = 500
_TAKEN_IN: Final = 6.0  # seconds in which a custodian has taken in all that was written before
_DURATION: Final = re.compile(r"[1-9][0-9]*[smh]")
_WEB: Final = ("127.0.0.1", "8089")


def main(arguments: list[str] | None = None) -> int:
    """Play; return the exit status."""
    options = _parse(arguments)
    folder = Path(tempfile.mkdtemp(prefix="lacuna-day-"))
    progress = Progress()
    require_room(folder, (options.records,))
    sites = Sites(folder, progress.tell)
    try:
        return _play(options, sites, progress)
    finally:
        sites.close()


def _play(options: argparse.Namespace, sites: Sites, progress: Progress) -> int:
    processors = Processors.choose()
    site, _ = sites.filled(options.records)
    wanted = Workers(options.workers, (processors.server,))
    with served(site, workers=wanted, cpu=processors.load) as custodian:
        answering = answering_of(custodian)
        day = _write_day(custodian, sites, options.records)
        if options.ui:
            progress.step(f"locust listens on http://{':'.join(_WEB)}; Ctrl-C ends it")
            return _locust(options, day, None, processors)
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / ".gitignore").write_text("report.html\n")
        progress.step(f"a day of {options.users} people in {options.duration}")
        with _watched(answering.pids) as memory:
            status = _locust(options, day, options.output, processors)
        summary = _summary(options, custodian, memory)
    text = json.dumps(summary, indent=2) + "\n"
    (options.output / "summary.json").write_text(text)
    print(text, end="")
    print(f"load: written to {options.output}", file=sys.stderr)
    return 1 if status or summary["failures"] or summary["unaudited answers"] else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.day", description=__doc__)
    parser.add_argument(
        "--duration", type=_duration, default="60s", help="as 90s, 10m, 1h: stands for 24 hours"
    )
    parser.add_argument("--users", type=int, default=60, help="people at the busiest hour")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--output", type=Path, default=RESULTS / "load", metavar="FOLDER")
    parser.add_argument("--ui", action="store_true", help="open locust's web page instead")
    return parser.parse_args(arguments)


def _duration(text: str) -> str:
    if _DURATION.fullmatch(text) is None:
        raise argparse.ArgumentTypeError("write a duration as 90s, 10m or 1h")
    return text


def _write_day(custodian: Served, sites: Sites, records: int) -> Path:
    """Enrol hospitals; write what locust needs into a private file."""
    enrolments = [enrol(custodian, f"hospital {n}") for n in range(1, len(_WEIGHTS) + 1)]
    answering = answering_of(custodian)
    answering.await_ready()
    with sites.lines(records).open() as lines:
        known = known_tokens(enrolments[0], lines, _KNOWN)
    content = {
        "address": str(answering.address),
        "known": known,
        "hospitals": [
            {"weight": weight, "enrolment": json.loads(format_enrolment(enrolment))}
            for weight, enrolment in zip(_WEIGHTS, enrolments, strict=True)
        ],
    }
    path = sites.folder / "day.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(content))
    return path


def _locust(
    options: argparse.Namespace, day: Path, output: Path | None, processors: Processors
) -> int:
    address = json.loads(day.read_text())["address"]
    command = [
        *(sys.executable, "-m", "locust", "--locustfile", "bench/locustfile.py"),
        *("--loglevel", "WARNING", "--host", f"http://{address}", "--users", str(options.users)),
    ]
    environment = {**os.environ, "DAY": str(day), "PYTHONPATH": str(ROOT)}
    if output is None:
        command += ["--web-host", _WEB[0], "--web-port", _WEB[1]]
    else:
        command += [
            *("--headless", "--only-summary", "--run-time", options.duration),
            *("--html", str(output / "report.html"), "--exit-code-on-error", "0"),
        ]
        environment["DAY_SUMMARY"] = str(day.parent / "locust.json")
    done = subprocess.run(
        command,
        env=environment,
        cwd=ROOT,
        check=False,
        stdout=sys.stderr,
        preexec_fn=pin(processors.load),  # sched_setaffinity(2) alone
    )
    return done.returncode


@dataclass(slots=True)
class _Memory:
    """What the workers had to themselves, second by second; bytes."""

    samples: list[int] = field(default_factory=list)

    def told(self) -> Json:
        """Return it in MB. `settled`: after a tenth of the time."""
        megabytes = [round(each / 1e6, 1) for each in self.samples]
        return {
            "start, MB": megabytes[0],
            "settled, MB": megabytes[len(megabytes) // 10],
            "most, MB": max(megabytes),
            "end, MB": megabytes[-1],
        }


@contextmanager
def _watched(pids: tuple[int, ...]) -> Iterator[_Memory]:
    """Look at the workers' memory every second."""
    memory, over = _Memory([resident(pids)]), threading.Event()

    def watch() -> None:
        while not over.wait(1):
            memory.samples.append(resident(pids))

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield memory
    finally:
        over.set()
        watching.join()
        memory.samples.append(resident(pids))


def _summary(options: argparse.Namespace, custodian: Served, memory: _Memory) -> Json:
    folder = custodian.site.config.path.parent.parent
    found: Json = json.loads((folder / "locust.json").read_text())
    answered = sum(found["kinds"].get(kind, {}).get("requests", 0) for kind in ("lookup", "batch"))
    audited = count_audited(custodian)
    return {
        **found,
        "workers": options.workers,
        "workers' memory": memory.told(),
        "answers": answered,
        "audit entries": audited,
        "unaudited answers": None if audited is None else max(0, answered - audited),
        "not counted": "" if audited is not None else "answers without audit: nothing is audited",
        "duration": options.duration,
        "machine": machine.in_short(machine.describe(folder)),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
    }


def count_audited(custodian: Served) -> int | None:
    """Return how many audit entries the custodian has taken in; None where it has no audit."""
    time.sleep(_TAKEN_IN)
    connection = custodian.local()
    connection.request("POST", "/v1/local/audit/verify")
    response = connection.getresponse()
    lines = response.read().splitlines()
    if response.status == HTTPStatus.NOT_FOUND:
        return None
    verdict = json.loads(lines[-1]).get("verdict", {})
    if response.status != HTTPStatus.OK or not verdict.get("sound"):
        raise RuntimeError("the audit chain does not verify")
    entries: int = verdict["entries"]
    return entries


if __name__ == "__main__":
    sys.exit(main())
