"""G7 and G6: killed at any moment of a case, a custodian loses no step and does none twice."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx2
import pytest

from keys.entry import EntryId, Kind
from lookup.custodian.cases.carrying_out import tend
from lookup.custodian.cases.certifying import certificates
from lookup.custodian.custody import Custody
from lookup.officers.roles import Act
from lookup.transparency.certificate import leaf_of
from tests.officers import COURT_ORDER, Desk, Json
from tests.simulator import Custodian, Site, nhs

# A client whose custodian is killed while it connects leaves its socket to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
)

READY = "ready: "
# A step takes three milliseconds here, a carrying out thirty.
DELAYS = [0.001, 0.005, 0.01, 0.016, 0.024, 0.04]


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        yield made


def kill_during(site: Site, delay: float, work: Callable[[Desk], None]) -> None:
    """Let somebody work at a custodian of its own process, and kill that one meanwhile."""
    process = site.spawn_custodian()
    process.await_log(READY)
    begun = threading.Event()
    with site.officer() as client:
        desk = site.officers.office(client, site.vault)

        def run() -> None:
            begun.set()
            with suppress(httpx2.HTTPError):
                work(desk)

        thread = threading.Thread(target=run)
        thread.start()
        begun.wait()
        time.sleep(delay)
        process.kill()
        thread.join()


def read(custodian: Custodian, case: Json) -> Json | None:
    response = custodian.desk.ask("ada", "GET", f"/v1/cases/{case['case']}")
    return dict(response.json()) if response.status_code == 200 else None


def proofs(custody: Custody) -> tuple[int, list[int]]:
    """Return how many cases were destroyed, and how often the leaf of each certificate is there."""
    log = list(custody.store.log.span(0, custody.store.log.size))
    leaves = [log.count(leaf_of(each.statement, each.nonce)) for each in certificates(custody)]
    return len(list(custody.vault.scan(Kind.DESTROYED))), leaves


def test_a_carrying_out_is_done_once_or_not_at_all(site: Site) -> None:
    """Record, case, certificate: all there as before, or all as after; one leaf for each."""
    with site.open() as custodian:
        cases = [
            custodian.desk.approved([custodian.add(f"r-{n}", nhs(n))]) for n in range(len(DELAYS))
        ]
        for n, case in enumerate(cases):  # so that the scheduler does not come before the officer
            cases[n] = custodian.desk.take("sam", case, Act.HOLD, reason="court-case")
    gone: set[int] = set()
    for n, delay in enumerate(DELAYS):

        def work(desk: Desk, case: Json = cases[n]) -> None:
            case = desk.take("leo", case, Act.RELEASE)
            desk.step("leo", case, Act.CARRY_OUT)

        kill_during(site, delay, work)
        with site.open() as custodian:
            custodian.call(tend)
            now = read(custodian, cases[n])
            gone |= {n} if now is None else set()
            assert (custodian.outcome(nhs(n)) == "no-record") == (now is None)
            assert custodian.call(proofs) == (len(gone), [1] * len(gone))
            assert now is None or now["hold"]


def test_of_steps_that_were_sent_a_beginning_is_there(site: Site) -> None:
    """Each that was acknowledged, perhaps one more, and all of them signed and in their order."""
    with site.open() as custodian:
        ids = [custodian.add(f"r-{n}", nhs(n)) for n in range(3)]
        cases = [custodian.desk.open([each], restrict=True) for each in ids]
    for case, delay in zip(cases, (0.003, 0.008, 0.015), strict=True):
        acknowledged: list[Act] = []

        def work(desk: Desk, case: Json = case, done: list[Act] = acknowledged) -> None:
            script = [("sam", Act.RESTRICT), ("ana", Act.CONFIRM), ("leo", Act.SHORTEN)]
            script += [("ana", Act.APPROVE), ("sam", Act.LIFT)]
            for name, act in script:
                case = desk.take(name, case, act, **(COURT_ORDER if act is Act.SHORTEN else {}))
                done.append(act)

        kill_during(site, delay, work)
        with site.open() as custodian:
            now = read(custodian, case)
            assert now is not None
            there = [step["act"] for step in now["steps"]][1:]
            assert there[: len(acknowledged)] == acknowledged
            assert len(there) <= len(acknowledged) + 1
            record = EntryId(bytes.fromhex(now["named"][0]["record_id"]))
            hidden = custodian.call(lambda custody: custody.instead)
            assert (record in hidden) == (Act.RESTRICT in there and Act.LIFT not in there)
