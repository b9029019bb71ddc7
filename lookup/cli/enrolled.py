"""A client of a site on the command line: its enrolment file, how it is trusted, what fails.

Invariants:

* *Could not check* is an error with an exit status of its own, so that no script can take it for
  an answer.
* The SDK is imported when a command asks: it takes 0.2 s, which `lacuna --help` must not pay.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import click

from lookup import exits
from lookup.cli.console import fail, print_json

if TYPE_CHECKING:
    from lookup.client.attempts import Patience
    from lookup.client.outcome import Reason
    from lookup.client.sync import LookupClient

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS: Final = (
    click.option(
        "--enrolment",
        type=click.Path(path_type=Path),
        required=True,
        help="The file that the site gave out; only you may be able to read it.",
    ),
    click.option(
        "--ca-file",
        type=click.Path(path_type=Path),
        help="Trust these CAs instead of those that this machine trusts.",
    ),
    click.option(
        "--certificate",
        type=click.Path(path_type=Path),
        help="Client certificate, PEM, for sites that ask for one; its key may be in the same"
        " file.",
    ),
    click.option(
        "--key",
        type=click.Path(path_type=Path),
        help="The certificate's key, PEM, where it is in a file of its own.",
    ),
)


def enrolled(command: Command) -> Command:
    """Give a command the options that `open_client` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def open_client(
    enrolment: Path,
    ca_file: Path | None,
    certificate: Path | None,
    key: Path | None,
    patience: "Patience | None" = None,
) -> "LookupClient":
    """Return the SDK's client; end the command if a file cannot be used."""
    from lookup.client.enrolment import InvalidEnrolment, load_enrolment  # noqa: PLC0415
    from lookup.client.sync import LookupClient  # noqa: PLC0415
    from lookup.client.tls import Tls  # noqa: PLC0415

    if key is not None and certificate is None:
        fail(exits.USAGE, "--key is of no use without --certificate", "see --help of the command")
    tls = Tls(ca_file, certificate, key)
    try:
        return LookupClient(load_enrolment(enrolment), patience=patience, tls=tls)
    except InvalidEnrolment as broken:
        hint = "use the file as the site gave it out, with mode 0600 (chmod 600)"
        fail(exits.NO_INPUT, str(broken), hint)
    except (OSError, ValueError):
        hint = "--ca-file, --certificate, --key name PEM files; the key must not need a passphrase"
        fail(exits.NO_INPUT, "a CA file or client certificate cannot be used", hint)


def fail_unchecked(reason: "Reason", hint: str, *, as_json: bool) -> NoReturn:
    """End the command: nothing is known."""
    from lookup.client.outcome import MEANINGS  # noqa: PLC0415

    if as_json:
        print_json({"outcome": "could-not-check", "reason": reason.value})
    fail(exits.TEMPORARY, f"could not check ({reason.value}): {MEANINGS[reason]}", hint)
