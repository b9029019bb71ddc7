"""`lacuna case write-letters`: to the hospitals that do not acknowledge a recall."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from lookup import exits
from lookup.cli.acting import OfficerOptions, act, id_argument, officer_options
from lookup.cli.case_reading import LIST_FIRST, say_file
from lookup.cli.console import fail, json_option
from lookup.cli.files import make_private_folder, new_private_file

LETTERS: Final = """Write a letter to each recipient of CASE who has not acknowledged the recall.

Each is a text file in FOLDER, which must not be there yet. A letter names the hospital's own
requests, and no child; it says whether what they were answered with is erased or corrected, and to
delete the answers and ask again. When the letters were sent, another officer than the one who
opened the case says so, with `lacuna case letters`; the site keeps none of them.

\b
Exit status
  0   written
  65  there is no such case, or it recalls nothing, or everybody has acknowledged
  66  the key cannot be read
  69  no custodian answers
  73  the folder cannot be made, or is there already
"""


@click.command("write-letters", help=LETTERS, short_help="Write to who did not acknowledge.")
@id_argument("case_id", "CASE")
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="The folder to make."
)
@officer_options
@json_option
@click.pass_context
def write_letters(
    ctx: click.Context,
    /,
    case_id: str,
    *,
    output: Path,
    as_json: bool,
    officer: OfficerOptions,
) -> None:
    """Ask who is waited for, then make the folder."""
    from lookup.transparency.recall_letter import Addressee, make_recall_letter  # noqa: PLC0415  # `--help` must not wait

    case = act(ctx, officer).custodian.get(f"/v1/cases/{case_id}", hint=LIST_FIRST)
    recall = case["recall"]
    if not recall or not recall["waiting"]:
        fail(exits.REFUSED, "nobody has to be written to", f"lacuna case show {case_id}")
    make_private_folder(output)
    for number, each in enumerate(recall["waiting"], start=1):
        to = Addressee(each["client"], each["client_name"] or "", each["requests"])
        day = datetime.now(UTC).date().isoformat()
        authority, contact = recall["authority_name"], recall["contact"]
        letter = make_recall_letter(to, authority, contact, day, case["remedy"])
        with new_private_file(output / f"letter-{number}.txt") as file:
            file.write(letter.encode())
    say_file("letters", output, f"send them, then: lacuna case letters {case_id}", as_json=as_json)
