"""`lacuna certificate`: what a certificate of destruction shows, for whoever was given one.

Invariants:

* Offline: no site, no configuration, no network, and nothing but the files that are named.
* What is printed was verified, or is not printed; identifiers are shown by their last characters.
* Little is imported: a command that a family waits for must not be slower than its reading.
"""

import re
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from lookup import exits
from lookup.cli.console import fail, json_option, print_json, say, say_facts
from lookup.cli.files import new_private_file, read_file

if TYPE_CHECKING:
    from crypto.note import NamedKey
    from lookup.transparency.certificate import Certificate, Verified
    from lookup.transparency.opening import Opening
    from lookup.transparency.statement import Statement

VERIFY: Final = """Verify the certificate of destruction in FILE, and say what it means.

Nothing else is needed: no site, no network. The log's key is what the certificate is worth, so
have it from somewhere else than the certificate, and compare.

With --opening it is also verified that the certificate speaks of the records in that file, which
officers hand to the family.

\b
Exit status
  0   the certificate verifies
  64  a key is malformed
  65  it does not verify: do not rely on it
  66  a file cannot be read
"""
LETTER: Final = """Verify the certificate in FILE, and write the family's letter about it.

The letter is one HTML file without scripts, to print or to send. It holds the certificate, and no
child's number; with --opening it shows the last three characters of each.

\b
Exit status
  0   the letter is written
  64  a key is malformed
  65  the certificate does not verify; then no letter is made
  66  a file cannot be read
  73  the letter cannot be made, or is there already
"""

_KEY: Final = re.compile(r"[^\s+]+\+[0-9a-fA-F]{8}\+[A-Za-z0-9+/=]+")
_MAX_KEY: Final = 4_096
_NOT_RELIED_ON: Final = "do not rely on it; ask whoever handed it out for the file again"
_KEY_HINT: Final = "give NAME+ID+KEY as the authority publishes it, or a file with that one line"
_OPENING_HINT: Final = "give the opening that was handed out with this certificate"

Key = TypeVar("Key", bound="NamedKey")

_file = click.argument("file", type=click.Path(path_type=Path))
_log_keys = click.option(
    "--log-key",
    "log_keys",
    multiple=True,
    required=True,
    metavar="KEY_OR_FILE",
    help="The log's verifier key, or a file with it; again for another log.",
)
_witness_keys = click.option(
    "--witness-key",
    "witness_keys",
    multiple=True,
    metavar="KEY_OR_FILE",
    help="Of a cosigner (C2SP: a witness) that must have signed too; again for another.",
)
_opening = click.option(
    "--opening",
    type=click.Path(path_type=Path),
    help="What shows that the certificate speaks of a family's records.",
)


@click.group()
def group() -> None:
    """Verify a certificate of destruction; write the family's letter."""


@group.command(help=VERIFY, short_help="Verify a certificate of destruction.")
@_file
@_log_keys
@_witness_keys
@_opening
@json_option
def verify(
    file: Path,
    *,
    log_keys: tuple[str, ...],
    witness_keys: tuple[str, ...],
    opening: Path | None,
    as_json: bool,
) -> None:
    """Read, verify, and only then print."""
    certificate, verified = _verified(file, log_keys, witness_keys)
    opened = _opened(opening, verified.statement)
    if as_json:
        print_json(_document(certificate, verified, opened))
    else:
        say_facts(_facts(verified, opened))
        say("")
        say("The log holds this statement. That it is true is what the authority answers for.")


@group.command(help=LETTER, short_help="Write the family's letter about a certificate.")
@_file
@_log_keys
@_witness_keys
@_opening
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The HTML file to make; only you will be able to read it.",
)
@json_option
def letter(  # noqa: PLR0913  # one parameter for each option
    file: Path,
    *,
    log_keys: tuple[str, ...],
    witness_keys: tuple[str, ...],
    opening: Path | None,
    output: Path,
    as_json: bool,
) -> None:
    """Verify everything before the file is made."""
    from lookup.transparency.letter import Attachment, make_letter  # noqa: PLC0415  # nor a letter

    certificate, verified = _verified(file, log_keys, witness_keys)
    opened = _opened(opening, verified.statement)
    attachment = Attachment(certificate.text(), file.name, verified.log_key.text())
    text = make_letter(verified.statement, attachment, opened)
    with new_private_file(output) as made:
        made.write(text.encode())
    shown = {"certificate": verified.statement.certificate, "letter": str(output.absolute())}
    if as_json:
        print_json(shown)
    else:
        say_facts({**shown, "next": "print it, and hand it over with the certificate's file"})


def _verified(
    file: Path, log_keys: tuple[str, ...], witness_keys: tuple[str, ...]
) -> "tuple[Certificate, Verified]":
    """Return what a file shows, or end the command."""
    from crypto.cosignature import CosignerKey  # noqa: PLC0415  # --help must not wait for it
    from crypto.note import VerifierKey  # noqa: PLC0415
    from lookup.transparency import certificate  # noqa: PLC0415
    from lookup.transparency.errors import InvalidCertificate  # noqa: PLC0415

    logs = [_key(text, "--log-key", VerifierKey.parse) for text in log_keys]
    witnesses = [_key(text, "--witness-key", CosignerKey.parse) for text in witness_keys]
    raw = read_file(file, certificate.MAX_CERTIFICATE, "compare the path with what is there")
    try:
        parsed = certificate.parse_certificate(raw)
        return parsed, certificate.verify_certificate(parsed, logs, witnesses)
    except InvalidCertificate as error:
        message = f"{file} does not verify: {error}"
        fail(exits.REFUSED, message, _NOT_RELIED_ON)


