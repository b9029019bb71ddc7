"""The operator's port: what it tells, to whom, and what it refuses."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lookup.custodian import main
from lookup.custodian.api import operator as operators
from lookup.custodian.api.operator import OperatorApp, apart
from lookup.custodian.exposition import Scrape, expose
from lookup.metering import NOTHING
from tests.lookup.raw_http import wait_until
from tests.lookup.serving import Running as Served
from tests.simulator import Custodian, Json, Site, import_lines, nhs, port, record

MARKER = "quite-a-marker"


@dataclass
class Operated:
    """A site of which somebody reads the metrics."""

    site: Site
    custodian: Custodian
    client: httpx2.Client
    others: httpx2.Client

    def read(self) -> dict[tuple[str, str], float]:
        """Every sample, by its name and the values of its labels, as Prometheus reads them."""
        return parse(self.client.get("/metrics").text)


def parse(text: str) -> dict[tuple[str, str], float]:
    samples = {}
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("lacuna_")
        assert family.documentation
        for sample in family.samples:
            key = sample.name, ",".join(sample.labels.values())
            assert key not in samples
            samples[key] = sample.value
    return samples


@pytest.fixture
def operated(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    monkeypatch.setattr(operators, "FRESH", 0.0)
    with site.open() as custodian:
        own, other = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        tells = OperatorApp(custodian.writer, custodian.custody, custodian.facts)
        app = apart(custodian.app, tells, port(own))
        served = Served(app, [own, other], main.LIMITS)
        addresses = [f"http://127.0.0.1:{port(each)}" for each in (own, other)]
        with (
            httpx2.Client(base_url=addresses[0]) as client,
            httpx2.Client(base_url=addresses[1]) as others,
        ):
            yield Operated(site, custodian, client, others)
        served.stop()
        served.join()


def test_figures_are_those_of_the_site(operated: Operated) -> None:
    custodian = operated.custodian
    worker = operated.site.spawn_worker()
    asking = custodian.enrol()
    lines: list[Json | bytes] = [record("r1", nhs(1)), record("r2", nhs(2)), b"{"]
    import_lines(custodian.feed, lines)
    import_lines(custodian.feed, lines[:1])
    worker.ready()
    custodian.shred(custodian.add("r3", nhs(3)))
    assert [worker.outcome(asking, nhs(n)) for n in (1, 1, 3)] == ["known", "known", "no-record"]
    told = operated.read()

    version = custodian.call(lambda custody: custody.vault.version)
    expected = {
        ("lacuna_tokens_total", "known"): 2,
        ("lacuna_tokens_total", "no-record"): 1,
        ("lacuna_answer_seconds_count", "lookup"): 3,
        ("lacuna_answer_seconds_bucket", "+Inf,lookup"): 3,
        ("lacuna_import_lines_total", "added"): 2,
        ("lacuna_import_lines_total", "unchanged"): 1,
        ("lacuna_import_lines_total", "invalid"): 1,
        ("lacuna_destroyed_records_total", ""): 1,
        ("lacuna_commits_total", ""): version.sequence,
        ("lacuna_epoch", ""): version.epoch,
        ("lacuna_records", ""): 2,
        ("lacuna_links", ""): 3,  # the canary's is one
        ("lacuna_table_complete", ""): 1,
        ("lacuna_mirror_commits_behind", ""): 0,
        ("lacuna_slots_lagging", ""): 0,
        ("lacuna_workers_connected", ""): 1,
        ("lacuna_clients", ""): 1,
    }
    assert {key: told.get(labelled(key, told)) for key in expected} == expected


def labelled(key: tuple[str, str], told: dict[tuple[str, str], float]) -> tuple[str, str]:
    """The key, whatever the order of its labels."""
    name, values = key
    wanted = sorted(values.split(","))
    return next(k for k in told if k[0] == name and sorted(k[1].split(",")) == wanted)


def test_histograms_are_whole(operated: Operated) -> None:
    """Cumulative, from 16 µs to infinity, with a count that is the last of them."""
    told = operated.read()
    bounds = [k[1] for k in told if k[0] == "lacuna_audit_commit_seconds_bucket"]

    assert len(bounds) == 18
    assert (float(bounds[0]), float(bounds[-2]), bounds[-1]) == (16e-6, 1.048576, "+Inf")


def test_labels_hold_nothing_of_a_request(operated: Operated) -> None:
    """Nor a client's name, nor a worker beside an outcome."""
    custodian = operated.custodian
    worker = operated.site.spawn_worker()
    asking = custodian.enrol(MARKER)
    custodian.add(MARKER, nhs(1))
    worker.ready()
    worker.outcome(asking, nhs(1))
    text = operated.client.get("/metrics").text

    assert MARKER not in text
    assert asking.client_id not in text
    families = list(text_string_to_metric_families(text))
    labels = {name for f in families for s in f.samples for name in s.labels}
    known = {"outcome", "problem", "fault", "route", "le", "worker", "result", "kind", "what"}
    assert labels == known
    assert not any({"outcome", "worker"} <= set(s.labels) for f in families for s in f.samples)


