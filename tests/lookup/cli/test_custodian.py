"""What a command makes of a custodian that answers otherwise than it should."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookup import exits
from tests.lookup.cli.commanding import ROOT, lacuna
from tests.lookup.cli.test_main import CONFIG


def _problem(status: int, name: str) -> bytes:
    body = json.dumps({"type": f"urn:lacuna:problem:{name}", "detail": name})
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/problem+json"
    return f"{head}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A site's folder, with a configuration and no custodian."""
    with tempfile.TemporaryDirectory(prefix="lacuna-", dir="/tmp") as name:
        (Path(name) / "run").mkdir(mode=0o700)
        (Path(name) / "lacuna.toml").write_text(CONFIG)
        yield Path(name)


@contextlib.contextmanager
def answering(folder: Path, answer: bytes | None) -> Iterator[threading.Event]:
    """Listen as a custodian, and answer every request with the same bytes; None: never.

    The event is set once something was asked.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(folder / "run" / "officer.sock"))
    listener.listen(8)
    asked, over = threading.Event(), threading.Event()

    def serve() -> None:
        while True:
            try:
                connected, _ = listener.accept()
            except OSError:
                return
            with connected:
                if connected.recv(65536) and answer is None:
                    asked.set()
                    over.wait(30)
                elif answer is not None:
                    with contextlib.suppress(OSError):
                        connected.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


ANSWERS = {
    "nothing": (b"", exits.UNAVAILABLE, "went away before it answered"),
    "no HTTP": (b"hello\r\n\r\n", exits.UNAVAILABLE, "went away before it answered"),
    "half an answer": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
        exits.UNAVAILABLE,
        "went away before it answered",
    ),
    "a defect": (_problem(500, "internal-error"), exits.TEMPORARY, "internal-error"),
    "a failure": (_problem(503, "unavailable"), exits.TEMPORARY, "unavailable"),
    "a refusal": (_problem(409, "conflict"), exits.REFUSED, "conflict"),
    "a rule": (_problem(400, "invalid-request"), exits.USAGE, "invalid-request"),
    "a bare status": (
        b"HTTP/1.1 418 X\r\ncontent-length: 0\r\n\r\n",
        exits.REFUSED,
        "the custodian refused",
    ),
}


@pytest.mark.parametrize(("answer", "status", "told"), ANSWERS.values(), ids=ANSWERS.keys())
@pytest.mark.parametrize("command", ["purge", "backup b"])
def test_every_answer_ends_in_a_status_and_a_hint(
    folder: Path, command: str, answer: bytes, status: int, told: str
) -> None:
    with answering(folder, answer):
        result = lacuna("--config", folder / "lacuna.toml", *command.split())

    assert result.status == status
    assert told in result.stderr
    assert result.ends_in_a_hint


def test_a_socket_that_nobody_listens_on(folder: Path) -> None:
    """A custodian that was killed leaves one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(folder / "run" / "officer.sock"))

    result = lacuna("--config", folder / "lacuna.toml", "purge")

    assert result.status == exits.UNAVAILABLE
    assert "lacuna serve" in result.stderr


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("purge", "stopped waiting; the custodian goes on"),
        ("import -", "stopped waiting; the custodian goes on; at least 0 lines are durable"),
        ("status", ""),
    ],
)
def test_ctrl_c_ends_it_at_once(folder: Path, command: str, told: str) -> None:
    """And who has asked for a change hears that it may yet be made."""
    config = ["--config", str(folder / "lacuna.toml")]
    with answering(folder, None) as asked:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.lookup.cli.commanding", *config, *command.split()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert process.stdin is not None
        process.stdin.write("{}\n")
        process.stdin.close()
        process.stdin = None
        assert asked.wait(30)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)

    assert process.returncode == exits.INTERRUPTED
    assert told in stderr
    assert "Traceback" not in stderr
