"""A process of its own that copies database files.

Never in the process that has them open: closing any descriptor of such a file drops SQLite's
locks, and commits get lost.
"""

import subprocess
import sys
from pathlib import Path
from typing import Self

_CODE = """
import shutil, sys
for line in sys.stdin:
    source, target = line.rstrip("\\n").split("\\t")
    for ending in ("", "-wal", "-journal"):
        try:
            shutil.copyfile(source + ending, target + ending)
        except FileNotFoundError:
            pass
    print(flush=True)
"""


class Copier:
    """Copies a database with what belongs to it, as it is at this moment."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def copy(self, file: Path, to: Path) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{file}\t{to}\n")
        self._process.stdin.flush()
        self._process.stdout.readline()
