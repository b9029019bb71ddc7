"""`lacuna import`: many records from a file or a pipe.

Invariants:

* A line counts as stored when the custodian has said so, which it says when it is durable and
  every worker answers by it. Running the same command again finds those lines unchanged.
* Of a refused line the number, the rule and its explanation are shown, never the content.
* Memory is bounded; see lookup/cli/batching.py.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, NoReturn

import click

from lookup import exits
from lookup.cli.batching import Batch, batches
from lookup.cli.console import Failure, fail, json_option, note, print_json, say_facts
from lookup.cli.custodian import Custodian, CustodianGone, connect
from lookup.cli.progress import Bar

MAX_LISTED: Final = 1_000  # refused lines in the document of --json
_INVALID: Final = "invalid"
# Lines that a site does not take: no record, of a destroyed one, or sent before.
_NOT_STORED: Final = (_INVALID, "fenced", "replayed")
# What is said of lines that break no rule, and by which hospitals are not told what they say.
_TOLD: Final = {
    "fenced": "are of records that were destroyed; if by mistake: lacuna officer lift-fence",
    "replayed": "are not beyond their feed's cursor: they were sent before, or the cursor is wrong:"
    " lacuna officer set-cursor",
    "detached": "do not name just whom their record does, which a case has changed:"
    " lacuna officer attach",
}

HELP: Final = """Add or change many records.

FILE holds one JSON object on each line; - means standard input.

\b
  {"authority": "AXT", "source_ref": "AXT-7", "identifiers": ["nhs:9990001014"],
   "category": "child-protection-plan", "since": "2026-01-02", "until": null,
   "answer_until": null, "payload": {"any": "JSON of at most 1 MiB"}}

The authority and its source reference name one record: a line that says what is stored already
changes nothing, one that says something else makes a new version. So an import that was cut off
is simply run again. A line that breaks a rule is listed, and stops nothing.

\b
Exit status
  0    every line is stored, or parked while officers decide about its record
  1    some lines are not, or not as they are: they are invalid, or fenced, replayed or detached,
       which is explained; all others are
  66   FILE cannot be read
  69   no custodian answers, or no more: run it again
  130  Ctrl-C: run it again
"""


@dataclass(slots=True)
class Tally:
    """What became of the lines so far."""

    results: Counter[str] = field(default_factory=Counter)
    refused: list[dict[str, Any]] = field(default_factory=list)

    def count(self, result: dict[str, Any]) -> None:
        """Count one line's result."""
        self.results[result["result"]] += 1
        if result["result"] == _INVALID and len(self.refused) < MAX_LISTED:
            self.refused.append({key: result[key] for key in ("line", "rule", "detail")})

    @property
    def stored(self) -> int:
        """How many lines are durable."""
        return self.results.total() - sum(self.results[each] for each in _NOT_STORED)

    def members(self, *, complete: bool) -> dict[str, Any]:
        """Return the document of --json; `refused` lists the first of the invalid lines."""
        return {"complete": complete, **self.counts(), "refused": self.refused}

    def counts(self) -> dict[str, int]:
        """Return how many lines came to what."""
        usual = ("added", "updated", "unchanged", "parked", _INVALID)
        return {name: self.results[name] for name in dict.fromkeys((*usual, *self.results))}


@dataclass(frozen=True, slots=True)
class Paper:
    """The files that a caller wants: refused lines by number and rule, and all results."""

    rejects: IO[str] | None
    results: IO[str] | None

    def write(self, result: dict[str, Any]) -> None:
        """Write one line's result where it is wanted."""
        if self.rejects is not None and result["result"] == _INVALID:
            self.rejects.write(f"{result['line']}\t{result['rule']}\n")
        if self.results is not None:
            self.results.write(json.dumps(result) + "\n")


@click.command("import", help=HELP, short_help="Add or change many records from NDJSON.")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--rejects",
    type=click.Path(path_type=Path),
    help="Write number and rule of each invalid line to this file, a tab between them.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    help="Write the result of each line to this file: NDJSON with line, result and record_id.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context, file: Path, *, rejects: Path | None, results: Path | None, as_json: bool
) -> int:
    """Read, send, and tell what became of it."""
    custodian = connect(ctx)
    tally = Tally()
    with ExitStack() as stack:
        source, size = _open(file, stack)
        paper = Paper(_open_new(rejects, stack), _open_new(results, stack))
        bar = stack.enter_context(Bar("importing", size))
        try:
            for batch in batches(source):
                _import(custodian, batch, tally, bar, paper)
                bar.move(batch.read, size, f"{tally.results.total()} lines")
        except (Failure, KeyboardInterrupt) as cut:
            if as_json:
                print_json(tally.members(complete=False))
            _explain(tally, cut)
    if as_json:
        print_json(tally.members(complete=True))
    else:
        say_facts(dict(tally.counts()))
    for result, told in _TOLD.items():
        if tally.results[result]:
            note(f"of these lines {tally.results[result]} {told}")
    refused = any(tally.results[each] for each in (_INVALID, *_TOLD))
    return exits.FINDING if refused else exits.OK


def _import(custodian: Custodian, batch: Batch, tally: Tally, bar: Bar, paper: Paper) -> None:
    for result in _results(custodian, batch):
        tally.count(result)
        if result["result"] == _INVALID:
            bar.note(f"line {result['line']}: {result['rule']}: {result['detail']}")
        paper.write(result)


def _results(custodian: Custodian, batch: Batch) -> Iterator[dict[str, Any]]:
    """Yield the result of each line of a batch, numbered as in the whole source."""
    told_all = False
    for result in custodian.stream("/v1/records/import", batch.content, "application/x-ndjson"):
        if "problem" in result:
            fail(exits.TEMPORARY, f"the custodian stopped: {result['problem']['detail']}")
        if "summary" in result:
            told_all = True
        else:
            yield {**result, "line": batch.before + result["line"]}
    if not told_all:
        raise CustodianGone(exits.UNAVAILABLE, "the custodian stopped in the middle")


def _explain(tally: Tally, cut: BaseException) -> NoReturn:
    status, message = exits.INTERRUPTED, "interrupted"
    if isinstance(cut, Failure):
        status, message = cut.status, cut.message
    fail(
        status,
        f"{message}; at least {tally.stored} lines are durable",
        "run the same command again: what is stored already is found unchanged",
    )


def _open(file: Path, stack: ExitStack) -> tuple[BinaryIO, int | None]:
    """Return the source, and its size where that is known."""
    if str(file) == "-":
        return sys.stdin.buffer, None
    try:
        opened = stack.enter_context(file.open("rb"))
        size = os.fstat(opened.fileno()).st_size
    except OSError as error:
        fail(exits.NO_INPUT, f"{file} cannot be read: {error.strerror}")
    return opened, size or None


def _open_new(path: Path | None, stack: ExitStack) -> IO[str] | None:
    if path is None:
        return None
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        fail(exits.CANNOT_CREATE, f"{path} cannot be written: {error.strerror}")
    return stack.enter_context(os.fdopen(descriptor, "w"))
