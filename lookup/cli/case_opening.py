"""`lacuna case open` and `amend`: what a case says, shown before it is signed."""

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from lookup import exits
from lookup.cli.acting import OfficerOptions, act, id_argument, officer_options
from lookup.cli.asking import typed_line
from lookup.cli.case_reading import LIST_FIRST, case_facts, require_as_shown
from lookup.cli.console import confirm, fail, json_option, note, print_json, say_facts, yes_option
from lookup.cli.files import read_file

if TYPE_CHECKING:
    from lookup.cases.content import Content

# As lookup/cases/data/grounds.toml has them; a test holds the two together.
GROUNDS: Final = {
    "art-17-1-a": "no longer necessary",
    "art-17-1-b": "consent was withdrawn",
    "art-17-1-c": "objected to",
    "art-17-1-d": "processed unlawfully",
    "art-17-1-e": "a legal obligation to erase",
    "art-17-1-f": "collected for information society services to a child",
    "art-17-1-g": "a malicious allegation",
    "art-16": "inaccurate: of another child, of an old number, or wrong",
    "art-18-1-a": "the accuracy is contested",
    "art-18-1-b": "unlawful, but erasure is not wanted",
    "art-18-1-c": "needed for legal claims",
    "art-18-1-d": "an objection is being weighed",
}
# What is asked for, and what its requester signs.
REMEDIES: Final = {
    "erase": "You sign a request that these records are destroyed.",
    "unlink": "You sign a request that this record loses these identifiers, for good.",
    "rectify": "You sign a request that this record is corrected, and what was wrong is destroyed.",
    "restrict": "You sign a request that hospitals are not told of these records.",
}
MAX_EVIDENCE: Final = 1 << 18
_RECORD_ID: Final = re.compile(r"[0-9a-f]{32}")
_LISTED: Final = "\n".join(f"  {code}  {why}" for code, why in GROUNDS.items())

OPEN: Final = f"""Open a case about records of one authority, named by their record ids.

RECORD_ID is what `lacuna import --results` and the custodian's API return: 32 hexadecimal digits; a
dash reads them from standard input. Shown before you sign: the records as they are now, and every
other record that names the same child.

EVIDENCE is a JSON file. For ground (g) it is what lookup/cases/evidence.py describes; for the other
grounds an object of references: what each ground needs is said when it is missing.

A record that no hospital is told of is kept as it is from now on. One that protects a child is
answered on, unless you ask for its restriction and an officer for safeguarding agrees.

\b
Remedies
  erase     destroy the records; grounds art-17-1-a to g
  unlink    take identifiers off one record (adoption, wrong child): they are typed, or read
            from standard input; ground art-16
  rectify   correct one record; FILE is a JSON object of what is wrong, as it should be: category,
            since, until, answer_until, payload; ground art-16
  restrict  hide the records and destroy nothing; grounds art-18-1-a to d

A record that was unlinked or corrected takes its feed's word no more: see `lacuna officer attach`.

\b
Grounds (UK GDPR Art 16, 17(1), 18(1))
{_LISTED}

\b
Exit status
  0   opened
  64  an option is missing or breaks a rule, or the evidence has not the ground's form
  65  a record is not there, is in another case, or none of your roles may open one
  66  the key or the evidence cannot be read
  69  no custodian answers
"""
AMEND: Final = """Change what CASE says: ground, evidence, note, or the wish to restrict.

What was approved or refused before is void, and a shortened cooling-off too: it was about another
case. The records stay the same; the others that name the same child are looked for again.

\b
Exit status
  0   changed
  64  an option breaks a rule
  65  the case is decided, or has moved on: look at it again
  66  the key or the evidence cannot be read
  69  no custodian answers
"""

