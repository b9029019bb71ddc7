"""What a lookup is made of: HTTP, parsing, authentication, hash, probe, answer, audit, TLS.

Floor: 3 µs for authentication, amortised over the ten minutes of an access token. The others have
none; they say where the time goes.

Method: parsing, authentication, hash, probe, answer and audit entry are called in this process, on
the server's CPU, with the worker's own functions, over a table of 1,000,000 links: 20,000 calls a
round, half of the tokens known, the loop around the call included; the median of seven rounds. The
whole is what the closed loop of single.py finds at a real worker: as it is, without audit, over TLS
1.3; the median of three rounds of two seconds, in turn. `audit` is the difference that it makes,
group and write included; `HTTP` is what remains of a lookup without audit: sockets,
event loop, parser and protocol.
"""

import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from bench.asking import (
    NO_AUDIT,
    UNAUDITED,
    Asked,
    are_audited,
    asked,
    takes,
    unknown_tokens,
)
from bench.certificate import make_certificate
from bench.claim import Claim, Floor, Json, Outcome, Plot
from bench.load.closed import Closed, ToolMissing, drive, in_turn, require_wrk
from bench.processors import Processors, pinned
from bench.running import Run
from bench.served import Answering, Workers, answered
from crypto.audit import AnswerKey, WitnessKey
from crypto.tag import TAG_SIZE, IndexKey, Tag, TagMaker
from lookup import wire
from lookup.audit.entry import EntryMaker, Head
from lookup.handoff import Authority, Category, Client, View
from lookup.index.layout import BODY, HANDLE_SIZE, NO_DAY, Link
from lookup.index.writer import Table
from lookup.worker.decide import decide_one
from lookup.worker.sessions import Sessions
from lookup.worker.view import OpenView, open_view

_AUTH: Final = Floor("<=", 3)
_CALLS: Final = 20_000
_TOKENS: Final = 1_024
_TODAY: Final = 9_800
_CLIENT: Final = "c1" * 14
_KID: Final = "k" * 16
_TLS: Final = "--tls-certificate"
_INSIDE: Final = ("parsing", "authentication", "hash", "probe", "answer")


def measure(run: Run) -> Outcome:
    """Call the parts, load the whole."""
    missing: list[str] = []
    run.progress.tell("calling parts of a lookup")
    with _view(run.largest) as (view, tokens), pinned(Processors.choose().server):
        parts = _parts(run, view, tokens)
    try:
        require_wrk()
        served = _served(run, missing)
    except ToolMissing as error:
        missing.append(f"the whole: {error}")
        served = {}
    rows = tuple(_rows(parts, served))
    lines = {row["layer"]: [(0.0, float(row["CPU, µs"]))] for row in rows if row["in a lookup"]}
    plot = Plot("What a lookup is made of", "", "µs of CPU", lines, scale="bars")
    claim = Claim(
        name="authentication-cpu",
        says="CPU of authentication, amortised",
        value=parts["authentication"],
        unit="µs",
        records=run.largest,
        judged=run.judged,
        floor=_AUTH,
        bound_by="one look into a dictionary for the header and one for the client",
    )
    return Outcome((claim,), rows, (plot,), tuple(missing))


def _rows(parts: dict[str, float], served: dict[str, float]) -> Iterator[Json]:
    def row(layer: str, micros: float, *, inside: bool) -> Json:
        return {"layer": layer, "CPU, µs": round(micros, 2), "in a lookup": "yes" if inside else ""}

    audited, plain, tls = (served.get(name) for name in ("audited", "plain", "TLS"))
    without = audited if plain is None else plain
    if without is not None:
        yield row("HTTP", without - sum(parts[name] for name in _INSIDE), inside=True)
    for name in _INSIDE:
        yield row(name, parts[name], inside=True)
    if audited is not None and plain is not None:
        yield row("audit", audited - plain, inside=True)
    yield row("of audit: the entry", parts["audit entry"], inside=False)
    if audited is not None and tls is not None:
        yield row("TLS 1.3", tls - audited, inside=True)
    if audited is not None:
        yield row("a whole lookup, without TLS", audited, inside=False)


