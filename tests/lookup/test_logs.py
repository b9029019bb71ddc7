"""G9: what cannot get into a log."""

import subprocess
import sys

import pytest

MARKER = "QUITE-A-MARKER"

PRELUDE = """
import asyncio, logging, threading, uvloop
from lookup.logs import configure_logging, describe, log_defect, log_loop_error
configure_logging("worker 0")
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


def run(code: str) -> str:
    command = [sys.executable, "-c", PRELUDE + code]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("name", CASES)
def test_of_an_exception_only_type_and_place(name: str) -> None:
    """One line; no message, no traceback, no argument."""
    logged = run(CASES[name])

    assert MARKER not in logged
    assert "Traceback" not in logged
    assert len(logged.splitlines()) == 1
    assert "KeyError at " in logged
    assert "in fail" in logged
    assert logged.startswith("worker 0[")


def test_of_foreign_loggers_only_warnings() -> None:
    logged = run("""
for name in ("uvicorn.error", "uvicorn.access", "asyncio", "anything"):
    logging.getLogger(name).info("GET /v1/lookup?token=QUITE-A-MARKER")
logging.getLogger("lookup.worker").info("ours")
""")
    assert logged.splitlines() == [logged.strip()]
    assert logged.endswith("INFO: ours\n")


def test_a_line_stays_one_line() -> None:
    assert len(run('logging.getLogger("lookup").info("a\\n\\rb")').splitlines()) == 1


def test_the_loop_says_nothing_of_clients_that_left() -> None:
    code = 'log_loop_error(None, {"message": "x", "exception": ConnectionResetError("x")})'
    assert run(code) == ""
    assert "without an exception" in run('log_loop_error(None, {"message": "QUITE-A-MARKER"})')
