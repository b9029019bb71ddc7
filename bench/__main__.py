"""Measure what Lacuna claims: speed, memory, size, syncs.

By default everything but `large`, at 10,000, 100,000 and a million generated records: up to 20
minutes on two quiet cores, and 5 GB in TMPDIR, which should be on the kind of disk that a store
lies on. Results go to bench/results, one file for each benchmark, summary.json, and plots;
BENCHMARKS.md is written anew. What lookups are compared with is started here on loopback (Debian:
nginx, webdis, redis-server, postgresql; wrk for the load); what is missing is said.

A trial (--quick, or other sizes) writes to bench/results/trial instead, its page too, and judges
only floors that are about its largest size. `--sizes 10k,100k` takes about two minutes.
"""

import argparse
import importlib
import json
import re
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Final, NoReturn

from bench import machine, report
from bench.claim import Json
from bench.plots import ABSENT, load_pyplot
from bench.running import Progress, Run
from bench.sites import NoRoom, Sites, require_room

# In this order: records are imported before custodians start on them, and shredded after lookups.
BENCHMARKS: Final = (
    "importing",
    "importing_http",
    "starting",
    "memory",
    "index_size",
    "single",
    "batch",
    "latency",
    "growth",
    "workers",
    "layers",
    "shredding",
    "shredding_many",
    "sweeping",
    "appending",
    "timing",
    "probe",
    "syncing",
    "certificates",
    "recalling",
    "exporting",
    "large",
)
EVERYDAY: Final = tuple(name for name in BENCHMARKS if name != "large")
SIZES: Final = (10_000, 100_000, 1_000_000)
FULL_SIZES: Final = (10_000, 10_000_000)
ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = ROOT / "bench" / "results"
TRIAL: Final = RESULTS / "trial"
_SIZE: Final = re.compile(r"([1-9][0-9]{0,8})([kM]?)")
_LEAST, _MOST = 200, 10_000_000


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, print; return the exit status."""
    options = _parse(arguments)
    signal.signal(signal.SIGTERM, _stop)
    results, page = _where(options)
    results.mkdir(parents=True, exist_ok=True)
    if results == TRIAL:
        (TRIAL / ".gitignore").write_text("*\n")
    folder = Path(tempfile.mkdtemp(prefix="lacuna-bench-"))
    progress = Progress()
    try:
        require_room(folder, options.sizes)
        sites = Sites(folder, progress.tell)
        flame = results / report.PLOTS / "flame.svg" if options.flame else None
        run = Run(options.sizes, options.quick, sites, progress, flame)
        try:
            _measure(run, options.only or EVERYDAY, results)
        finally:
            sites.close()
    except NoRoom as error:
        folder.rmdir()
        print(f"bench: error: {error}", file=sys.stderr)
        return 1
    report.write(results, page)
    print(report.screen(report.load_results(results)))
    if load_pyplot() is None:
        print(f"bench: {ABSENT}", file=sys.stderr)
    print(f"bench: written to {results} and {page}", file=sys.stderr)
    return 0


def _measure(run: Run, names: tuple[str, ...], results: Path) -> None:
    facts = machine.describe(run.sites.folder)
    for number, name in enumerate(names, start=1):
        module = importlib.import_module(f"bench.{name}")
        run.progress.step(f"[{number}/{len(names)}] {name}: {_claim(module)}")
        found = _result(module, run, facts)
        found["order"] = BENCHMARKS.index(name)
        (results / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n")


def _result(module: ModuleType, run: Run, facts: Json) -> Json:
    load, others, begun = machine.load(), machine.Others(), time.monotonic()
    outcome: Json = module.measure(run).to_json()
    cores = others.cores()
    return {
        **outcome,
        "sizes": list(run.sizes),
        "quick": run.quick,
        "machine": facts,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load": {"start": load, "end": machine.load()},
        "others_cores": round(cores, 2),
        "doubts": machine.doubts(facts, cores),
        "seconds": round(time.monotonic() - begun, 1),
    }


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog="\n".join(["benchmarks:", *map(_line, BENCHMARKS)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--sizes",
        type=_sizes,
        default=SIZES,
        metavar="SIZES",
        help="numbers of records, as 10k,100k,1M (the default)",
    )
    parser.add_argument(
        "--only",
        type=_names,
        default=(),
        metavar="NAME",
        help="these benchmarks alone, separated by commas; the others keep their results",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round of each: to see whether it works, not how fast it is",
    )
    parser.add_argument(
        "--flame",
        action="store_true",
        help="with `single`: a flame graph of the worker under load, by py-spy",
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="`large` alone, at 10,000 and 10 million records: an hour, and 40 GB in TMPDIR",
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where results and page go")
    options = parser.parse_args(arguments)
    if options.full:
        options.sizes, options.only = FULL_SIZES, ("large",)
    return options


def _sizes(text: str) -> tuple[int, ...]:
    found = set()
    for each in text.split(","):
        match = _SIZE.fullmatch(each.strip())
        if match is None:
            raise argparse.ArgumentTypeError("write sizes as 10k,100k,1M")
        size = int(match[1]) * {"": 1, "k": 1_000, "M": 1_000_000}[match[2]]
        if not _LEAST <= size <= _MOST:
            raise argparse.ArgumentTypeError(f"sizes lie between {_LEAST} and {_MOST:,}")
        found.add(size)
    return tuple(sorted(found))


def _names(text: str) -> tuple[str, ...]:
    wanted = {each.strip() for each in text.split(",")}
    if unknown := sorted(wanted - set(BENCHMARKS)):
        raise argparse.ArgumentTypeError(
            f"there is no {unknown[0]}; there are {', '.join(BENCHMARKS)}"
        )
    return tuple(name for name in BENCHMARKS if name in wanted)


def _line(name: str) -> str:
    return f"  {name:<15} {_claim(importlib.import_module(f'bench.{name}'))}"


def _claim(module: ModuleType) -> str:
    """Return the first line of a benchmark's docstring."""
    return (module.__doc__ or "").partition("\n")[0].removeprefix("Claim: ")


def _where(options: argparse.Namespace) -> tuple[Path, Path]:
    """Return the folder of the results, and the page."""
    if options.output is not None:
        return options.output, options.output / "BENCHMARKS.md"
    if (options.sizes == SIZES or options.full) and not options.quick:
        return RESULTS, ROOT / "BENCHMARKS.md"
    return TRIAL, TRIAL / "BENCHMARKS.md"


def _stop(_signal: int, _frame: object) -> NoReturn:
    """End as after Ctrl-C: what was made is removed."""
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())