# In this process


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Texts of tokens, every other one known, and the requests that ask for them."""

    texts: tuple[str, ...]
    bodies: tuple[bytes, ...]


@contextmanager
def _view(links: int) -> Iterator[tuple[OpenView, _Tokens]]:
    """Open a view as a worker does, of a table that is filled with others' links."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))  # tables are on tmpfs alone
    key = secrets.token_bytes(32)
    texts = tuple(unknown_tokens(_TOKENS, links))
    table = Table.create(folder, 1, links * 5 // 4 + _TOKENS)
    try:
        random = np.random.default_rng(links)
        tags = random.integers(0, 256, (links, TAG_SIZE), np.uint8)
        table.fill([(tags, random.integers(0, 256, (links, BODY.size), np.uint8))])
        maker = TagMaker(IndexKey(key))
        for text in texts[::2]:
            link = Link(secrets.token_bytes(HANDLE_SIZE), 9_400, NO_DAY, NO_DAY, 0, 0, test=False)
            table.add(maker.make(wire.parse_token(text)), link)
        table.complete()
        view = View(
            number=1,
            vault=bytes(16),
            table=str(table.path),
            index_key=key,
            kids=[_KID],
            clients={sha256(key).hexdigest(): Client(_CLIENT, "bench")},
            token_key=secrets.token_bytes(32),
            authorities=[Authority("AXT", "Axton", "+44 1632 960001", "+44 1632 960002")],
            categories=[Category("child-protection-plan", answerable=True)],
            belt_seconds=900,
        )
        opened = open_view(view, None)
        yield opened, _Tokens(texts, tuple(_body(text) for text in texts))
        opened.table.close()
    finally:
        table.close()
        shutil.rmtree(folder)


def _body(token: str) -> bytes:
    return (
        f'{{"kid":"{_KID}","token":"{token}","purpose":"unscheduled-care",'
        '"user":{"id":"user-00001","role":"triage-nurse"},"encounter":"ED-2026-00000001"}'
    ).encode()


def _parts(run: Run, view: OpenView, tokens: _Tokens) -> dict[str, float]:
    requests = [wire.parse_lookup(body) for body in tokens.bodies]
    tags = [view.tags.make(wire.parse_token(text)) for text in tokens.texts]
    calls: dict[str, tuple[Callable[[Any], object], Sequence[object]]] = {
        "parsing": (wire.parse_lookup, tokens.bodies),
        "authentication": _authentication(view),
        "hash": (lambda text: view.tags.make(wire.parse_token(text)), tokens.texts),
        "probe": (partial(_probe, view), tags),
        "decision": (lambda request: decide_one(view, request, _TODAY).check(), requests),
        "audit entry": _audit_entry(),
    }
    rounds, count = run.rounds(7), _CALLS // (10 if run.quick else 1)
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, (call, arguments) in calls.items():
            found[name].append(_cpu(call, arguments, count))
    micros = {name: median(figures) for name, figures in found.items()}
    micros["answer"] = micros.pop("decision") - micros["hash"] - micros["probe"]
    return micros


def _probe(view: OpenView, tag: Tag) -> None:
    probe = view.table.probe(tag)
    probe.read(view.decoys)
    view.table.check(probe)


def _authentication(view: OpenView) -> tuple[Callable[[Any], object], Sequence[object]]:
    """Return what finds the client of a request's header, and the headers of many tokens."""
    sessions, now = Sessions(), time.time()
    made = [view.token_keys.make(bytes.fromhex(_CLIENT), now) for _ in range(100)]
    headers = [b"Bearer " + token for token in made]
    return lambda header: sessions.client_of(header, view, now), headers


def _audit_entry() -> tuple[Callable[[Any], object], Sequence[object]]:
    """Return what makes an entry, and the handles of one link and of none."""
    maker = EntryMaker(WitnessKey(secrets.token_bytes(32)), AnswerKey(secrets.token_bytes(32)))
    names = (b"user-00001", b"triage-nurse", b"ED-2026-00000001")
    head = Head(1, 1, bytes(14), secrets.token_bytes(16), *names)
    handles: list[object] = [[[]], [[secrets.token_bytes(HANDLE_SIZE)]]]
    return lambda found: maker.make(head, found), handles


def _cpu(call: Callable[[Any], object], arguments: Sequence[object], count: int) -> float:
    """Return microseconds of CPU for each call."""
    wanted = [arguments[n % len(arguments)] for n in range(count)]
    begun = time.thread_time()
    for argument in wanted:
        call(argument)
    return (time.thread_time() - begun) / count * 1e6


# At a real worker


def _served(run: Run, missing: list[str]) -> dict[str, float]:
    """Return µs of CPU for each lookup, in each way of serving that there is."""
    with ExitStack() as stack, asked(run, run.largest) as site:
        errors = stack.enter_context((run.sites.folder / "layers.log").open("wb"))
        drives = {"audited": _Drive(run, site)}
        ways: dict[str, tuple[str, ...]] = {}
        if are_audited():
            ways["plain"] = (UNAUDITED,)
        else:
            missing.append(NO_AUDIT)
        if takes(_TLS):
            certificate, key = make_certificate(run.sites.folder)
            ways["TLS"] = (_TLS, str(certificate), "--tls-key", str(key))
        else:
            missing.append(f"TLS: this worker has no {_TLS}")
        for slot, (name, switches) in enumerate(ways.items(), start=1):
            cpus = (site.processors.server,)
            wanted = Workers(cpus=cpus, first_slot=slot, switches=switches)
            answering = stack.enter_context(answered(site.custodian.site, wanted, errors))
            answering.await_ready()
            drives[name] = _Drive(run, site, answering)
        rounds = in_turn(run.rounds(3), drives, run.progress.tell)
    return {name: median(each.micros for each in found) for name, found in rounds.items()}


class _Drive:
    """A closed loop on one way of serving."""

    def __init__(self, run: Run, site: Asked, answering: Answering | None = None) -> None:
        self._seconds = 1 if run.quick else 2
        self._site = site
        self._answering = answering or site.answering

    def __call__(self) -> Closed:
        answering, load = self._answering, self._site.processors.load
        scheme = "https" if answering.tls else "http"
        calls = self._site.calls()
        return drive(answering.address, answering.pids, calls, self._seconds, load, scheme=scheme)
