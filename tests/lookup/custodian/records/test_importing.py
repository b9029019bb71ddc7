"""The import stream: a result for each line, whatever the others are, whoever sends them."""

import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup.custodian.api import imports
from lookup.custodian.records.draft import MAX_RECORD
from lookup.officers.roles import Act
from tests.lookup.raw_http import WAIT, wait_until
from tests.simulator import Custodian, Json, Site, import_lines, nhs, port, record

NDJSON = {"content-type": "application/x-ndjson"}


class Stream:
    """An import as it goes: lines are sent and results read in any order."""

    def __init__(self, site: Site, **options: int) -> None:
        self.socket = socket.socket()
        if "receive_buffer" in options:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options["receive_buffer"])
        self.socket.settimeout(WAIT)
        self.socket.connect(("127.0.0.1", port(site.listening[0])))
        self.socket.sendall(
            b"POST /v1/records/import HTTP/1.1\r\nHost: site.test\r\n"
            b"Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n"
            b"Authorization: Bearer " + site.token.encode() + b"\r\n\r\n"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # a file made of it may still be open
        self.socket.close()

    def send(self, content: bytes) -> None:
        self.socket.sendall(b"%x\r\n%b\r\n" % (len(content), content))

    def send_record(self, *arguments: str, **changes: Any) -> None:  # noqa: ANN401  # JSON
        self.send(json.dumps(record(*arguments, **changes)).encode() + b"\n")

    def end(self) -> None:
        self.socket.sendall(b"0\r\n\r\n")

    def results(self) -> Iterator[Json]:
        """Yield the lines of the answer as they come."""
        with HTTPResponse(self.socket) as response:
            response.begin()
            assert response.status == 200
            for line in response:
                yield json.loads(line)


def test_each_line_has_a_result(shared: Custodian) -> None:
    """added, unchanged, updated, invalid with its rule; the summary counts them."""
    import_lines(shared.feed, [record("same", nhs(1)), record("other", nhs(2))])
    answer = import_lines(
        shared.feed,
        [
            record("same", nhs(1)),
            record("other", nhs(3)),
            record("new", nhs(4)),
            record("bad", "nhs:9990000019"),
            b"\x00\xff binary \x1b garbage",
            b"",
            b"  \t ",
            record("last", nhs(5)),
        ],
    )
    *results, last = answer
    assert [(each["line"], each["result"]) for each in results] == [
        (1, "unchanged"),
        (2, "updated"),
        (3, "added"),
        (4, "invalid"),
        (5, "invalid"),
        (8, "added"),
    ]
    assert [each.get("rule") for each in results[3:5]] == ["nhs-check-digit", "record-shape"]
    assert results[1]["version"] == 2
    assert last == {"summary": {"lines": 8, "unchanged": 1, "updated": 1, "added": 2, "invalid": 2}}
    outcomes = [shared.outcome(nhs(number)) for number in range(1, 6)]
    assert outcomes == ["known", "no-record", "known", "known", "known"]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n\n"])
def test_the_last_line_needs_no_end(shared: Custodian, end: bytes) -> None:
    body = b"\r\n".join(json.dumps(record(f"end{end!r}{n}", nhs(20))).encode() for n in range(2))
    answer = shared.feed.post("/v1/records/import", content=body + end, headers=NDJSON)
    results = [json.loads(line) for line in answer.text.splitlines()]
    assert [each.get("result") for each in results] == ["added", "added", None]


def test_no_lines_at_all(shared: Custodian) -> None:
    answer = shared.feed.post("/v1/records/import", content=b"", headers=NDJSON)
    assert answer.json() == {"summary": {"lines": 0}}


def test_lines_that_are_too_long(shared: Custodian) -> None:
    """Of any length, first, last or in between; the largest record that there can be is taken."""
    room = (1 << 20) - 2
    large = json.dumps(record("large", nhs(30), payload="x" * room)).encode()
    padded = large + b" " * (MAX_RECORD - len(large))
    lines: list[Json | bytes] = [
        b"x" * (3 * MAX_RECORD),
        padded,
        b"[" * (MAX_RECORD + 1),
        record("short", nhs(31)),
    ]
    answer = import_lines(shared.feed, [*lines, b"{" * (2 * MAX_RECORD)])
    assert [each.get("rule", each.get("result")) for each in answer] == [
        "record-size",
        "added",
        "record-size",
        "added",
        "record-size",
        None,
    ]


def test_a_source_twice_in_one_stream(shared: Custodian) -> None:
    """Each line is stored in its turn: the second one finds what the first one stored."""
    lines = [record("twice", nhs(40), payload=n) for n in (1, 1, 2)]
    answer = import_lines(shared.feed, [record("before", nhs(41)), *lines, record("x", nhs(42))])
    assert [(each.get("result"), each.get("version")) for each in answer[1:4]] == [
        ("added", 1),
        ("unchanged", 1),
        ("updated", 2),
    ]
    record_id = answer[1]["record_id"]
    assert shared.feed.get(f"/v1/records/{record_id}").json()["payload"] == 2


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes_at_all(shared: Custodian, parts: list[bytes]) -> None:
    """Every line that is not blank has a result, in order; nothing is a defect of ours."""
    content = b"\n".join(parts)
    answer = shared.feed.post("/v1/records/import", content=content, headers=NDJSON)
    *results, last = [json.loads(line) for line in answer.text.splitlines()]
    lines = content.split(b"\n")
    told = [number for number, line in enumerate(lines, start=1) if line.strip()]
    assert [each["line"] for each in results] == told
    assert {each["rule"] for each in results} <= {"record-shape"}
    assert "summary" in last


def test_nothing_but_refused_lines_is_told_as_it_comes(
    shared: Custodian, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They fill batches, too: neither do they wait for the end, nor is one of them kept."""
    monkeypatch.setattr(imports, "FIRST_BATCH", 10)
    monkeypatch.setattr(imports, "BATCH_SECONDS", 60.0)  # or a pause would do it
    with Stream(shared.site) as stream:
        stream.send(b'{"nonsense":1}\n' * 25)
        results = stream.results()
        assert [next(results)["line"] for _ in range(20)] == list(range(1, 21))
        stream.end()
        assert [each.get("line") for each in results] == [21, 22, 23, 24, 25, None]


def test_results_come_while_lines_are_sent(shared: Custodian) -> None:
    """Not at the end of the stream: when lines pause, those that came are stored."""
    with Stream(shared.site) as stream:
        results = stream.results()
        stream.send_record("early", nhs(50))
        assert next(results)["result"] == "added"
        assert shared.outcome(nhs(50)) == "known"
        stream.send_record("late", nhs(51))
        assert next(results)["result"] == "added"
        stream.end()
        assert next(results)["summary"]["added"] == 2


def test_a_caller_who_leaves_in_the_middle(
    shared: Custodian, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Acknowledged lines stay, half a line is nothing, and it is no defect of ours."""
    monkeypatch.setattr(imports, "FIRST_BATCH", 2)
    with Stream(shared.site) as stream:
        stream.send_record("stays-1", nhs(60))
        stream.send_record("stays-2", nhs(61))
        results = stream.results()
        assert [next(results)["result"] for _ in range(2)] == ["added", "added"]
        stream.send(json.dumps(record("half", nhs(62))).encode()[:40])
    running = shared.app.state.importing
    wait_until(lambda: running._value == imports.MOST_AT_ONCE)
    assert [shared.outcome(nhs(n)) for n in (60, 61, 62)] == ["known", "known", "no-record"]
    again = import_lines(shared.feed, [record("stays-1", nhs(60)), record("stays-2", nhs(61))])
    assert [each.get("result") for each in again] == ["unchanged", "unchanged", None]
    assert caplog.text == ""


def test_a_caller_who_does_not_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs bounded memory, and nobody else anything; when it reads, all results are there."""
    monkeypatch.setattr(imports, "MAX_WAITING", 20_000)
    monkeypatch.setattr(imports, "FIRST_BATCH", 100)
    lines = b'{"nonsense":1}\n' * 100
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):  # or the kernel keeps megabytes for us
        site.listening[0].setsockopt(socket.SOL_SOCKET, option, 8192)
    with site.open() as custodian, Stream(site, receive_buffer=8192) as stream:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        stream.socket.setblocking(False)  # noqa: FBT003  # the socket's own word
        sent = 0
        chunk = b"%x\r\n%b\r\n" % (len(lines), lines)
        pending = b""
        while select.select([], [stream.socket], [], 0.5)[1]:
            pending = pending or chunk
            pending = pending[stream.socket.send(pending) :]
            sent += not pending
            assert sent < 20_000  # 30 MB
        assert import_lines(custodian.feed, [record("other", nhs(1))])[0]["result"] == "added"
        stream.socket.settimeout(WAIT)
        reading = threading.Thread(target=lambda: found.extend(stream.results()))
        found: list[Json] = []
        reading.start()
        stream.socket.sendall(pending)
        stream.end()
        reading.join(WAIT)
    assert found[-1]["summary"] == {
        "lines": 100 * (sent + bool(pending)),
        "invalid": len(found) - 1,
    }


def test_expungements_and_a_backup_go_on_while_records_are_imported(
    site: Site, tmp_path: Path
) -> None:
    """Nothing waits for the whole import, but for a batch, half a second.

    The bound leaves room for a machine that does other things beside it. The backup is of one
    commit.
    """
    lines = [record(f"bulk-{n}", nhs(n), payload="x" * 1_000) for n in range(8_000)]
    waits: list[float] = []
    answer: list[Json] = []
    with site.open() as custodian, custodian.unscheduled():
        ids = [custodian.add(f"one-{n}", nhs(20_000 + n)) for n in range(50)]
        cases = [custodian.desk.approved([each]) for each in ids]
        with site.feed() as feed:
            importing = threading.Thread(target=lambda: answer.extend(import_lines(feed, lines)))
            importing.start()
            backup = custodian.officer.post("/v1/local/backup", json={"folder": str(tmp_path)})
            while importing.is_alive() and cases:
                begun = time.monotonic()
                custodian.desk.take("rita", cases.pop(), Act.CARRY_OUT)
                waits.append(time.monotonic() - begun)
            importing.join()
    assert answer[-1]["summary"]["added"] == 8_000
    assert waits
    assert sorted(waits)[len(waits) // 2] < 2.0
    assert "backup" in json.loads(backup.text.splitlines()[-1])
