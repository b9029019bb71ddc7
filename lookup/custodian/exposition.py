"""Metrics: a site's figures as Prometheus reads them.

Invariants:

* Labels hold names from fixed lists: an outcome, a kind of problem, a result, the number of a
  worker. Never a client, an identifier, or anything of a request.
* Outcomes are counted for the site, not for a worker: connections stay with one, so that a
  worker's could be a hospital's.
* The figures are those of the status report and of the workers' pages, nothing of this process's
  own (a process collector would read /proc, which an undumpable process may not).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from lookup import metering
from lookup.metering import BUCKET_ENDS, FAMILIES, PROBLEM_NAMES, Family, Times

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
_PREFIX: Final = "lacuna_"
_SECOND: Final = 1_000_000  # microseconds

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scrape:
    """What one answer tells. `report` is the custodian's, taken `age` seconds ago; None: not yet.

    `counters` are all workers' together, `gauges` each connected worker's by its slot.
    """

    counters: Sequence[int]
    gauges: Mapping[int, Sequence[int]]
    report: Json | None
    age: float


def expose(scrape: Scrape) -> bytes:
    """Return the text format, version 0.0.4."""
    return generate_latest(_Snapshot(scrape))


class _Snapshot(Collector):
    def __init__(self, scrape: Scrape) -> None:
        self._scrape = scrape

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        scrape = self._scrape
        for family in FAMILIES:
            if family.kind == "counter":
                yield _counter(family, scrape.counters)
            elif family.kind == "histogram":
                yield _histogram(family, scrape.counters)
            else:
                yield _gauge_by_worker(family, scrape.gauges)
        if scrape.report is not None:
            yield _gauge("figures_age_seconds", "Since the custodian was last asked.", scrape.age)
            yield from _custodian(scrape.report)


def _counter(family: Family, page: Sequence[int]) -> Metric:
    labels = [family.label] if family.label else []
    faults = ["fault"] if family is metering.COULD_NOT_CHECK else []
    made = CounterMetricFamily(_PREFIX + family.name, family.help, labels=labels + faults)
    for value, number in metering.read_numbers(page, family).items():
        fault = [PROBLEM_NAMES[value]] if faults else []
        made.add_metric([value, *fault] if labels else [], number)
    return made


def _histogram(family: Family, page: Sequence[int]) -> Metric:
    labels = [family.label] if family.label else []
    made = HistogramMetricFamily(_PREFIX + family.name, family.help, labels=labels)
    for value, times in metering.read_times(page, family).items():
        made.add_metric([value] if labels else [], _cumulative(times), times.microseconds / _SECOND)
    return made


def _cumulative(times: Times) -> list[tuple[str, float]]:
    ends = [*(repr(end / _SECOND) for end in BUCKET_ENDS), "+Inf"]
    sums = [sum(times.buckets[: number + 1]) for number in range(len(ends))]
    return [(end, float(count)) for end, count in zip(ends, sums, strict=True)]


def _gauge_by_worker(family: Family, pages: Mapping[int, Sequence[int]]) -> Metric:
    made = GaugeMetricFamily(_PREFIX + family.name, family.help, labels=["worker"])
    for slot, page in sorted(pages.items()):
        made.add_metric([str(slot)], page[metering.WORDS[family].start])
    return made


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(_PREFIX + name, text, value=value)


def _custodian(report: Json) -> Iterator[Metric]:
    """What the custodian knows, from its report."""
    table, mirror = report["table"], report["mirror"]
    for name, text, value in (
        ("epoch", "The forgetful map's epoch.", report["epoch"]),
        ("records", "Records that the vault holds.", report["records"]),
        ("links", "Links that may be answered, one for each live lookup key.", table["links"]),
        ("table_load", "How full the table is, from 0 to 1.", table["load"]),
        ("table_generation", "How many tables this custodian has made.", table["generation"]),
        ("table_complete", "1: a miss in the table proves something.", int(table["complete"])),
        ("damaged_pages", "Pages that open nowhere.", len(report["damaged_pages"])),
        ("slots_lagging", "Slots that have not confirmed.", _count(report["slots"], "lagging")),
        ("slots_lost", "Slots that were given up.", _count(report["slots"], "lost")),
        ("slots_absent", "Slots that the start did not find.", len(report["absent_slots"])),
        ("lookup_keys", "Live, indexed kids.", _count(report["lookup_keys"], "indexed")),
        ("clients", "Enrolled clients.", report["clients"]),
        ("workers", "Workers that there should be.", len(report["workers"])),
        ("workers_connected", "Workers that are there.", _count(report["workers"], "connected")),
        ("workers_current", "Workers with the view of now.", _count(report["workers"], "current")),
        ("start_time_seconds", "When the custodian started, since 1970.", report["started"]),
    ):
        yield _gauge(name, text, value)
    cases = GaugeMetricFamily(_PREFIX + "cases", "Cases, and what waits of them.", labels=["what"])
    for what, number in report["cases"].items():
        cases.add_metric([what], number)
    yield cases
    if mirror["behind"] is not None:
        yield _gauge("mirror_commits_behind", "Commits that the mirror lacks.", mirror["behind"])
    if mirror["age_seconds"] is not None:
        text = "Since store and mirror were last written."
        yield _gauge("last_commit_age_seconds", text, mirror["age_seconds"])
    yield from _custodian_counters(report)


def _custodian_counters(report: Json) -> Iterator[Metric]:
    work = report["work"]
    text = "Commits of the vault, ever."
    yield CounterMetricFamily(_PREFIX + "commits", text, value=report["sequence"])
    text = "Records that were destroyed, since the custodian started."
    yield CounterMetricFamily(_PREFIX + "destroyed_records", text, value=work["destroyed"])
    text = "Lines of imports, since the custodian started."
    yield _labelled("import_lines", text, "result", work["import_lines"])
    yield _labelled("alarms", "Alarms, since the custodian started.", "kind", report["alarms"])


def _labelled(name: str, text: str, label: str, numbers: Mapping[str, int]) -> Metric:
    made = CounterMetricFamily(_PREFIX + name, text, labels=[label])
    for value, number in numbers.items():
        made.add_metric([value], number)
    return made


def _count(items: Sequence[Json], so: str) -> int:
    return sum(bool(item[so]) for item in items)
