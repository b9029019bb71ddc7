"""The worker as a process: what it shows, what it keeps to itself, how it ends."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lookup.worker.plane import (
    ACCESS_TOKEN,
    CLIENT,
    KID,
    SECRET,
    Plane,
    encode_token,
    make_batch,
    make_body,
    make_request,
    running_plane,
    token_request,
)

UNKNOWN = b"?" * 32


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told_to(sent: signal.Signals) -> None:
    """With status 0, before and after the hand-off."""
    with running_plane() as plane:
        for ready in (False, True):
            if ready:
                plane.custodian.workers.clear()
                plane.start_worker()
                plane.ready()
            else:
                assert plane.look_up(UNKNOWN).status == 503
            plane.worker.send_signal(sent)
            assert plane.worker.wait(5) == 0


def test_it_gives_the_answers_that_it_owes(plane: Plane) -> None:
    """A request whose body comes while the worker is stopping is answered."""
    request = make_request(make_body(UNKNOWN))
    with plane.connect() as connection:
        connection.send(request[:-10])
        time.sleep(0.05)
        plane.worker.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.send(request[-10:])
        response = connection.receive()
    assert response.json["outcome"] == "no-record"
    assert response.headers["connection"] == "close"
    assert plane.worker.wait(5) == 0


def test_its_socket_outlives_it(plane: Plane) -> None:
    """What connects between two workers is answered by the second."""
    assert plane.stop() == 0
    with plane.connect() as connection:
        connection.send(make_request(make_body(UNKNOWN)))
        plane.custodian.workers.clear()
        plane.start_worker()
        assert connection.receive().status in {200, 503}


def test_its_memory_is_its_own(plane: Plane) -> None:
    """Undumpable: root owns its /proc files, and there is no core."""
    status = Path(f"/proc/{plane.worker.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", status)
    if os.geteuid() != 0:  # root may read every memory
        with pytest.raises(PermissionError):
            Path(f"/proc/{plane.worker.pid}/mem").open("rb").close()


def dumpable(arguments: tuple[str, ...]) -> str:
    """What prctl says in a process that was set up as a worker is."""
    code = (
        "import ctypes, sys; from lookup.worker import main as m;"
        "o = m._parse(sys.argv[1:]);"
        "m.settle_in(testing_only_dumpable=o.testing_only_dumpable);"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    command = [sys.executable, "-c", code, "--fd", "0", "--socket", "s", "--slot", "0", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_only_a_test_can_make_it_dumpable() -> None:
    assert dumpable(()) == "0"
    assert dumpable(("--testing-only-dumpable",)) == "1"


def test_it_holds_no_secret_in_arguments_or_environment(plane: Plane) -> None:
    command = Path(f"/proc/{plane.worker.pid}/cmdline").read_bytes()
    assert plane.custodian.index_key.expose().hex().encode() not in command
    words = command.split(b"\0")
    assert words[3:9:2] == [b"--fd", b"--socket", b"--slot"]
    assert words[9:] == [b"--testing-only-small-audit", b""]


def test_max_connections_is_obeyed() -> None:
    with running_plane("--max-connections", "1") as plane:
        plane.ready()
        with plane.connect() as first, plane.connect() as second:
            first.send(make_request(make_body(UNKNOWN)))
            assert first.receive().status == 200
            second.send(make_request(make_body(UNKNOWN)))
            assert second.receive().json["type"] == "urn:lacuna:problem:too-many-connections"


def test_nothing_of_a_lookup_is_logged(plane: Plane) -> None:
    """G9: no token, tag, user, encounter, secret, request id or URL; nor in what goes wrong."""
    token = plane.custodian.add()
    request_id = "0b0e7ae4-3a5f-4a6e-9c63-6c1b0a1f3b5d"
    for request in (
        make_request(make_body(token), x_request_id=request_id),
        make_request(make_batch([token]), "/v1/lookups"),
        make_request(make_body(token), f"/v1/lookup?token={encode_token(token)}"),
        make_request(make_body(token), f"/{encode_token(token)}"),
        make_request(make_body(token)[:-5]),
        make_request(make_body(token, user={"id": "nurse-4711"})),
        make_request(make_body(token), authorization=f"Basic {ACCESS_TOKEN}"),
        token_request(secret=SECRET),
        token_request(secret=SECRET[:-1]),
        b"GET /nurse-4711 nonsense\r\n\r\n",
    ):
        plane.ask(request)
    memory = plane.custodian.table._memory
    memory[memory.find(plane.custodian.tag(token)) + 12] ^= 1
    assert plane.look_up(token).status == 503
    plane.custodian.publish(index_key=b"short")
    time.sleep(0.2)
    assert plane.stop() == 0

    assert len(plane.log.splitlines()) <= 4
    secrets = (
        encode_token(token),
        token.hex(),
        plane.custodian.tag(token).hex(),
        "nurse-4711",
        "encounter-0815",
        "triage",
        SECRET,
        SECRET[:-1],
        ACCESS_TOKEN,
        CLIENT.id,
        KID,
        request_id,
        "/v1/",
        "127.0.0.1",
        "Traceback",
    )
    assert [each for each in secrets if each in plane.log] == []


def test_it_loads_nothing_that_it_must_not_have() -> None:
    """G8: no key module, no token maker, no numpy, no web framework."""
    code = "import sys, lookup.worker.main; print('\\n'.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    forbidden = ("keys", "lookup.custodian", "lookup.client", "crypto.token", "crypto.record")
    frameworks = ("numpy", "fastapi", "starlette", "pydantic", "argon2")
    for name in (*forbidden, *frameworks, "crypto.derive", "crypto.allornothing"):
        assert not [each for each in loaded if each == name or each.startswith(f"{name}.")]