def test_only_metrics_and_health_are_served_there(operated: Operated) -> None:
    """Not the interface of officers and feeds, whoever asks."""
    client = operated.client
    token = {"authorization": f"Bearer {operated.site.token}"}
    for path in ("/", "/v1/authorities", "/v1/local/status", "/openapi.json", "/metrics/", "/v1"):
        refused = client.get(path, headers=token)
        assert (refused.status_code, refused.json()["type"]) == (
            404,
            "urn:lacuna:problem:not-found",
        )
    assert client.post("/metrics").status_code == 405
    assert client.get("/metrics?x=1").status_code == 400
    assert client.head("/metrics").text == ""
    for path in ("/health/live", "/health/ready"):
        assert client.get(path).json() == {"status": "pass"}


def test_metrics_are_served_nowhere_else(operated: Operated) -> None:
    token = {"authorization": f"Bearer {operated.site.token}"}
    assert operated.others.get("/metrics", headers=token).status_code == 404
    assert operated.others.get("/health/live").status_code == 200
    assert operated.custodian.officer.get("/metrics").status_code == 404


def test_they_are_plain_text_of_the_known_version(operated: Operated) -> None:
    headers = operated.client.get("/metrics").headers

    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert headers["cache-control"] == "no-store"


def test_a_worker_that_is_started_again_takes_nothing_back(operated: Operated) -> None:
    """Its counters begin at zero, those of the site go on; also when it was noticed long since."""
    custodian = operated.custodian
    asking = custodian.enrol()
    seen = []
    for _ in range(3):
        worker = operated.site.spawn_worker().ready()
        for number in (1, 2):
            worker.outcome(asking, nhs(number))
        seen.append(operated.read()["lacuna_tokens_total", "no-record"])
        worker.process.kill()
        seen.append(operated.read()["lacuna_tokens_total", "no-record"])
        custodian.add(f"noticed-{len(seen)}", nhs(100 + len(seen)))
        seen.append(operated.read()["lacuna_tokens_total", "no-record"])

    assert seen == [2, 2, 2, 4, 4, 4, 6, 6, 6]


def test_a_busy_writer_does_not_silence_the_workers(
    operated: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own figures are then the last ones, and their age says so; ready it is not."""
    epoch = operated.read()["lacuna_epoch", ""]
    monkeypatch.setattr(operators, "PATIENCE", 0.1)
    with busy(operated.custodian):
        wait_until(lambda: operated.read()["lacuna_figures_age_seconds", ""] > 0.3)
        told = operated.read()
        assert operated.client.get("/health/ready").status_code == 503
        assert operated.client.get("/health/live").status_code == 200
    assert told["lacuna_epoch", ""] == epoch
    assert told["lacuna_tokens_total", "known"] == 0
    wait_until(lambda: operated.read()["lacuna_figures_age_seconds", ""] < 0.3)


class busy:  # noqa: N801  # used as a context manager alone
    """The writer does nothing else."""

    def __init__(self, custodian: Custodian) -> None:
        self._custodian = custodian
        self._done = threading.Event()

    def __enter__(self) -> None:
        self._future = self._custodian.writer.call(lambda _: self._done.wait(30))

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._future.result(30)


def test_whoever_asks_often_learns_no_more(
    operated: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures change once a second: a known child is not seen by reading before and after."""
    monkeypatch.setattr(operators, "FRESH", 60.0)
    before = operated.client.get("/metrics").text
    operated.custodian.add("r1", nhs(1))

    assert operated.client.get("/metrics").text == before


def test_alarms_are_told_where_there_are_any(operated: Operated) -> None:
    """By their kind, of a list that is the custodian's."""
    report = operated.custodian.officer.get("/v1/local/status").json()
    assert not any(report["alarms"].values())
    report["alarms"] = {"honey": 3}

    told = parse(expose(Scrape(NOTHING, {}, report, 0.0)).decode())
    assert told["lacuna_alarms_total", "honey"] == 3


def test_before_the_writer_has_said_anything() -> None:
    """The workers' figures alone, and not a zero for what nobody knows."""
    told = parse(expose(Scrape(NOTHING, {}, None, 0.0)).decode())

    assert told["lacuna_tokens_total", "known"] == 0
    assert ("lacuna_epoch", "") not in told
