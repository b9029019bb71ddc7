"""Claim: a lookup costs at most three times the CPU of nginx, and a fifth of an ordinary service's.

Floors at 1,000,000 records, CPU per request: 3 times nginx that answers a fixed body of the same
length, 1.25 times webdis + Redis (which neither authenticate nor audit), a fifth of FastAPI +
pydantic + PostgreSQL doing the same job, at 8 times its throughput. Without audit, by a switch
that production refuses: 2.3 times nginx.

Method: each server with all its processes and threads on one CPU, the load on another one; 32
keep-alive connections by wrk, each asks again when it has its answer; rounds of three seconds, the
servers in turn and the order turned round each time; medians of five rounds, and ratios of medians
of one run. CPU time is the scheduler's, of all threads of all processes: webdis and Redis both, the
application and every database backend, all threads of our worker. The custodian's, which takes the
audit in meanwhile on the other CPU, stands beside. All get the same requests (but webdis, which
only has GET), and answer 2,048 bytes. `own handler, FastAPI` is our lookup behind FastAPI's routing
and a pydantic model, without audit. With `--flame` py-spy samples the worker under this load.
"""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from bench import flame
from bench.asking import NO_AUDIT, UNAUDITED, Asked, are_audited, asked, bearer_of
from bench.claim import Claim, Floor, Json, Outcome, Plot
from bench.load.closed import Closed, LoadFailed, ToolMissing, drive, in_turn, require_wrk
from bench.peers import database, nginx, routed, webdis
from bench.peers.process import Peer, PeerMissing
from bench.processors import ONE_CPU
from bench.running import Run
from bench.served import Workers, answered

Drives = dict[str, Callable[[], Closed]]

LACUNA: Final = "Lacuna"
WITHOUT_AUDIT: Final = "Lacuna, without audit"
_SECONDS: Final = 3.0
_BOUND_BY: Final = "the interpreter and the kernel's sockets; see the layers and the flame graph"


@dataclass(frozen=True, slots=True)
class _Ratio:
    """A promise about two of the servers."""

    name: str
    says: str
    of: str
    to: str
    floor: Floor
    rates: bool = False


_RATIOS: Final = (
    _Ratio("lookup-nginx", "lookup : nginx, CPU", LACUNA, nginx.NAME, Floor("<=", 3)),
    _Ratio("lookup-webdis", "lookup : webdis + Redis, CPU", LACUNA, webdis.NAME, Floor("<=", 1.25)),
    _Ratio(
        "lookup-ordinary",
        "lookup : FastAPI + pydantic + PostgreSQL, CPU",
        *(LACUNA, database.NAME, Floor("<=", 0.2)),
    ),
    _Ratio(
        "lookup-ordinary-rate",
        "lookup : FastAPI + pydantic + PostgreSQL, throughput",
        *(LACUNA, database.NAME, Floor(">=", 8)),
        rates=True,
    ),
    _Ratio(
        "lookup-unaudited-nginx",
        "lookup without audit : nginx, CPU",
        *(WITHOUT_AUDIT, nginx.NAME, Floor("<=", 2.3)),
    ),
)


def measure(run: Run) -> Outcome:
    """Load all servers in turn."""
    try:
        require_wrk()
    except ToolMissing as error:
        return Outcome((), (), (), (f"anything: {error}",))
    missing: list[str] = []
    with ExitStack() as stack, asked(run, run.largest) as site:
        if not site.processors.apart:
            missing.append(ONE_CPU)
        drives: Drives = {LACUNA: partial(_drive_ours, run, site)}
        _add_unaudited(stack, run, site, drives, missing)
        _add_peers(stack, run, site, drives, missing)
        _warm(drives, missing)
        rounds = in_turn(run.rounds(5), drives, run.progress.tell)
        failed = [] if run.flame is None else _draw_flame(run.flame, site)
    rows = tuple(_row(name, found) for name, found in rounds.items())
    drawn = () if run.flame is None or failed else (run.flame.name,)
    return Outcome(_claims(run, rows), rows, _plots(rows), (*missing, *failed), drawn)


def _warm(drives: Drives, missing: list[str]) -> None:
    """Load each once: connections, caches, prepared statements. Drop peers that do not answer."""
    for name, once in list(drives.items()):
        try:
            once()
        except LoadFailed as error:
            if name in {LACUNA, WITHOUT_AUDIT}:
                raise
            missing.append(f"{name}: {error}")
            del drives[name]


def _seconds(run: Run) -> float:
    return 1.0 if run.quick else _SECONDS


def _drive_ours(run: Run, site: Asked) -> Closed:
    pids, apart = site.answering.pids, {"custodian": (site.custodian.process.pid,)}
    load = site.processors.load
    return drive(site.answering.address, pids, site.calls(), _seconds(run), load, apart=apart)


