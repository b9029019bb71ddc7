"""How the command line speaks: results, errors that end in something to do, questions.

Invariants:

* Results go to standard output, everything else to standard error.
* With --json standard output is one JSON document, or nothing when there is no result.
* Every error names the fact and the next step. Whatever fails unforeseen is told as a defect, by
  its type and place: messages of foreign code quote what they were given.
"""

import errno
import json
import os
import sys
from typing import IO, Any, Final, NoReturn

import click

from lookup import exits

# For the few errors that arise far from any command, by their status.
_HINTS: Final = {
    exits.USAGE: "see `lacuna --help`, or --help of the command",
    exits.NO_INPUT: "compare the path with what is there",
    exits.CANNOT_CREATE: "compare the path with what is there, and who may write there",
    exits.TEMPORARY: "try again in a moment",
    exits.NO_PERMISSION: "run this as the account that the site runs as",
    exits.CONFIG: "the keys are explained in lookup/config.py and deploy/README.md",
}


class Failure(click.ClickException):
    """An error that a person can act on."""

    def __init__(self, status: int, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.hint = hint or _HINTS.get(status, "see `lacuna status` and the site's log")

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it."""
        del file
        _show(self.message, self.hint)


def fail(status: int, message: str, hint: str | None = None) -> NoReturn:
    """End the command."""
    raise Failure(status, message, hint)


def show_usage(error: click.UsageError) -> int:
    """Print what is wrong with the command line; return the exit status."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return exits.USAGE
    message = " ".join(error.format_message().split()).rstrip(".")
    path = "lacuna" if error.ctx is None else error.ctx.command_path
    _show(message[:1].lower() + message[1:], f"see `{path} --help`")
    return exits.USAGE


def show_defect(error: Exception) -> int:
    """Print what no command foresaw, without its own words; return the exit status."""
    from lookup.logs import describe  # noqa: PLC0415  # few commands fail so

    if isinstance(error, PermissionError):
        _show(f"not allowed: {error.filename}", _HINTS[exits.NO_PERMISSION])
        return exits.NO_PERMISSION
    if isinstance(error, OSError) and error.errno is not None:
        where = error.filename or describe(error)
        _show(f"the system refused: {os.strerror(error.errno)}: {where}", _MEDIUM_HINT)
    else:
        _show(f"a defect: {describe(error)}", "report this line: it shows nothing of your data")
    return exits.FAIL_STOP


_MEDIUM_HINT: Final = "look at the disk, the permissions and the limits of this account"


def _show(message: str, hint: str) -> None:
    try:
        click.echo(f"lacuna: error: {message}", err=True)
        click.echo(f"lacuna: hint: {hint}", err=True)
    except OSError as error:
        if error.errno != errno.EPIPE:  # whoever read standard error has gone
            raise


def print_json(content: object) -> None:
    """Print the one document of --json."""
    click.echo(json.dumps(content, indent=2))


def say(text: str) -> None:
    """Print a line of the result."""
    click.echo(text)


def note(text: str) -> None:
    """Print a line that is not part of the result."""
    click.echo(text, err=True)


def say_facts(facts: dict[str, object]) -> None:
    """Print names and values, one to a line; a list has a line for each of its items."""
    for line in fact_lines(facts):
        say(line)


def fact_lines(facts: dict[str, object]) -> list[str]:
    """Return the lines of `say_facts`."""
    width = max(map(len, facts), default=0) + 2
    return [
        f"{name if not place else '':<{width}}{item}"
        for name, value in facts.items()
        for place, item in enumerate(value if isinstance(value, list) else [value])
    ]


def confirm(question: str, *, assumed: bool) -> None:
    """Ask a person, where there is one; --yes has said it before. Ends the command on "no"."""
    if assumed or not sys.stdin.isatty():
        return
    if not click.confirm(f"{question} Go on?", err=True):
        fail(exits.FINDING, "nothing was done", "answer y, or give --yes")


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask whether you are sure.")
