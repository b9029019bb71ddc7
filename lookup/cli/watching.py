"""`lacuna status --watch`: how a site does, drawn anew every second.

    History   the reports of the last ten seconds, and what lies between the first and the last
    draw      a picture of 80 columns, at a terminal
    line      the same in a line, elsewhere

Invariants:

* What is drawn are counts over seconds and the whole site: nobody's lookup can be told from it.
* Counters that went back (another custodian) are no negative rates: the history begins again.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from lookup import exits
from lookup.cli.console import Failure, say
from lookup.cli.standing import mirror_line, slot_line, table_line
from lookup.metering import quantile

SPAN: Final = 10.0  # seconds that figures are taken over
_EVERY: Final = 1.0  # seconds
_BARS: Final = " ▁▂▃▄▅▆▇█"
_SHOWN: Final = 60  # seconds of the curve
_MOST_LINES: Final = 8  # workers or slots that are drawn; a terminal has 24 lines
_SEPARATOR: Final = " · "

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pace:
    """What happened between two reports; times in microseconds, None where nothing did."""

    seconds: float
    known: int
    no_record: int
    requests: int
    batches: int
    could_not_check: dict[str, int]
    p50: float | None
    p99: float | None
    audit_p99: float | None

    @property
    def tokens(self) -> int:
        """Tokens that were answered."""
        return self.known + self.no_record

    @property
    def problems(self) -> int:
        """Requests that were answered with a problem."""
        return sum(self.could_not_check.values())

    def each_second(self, count: int) -> float:
        """A count as a rate."""
        return count / self.seconds if self.seconds else 0.0


class History:
    """The reports of the last seconds, and how many tokens each second answered."""

    def __init__(self) -> None:
        self._reports: deque[tuple[float, Json]] = deque()
        self.curve: deque[float] = deque(maxlen=_SHOWN)

    def note(self, at: float, report: Json) -> None:
        """Take a report; `at` is in seconds, by any clock that does not go back."""
        if self._reports and not _follows(report, self._reports[-1][1]):
            self._reports.clear()
        if self._reports:
            pace = between(*self._reports[-1], at, report)
            self.curve.append(pace.each_second(pace.tokens))
        self._reports.append((at, report))
        while at - self._reports[0][0] > SPAN:
            self._reports.popleft()

    def pace(self) -> Pace:
        """What happened since the oldest report."""
        return between(*self._reports[0], *self._reports[-1])


def _follows(report: Json, before: Json) -> bool:
    return bool(
        report["processes"]["custodian"] == before["processes"]["custodian"]
        and report["traffic"]["lookup"]["count"] >= before["traffic"]["lookup"]["count"]
    )


def between(begun: float, before: Json, ended: float, after: Json) -> Pace:
    """What happened between two reports of one custodian."""
    old, new = before["traffic"], after["traffic"]
    lookup, audit = (
        [n - o for n, o in zip(new[name]["buckets"], old[name]["buckets"], strict=True)]
        for name in ("lookup", "audit")
    )
    batches = new["lookups"]["count"] - old["lookups"]["count"]
    problems = {
        kind: count - old["could_not_check"].get(kind, 0)
        for kind, count in new["could_not_check"].items()
    }
    return Pace(
        seconds=ended - begun,
        known=new["tokens"]["known"] - old["tokens"]["known"],
        no_record=new["tokens"]["no-record"] - old["tokens"]["no-record"],
        requests=sum(lookup) + batches,
        batches=batches,
        could_not_check={kind: count for kind, count in problems.items() if count},
        p50=quantile(lookup, 0.5),
        p99=quantile(lookup, 0.99),
        audit_p99=quantile(audit, 0.99),
    )


def watch(ask: Callable[[], Json], away: Callable[[], str]) -> int:
    """Draw until Ctrl-C. `ask` returns a report or raises Failure; then `away` says how it is."""
    history = History()
    try:
        if not sys.stdout.isatty():
            while True:
                say(_line_now(history, ask, away))
                sys.stdout.flush()
                time.sleep(_EVERY)
        with Live(auto_refresh=False, console=Console(highlight=False)) as live:
            while True:
                live.update(_picture_now(history, ask, away), refresh=True)
                time.sleep(_EVERY)
    except KeyboardInterrupt:
        return exits.OK


def _picture_now(
    history: History, ask: Callable[[], Json], away: Callable[[], str]
) -> RenderableType:
    try:
        report = ask()
    except Failure as failure:
        text = Text(f"{failure.message}\nlookups: {away()}", style="bold red")
        return Panel(text, title=_title("no custodian"), border_style="red")
    history.note(time.monotonic(), report)
    return draw(report, history)


def _line_now(history: History, ask: Callable[[], Json], away: Callable[[], str]) -> str:
    try:
        report = ask()
    except Failure as failure:
        return f"{_clock()}  {failure.message}; lookups: {away()}"
    history.note(time.monotonic(), report)
    return line(report, history.pace())


def line(report: Json, pace: Pace) -> str:
    """Return a report as one line."""
    connected = sum(worker["connected"] for worker in report["workers"])
    parts = [
        _clock(),
        f"{pace.each_second(pace.tokens):.1f} tokens/s",
        f"p50 {_time(pace.p50)}, p99 {_time(pace.p99)}",
        f"known {pace.known}, no record {pace.no_record}, could not check {_problems(pace)}",
        f"audit p99 {_time(pace.audit_p99)}, {_pending(report)}",
        f"workers {connected}/{len(report['workers'])}",
        f"epoch {report['epoch']}",
        "; ".join(report["findings"]) or "nothing needs you",
    ]
    return "  ".join(parts)


def draw(report: Json, history: History) -> RenderableType:
    """Return the picture."""
    pace, findings = history.pace(), report["findings"]
    demo = ["demo"] if report["demo"] else []
    title = _title(*demo, f"vault {report['vault'][:8]}", f"epoch {report['epoch']}")
    style = "yellow" if findings else "green"
    needs = _rows({"needs you": Text("\n".join(findings) or "nothing", style=style)})
    parts = [_lookups(report, pace, history.curve), _workers(report), _custody(report), needs]
    ruled = [each for part in parts for each in (Rule(style="dim"), part)][1:]
    return Panel(Group(*ruled), title=title, title_align="left", border_style=style, width=80)


def _title(*parts: str) -> str:
    return _SEPARATOR.join((f"lacuna {_clock()}", *parts))


def _lookups(report: Json, pace: Pace, curve: "deque[float]") -> Table:
    rates = (
        f"{pace.each_second(pace.tokens):,.1f} tokens/s",
        f"{pace.each_second(pace.requests):,.1f} requests/s",
        f"{pace.each_second(pace.batches):,.1f} batches/s",
    )
    asked = max(pace.tokens, 1)
    outcomes = (
        f"known {pace.known / asked:.1%}" if pace.tokens else "known -",
        f"no record {pace.no_record / asked:.1%}" if pace.tokens else "no record -",
    )
    problems = Text(_problems(pace), style="yellow" if pace.problems else "")
    ready = report["lookups"]["ready"]
    return _rows(
        {
            "lookups": Text(report["lookups"]["detail"], style="green" if ready else "bold red"),
            "rate": _SEPARATOR.join(rates),
            "": Text(_curve(curve), style="cyan"),
            "time": f"p50 {_time(pace.p50)}{_SEPARATOR}p99 {_time(pace.p99)}",
            "outcomes": _SEPARATOR.join(outcomes),
            "not checked": problems,
            "audit": f"p99 {_time(pace.audit_p99)}{_SEPARATOR}{_pending(report)}",
        }
    )


def _workers(report: Json) -> Table:
    workers = report["workers"]
    shown = {f"worker {worker['slot']}": _worker(worker) for worker in workers[:_MOST_LINES]}
    if len(workers) > _MOST_LINES:
        current = sum(worker["current"] for worker in workers)
        shown["workers"] = Text(f"{current} of {len(workers)} have the current view")
    return _rows(shown)


def _worker(worker: Json) -> Text:
    if not worker["connected"]:
        return Text("missing", style="bold red")
    parts = (
        f"pid {worker['pid']}",
        "current" if worker["current"] else "not current",
        f"{worker['connections']} connections",
        f"audit queue at most {worker['audit_pending_most']}",
    )
    return Text(_SEPARATOR.join(parts), style="" if worker["current"] else "yellow")


def _custody(report: Json) -> Table:
    alarms = {kind: count for kind, count in report["alarms"].items() if count}
    shown: dict[str, RenderableType] = {
        "records": f"{report['records']:,}{_SEPARATOR}{report['clients']} clients",
        "table": table_line(report["table"]),
        "mirror": mirror_line(report["mirror"]),
    }
    for number, slot in enumerate(islice(report["slots"], _MOST_LINES)):
        bad = slot["lagging"] or slot["lost"]
        shown[f"slot {number}"] = Text(
            slot_line(slot | {"id": slot["id"][:8]}), style="yellow" if bad else ""
        )
    if alarms:
        shown["alarms"] = Text(_SEPARATOR.join(map(_kind, alarms.items())), style="bold red")
    return _rows(shown)


def _rows(rows: Mapping[str, RenderableType]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(width=11, style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _curve(rates: "deque[float]") -> str:
    most = max(rates, default=0.0) or 1.0
    return "".join(_BARS[round(rate / most * (len(_BARS) - 1))] for rate in rates)


def _problems(pace: Pace) -> str:
    kinds = sorted(pace.could_not_check.items(), key=lambda kind: -kind[1])
    return f"{pace.problems} ({', '.join(map(_kind, kinds))})" if kinds else "0"


def _kind(kind: tuple[str, int]) -> str:
    name, count = kind
    return f"{name} {count}"


def _pending(report: Json) -> str:
    return f"{sum(worker['audit_pending'] for worker in report['workers'])} pending"


def _time(microseconds: float | None) -> str:
    if microseconds is None:
        return "-"
    if microseconds < 1_000:
        return f"{microseconds:.0f} µs"
    if microseconds < 1_000_000:
        return f"{microseconds / 1_000:.1f} ms"
    return f"{microseconds / 1_000_000:.1f} s"


def _clock() -> str:
    return time.strftime("%H:%M:%S")
