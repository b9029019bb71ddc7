"""`lacuna record`: what officers do with one record for its family: read, supplement, export."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click

from lookup import exits
from lookup.cli.acting import OfficerOptions, act, id_argument, officer_options
from lookup.cli.console import fail, json_option, note, print_json, say_facts
from lookup.cli.files import make_private_folder, new_private_file, read_file
from lookup.cli.walking import walk

if TYPE_CHECKING:
    # At run time these are imported where they are used: `--help` must not wait for them.
    from lookup.disclosure.export import Export
    from lookup.disclosure.redacting import Redaction

SHOW: Final = """Show RECORD_ID: what it says, the family's statements, who was last told of it.

That you read it is audited, under your name.

\b
Exit status
  0   shown
  65  there is no such record, or it is another authority's
  66  the key cannot be read
  69  no custodian answers
"""
STATEMENT: Final = """Put a family's statement beside RECORD_ID (UK GDPR Art 16).

The text comes from standard input, or from the file of --file: 1 to 4,000 characters in UTF-8 that
can be printed, and new lines. Whoever reads the record reads it too. It changes nothing that is
answered or decided, and is destroyed with the record, or when officers have agreed to that
(`lacuna officer withdraw-statement`). A record has eight at most.

\b
Exit status
  0   it stands beside the record
  64  the text breaks a rule
  65  there is no such record, it has eight already, or none of your roles may do this
  66  the key or the file cannot be read
  69  no custodian answers
"""
EXPORT: Final = """Write all that is held about RECORD_ID into a new FOLDER (UK GDPR Art 15).

FOLDER gets export.json, and export.html to print: the record, the family's statements, the cases
about it, and everybody who was told of it, whom the whole audit is searched for. That you export it
is audited, under your name. Both files name a child: only you can read them.

What the law says not to tell you mark in a JSON file, for --redactions:

\b
  [{"path": "/payload/notes/0/author", "reason": "third-party", "note": "for yourself"}]

A path is a pointer (RFC 6901) into export.json; reasons are third-party, serious-harm,
best-interests and legal-privilege. What is marked is in neither file; the same words in another
place are, and you are told how many places there are. So export once, read, mark, export again
into another folder, and destroy the first. Names of hospitals' staff and of officers are left out
unless you say --with-users.

\b
Exit status
  0   written
  1   written; words that were left out stand in other places, or parts of the audit are lost
  64  a redaction is malformed, or points to what it may not
  65  there is no such record, or none of your roles may do this
  66  the key or the redactions cannot be read
  69  no custodian answers, or it stopped in the middle
  73  the folder cannot be made, or is there already
"""

_MAX_TEXT: Final = 65_536  # bytes; whether it is a statement is the site's to say
_ID_HINT: Final = "give a record id as the site returned it: an import's results have it"
_TEXT_HINT: Final = "write plain text in UTF-8, and read `lacuna record statement --help`"
_MARK_HINT: Final = "compare the path with export.json, and read `lacuna record export --help`"


@click.group()
def group() -> None:
    """Read a record, put its family's statement beside it, export it for its family.

    These are an officer's answers to a family that asks what is held about it (UK GDPR Art 15),
    or that it be put right (Art 16). What asks for its erasure is a case: `lacuna case`.
    """


@group.command(help=SHOW, short_help="Show a record.")
@id_argument("record_id")
@officer_options
@json_option
@click.pass_context
def show(ctx: click.Context, /, record_id: str, *, as_json: bool, officer: OfficerOptions) -> None:
    """Ask, and print."""
    record = act(ctx, officer).custodian.get(f"/v1/records/{record_id}", hint=_ID_HINT)
    if as_json:
        print_json(record)
    else:
        say_facts(_facts(record))


@group.command(help=STATEMENT, short_help="Put a family's statement beside a record.")
@id_argument("record_id")
@click.option("--file", type=click.Path(path_type=Path), help="The text; without it, from stdin.")
@officer_options
@json_option
@click.pass_context
def statement(
    ctx: click.Context,
    /,
    record_id: str,
    *,
    file: Path | None,
    as_json: bool,
    officer: OfficerOptions,
) -> None:
    """Read the text before anything is asked."""
    text = _text(file)
    custodian = act(ctx, officer).custodian
    done = custodian.post(f"/v1/records/{record_id}/statements", {"text": text}, hint=_TEXT_HINT)
    if as_json:
        print_json(done)
    else:
        facts: dict[str, object] = {"statement": done["statement"], "result": done["result"]}
        say_facts(facts | {"beside it": f"{done['statements']} of at most 8"})


@group.command(help=EXPORT, short_help="Write all that is held about a record, for its family.")
@id_argument("record_id")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER",
    help="The folder to make, for the two files.",
)
@click.option("--redactions", type=click.Path(path_type=Path), help="What to leave out, and why.")
@click.option("--with-users", is_flag=True, help="Keep the names of staff who asked.")
@officer_options
@json_option
@click.pass_context
def export(  # noqa: PLR0913  # one parameter for each option
    ctx: click.Context,
    /,
    record_id: str,
    *,
    output: Path,
    redactions: Path | None,
    with_users: bool,
    as_json: bool,
    officer: OfficerOptions,
) -> int:
    """Read the marks before anything is asked, and make the files before anything is audited."""
    from lookup.disclosure.errors import InvalidExport, InvalidRedactions  # noqa: PLC0415  # as above
    from lookup.disclosure.export import make_export  # noqa: PLC0415
    from lookup.disclosure.page import render_html  # noqa: PLC0415
    from lookup.disclosure.redacting import left_elsewhere, redact  # noqa: PLC0415

    marks = _marks(redactions)
    custodian = act(ctx, officer).custodian
    with _files(output) as (document, page):
        path = f"/v1/records/{record_id}/export"
        try:
            whole = make_export(walk(custodian, path, "searching the audit", hint=_ID_HINT))
            told = redact(whole, marks, with_users=with_users)
        except InvalidExport as error:
            fail(exits.REFUSED, str(error), "use the program of the site's own version")
        except InvalidRedactions as error:
            fail(exits.USAGE, str(error), _MARK_HINT)
        document.write(told.json())
        page.write(render_html(told).encode())
    return _tell(output, told, left_elsewhere(whole, told, marks), as_json=as_json)


@contextmanager
def _files(folder: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Give the two files to be written, in a new folder; nothing of these stays if that fails."""
    make_private_folder(folder)
    try:
        with (
            new_private_file(folder / "export.json") as document,
            new_private_file(folder / "export.html") as page,
        ):
            yield document, page
    except BaseException:
        with suppress(OSError):
            folder.rmdir()
        raise