def _opened(path: Path | None, statement: "Statement") -> "Opening | None":
    """Return an opening that the statement speaks of, or end the command."""
    if path is None:
        return None
    from lookup.transparency import opening  # noqa: PLC0415  # most have none
    from lookup.transparency.errors import InvalidOpening  # noqa: PLC0415

    raw = read_file(path, opening.MAX_OPENING, _OPENING_HINT)
    try:
        parsed = opening.parse_opening(raw)
        opening.verify_opening(parsed, statement)
    except InvalidOpening as error:
        fail(exits.REFUSED, f"{path} does not open the certificate: {error}", _OPENING_HINT)
    return parsed


def _key(text: str, option: str, parse: Callable[[str], Key]) -> Key:
    """Return the key that an option or the file that it names holds, or end the command."""
    from crypto.note import InvalidVerifierKey  # noqa: PLC0415  # loaded by now

    where = option
    if not _KEY.fullmatch(text):
        where = f"the file of {option}"
        raw = read_file(Path(text), _MAX_KEY, _KEY_HINT)
        text = raw.decode(errors="replace").removesuffix("\n")
    try:
        return parse(text)
    except InvalidVerifierKey as error:
        fail(exits.USAGE, f"{where}: {error}", _KEY_HINT)


def _facts(verified: "Verified", opening: "Opening | None") -> dict[str, object]:
    """Return what is printed, as names and values."""
    from lookup.transparency import meaning  # noqa: PLC0415
    from lookup.transparency.statement import moment  # noqa: PLC0415

    said, checkpoint = verified.statement, verified.checkpoint
    shown: dict[str, object] = {
        "verified": f"entry {verified.index} of {checkpoint.size} in the log {checkpoint.origin}"
    }
    if said.demo:
        shown["demo"] = f"yes: {meaning.DEMO}"
    shown["cosigned"] = [
        *(f"by {key.name} at {_when(time)}" for key, time in verified.cosignatures),
        *([f"{verified.others} more signatures, of unknown keys"] if verified.others else []),
    ] or ["none"]
    shown |= {
        "certificate": said.certificate,
        "site": said.site,
        "authority": said.authority,
        "destroyed": f"{meaning.counted(len(said.records), 'record')}, {moment(said.destroyed_at)}",
        "remedy": f"{said.remedy}: {meaning.REMEDY[said.remedy]}",
        "ground": f"{meaning.ground_article(said.ground)}: {meaning.GROUND[said.ground]}",
        "requested": moment(said.requested_at),
        "approved": moment(said.approved_at),
        "approved by": [f"{role}, key {fingerprint}" for role, fingerprint in said.approvals],
        "cooling-off": f"{meaning.cooling_off(said)}; not before"
        f" {moment(said.effective_not_before)}",
        "epoch": f"{said.epoch}: the slots below hold no key of an earlier one",
        "slots": [f"{slot} class {letter}: {meaning.SLOT[letter]}" for letter, slot in said.slots],
        "lost slots": [f"{slot}: {meaning.LOST_SLOT}" for slot in said.lost_slots] or ["none"],
        "workers": f"{meaning.counted(said.workers, 'process', 'processes')} had confirmed that no"
        " answer of before was under way",
        "not covered": [f"{name}: {meaning.NOT_COVERED[name]}" for name in said.not_covered],
    }
    if not said.demo:
        shown["demo"] = "no"
    shown["opening"] = _opening_lines(said, opening)
    return shown


def _opening_lines(said: "Statement", opening: "Opening | None") -> list[str]:
    if opening is None:
        return ["not given: whose records these were is not shown"]
    return [
        f"speaks of {len(opening.records)} of {len(said.records)} records:",
        *(
            f"{record.authority} {record.source_ref}, {', '.join(record.masked_identifiers())}"
            for record in opening.records
        ),
    ]


def _document(
    certificate: "Certificate", verified: "Verified", opening: "Opening | None"
) -> dict[str, Any]:
    """Return the document of --json: the statement's own words, and what verified it."""
    said: dict[str, Any] = {}
    for line in verified.statement.text().decode().splitlines()[1:]:
        name, _, value = line.partition(": ")
        said.setdefault(name, []).append(value)
    many = {"record", "approval", "slot", "lost_slot", "not_covered"}
    return {
        "verified": True,
        "statement": {
            "remedy": verified.statement.remedy,
            **{name: value if name in many else value[0] for name, value in said.items()},
            "lost_slot": said.get("lost_slot", []),
        },
        "log": {
            "origin": verified.checkpoint.origin,
            "size": verified.checkpoint.size,
            "root": b64encode(verified.checkpoint.root).decode(),
            "index": verified.index,
            "leaf": b64encode(certificate.leaf()).decode(),
        },
        "cosigners": [{"name": key.name, "time": time} for key, time in verified.cosignatures],
        "unknown_signatures": verified.others,
        "opened": None
        if opening is None
        else [
            {
                "authority": record.authority,
                "source_ref": record.source_ref,
                "record_id": record.record_id,
                "identifiers": record.masked_identifiers(),
            }
            for record in opening.records
        ],
    }


def _when(time: int) -> str:
    """Return a witness's time, which may be any number."""
    from lookup.transparency.errors import InvalidStatement  # noqa: PLC0415
    from lookup.transparency.statement import moment  # noqa: PLC0415

    try:
        return moment(time)
    except InvalidStatement:
        return f"second {time} since 1970"
