"""Claim: by time nobody tells never known, expunged, restricted and expired apart, nor known.

Floor: over at least 100,000 interleaved requests the 99 % interval of the median difference of any
two of these lies within 1 µs of zero, and the AUC of a single time is at most 0.52.

Method: one worker on one CPU, the client on another one, spinning: one connection, one request
after another, timed from before it is sent to when its last byte is here. Blocks of six requests,
one of each kind in random order; 64 tokens of each kind in turn, so that all are equally warm.
Differences are taken inside a block, which lets slow drifts cancel. Interval and AUC are those of
distinguishing.py: order statistics, no resampling. The sixth kind is never known too, by other
tokens: its line shows what this method sees where there is nothing to be seen.

Expunged records left by cases just before. Restricted and expired ones are put into the table by
hand, a category that is not answered and a window that ended yesterday: the custodian leaves both
out of new tables, so that this is the harder case, that of the hours after the change. The
custodian is in this process (held.py).
"""

import gc
import random
import secrets
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import combinations, islice
from typing import Final

import numpy as np

from bench.asking import (
    enrol,
    identifier_of,
    known_records,
    single,
    token_of,
    unknown_tokens,
)
from bench.casework import Inside
from bench.claim import Claim, Floor, Json, Outcome
from bench.distinguishing import Interval, Times, auc, interval
from bench.held import Held, held
from bench.load.offered import connect, learn_size
from bench.processors import Processors, pinned
from bench.proving import authorization
from bench.running import Run
from bench.served import Workers, answered, served
from bench.sites import Site
from crypto.tag import TagMaker
from keys.entry import EntryId
from lookup.client.enrolment import Enrolment
from lookup.config import Address
from lookup.custodian.cases.carrying_out import tend
from lookup.custodian.custody import Custody
from lookup.custodian.records.draft import source_key
from lookup.index.layout import HANDLE_SIZE, NO_DAY, Link, days_of
from lookup.wire import parse_token

_MEDIAN: Final = Floor("<=", 1)
_AUC: Final = Floor("<=", 0.52)
_REQUESTS: Final = 126_000
_TOKENS: Final = 64
_WARM: Final = 200  # blocks
_OUTCOMES: Final = ("never known", "expunged", "restricted", "expired", "known")
_CONTROL: Final = "never known, again"
_KINDS: Final = (*_OUTCOMES, _CONTROL)
_BOUND_BY: Final = "see the pairs below; the control pair shows the method's own resolution"


def measure(run: Run) -> Outcome:
    """Time requests of all kinds."""
    blocks = (_REQUESTS if not run.quick else 3_000) // len(_KINDS)
    processors = Processors.choose()
    site, _ = run.sites.filled(run.largest)
    with ExitStack() as stack:
        errors = stack.enter_context((site.config.run / "log").open("wb"))
        with served(site, workers=None) as custodian_process:
            enrolment = enrol(custodian_process, "timing")
        custodian = stack.enter_context(held(site.config))
        workers = Workers(cpus=(processors.server,))
        answering = stack.enter_context(answered(site, workers, errors))
        answering.await_ready()
        run.progress.tell("expunging, and putting into the table what is not answered")
        with run.sites.lines(run.largest).open() as lines:
            tokens = _tokens(site, custodian, enrolment, lines, _TOKENS)
        address = answering.address
        bearer = authorization(enrolment, address)
        calls = [single(enrolment.kid, bearer, address, tokens[kind]) for kind in _KINDS]
        times = _time(run, address, calls, blocks, processors.load)
    pairs = {
        (one, other): _pair(times[one], times[other]) for one, other in combinations(_KINDS, 2)
    }
    rows = tuple(_row(*names, *found) for names, found in pairs.items() if _is_told(*names))
    judged = [found for names, found in pairs.items() if _CONTROL not in names]
    return Outcome(_claims(run, judged, times), rows)


def _is_told(one: str, other: str) -> bool:
    return _CONTROL not in (one, other) or "never known" in (one, other)


def _pair(one: Times, other: Times) -> tuple[Interval, float]:
    return interval(one, other), auc(one, other)


def _row(one: str, other: str, found: Interval, area: float) -> Json:
    return {
        "one": one,
        "other": other,
        "median difference, µs": round(found.median, 3),
        "99 % from, µs": round(found.low, 3),
        "to, µs": round(found.high, 3),
        "AUC": round(area, 4),
    }


