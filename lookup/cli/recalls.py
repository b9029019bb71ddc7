"""`lacuna recalls`: which answers a site has withdrawn, and that the hospital has deleted them.

Invariants:

* Nothing is acknowledged that was not printed before, by this call or, for a script, by the one
  that it has the ids from: what is withdrawn in between is still to be deleted.
* No more is said than that answers are withdrawn. Whether their record is erased or corrected would
  tell everybody who may look here whether there is still one.
* An exit status tells a script whether somebody has to delete something.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from lookup import exits
from lookup.cli.console import confirm, json_option, print_json, say, yes_option
from lookup.cli.enrolled import enrolled, fail_unchecked, open_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookup.client.outcome import Recall
    from lookup.client.sync import LookupClient

# Nobody waits for this beside a child, and what is acknowledged has to become durable.
_TOTAL_SECONDS: Final = 15.0
_ATTEMPT_SECONDS: Final = 4.0
_ID: Final = re.compile(r"[0-9a-f]{32}")

HELP: Final = """Show which answers are withdrawn, so that they are deleted here too.

What they rested on is erased or corrected (UK GDPR Art 19); which, a site does not say here.
Whatever was stored of the answer to a request that is printed has to be deleted: the answer, notes
and messages made from it, copies. Then ask again about whoever is still in your care: a withdrawn
answer says neither that there is a concern nor that there is none.

The request is what `lacuna lookup --json` and the SDK call request_id. One that you do not find was
answered in vain: there is nothing to delete.

Then say so with --acknowledge, of all that is printed, or of these RECALLs alone. With --json they
must be named: a script says what it has deleted. A list has at most 100; ask until none is left.

\b
Exit status
  0   no answer is withdrawn, or all that were listed are acknowledged
  1   answers are withdrawn, and still to be deleted or to be acknowledged
  64  the command line is not as described
  66  the enrolment file, CA file or certificate cannot be used
  75  could not check: whether an answer is withdrawn, or an acknowledgement arrived, is not known
"""

_DELETE: Final = """\
Answers are withdrawn. Delete what you stored of those to these requests, and ask again:"""


@click.command("recalls", help=HELP, short_help="Show withdrawn answers; say they are deleted.")
@click.argument("recalls", nargs=-1, metavar="[RECALL]...")
@enrolled
@click.option("--acknowledge", is_flag=True, help="Say that what is withdrawn is deleted here.")
@yes_option
@json_option
def command(  # noqa: PLR0913  # one parameter for each option
    *,
    recalls: tuple[str, ...],
    enrolment: Path,
    ca_file: Path | None,
    certificate: Path | None,
    key: Path | None,
    acknowledge: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Print what is withdrawn; acknowledge it if that is wanted."""
    from lookup.client.attempts import Patience  # noqa: PLC0415  # `--help` must not wait for this
    from lookup.client.outcome import CouldNotCheck  # noqa: PLC0415  # the same

    _require_named(recalls, acknowledge=acknowledge, as_json=as_json)
    patience = Patience(_TOTAL_SECONDS, _ATTEMPT_SECONDS)
    with open_client(enrolment, ca_file, certificate, key, patience) as client:
        try:
            listed = client.recalls()
            if not as_json:
                say("\n".join(_lines(listed)))
            done = _acknowledge(client, listed, recalls, yes=yes) if acknowledge else []
        except CouldNotCheck as failure:
            fail_unchecked(failure.reason, "ask again later", as_json=as_json)
    if as_json:
        print_json(_members(listed, done))
    elif done:
        say(f"acknowledged: {len(done)} of {len(listed)} recalls")
    return exits.OK if len(done) == len(listed) else exits.FINDING


def _require_named(recalls: tuple[str, ...], *, acknowledge: bool, as_json: bool) -> None:
    if not all(map(_ID.fullmatch, recalls)):
        raise click.UsageError("a RECALL has 32 hexadecimal digits, as --json prints it")
    if recalls and not acknowledge:
        raise click.UsageError("RECALL is of no use without --acknowledge")
    if acknowledge and as_json and not recalls:
        raise click.UsageError("with --json name the RECALLs whose answers were deleted")


def _acknowledge(
    client: "LookupClient", listed: "Sequence[Recall]", ids: tuple[str, ...], *, yes: bool
) -> "list[Recall]":
    """Return what was acknowledged; one that is not listed was acknowledged before."""
    wanted = [each for each in listed if not ids or each.id in ids]
    if wanted:
        confirm("You say that all that was stored of these answers is deleted.", assumed=yes)
        client.acknowledge(wanted)
    return wanted


def _lines(listed: "Sequence[Recall]") -> list[str]:
    if not listed:
        return ["no answer is withdrawn"]
    return [_DELETE, *(f"  {request}" for each in listed for request in each.requests)]


def _members(listed: "Sequence[Recall]", done: "Sequence[Recall]") -> dict[str, object]:
    return {
        "recalls": [
            {
                "recall": each.id,
                "requests": [str(request) for request in each.requests],
                "acknowledged": each in done,
            }
            for each in listed
        ]
    }
