"""The process in which things go wrong: everything imported once, each act a fork of it.

    prepare NAME FOLDER           make a site to start from
    perform NAME FOLDER           -> ready PID;  go -> answer, once for each acknowledgement
    anything else                 -> what tests/faults/examination.py says of it, as JSON

Commands come line by line on standard input, a JSON list each; lines go out on standard output,
`ended STATUS` last. What an act says on standard error is in FOLDER.log.

Keys and ids of an operation come from a generator with a fixed seed, so that its calls are the
same each time and a call can be named by its number. Starts after it draw real ones.
"""

import ctypes
import gc
import os
import signal
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from secrets import token_bytes
from typing import Final
from unittest import mock

import msgspec

from tests.faults import examination
from tests.faults.operations import BASES, OPERATIONS, back_up_alone, bring_back, rehearse_backup
from tests.faults.site import Serving

_PR_SET_PTRACER: Final = 0x59616D61  # prctl(2): where Yama is at work, a child must agree
_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Take commands until there are no more."""
    gc.freeze()  # or each fork would copy every page that a collection touches
    while line := read_line():
        act, *arguments = msgspec.json.decode(line)
        child = os.fork()
        if child == 0:
            _play(ACTS[act], arguments)
        _, status = os.waitpid(child, 0)
        say(f"ended {os.waitstatus_to_exitcode(status)}")


def _play(act: Callable[..., None], arguments: list[str]) -> None:
    """Run an act and end, never returning to where the next command is read."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    log = os.open(f"{arguments[-1]}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 2)
    try:
        act(*arguments)
    except BaseException as error:  # noqa: BLE001  # reported, and the fork must not go on
        say(f"raised {type(error).__name__}: {error}")
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _prepare(name: str, folder: str) -> None:
    Path(folder).mkdir(mode=0o700, parents=True)
    BASES[name](Path(folder))


def _perform(name: str, folder: str) -> None:
    operation = OPERATIONS[name]
    with mock.patch("secrets.token_bytes", partial(_draw, Random(name))):  # noqa: S311  # see above
        prepared = operation.prepare(Path(folder))
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
        say(f"ready {os.getpid()}")
        if read_line() == b"go\n":
            try:
                operation.perform(prepared, lambda: say("answer"))
            finally:
                if isinstance(prepared, Serving):
                    prepared.await_failure()


def _draw(generator: Random, size: int) -> bytes:
    """Draw a key or an id. A slot's blob is a real one: it may be drawn in any idle moment."""
    return generator.randbytes(size) if size <= 32 else token_bytes(size)


def _examine(question: str, folder: str) -> None:
    asked = msgspec.json.decode(question, type=examination.Question)
    _report(examination.examine(Path(folder), asked))


def _start_again(slots: str, passphrase: str, folder: str) -> None:
    _report(examination.start_again(Path(folder), slots.split(), [int(passphrase)]))


def _hunt(passphrase: str, secrets: str, earlier: str, folder: str) -> None:
    hunted = msgspec.json.decode(secrets, type=dict[str, str])
    _report(examination.hunt([Path(folder), Path(earlier)], [int(passphrase)], hunted))


def _report(found: object) -> None:
    say(msgspec.json.encode(found).decode())


ACTS: Final[dict[str, Callable[..., None]]] = {
    "prepare": _prepare,
    "perform": _perform,
    "examine": _examine,
    "start again": _start_again,
    "hunt": _hunt,
    "back up": lambda folder: back_up_alone(Path(folder)),
    "rehearse": lambda folder: _report(rehearse_backup(Path(folder))),
    "bring back": lambda folder: bring_back(Path(folder)),
}


def say(line: str) -> None:
    """Write a line; one call, so that a process that is killed here has said nothing."""
    os.write(1, line.encode() + b"\n")


def read_line() -> bytes:
    """Read a line and nothing behind it: that may be for the other process."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            break
        line += byte
    return line


if __name__ == "__main__":
    main()