def _claims(
    run: Run, judged: Sequence[tuple[Interval, float]], times: dict[str, Times]
) -> tuple[Claim, ...]:
    claimed = run.judged and not run.quick
    return (
        Claim(
            name="timing-median",
            says="furthest end of any 99 % interval of a median difference in time",
            value=max(found.furthest for found, _ in judged),
            unit="µs",
            records=run.largest,
            judged=claimed,
            floor=_MEDIAN,
            bound_by=_BOUND_BY,
        ),
        Claim(
            name="timing-auc",
            says="best AUC of a single time, any two outcomes",
            value=max(area for _, area in judged),
            unit="AUC",
            records=run.largest,
            judged=claimed,
            floor=_AUC,
            bound_by=_BOUND_BY,
        ),
        Claim(
            name="timing-round-trip",
            says="median time of one request, one connection",
            value=float(np.median(times["never known"])),
            unit="µs",
            records=run.largest,
            judged=False,
        ),
    )


def _tokens(
    site: Site, custodian: Held, enrolment: Enrolment, lines: Iterable[str], count: int
) -> dict[str, list[str]]:
    """Return tokens of each kind, having made them what they are to be."""
    sources = custodian.writer.call(lambda custody: dict(custody.sources)).result()
    answered_now = [
        (token_of(enrolment, identifier_of(record)), sources[source])
        for record in islice(known_records(lines), 4 * count)
        if (source := source_key(record["authority"], record["source_ref"])) in sources
    ]
    count = min(count, len(answered_now) // 2)
    known, gone = answered_now[:count], answered_now[count : 2 * count]
    custodian.writer.call(partial(_expunge, site, [record_id for _, record_id in gone])).result()
    found = {
        kind: unknown_tokens(count, seed)
        for seed, kind in enumerate(("never known", "restricted", "expired", _CONTROL))
    }
    custodian.writer.call(partial(_place, found["restricted"], found["expired"])).result()
    return found | {
        "known": [token for token, _ in known],
        "expunged": [token for token, _ in gone],
    }


def _expunge(site: Site, record_ids: Sequence[EntryId], custody: Custody) -> None:
    inside = Inside(site, custody)
    inside.approve(inside.ready(record_ids))
    tend(custody)


def _place(restricted: Sequence[str], expired: Sequence[str], custody: Custody) -> None:
    """Put links into the table that may not be answered."""
    publication = custody.publication
    if publication is None:
        raise RuntimeError("no table is in force")
    categories = enumerate(custody.catalogue.categories)
    silent = next(number for number, category in categories if not category.answerable)
    told = custody.catalogue.category_numbers["child-protection-plan"]
    today = datetime.now(UTC).date()
    since, yesterday = days_of(today) - 400, days_of(today - timedelta(days=1))
    tags = TagMaker(publication.key)
    for tokens, category, until in ((restricted, silent, NO_DAY), (expired, told, yesterday)):
        for token in tokens:
            link = Link(
                secrets.token_bytes(HANDLE_SIZE), since, NO_DAY, until, 0, category, test=False
            )
            publication.table.add(tags.make(parse_token(token)), link)


def _time(
    run: Run, address: Address, calls: Sequence[Sequence[bytes]], blocks: int, cpu: int
) -> dict[str, Times]:
    """Return the µs of each request, by kind; the n-th of each kind are of one block."""
    source = random.Random(blocks)  # noqa: S311  # an order, no secret
    found = np.zeros((len(_KINDS), blocks))
    order = list(range(len(_KINDS)))
    with pinned(cpu), connect(address) as line:
        size = learn_size([line], calls[0])
        line.settimeout(0)  # as setblocking(False)
        gc.disable()
        try:
            for block in range(-_WARM, blocks):
                source.shuffle(order)
                for kind in order:
                    took = _ask(line, calls[kind][block % len(calls[kind])], size)
                    if block >= 0:
                        found[kind, block] = took
                if block % 1_000 == 0:
                    run.progress.tell(f"timing: {block * len(_KINDS):,} requests")
        finally:
            gc.enable()
    return {kind: found[at] * 1e6 for at, kind in enumerate(_KINDS)}


def _ask(line: socket.socket, call: bytes, size: int) -> float:
    clock = time.perf_counter
    begun = clock()
    line.send(call)
    while size > 0:
        try:
            data = line.recv(65_536)
        except BlockingIOError:
            continue
        if not data:
            raise RuntimeError("the worker closed the connection")
        size -= len(data)
    return clock() - begun
