"""G3, G6: SIGKILL for workers and custodian, again and again: each entry is taken in, once."""

import contextlib
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.conftest import SOAK
from tests.simulator import Site

ROOT = Path(__file__).parents[4]
ROUNDS = 50 if SOAK else 3


@contextlib.contextmanager
def auditor(site: Site, audit: str, vault: str) -> Iterator[None]:
    """Have a worker audit, until the block is left; then it is killed."""
    with (site.folder / "acknowledged").open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.lookup.custodian.auditor", audit, vault],
            cwd=ROOT,
            stdout=said,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_what_was_acknowledged_is_in_the_chain_once(site: Site) -> None:
    """Workers and custodian die in any order, and come back; at the end all of it is there."""
    with site.open() as custodian:
        handed_out = custodian.call(lambda custody: custody.audit.handed_out(demo=True))
        vault = custodian.custody.vault.id.hex()
    audit = msgspec.msgpack.encode(handed_out).hex()
    for _ in range(ROUNDS):
        with auditor(site, audit, vault), contextlib.ExitStack() as dying:
            dying.enter_context(auditor(site, audit, vault))
            custodian_process = site.spawn_custodian()
            custodian_process.await_log("ready: ")
            time.sleep(random.uniform(0, 3))  # noqa: S311  # no secret
            if random.random() < 0.5:  # noqa: S311  # as above
                dying.close()
            custodian_process.kill()
    with site.open() as custodian:
        lines = custodian.officer.post("/v1/local/audit/export").text.splitlines()
        entries = [line["entry"] for line in map(json.loads, lines) if "entry" in line]
        assert custodian.custody.alarms.damage == 0
    acknowledged = (site.folder / "acknowledged").read_text().splitlines()
    found = Counter(entry["request_id"] for entry in entries)
    assert not set(acknowledged) - found.keys(), "acknowledged, and lost"
    assert set(found.values()) == {1}
    assert len({entry["id"] for entry in entries}) == len(entries)
    assert list(site.config.audit.iterdir()) == []
    assert len(acknowledged) > ROUNDS * 100
