"""A flame graph of a worker under load: sampled by py-spy, drawn here.

py-spy's own drawing names its command, paths of this machine included, and counts the hand-off's
thread, which waits in a system call, as busy. So only its samples are used: stacks with how often
each was seen. Widths are shares of all samples but the hand-off's; frames thinner than a thousandth
are left out. Colours follow from names: equal samples give equal files.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Final
from zlib import crc32

from bench.processors import pin

_WIDTH, _ROW, _LETTER = 1_200, 17, 6.6
_LEAST: Final = 0.001
_IDLE: Final = "lookup/worker/link.py"
_LINE: Final = re.compile(r":\d+\)")
_SECONDS: Final = 5


class NoFlame(Exception):
    """No flame graph can be drawn; the message says why."""


@dataclass(slots=True)
class Frame:
    """A function, how often it was seen, and what it called."""

    name: str
    count: int = 0
    calls: dict[str, "Frame"] = field(default_factory=dict)

    def add(self, stack: list[str], count: int) -> None:
        """Add a stack that goes on below this frame."""
        self.count += count
        if stack:
            self.calls.setdefault(stack[0], Frame(stack[0])).add(stack[1:], count)


def sample(pid: int, cpu: int, samples: Path, load: Callable[[], object]) -> Frame:
    """Sample a process while `load` is on it. Raises NoFlame."""
    folders = (str(Path(sys.executable).parent), os.environ["PATH"])
    program = shutil.which("py-spy", path=os.pathsep.join(folders))
    if program is None:
        raise NoFlame("py-spy is not installed (PyPI py-spy)")
    command = (
        *(program, "record", "--pid", str(pid), "--duration", str(_SECONDS), "--rate", "500"),
        *("--function", "--format", "raw", "--output", str(samples)),
    )
    sampling = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=pin(cpu),  # noqa: PLW1509  # sched_setaffinity(2) alone, which takes no lock
    )
    load()
    _, errors = sampling.communicate()
    if sampling.returncode != 0:
        raise NoFlame(f"py-spy says {errors.strip()[-200:]}")
    return parse(samples.read_text())


def parse(folded: str) -> Frame:
    """Return the tree of stacks, one a line: frames from the outermost on, and a count."""
    root = Frame("worker")
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        if stack and _IDLE not in stack:
            root.add(_LINE.sub(")", stack).split(";"), int(count))
    if not root.count:
        raise NoFlame("py-spy saw nothing")
    return root


def render(root: Frame, title: str) -> str:
    """Return the graph as SVG, the outermost frame on top."""
    parts: list[str] = []
    depth = _render(root, 0.0, 0, root.count, parts)
    height = (depth + 3) * _ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
        f' viewBox="0 0 {_WIDTH} {height}" font-family="monospace" font-size="11">'
        f'<text x="6" y="14" font-size="13">{escape(title)}</text>\n' + "".join(parts) + "</svg>\n"
    )


def _render(frame: Frame, left: float, depth: int, total: int, parts: list[str]) -> int:
    """Draw a frame and all below it; return how deep that went."""
    width = frame.count / total * _WIDTH
    top = (depth + 1.5) * _ROW
    colour = 10 + crc32(frame.name.encode()) % 50
    share = f"{frame.name}: {frame.count / total:.1%}"
    shown = share if len(share) * _LETTER < width else frame.name[: int(width / _LETTER)]
    parts.append(
        f'<g><title>{escape(share)}</title><rect x="{left:.1f}" y="{top:.1f}"'
        f' width="{width:.1f}" height="{_ROW - 1}" fill="hsl({colour},80%,65%)"/>'
        f'<text x="{left + 2:.1f}" y="{top + 12:.1f}">{escape(shown)}</text></g>\n'
    )
    deepest = depth
    for called in sorted(frame.calls.values(), key=lambda each: -each.count):
        if called.count / total >= _LEAST:
            deepest = max(deepest, _render(called, left, depth + 1, total, parts))
        left += called.count / total * _WIDTH
    return deepest
