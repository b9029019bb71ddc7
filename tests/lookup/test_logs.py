"""G9: what cannot get into a log."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MARKER = "QUITE-A-MARKER"
FORMATS = ("text", "json")

PRELUDE = """
import asyncio, logging, sys, threading, uvloop
from lookup.logs import configure_logging, describe, log_defect, log_loop_error
configure_logging("worker 0", sys.argv[1])
def fail(secret="QUITE-A-MARKER"):
    raise KeyError(secret)
"""

CASES = {
    "an uncaught exception": "fail()",
    "one in a thread": "t = threading.Thread(target=fail); t.start(); t.join()",
    "a foreign logger's traceback": """
try: fail()
except KeyError: logging.getLogger("uvicorn.error").exception("failed")
""",
    "a defect of ours": """
try: fail()
except KeyError as error: log_defect("a test", error)
""",
    "a callback in the event loop": """
async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_loop_error)
    loop.call_soon(fail, "QUITE-A-MARKER")
    await asyncio.sleep(0.01)
uvloop.run(main())
""",
    "a task that nobody awaited": """
async def main():
    async def task(): fail()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_loop_error)
    asyncio.ensure_future(task())
    await asyncio.sleep(0.01)
uvloop.run(main())
""",
}


def run(code: str, log_format: str = "text") -> str:
    command = [sys.executable, "-c", PRELUDE + code, log_format]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("log_format", FORMATS)
def test_of_an_exception_only_type_and_place(name: str, log_format: str) -> None:
    """One line; no message, no traceback, no argument."""
    logged = run(CASES[name], log_format)

    assert MARKER not in logged
    assert "Traceback" not in logged
    assert len(logged.splitlines()) == 1
    assert "KeyError at " in logged
    assert "in fail" in logged
    if log_format == "text":
        assert logged.startswith("worker 0[")
    else:
        event = json.loads(logged)
        assert event["process"] == "worker 0"
        assert set(event) <= KEYS


KEYS = {"time", "level", "process", "pid", "logger", "event", "error"}


def test_an_event_is_one_object_of_known_keys() -> None:
    """Whatever a record carries besides: a library's `extra` has no place to go."""
    code = 'logging.getLogger("lookup.x").info("a\\n%d", 7, extra={"token": "QUITE-A-MARKER"})'
    logged = run(code, "json")
    event = json.loads(logged)

    assert logged.count("\n") == 1
    assert set(event) == KEYS - {"error"}
    assert (event["event"], event["level"], event["logger"]) == ("a 7", "info", "lookup.x")
    assert event["time"].endswith("+00:00")


@pytest.mark.parametrize("log_format", FORMATS)
def test_a_line_that_cannot_be_made_shows_no_argument(log_format: str) -> None:
    """Logging itself would print the arguments, and a traceback."""
    logged = run('logging.getLogger("lookup").info("%d", "QUITE-A-MARKER")', log_format)

    assert logged == "a log line is lost: <string>:7\n"


def test_every_line_of_ours_is_constant_words() -> None:
    """No f-string, no concatenation: what varies is an argument, which a reviewer sees."""
    calls = [
        (path.relative_to(ROOT), node)
        for package in ("crypto", "keys", "lookup")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "logger"
        and node.func.attr not in {"setLevel", "addHandler"}
    ]
    loose = [
        f"{path}:{node.lineno}"
        for path, node in calls
        if not (isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str))
    ]

    assert len(calls) > 10
    assert loose == []


@pytest.mark.parametrize("log_format", FORMATS)
def test_of_foreign_loggers_only_warnings(log_format: str) -> None:
    logged = run(
        """
for name in ("uvicorn.error", "uvicorn.access", "asyncio", "anything"):
    logging.getLogger(name).info("GET /v1/lookup?token=QUITE-A-MARKER")
logging.getLogger("lookup.worker").info("ours")
""",
        log_format,
    )
    assert logged.splitlines() == [logged.strip()]
    assert MARKER not in logged
    assert "ours" in logged


def test_a_line_stays_one_line() -> None:
    assert len(run('logging.getLogger("lookup").info("a\\n\\rb")').splitlines()) == 1


def test_the_loop_says_nothing_of_clients_that_left() -> None:
    code = 'log_loop_error(None, {"message": "x", "exception": ConnectionResetError("x")})'
    assert run(code) == ""
    assert "without an exception" in run('log_loop_error(None, {"message": "QUITE-A-MARKER"})')
