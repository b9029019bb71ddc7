"""The operator's port of a whole site: supervisor, custodian and workers as they are run."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lookup import exits
from lookup.config import load_config
from tests.lookup.cli.commanding import (
    ROOT,
    SAMPLE,
    Folders,
    Served,
    free_port,
    serving,
    until,
)

KNOWN, UNKNOWN = "nhs:9990001014\n", "nhs:9434765919\n"


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    """A site with an operator's port; tests may kill parts of it."""
    site = Folders(Path(tempfile.mkdtemp(prefix="lacuna-", dir="/tmp")))
    made = site.init("--demo", "--operator", f"127.0.0.1:{free_port()}")
    assert made.status == 0, made.stderr
    site.config.write_text(
        site.config.read_text().replace("[serve]", '[serve]\nlog_format = "json"')
    )
    with serving(site) as served:
        assert site.run("import", SAMPLE).status == 0
        assert site.run("client", "add", "A", "--enrolment", site.folder / "e.json").status == 0
        yield served
    site.remove()


def url(site: Folders, path: str = "/metrics") -> str:
    return f"http://{load_config(site.config).operator}{path}"


def scrape(served: Served) -> dict[str, float]:
    """The sums of each counter, over all values of its labels."""
    text = httpx2.get(url(served.site)).text
    return {
        f.name: sum(s.value for s in f.samples if s.name.endswith(("_total", "_count")))
        for f in text_string_to_metric_families(text)
        if f.type in {"counter", "histogram"}
    }


def look_up(served: Served, identifier: str) -> str:
    enrolment = served.site.folder / "e.json"
    run = served.site.run("lookup", "--enrolment", enrolment, "--json", typed=identifier)
    return str(run.json["outcome"])


def test_counters_never_go_back_while_workers_are_killed(running: Served) -> None:
    """Each of them, at every reading; and nothing that was counted is lost."""
    readings = [scrape(running)]
    for round_ in range(3):
        for identifier, outcome in ((KNOWN, "known"), (UNKNOWN, "no-record")):
            assert look_up(running, identifier) == outcome
        before = running.children()
        victim = f"worker {round_ % 2}"
        os.kill(before[victim], signal.SIGKILL)
        readings.append(scrape(running))
        until(lambda v=victim, b=before: running.children().get(v) not in {None, b[v]}, running)  # type: ignore[misc]  # bound now
        until(running.healthy, running)
        readings.append(scrape(running))

    assert readings[-1]["lacuna_tokens"] >= readings[0]["lacuna_tokens"] + 6
    for name in readings[0]:
        values = [reading[name] for reading in readings]
        assert values == sorted(values), name


def test_all_processes_log_as_they_are_told_to(running: Served) -> None:
    """An object a line, of the supervisor's too; what it knows of a process is its name."""
    events = [json.loads(each) for each in running.log.splitlines()]

    assert {e["process"] for e in events} == {"supervisor", "custodian", "worker 0", "worker 1"}
    assert any(event["event"].startswith("ready: ") for event in events)


def test_it_is_a_port_of_its_own(running: Served) -> None:
    """Here nothing but metrics and health; there everything but metrics."""
    config = load_config(running.site.config)
    assert httpx2.get(url(running.site, "/v1/authorities")).status_code == 404
    assert httpx2.get(url(running.site, "/v1/local/status")).status_code == 404
    assert httpx2.get(url(running.site, "/health/ready")).status_code == 200
    for address in (config.custodian, config.lookup):
        assert httpx2.get(f"http://{address}/metrics").status_code == 404


def test_without_a_custodian_there_are_no_metrics(running: Served) -> None:
    """A scrape fails then, which is what tells an operator; lookups go on."""
    os.kill(running.children()["custodian"], signal.SIGSTOP)
    try:
        with pytest.raises(httpx2.TimeoutException):
            httpx2.get(url(running.site), timeout=0.5)
        assert look_up(running, KNOWN) == "known"
    finally:
        os.kill(running.children()["custodian"], signal.SIGCONT)
    until(running.healthy, running)
    assert scrape(running)


def test_the_status_has_the_same_figures(running: Served) -> None:
    report = running.status()

    tokens = sum(report["traffic"]["tokens"].values())
    until(lambda: scrape(running)["lacuna_tokens"] == tokens, running)  # a second later
    assert report["traffic"]["lookup"]["count"] > 0
    assert report["traffic"]["lookup"]["p50"] <= report["traffic"]["lookup"]["p99"]
    assert report["work"]["import_lines"]["added"] == 1000
    assert {worker["connections"] for worker in report["workers"]} <= {0, 1}


def test_a_port_in_use_is_named() -> None:
    """Before any process is started."""
    site = Folders(Path(tempfile.mkdtemp(prefix="lacuna-", dir="/tmp")))
    try:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            assert site.init("--demo", "--operator", address).status == 0
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "tests.lookup.cli.commanding"),
                    *("--config", site.config, "serve"),
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                text=True,
                timeout=30,
                cwd=ROOT,
            )
        assert done.returncode == exits.TEMPORARY
        assert f"cannot listen on {address}: Address already in use" in done.stderr
    finally:
        site.remove()