def _drive_peer(run: Run, peer: Peer, load: int) -> Closed:
    return drive(peer.address, peer.pids, peer.calls, _seconds(run), load)


def _add_unaudited(
    stack: ExitStack,
    run: Run,
    site: Asked,
    drives: Drives,
    missing: list[str],
) -> None:
    if not are_audited():
        missing.append(NO_AUDIT)
        return
    errors = stack.enter_context((run.sites.folder / "unaudited.log").open("wb"))
    wanted = Workers(cpus=(site.processors.server,), first_slot=1, switches=(UNAUDITED,))
    answering = stack.enter_context(answered(site.custodian.site, wanted, errors))
    answering.await_ready()
    peer = Peer(WITHOUT_AUDIT, answering.address, answering.pids, site.calls())
    drives[WITHOUT_AUDIT] = partial(_drive_peer, run, peer, site.processors.load)


def _add_peers(
    stack: ExitStack,
    run: Run,
    site: Asked,
    drives: Drives,
    missing: list[str],
) -> None:
    folder, cpu, calls = run.sites.folder / "peers", site.processors.server, site.calls()
    folder.mkdir(exist_ok=True)
    stack.callback(shutil.rmtree, folder)
    content = database.Content(bearer_of(calls[0]), site.known, run.largest)
    peers: dict[str, Callable[[], AbstractContextManager[Peer]]] = {
        nginx.NAME: lambda: nginx.nginx(folder / "nginx", cpu, calls),
        webdis.NAME: lambda: webdis.webdis(folder / "webdis", cpu),
        routed.NAME: lambda: routed.routed(folder / "routed", site, cpu),
        database.NAME: lambda: database.database(folder / "database", cpu, calls, content),
    }
    for name, start in peers.items():
        run.progress.tell(f"starting {name}")
        try:
            peer = stack.enter_context(start())
        except PeerMissing as error:
            missing.append(f"{name}: {error}")
        else:
            drives[name] = partial(_drive_peer, run, peer, site.processors.load)


def _row(name: str, rounds: list[Closed]) -> Json:
    micros = sorted(each.micros for each in rounds)
    beside = [each.apart["custodian"] / each.requests * 1e6 for each in rounds if each.apart]
    return {
        "server": name,
        "CPU, µs": round(median(micros), 2),
        "least, µs": round(micros[0], 2),
        "most, µs": round(micros[-1], 2),
        "requests/s": round(median(each.rate for each in rounds)),
        "custodian, µs": round(median(beside), 2) if beside else "",
    }


def _claims(run: Run, rows: tuple[Json, ...]) -> tuple[Claim, ...]:
    found = {row["server"]: row for row in rows}
    plain = [
        Claim(
            name="lookup-cpu",
            says="CPU of one lookup",
            value=found[LACUNA]["CPU, µs"],
            unit="µs",
            records=run.largest,
            judged=False,
        ),
        Claim(
            name="lookup-rate",
            says="lookups of one worker on one CPU",
            value=found[LACUNA]["requests/s"],
            unit="lookups/s",
            records=run.largest,
            judged=False,
        ),
    ]
    ratios = [
        Claim(
            name=ratio.name,
            says=ratio.says,
            value=found[ratio.of][column] / found[ratio.to][column],
            unit="times",
            records=run.largest,
            judged=run.judged and are_audited(),
            floor=ratio.floor,
            bound_by=_BOUND_BY,
        )
        for ratio in _RATIOS
        if {ratio.of, ratio.to} <= found.keys()
        for column in ("requests/s" if ratio.rates else "CPU, µs",)
    ]
    return (*plain, *ratios)


def _plots(rows: tuple[Json, ...]) -> tuple[Plot, ...]:
    def bars(title: str, column: str, unit: str) -> Plot:
        lines = {row["server"]: [(0.0, float(row[column]))] for row in rows}
        return Plot(title, "", unit, lines, scale="bars")

    return (
        bars("CPU per request, 32 connections", "CPU, µs", "µs of CPU"),
        bars("Throughput of one CPU, 32 connections", "requests/s", "requests/s"),
    )


def _draw_flame(path: Path, site: Asked) -> list[str]:
    """Sample the worker under load, and draw; return why not."""
    pid, load = site.answering.pids[0], site.processors.load
    calls = site.calls()
    try:
        root = flame.sample(
            pid,
            load,
            site.custodian.site.config.run / "samples",
            lambda: drive(site.answering.address, (pid,), calls, 6, load),
        )
    except flame.NoFlame as error:
        return [f"a flame graph: {error}"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(flame.render(root, "One worker under 32 connections: share of its time"))
    return []
