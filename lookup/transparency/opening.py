"""The opening of a certificate: what shows that it speaks of this family's records.

    commitment = commit(nonce, encode("lacuna/destroyed-record/v1", authority, source_ref,
                                      record_id, identifier, ...))

    {"format": "lacuna-opening/v1", "certificate": 32 hex, "authority_name": ..., "contact": ...,
     "records": [{"nonce": base64, "authority": ..., "source_ref": ..., "record_id": 32 hex,
                  "identifiers": ["nhs:...", ...]}, ...]}

Officers hand this file to the family beside the certificate; the site forgets it.

Invariants:

* Without the opening nobody can tell whose records a certificate speaks of, also not by trying
  every NHS number: a nonce has 256 random bits (`crypto.commitment`).
* With it everybody can: the identifiers, sorted, and the other facts are bound one by one.
* `authority_name` and `contact` are words of the officers for the letter; nothing binds them.
* Text is printable, so that it can do nothing to a terminal. No repr and no error shows a value.
"""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from crypto.commitment import Commitment, InvalidCommitment, Nonce, commit, verify_commitment
from crypto.encoding import encode
from lookup.transparency.errors import InvalidOpening
from lookup.transparency.statement import MAX_RECORDS, Statement

FORMAT: Final = "lacuna-opening/v1"
LABEL: Final = b"lacuna/destroyed-record/v1"
MAX_OPENING: Final = 131_072
NONCE_SIZE: Final = 32

_HEX: Final = re.compile(r"[0-9a-f]{32}")
_AUTHORITY: Final = re.compile(r"[A-Z0-9]{1,16}")
_MAX_IDENTIFIERS: Final = 8
_MAX_VALUE: Final = 64
_MAX_WORDS: Final = 200
_SHOWN: Final = 3


class RecordOpening(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, repr_omit_defaults=True
):
    """What one `record` line is a commitment to, and the nonce. Sensitive."""

    nonce: bytes
    authority: str
    source_ref: str
    record_id: str
    identifiers: tuple[str, ...]

    def __repr__(self) -> str:
        return "<RecordOpening>"

    def commitment(self) -> Commitment:
        """Return the commitment that these facts give."""
        return commit_record(
            Nonce(self.nonce), self.authority, self.source_ref, self.record_id, self.identifiers
        )

    def masked_identifiers(self) -> list[str]:
        """Return the identifiers with all but their last three characters hidden."""
        return [mask(identifier) for identifier in self.identifiers]


class Opening(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that a family needs to show what a certificate speaks of. Sensitive."""

    format: str
    certificate: str
    records: tuple[RecordOpening, ...]
    authority_name: str = ""
    contact: str = ""

    def __repr__(self) -> str:
        return "<Opening>"

    def json(self) -> bytes:
        """Return the file. Raises InvalidOpening if it would not be read again."""
        _check(self)
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def commit_record(
    nonce: Nonce, authority: str, source_ref: str, record_id: str, identifiers: Iterable[str]
) -> Commitment:
    """Return what a statement says of a destroyed record. The order of identifiers is no matter."""
    return commit(nonce, _message(authority, source_ref, record_id, identifiers))


def open_record(  # noqa: PLR0913, PLR0917  # the facts that are bound, one by one
    commitment: Commitment,
    nonce: Nonce,
    authority: str,
    source_ref: str,
    record_id: str,
    identifiers: Iterable[str],
) -> None:
    """Raise InvalidOpening if the commitment is to anything but these facts."""
    try:
        verify_commitment(
            commitment, nonce, _message(authority, source_ref, record_id, identifiers)
        )
    except InvalidCommitment:
        raise InvalidOpening("the commitment is to other facts") from None


def parse_opening(raw: bytes) -> Opening:
    """Return the opening that a file holds. Raises InvalidOpening for anything else."""
    _require(len(raw) <= MAX_OPENING, f"the opening has more than {MAX_OPENING} bytes")
    try:
        opening = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # their words quote what they were given
        raise InvalidOpening("the opening is not JSON of its format") from None
    _check(opening)
    return opening


def verify_opening(opening: Opening, statement: Statement) -> None:
    """Raise InvalidOpening unless the statement speaks of every record of the opening.

    A statement may speak of more: a case can name records of several families.
    """
    _require(opening.certificate == statement.certificate, "the opening is of another certificate")
    made = [record.commitment() for record in opening.records]
    _require(len(set(made)) == len(made), "the opening names a record twice")
    _require(set(made) <= set(statement.records), "a record is none that the certificate names")


def mask(identifier: str) -> str:
    """Return an identifier's scheme and last three characters; of a short one less or nothing."""
    scheme, _, value = identifier.partition(":")
    shown = min(_SHOWN, len(value) // 2)
    hidden = len(value) - shown
    return f"{scheme}:{'*' * hidden}{value[hidden:]}"


_decode: Final = msgspec.json.Decoder(Opening).decode


def _message(authority: str, source_ref: str, record_id: str, identifiers: Iterable[str]) -> bytes:
    facts = (authority, source_ref, record_id, *sorted(set(identifiers)))
    return encode(LABEL, *(fact.encode() for fact in facts))


def _check(opening: Opening) -> None:
    _require(opening.format == FORMAT, f"the format is not {FORMAT}")
    _require(_HEX.fullmatch(opening.certificate) is not None, "certificate is not 32 hex digits")
    _require(1 <= len(opening.records) <= MAX_RECORDS, f"there are not 1 to {MAX_RECORDS} records")
    for words in (opening.authority_name, opening.contact):
        _require(
            len(words) <= _MAX_WORDS and words.isprintable(),
            f"authority_name and contact are at most {_MAX_WORDS} printable characters",
        )
    for record in opening.records:
        _check_record(record)


def _check_record(record: RecordOpening) -> None:
    _require(len(record.nonce) == NONCE_SIZE, f"a nonce does not have {NONCE_SIZE} bytes")
    _require(_AUTHORITY.fullmatch(record.authority) is not None, "an authority is no code of one")
    _require(_HEX.fullmatch(record.record_id) is not None, "a record_id is not 32 hex digits")
    _require(
        1 <= len(record.identifiers) <= _MAX_IDENTIFIERS,
        f"a record does not have 1 to {_MAX_IDENTIFIERS} identifiers",
    )
    for text in (record.source_ref, *record.identifiers):
        _require(
            1 <= len(text) <= _MAX_VALUE and text.isascii() and text.isprintable(),
            f"references and identifiers have 1 to {_MAX_VALUE} printable ascii characters",
        )
    for identifier in record.identifiers:
        _require(":" in identifier, "an identifier is not scheme:value")


def _require(so: bool, rule: str) -> None:  # noqa: FBT001  # what is so is said by the call
    if not so:
        raise InvalidOpening(rule)