ground_option = click.option(
    "--ground", metavar="CODE", type=click.Choice(list(GROUNDS)), help="One of the codes above."
)
evidence_option = click.option(
    "--evidence", type=click.Path(path_type=Path), help="JSON file with the evidence."
)
note_option = click.option(
    "--note-file",
    type=click.Path(path_type=Path),
    help="Text for whoever decides; it is sealed, and leaves with the case.",
)


@click.command("open", help=OPEN, short_help="Request that records are expunged.")
@click.argument("record_ids", metavar="RECORD_ID...", nargs=-1, required=True)
@ground_option
@evidence_option
@note_option
@click.option(
    "--remedy",
    type=click.Choice(list(REMEDIES)),
    default="erase",
    help="What is asked for.  [erase]",
)
@click.option(
    "--correction",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="JSON file with what is right, for rectify.",
)
@click.option("--received", help="The day the request came, YYYY-MM-DD.  [today]")
@click.option("--restrict", is_flag=True, help="Ask that the records are hidden meanwhile.")
@officer_options
@yes_option
@json_option
@click.pass_context
def open_(
    ctx: click.Context,
    /,
    record_ids: tuple[str, ...],
    *,
    officer: OfficerOptions,
    **options: Any,  # noqa: ANN401  # one option each
) -> None:
    """Look, show, ask, sign, send."""
    if options["ground"] is None:
        fail(exits.USAGE, "no ground is given", "--ground CODE: see `lacuna case open --help`")
    wanted = _parse(record_ids)
    asked = _remedy(options["remedy"], options["correction"])
    evidence, note_text = _read_json(options["evidence"]), _read_text(options["note_file"])
    acting = act(ctx, officer)
    note("looking for other records of the same child …")
    seen = acting.custodian.post("/v1/cases/preview", {"record_ids": wanted})
    content = _content(
        {
            "authority": seen["records"][0]["authority"],
            "records": _named(seen["records"]),
            "others": sorted(each["record_id"] for each in seen["others"]),
            "ground": options["ground"],
            "received": options["received"] or datetime.now(UTC).date().isoformat(),
            "restrict": options["restrict"] or options["remedy"] == "restrict",
            "evidence": evidence,
            "note": note_text,
            **asked,
        }
    )
    _show(seen, options["ground"])
    confirm(REMEDIES[options["remedy"]], assumed=options["yes"])
    case = acting.custodian.post("/v1/cases", acting.signer.opening(content))
    _print(case, as_json=options["as_json"])


@click.command("amend", help=AMEND, short_help="Change what a case says; voids its approvals.")
@id_argument("case_id", "CASE")
@ground_option
@evidence_option
@note_option
@click.option("--restrict/--no-restrict", default=None, help="Ask for a restriction, or not.")
@officer_options
@yes_option
@json_option
@click.pass_context
def amend(
    ctx: click.Context,
    /,
    case_id: str,
    *,
    officer: OfficerOptions,
    **options: Any,  # noqa: ANN401  # as above
) -> None:
    """Read, change what was given, look for others again, sign, send."""
    acting = act(ctx, officer)
    case = acting.custodian.get(f"/v1/cases/{case_id}", hint=LIST_FIRST)
    require_as_shown(case, case_id)
    seen = acting.custodian.post(
        "/v1/cases/preview",
        {"record_ids": [each["record_id"] for each in case["content"]["records"]]},
    )
    given = {
        "ground": options["ground"],
        "evidence": _read_json(options["evidence"]),
        "note": _read_text(options["note_file"]) or None,
        "restrict": options["restrict"],
        "others": sorted(each["record_id"] for each in seen["others"]),
    }
    members = case["content"] | {name: each for name, each in given.items() if each is not None}
    content = _content(members | {"records": _named(seen["records"])})
    _show(seen, content.ground)
    confirm("What was signed of this case before is void.", assumed=options["yes"])
    changed = acting.custodian.post(
        f"/v1/cases/{case_id}/steps", acting.signer.amendment(case["next"], content)
    )
    _print(changed, as_json=options["as_json"])