def _marks(file: Path | None) -> "list[Redaction]":
    """Return the marks that a file holds, or end the command."""
    if file is None:
        return []
    from lookup.disclosure.errors import InvalidRedactions  # noqa: PLC0415  # loaded by now
    from lookup.disclosure.redacting import MAX_FILE, parse_redactions  # noqa: PLC0415

    try:
        return parse_redactions(read_file(file, MAX_FILE))
    except InvalidRedactions as error:
        fail(exits.USAGE, str(error), _MARK_HINT)


def _text(file: Path | None) -> str:
    """Return a statement's text, with the line ends of this system, or end the command."""
    raw = sys.stdin.buffer.read(_MAX_TEXT + 1) if file is None else read_file(file, _MAX_TEXT)
    if len(raw) > _MAX_TEXT:
        fail(exits.USAGE, f"the text has more than {_MAX_TEXT} bytes", _TEXT_HINT)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        fail(exits.USAGE, "the text is not in UTF-8", _TEXT_HINT)
    return text.replace("\r\n", "\n").strip("\n")


def _tell(
    output: Path, told: "Export", standing: Sequence[tuple[int, int]], *, as_json: bool
) -> int:
    said = told.document
    shown: dict[str, object] = {
        "export": str((output / "export.json").absolute()),
        "page": str((output / "export.html").absolute()),
        "accesses": len(said["accesses"]),
        "redactions": said["redactions"],
        "missing": said["missing"],
        "standing": [{"redaction": number, "places": places} for number, places in standing],
    }
    for number, places in standing:
        note(f"redaction {number}: its words still stand in {places} other places: look again")
    if said["missing"]:
        note(f"{said['missing']} rows of the audit are lost: `lacuna audit verify` says which")
    if as_json:
        print_json(shown)
    else:
        left_out = [f"{number} {reason}" for reason, number in said["redactions"].items()]
        facts = {name: shown[name] for name in ("export", "page", "accesses")}
        say_facts(
            {**facts, "left out": left_out or ["nothing"], "next": "read it, then hand it over"}
        )
    return exits.FINDING if standing or said["missing"] else exits.OK


def _facts(record: dict[str, Any]) -> dict[str, object]:
    """Return a record as names and values for `console.say_facts`."""
    accesses = record["accesses"]
    earlier = [] if accesses["complete"] else ["and perhaps earlier: `lacuna record export`"]
    return {
        "record": record["record_id"],
        "version": record["version"],
        "authority": record["authority"],
        "reference": record["source_ref"],
        "identifiers": record["identifiers"],
        "category": record["category"],
        "since": record["since"],
        "until": record["until"] or "open",
        "answered until": record["answer_until"] or "open",
        "payload": _printed(json.dumps(record["payload"], indent=2, ensure_ascii=False)),
        "statements": [
            line
            for each in record["statements"]
            for line in (
                f"{each['day']}, by {each['officer']} ({each['statement']}):",
                *_printed("its text was lost" if each["text"] is None else each["text"]),
            )
        ]
        or ["none"],
        "told": [
            "  ".join((each["time"], each["client_name"] or each["client"], each["role"] or "-"))
            for each in accesses["latest"]
        ]
        + earlier,
    }


def _printed(text: str) -> list[str]:
    """Return the lines of a text, in which nothing does anything to a terminal."""
    return [
        "".join(each if each.isprintable() else "\ufffd" for each in line)
        for line in text.split("\n")
    ]
