"""How the command line speaks: results, errors that end in something to do, progress.

Invariants:

* Results go to standard output, everything else to standard error.
* With --json the output is one JSON document and nothing else.
* Every error names the fact and, where there is one, the next step; see lookup/exits.py.
"""

import json
import sys
from typing import Any, NoReturn

import click


class Failure(click.ClickException):
    """An error that a person can act on."""

    def __init__(self, status: int, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.hint = hint

    def show(self, file: Any = None) -> None:  # noqa: ANN401  # click's signature
        """Print it."""
        del file
        click.echo(f"lacuna: error: {self.message}", err=True)
        if self.hint:
            click.echo(f"lacuna: hint: {self.hint}", err=True)


def fail(status: int, message: str, hint: str | None = None) -> NoReturn:
    """End the command."""
    raise Failure(status, message, hint)


def print_json(content: object) -> None:
    """Print the one document of --json."""
    json.dump(content, sys.stdout, indent=2)
    sys.stdout.write("\n")


def say(text: str) -> None:
    """Print a line of the result."""
    click.echo(text)


def note(text: str) -> None:
    """Print a line that is not part of the result."""
    click.echo(text, err=True)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
