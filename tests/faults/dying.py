"""A worker's audit that dies: what it wrote on standard output was acknowledged before.

    python -m tests.faults.dying run FOLDER        one life, to be killed from outside
    python -m tests.faults.dying direct FOLDER     the same, whose groups are written directly
    python -m tests.faults.dying serve             one life for each line "STEP FOLDER" on standard
                                                   input: killed at this step, or at none (0); it
                                                   answers with the steps passed and what it heard

A step is a call of the medium: before it, in the middle of a write, or after it.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Final, NoReturn

from lookup.worker.direct import DirectMedium
from lookup.worker.medium import Medium
from tests.lookup.worker.audited import SMALL, asking

# Enough for three segments.
BURSTS: Final = 24
BURST: Final = 50


class Dying(Medium):
    """Counts steps, and sends SIGKILL to its own process at one of them."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step
        self.passed = 0

    def _pass(self) -> None:
        self.passed += 1
        if self.passed == self.step:
            os.kill(os.getpid(), signal.SIGKILL)

    def create(self, folder: int, name: str, size: int) -> int | None:
        self._pass()
        descriptor = super().create(folder, name, size)
        self._pass()
        return descriptor

    def _write_some(self, descriptor: int, view: memoryview, offset: int) -> int:
        self._pass()
        half = len(view) // 2
        if self.passed + 1 == self.step:
            super()._write_some(descriptor, view[:half], offset)
        self._pass()
        written = super()._write_some(descriptor, view, offset)
        self._pass()
        return written

    def sync(self, descriptor: int) -> None:
        self._pass()
        super().sync(descriptor)

    def remove(self, folder: int, name: str, descriptor: int) -> None:
        self._pass()
        super().remove(folder, name, descriptor)
        self._pass()

    def close(self, descriptor: int) -> None:
        self._pass()
        super().close(descriptor)
        self._pass()


async def live(folder: Path, medium: Medium, said: int) -> None:
    """Append bursts; write the number of every entry that was acknowledged, each at once."""
    async with asking(folder, SMALL, medium) as asker:
        told = 0
        for _ in range(BURSTS):
            asker.ask(BURST)
            await asker.settle()
            os.write(said, b"".join(b"%d\n" % each for each in asker.durable[told:]))
            told = len(asker.durable)


def _serve() -> NoReturn:
    for line in sys.stdin:
        step, folder = line.split()
        reading, writing = os.pipe()
        pid = os.fork()  # before there is any thread
        if pid == 0:
            os.close(reading)
            medium = Dying(int(step))
            asyncio.run(live(Path(folder), medium, writing))
            os.write(writing, b"passed %d\n" % medium.passed)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as heard:
            said = heard.read().split(b"\n")[:-1]
        os.waitpid(pid, 0)
        print(" ".join(each.decode() for each in said), flush=True)  # noqa: T201  # its answer
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve()
    kind = {"run": Medium, "direct": DirectMedium}[sys.argv[1]]
    asyncio.run(live(Path(sys.argv[2]), kind(), sys.stdout.fileno()))
