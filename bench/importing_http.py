"""The same import over a real socket: what a caller on the same machine sees.

Floor: none of its own; it keeps importing.py honest.

Method: the custodian's process (served.py) with one worker connected, in a fresh site; one POST
over TCP loopback, sent by one thread while another reads the results, as the interface allows. At
most 100,000 records. From the first byte sent to the summary received; the CPU is the custodian's
alone, the client takes its share of the same cores. Peak memory is the custodian's, at the end.
"""

import json
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from bench.claim import Claim, Outcome
from bench.filling import ImportFailed
from bench.officers import REGISTRAR
from bench.running import Run
from bench.served import Served, served

MOST: Final = 100_000
_PART: Final = 1 << 18


def measure(run: Run) -> Outcome:
    """Import once, at the largest size that is not too large."""
    records = min(run.largest, MOST)
    lines, site = run.sites.lines(records), run.sites.fresh("http", records)
    with served(site) as custodian:
        cpu = custodian.cpu()
        seconds = _import(custodian, lines, records, run)
        cpu, peak = custodian.cpu() - cpu, custodian.memory()["VmHWM"]
    claim = Claim(
        name="import-rate-http",
        says="import over TCP loopback, client on the same machine",
        value=records / seconds,
        unit="records/s",
        records=records,
        judged=False,
    )
    row = {
        "records": records,
        "records/s": round(records / seconds),
        "custodian CPU µs/record": round(cpu / records * 1e6, 1),
        "custodian peak memory, MB": round(peak / 1e6, 1),
    }
    return Outcome((claim,), (row,))


def _import(custodian: Served, lines: Path, records: int, run: Run) -> float:
    connection = custodian.connection
    begun = time.perf_counter()
    connection.putrequest("POST", "/v1/records/import")
    connection.putheader("authorization", f"Bearer {custodian.site.token(REGISTRAR)}")
    connection.putheader("content-type", "application/x-ndjson")
    connection.putheader("content-length", str(lines.stat().st_size))
    connection.endheaders()
    sending = threading.Thread(target=_send, args=(connection, lines), daemon=True)
    sending.start()
    response = connection.getresponse()
    done, last = 0, b""
    while part := response.read1(_PART):
        done += part.count(b"\n")
        last = (last + part)[-1_000:]
        run.progress.tell(f"importing over HTTP: {done:,} of {records:,}")
    seconds = time.perf_counter() - begun
    sending.join()
    if json.loads(last.splitlines()[-1]).get("summary", {}).get("added") != records:
        raise ImportFailed(f"of {records} records not all were added over HTTP")
    return seconds


def _send(connection: HTTPConnection, lines: Path) -> None:
    with lines.open("rb") as file:
        while part := file.read(_PART):
            connection.sock.sendall(part)
