"""`lacuna case`: the cases by which records are expunged, from request to destruction."""

import click

from lookup.cli.case_letters import write_letters
from lookup.cli.case_opening import amend, open_
from lookup.cli.case_reading import certificate, certificates, list_, opening, show
from lookup.cli.case_steps import STEPS


@click.group()
def group() -> None:
    """Open, decide and carry out the cases by which records are expunged.

    Nobody alone destroys a record: one officer requests, others approve, the law's time passes,
    and the keys are destroyed. Every step is signed with the officer's own key and committed to in
    the transparency log.

    \b
    A case's way
      open, approve (as often as the rules ask), carry-out once it has cooled off
      write-letters and letters, where a hospital does not acknowledge that its answer is withdrawn
      or: refuse and review, by two; withdraw
      hold and release; restrict, confirm and lift; shorten; extend
    """  # noqa: D301  # click's mark for text that is not to be wrapped


for command in (
    *(open_, amend, list_, show, opening, write_letters),
    *STEPS,
    *(certificates, certificate),
):
    group.add_command(command)
