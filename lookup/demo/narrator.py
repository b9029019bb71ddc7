"""How the story is told: plain lines of at most 100 columns, and a verdict on every promise.

Invariants:

* Each Promise is judged where the story comes to it, and at the end those it never
  came to count as broken: a story that was cut short cannot look like one that went well.
* Colours are for terminals alone; without them nothing is lost.
"""

import shlex
import textwrap
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from rich.console import Console
from rich.text import Text

MIN_WIDTH, MAX_WIDTH = 40, 100
_INDENT: Final = 3
_VERDICT: Final = 10


class Promise(StrEnum):
    """What the story promises to show, in its own words and order."""

    STORED = "all 1,000 records are stored, and durable"
    KNOWN = "the child is known, and the hospital is told whom to ring"
    UNKNOWN = "what nobody recorded is told as: no record"
    KEPT_BACK = "the council's record is there, for the council"
    NOT_TOLD = "the hospital is told: no record, in the very bytes of a child nobody knows"
    EXPORTED = "the mother gets all that is held, and every lookup that was answered with it"
    MARKED_OUT = "who wrote it is marked as left out, and in neither of her files"
    BACKED_UP = "the backup holds sealed rows, and neither a slot nor a passphrase"
    RULED = "it takes three officers to say from when ground (g) is law here; two change nothing"
    APART = "ground (g) holds for the mother, and fails for the child: each is looked at alone"
    TOLD_YET = "one officer's case hides nothing: the hospital is told as before"
    NOT_ALONE = "who opened the case cannot approve it"
    HIDDEN = "two officers' signatures hide the record at once: no record"
    ALARMED = "that is an alarm, and whoever watches the site is told until it ends"
    RECALLED = "the hospital that was told hears which of its requests are withdrawn, and no name"
    WAITED = "nothing is destroyed before the hospital has said that it deleted them"
    CARRIED_OUT = (
        "approved by two, and due, it is carried out by the site itself, without a command"
    )
    GONE = "the council's own interface does not know the record any more, nor the case"
    VERIFIED = "the certificate verifies in a folder that has nothing to do with the site"
    OPENED = "with the family's opening it speaks of this very record; without, of nobody's"
    LETTER = "the family's letter is written, and no child's number is in it"
    FORGOTTEN = "no record, over 16 new connections, whichever worker takes them"
    SAME_BYTES = "the answer is the unknown child's in every byte but request id, date and padding"
    OTHERS_KNOWN = "another child, with records of two councils, is known as before"
    SIBLING_KNOWN = "the sibling's plan, of the same council, protects him as before"
    OTHERS_OPEN = "every other record opens for the thief, also out of the old backup"
    NOT_FOUND = "of record and case nothing is found: not text, number, reference or evidence"
    OLD_SLOT_WINS = "with the old slot the thief opens it: nothing else stood in the way"
    CLEARED = "the thief's copies, the old slot among them, are deleted; they lay in memory only"
    FENCED = "what the council's system sends again of the destroyed record is refused"
    UNLINKED = "the number from before the adoption is told: no record; the new one: known"
    NOT_LINKED = "what the council's system sends with both numbers does not link it again"
    NEW_CONCERN = "a new concern about the same child is taken, and the hospital is told"


class StepFailed(Exception):
    """A step of the story could not be done; the message says which, and what was said."""


class Narrator:
    """Tells the story, and keeps count."""

    def __init__(
        self, console: Console | None = None, expected: Collection[Promise] = tuple(Promise)
    ) -> None:
        self._console = console or Console(highlight=False)
        own = self._console.width if self._console.is_terminal else MAX_WIDTH
        self._width = min(max(own, MIN_WIDTH), MAX_WIDTH)
        self._begun = time.monotonic()
        self._acts = 0
        self._expected = expected
        self.judged: dict[Promise, bool] = {}
        self.failures = 0

    @property
    def broken(self) -> int:
        """How many promises were not kept, or never came to be judged; and failed steps."""
        unkept = sum(not self.judged.get(promise, False) for promise in self._expected)
        return unkept + self.failures

    def title(self, text: str, aside: str) -> None:
        """Print the first line."""
        gap = " " * max(2, self._width - len(text) - len(aside))
        self._line(Text.assemble((text, "bold"), gap, (aside, "yellow")))

    def act(self, text: str) -> None:
        """Begin an act."""
        self._acts += 1
        self._line(Text(""))
        self._line(Text(f"{self._acts:>2} {text}", "bold cyan"))

    def tell(self, text: str, style: str = "") -> None:
        """Tell a paragraph."""
        for line in self._wrapped(text, _INDENT):
            self._line(Text(line, style))

    def command(self, arguments: Sequence[str], by: str = "") -> None:
        """Show a command that is about to run; `by`: the officer who runs it."""
        prompt = f"{by} $" if by else "$"
        for line in self._wrapped(f"{prompt} {shlex.join(arguments)}", _INDENT, hanging=2):
            self._line(Text(line, "cyan"))

    def quote(self, output: str) -> None:
        """Show what a program printed."""
        for line in output.rstrip().splitlines():
            for part in self._wrapped(line, _INDENT + 2):
                self._line(Text(part, "dim"))

    def timed(self, text: str, seconds: float) -> None:
        """Tell what took how long."""
        *lines, last = self._wrapped(text, _INDENT, spare=_VERDICT)
        for line in lines:
            self._line(Text(line))
        self._line(Text.assemble(last.ljust(self._width - _VERDICT), (_time(seconds), "dim")))

    def judge(self, promise: Promise, *, kept: bool, seen: str) -> None:
        """Say whether a promise was kept; if not, what was seen instead."""
        self.judged[promise] = kept and self.judged.get(promise, True)
        if kept:
            self._verdict("kept", "green", promise)
        else:
            self._verdict("BROKEN", "bold red", f"{promise}; seen: {seen}")

    def plain(self, text: str) -> None:
        """Print lines as they are, to be copied."""
        for line in text.splitlines():
            self._line(Text(line))

    @contextmanager
    def step(self) -> Iterator[None]:
        """Tell of a step that fails, and go on behind it."""
        try:
            yield
        except StepFailed as failure:
            self.failures += 1
            self._verdict("FAILED", "bold red", str(failure))

    def end(self) -> None:
        """Sum up."""
        self._line(Text(""))
        for promise in self._expected:
            if promise not in self.judged:
                self._verdict("BROKEN", "bold red", f"{promise}; the story did not get there")
        took = f"The story took {time.monotonic() - self._begun:.1f} s"
        if self.broken:
            kept = sum(self.judged.values())
            self.tell(f"{kept} of {len(self._expected)} promises were kept. {took}.", "bold red")
        else:
            self.tell(f"All {len(self._expected)} promises were kept. {took}.", "bold green")

    def _verdict(self, verdict: str, style: str, text: str) -> None:
        first, *rest = self._wrapped(text, _INDENT + _VERDICT)
        head = Text(" " * _INDENT) + Text(verdict.ljust(_VERDICT), style)
        self._line(head + Text(first.strip()))
        for line in rest:
            self._line(Text(line))

    def _wrapped(self, text: str, indent: int, *, spare: int = 0, hanging: int = 0) -> list[str]:
        return textwrap.wrap(
            text,
            self._width - spare,
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent + hanging),
            break_on_hyphens=False,
        ) or [""]

    def _line(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{1000 * seconds:.2f} ms"
