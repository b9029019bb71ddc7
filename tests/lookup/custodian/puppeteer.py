"""Pulls the strings of a puppet, which is in a process of its own; see puppet.py."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


class Puppet:
    """A worker process that does what it is told."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.lookup.custodian.puppet", str(path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words: str) -> str:
        """Have it do these, one after the other; return what it says to the last."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        said = ""
        for word in words:
            self.process.stdin.write(f"{word}\n")
            self.process.stdin.flush()
            said = self.process.stdout.readline().strip()
        return said

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()
