"""G6 and section 6 of the design: a custodian whose medium fails ends; lookups go on without it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Self

import httpx2
import pytest

from lookup import exits
from lookup.client.enrolment import Enrolment
from lookup.client.outcome import CouldNotCheck, Known
from lookup.client.questions import Occasion, User
from lookup.client.sync import LookupClient
from lookup.identifiers import Identifier, parse_identifier
from tests.faults.playing import ROOT
from tests.faults.strace import Fault, attach
from tests.lookup.raw_http import WAIT, wait_until
from tests.simulator import Site, nhs, port, record

pytestmark = pytest.mark.faults

THERE, NOT_THERE, NEW = (parse_identifier(nhs(number)) for number in (1, 2, 3))


class Served:
    """A site under its supervisor."""

    def __init__(self, site: Site) -> None:
        """Add a record, enrol a client, and let a supervisor have the ports."""
        with site.open() as custodian:
            custodian.add("there", THERE.text)
            self.enrolment: Enrolment = custodian.enrol()
        ports = [port(each) for each in site.listening]
        for each in site.listening:
            each.close()
        site.tables["serve"] |= {
            "custodian": f"127.0.0.1:{ports[0]}",
            "lookup": f"127.0.0.1:{ports[1]}",
        }
        site.configure()
        self.folder = site.folder
        self.feed = httpx2.Client(
            base_url=f"http://127.0.0.1:{ports[0]}",
            headers={"authorization": f"Bearer {site.token}"},
            timeout=WAIT,
        )
        self._log = site.folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.launching", site.folder / "lacuna.toml"],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.close()
        self._process.terminate()
        self._process.wait(WAIT)

    @property
    def log(self) -> str:
        """What its processes have said."""
        return self._log.read_text()

    def await_ready(self, times: int) -> None:
        """Return when a custodian was ready so many times."""
        wait_until(lambda: self.log.count("ready: ") == times, 30)

    @property
    def custodian(self) -> int:
        """The custodian's process id."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for pid in children.read_text().split():
            if b"lookup.custodian.main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
        raise AssertionError("no custodian runs")


@contextmanager
def asking_all_the_time(client: LookupClient) -> Iterator[list[tuple[float, str]]]:
    """Look up one who is there and one who is not, until the block is left; note what is said."""
    heard: list[tuple[float, str]] = []
    enough = Event()

    def ask() -> None:
        while not enough.is_set():
            said = " and ".join(outcome(client, child) for child in (THERE, NOT_THERE))
            heard.append((time.monotonic(), said))

    asking = Thread(target=ask)
    asking.start()
    try:
        yield heard
    finally:
        enough.set()
        asking.join()


def outcome(client: LookupClient, child: Identifier) -> str:
    try:
        answer = client.lookup(child, Occasion(User("nurse-1", "triage nurse")))
    except CouldNotCheck as error:
        return f"could not check: {error}"
    return "known" if isinstance(answer, Known) else "no record"


@pytest.mark.parametrize(
    ("fault", "file", "cause"),
    [
        ("fsync EIO", "store/vault.db-wal", "store/vault.db: disk I/O error"),
        ("pwrite64 ENOSPC", "mirror/mirror.db-wal", "mirror/mirror.db: database or disk is full"),
    ],
)
def test_lookups_go_on_while_a_custodian_ends_and_another_starts(
    fault: str, file: str, cause: str
) -> None:
    """Exit status 70, the cause in words, a restart; no wrong answer, and none missing, meanwhile.

    What was not acknowledged is sent again, and is there once.
    """
    call, error = fault.split()
    members = record("new", NEW.text)
    with Site() as site, Served(site) as served, LookupClient(served.enrolment) as client:
        served.await_ready(1)
        wait_until(lambda: outcome(client, THERE) == "known")
        failing = Fault(call, 1, f"error={error}", files=[site.folder / file])
        tracer = attach(served.custodian, site.folder / "strace", failing)
        with asking_all_the_time(client) as heard:
            with pytest.raises(httpx2.HTTPError):
                served.feed.post("/v1/records", json=members)
            gone = time.monotonic()
            served.await_ready(2)
            back = time.monotonic()
        tracer.communicate()

        assert f"custodian ended with status {exits.FAIL_STOP}" in served.log
        assert f"the cause: {site.folder}/{cause}" in served.log
        assert {said for _, said in heard} == {"known and no record"}
        assert [at for at, _ in heard if gone < at < back]
        assert served.feed.post("/v1/records", json=members).is_success
        assert outcome(client, NEW) == "known"
