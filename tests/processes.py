"""Processes of a site, each with a log of its own."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.lookup.raw_http import WAIT, wait_until

LONG: Final = 30.0  # seconds: processes start slowly where many do


class Process:
    """One process of the site, in a process of its own."""

    def __init__(self, command: Sequence[object], descriptors: Sequence[int], log: Path) -> None:
        self._log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", *map(str, command)],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid

    @property
    def log(self) -> str:
        """All that it has written."""
        return self._log.read_text()

    def await_log(self, text: str) -> None:
        """Return when it has written this."""
        wait_until(lambda: text in self.log or self.process.poll() is not None, LONG)
        assert text in self.log, self.log

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """End it as the supervisor would; return its status."""
        self.process.terminate()
        return self.process.wait(WAIT)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait(WAIT)