def _remedy(remedy: str, correction: Path | None) -> dict[str, object]:
    """Return what a content says of its remedy; of an erasure nothing."""
    if (correction is not None) != (remedy == "rectify"):
        fail(exits.USAGE, "--correction FILE comes with --remedy rectify, and with nothing else")
    if remedy == "unlink":
        identifiers = typed_line("Identifiers to take off, such as nhs:...").split()
        return {"remedy": remedy, "unlink": _canonical(identifiers)}
    if remedy == "rectify":
        return {"remedy": remedy, "correction": _read_json(correction)}
    return {} if remedy == "erase" else {"remedy": remedy}


def _canonical(texts: list[str]) -> list[str]:
    from lookup.identifiers import InvalidIdentifier, parse_identifier  # noqa: PLC0415  # `--help` must not wait

    try:
        return sorted({parse_identifier(text).text for text in texts})
    except InvalidIdentifier as error:
        fail(exits.USAGE, f"an identifier is none: {error.message}", "write scheme:value")


def _named(records: list[dict[str, Any]]) -> list[Any]:
    from lookup.cases.content import Named  # noqa: PLC0415  # `--help` must not wait for this

    found = [Named(each["record_id"], each["version"]) for each in records]
    return sorted(found, key=lambda each: each.record_id)


def _content(members: dict[str, Any]) -> "Content":
    from lookup.cases.content import Content, InvalidContent, parse_content  # noqa: PLC0415  # as above
    from lookup.cases.evidence import InvalidEvidence  # noqa: PLC0415  # as above
    from lookup.cases.supporting import require_supported  # noqa: PLC0415  # as above

    try:
        content = parse_content(Content(**members).encode())
        require_supported(content)
    except (InvalidContent, InvalidEvidence) as error:
        fail(exits.USAGE, str(error), "see `lacuna case open --help`")
    return content


def _show(seen: dict[str, Any], ground: str) -> None:
    """Say on standard error what is about to be signed."""
    for what in ("records", "others"):
        for each in seen[what]:
            whose = "" if what == "records" else "not in the case, of the same child: "
            told = "hospitals are told of it" if each["protects"] else "no hospital is told of it"
            since = f"{each['category']} of {each['authority']} since {each['since']}"
            note(f"  {whose}{each['record_id']}  {since}; {told}")
    note(f"  ground: {ground}, {GROUNDS[ground]}")


def _print(case: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(case)
    else:
        say_facts(case_facts(case))


def _parse(given: tuple[str, ...]) -> list[str]:
    """Return the record ids, without those that are given twice."""
    texts: list[str] = []
    for text in given:
        texts += sys.stdin.read(1 << 16).split() if text == "-" else [text]
    for number, text in enumerate(texts, start=1):
        if not _RECORD_ID.fullmatch(text):
            # Not repeated: somebody may have taken a child's number for a record's.
            fail(
                exits.USAGE,
                f"record id {number} of {len(texts)} is not 32 hexadecimal digits",
                "give record ids as the site returned them, never identifiers",
            )
    if not 1 <= len(set(texts)) <= 64:
        fail(exits.USAGE, f"{len(set(texts))} records were named; a case names 1 to 64")
    return sorted(set(texts))


def _read_json(file: Path | None) -> dict[str, Any] | None:
    if file is None:
        return None
    try:
        found = json.loads(_bytes(file))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        fail(exits.USAGE, f"{file} does not hold one JSON object", "see lookup/cases/evidence.py")
    return found


def _read_text(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return _bytes(file).decode().strip()
    except UnicodeDecodeError:
        fail(exits.USAGE, f"{file} is not UTF-8", "save it as plain text")


def _bytes(file: Path) -> bytes:
    raw = read_file(file, MAX_EVIDENCE)
    if len(raw) > MAX_EVIDENCE:
        fail(
            exits.USAGE, f"{file} has more than {MAX_EVIDENCE} bytes", "send references, not files"
        )
    return raw
