"""Steps: what happens to a case, each as a text that an officer signs.

    lacuna-case-step/v1
    vault: <32 hex>
    case: <32 hex>
    number: <from 1>
    after: <64 hex: SHA-256 of the step before; zeros for the first>
    digest: <64 hex: of the case as it stands, see `digest_of`>
    officer: <32 hex, or "site">
    act: approve
    details: {}

Invariants:

* The text is canonical: exactly one text says the same, so that a signature is for one step only.
* `number` and `after` give a step its one place: none can be played again, left out or moved.
* `digest` names the case as its signer saw it. What changes a case changes its digest, and what
  was signed before is void (lookup/cases/machine.py).
* Signatures are SSHSIG with the namespace `lacuna-case@v1`, so `ssh-keygen -Y sign` makes them.
* A step that the site takes by itself has no signature; such are `recall`, `take-back`, `escalate`.

Pure: no I/O, no clock.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Final

import msgspec

from crypto.encoding import encode, uint
from lookup.officers.roles import Act, OfficerId
from lookup.officers.signed_text import InvalidText, read_text, write_text

NAMESPACE: Final = "lacuna-case@v1"
FIRST_AFTER: Final = bytes(32)
MAX_TEXT: Final = 3_072  # bytes; with all else of a step it fits into an entry of the map
SALT_SIZE: Final = 32
MOST_RECIPIENTS: Final = (
    10_000  # as many clients as a site has (lookup/cells.py), gone ones included
)
_HEAD: Final = "lacuna-case-step/v1"
_NAMES: Final = ("vault", "case", "number", "after", "digest", "officer", "act", "details")
_SITE: Final = "site"
_HEX16: Final = re.compile(r"[0-9a-f]{32}")
_HEX32: Final = re.compile(r"[0-9a-f]{64}")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,4}")
_CODE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_REFERENCE: Final = re.compile(r"[!-~](?:[ -~]{0,98}[!-~])?")

Details = Mapping[str, str | int]

# What each act says besides itself; the rest say nothing.
DETAILS: Final[Mapping[Act, tuple[str, ...]]] = MappingProxyType(
    {
        Act.REFUSE: ("reason", "words"),
        Act.HOLD: ("reason",),
        Act.SHORTEN: ("court_order", "days"),
        Act.EXTEND: ("reason",),
        Act.RECALL: ("recipients",),
        Act.ESCALATE: ("reason",),
    }
)


class InvalidStep(ValueError):
    """This is no step; the message names the rule."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `officer` None: the site's own."""

    vault: bytes
    case: bytes
    number: int
    after: bytes
    digest: bytes
    officer: OfficerId | None
    act: Act
    details: Details = field(default_factory=dict)

    def text(self) -> str:
        """Return what is signed."""
        values = (
            self.vault.hex(),
            self.case.hex(),
            str(self.number),
            self.after.hex(),
            self.digest.hex(),
            _SITE if self.officer is None else self.officer.hex(),
            self.act.value,
            _canonical(self.details),
        )
        return write_text(_HEAD, _NAMES, values)

    def hash(self) -> bytes:
        """Return what the next step names as `after`."""
        return sha256(self.text().encode()).digest()


def digest_of(salt: bytes, case_id: bytes, revision: int, content: bytes) -> bytes:
    """Return the digest of a case as it stands.

    Hiding, for content has little entropy: the salt leaves with the case. `revision` is the number
    of the step that last changed the case.
    """
    message = encode(b"lacuna/case-digest/v1", case_id, uint(revision), content)
    return hmac.digest(salt, message, "sha256")


def nonce_of(salt: bytes, number: int) -> bytes:
    """Return what blinds a step's commitment in the log; it leaves with the case, too."""
    return hmac.digest(salt, encode(b"lacuna/case-step-nonce/v1", uint(number)), "sha256")


def parse_step(text: str) -> Step:
    """Return the step that a text is. Raises InvalidStep."""
    try:
        step = _parse_values(read_text(_HEAD, _NAMES, text, MAX_TEXT))
    except InvalidText as error:
        raise InvalidStep(f"this is no step: {error}") from None
    if step.text() != text:
        raise InvalidStep("the step is not written in its one form")
    return step


def _parse_values(values: Sequence[str]) -> Step:
    vault, case, number, after, digest, officer, act, details = values
    for text, grammar in ((vault, _HEX16), (case, _HEX16), (after, _HEX32), (digest, _HEX32)):
        if not grammar.fullmatch(text):
            raise InvalidStep("vault, case, after and digest are hexadecimal")
    if not _NUMBER.fullmatch(number):
        raise InvalidStep("number is a number from 1")
    if officer != _SITE and not _HEX16.fullmatch(officer):
        raise InvalidStep("officer is 32 hexadecimal digits")
    if act not in _ACTS:
        raise InvalidStep(f"act is one of {', '.join(_ACTS)}")
    return Step(
        bytes.fromhex(vault),
        bytes.fromhex(case),
        int(number),
        bytes.fromhex(after),
        bytes.fromhex(digest),
        None if officer == _SITE else OfficerId(bytes.fromhex(officer)),
        Act(act),
        parse_details(Act(act), details.encode()),
    )


STEPS: Final = tuple(Act)[: tuple(Act).index(Act.ESCALATE) + 1]
_ACTS: Final = tuple(act.value for act in STEPS)


def parse_details(act: Act, raw: bytes) -> Details:
    """Return what an act says besides itself. Raises InvalidStep."""
    wanted = DETAILS.get(act, ())
    try:
        found = msgspec.json.decode(raw, type=dict[str, str | int])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidStep("details are one JSON object") from None
    if tuple(sorted(found)) != wanted:
        told = " and ".join(wanted) or "nothing"
        raise InvalidStep(f"details of {act} say {told}")
    for name, value in found.items():
        _GRAMMARS[name](value)
    return MappingProxyType(found)


def _require_days(value: str | int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 365:
        raise InvalidStep("days is a number from 0 to 365")


def _require_count(value: str | int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_RECIPIENTS:
        raise InvalidStep(f"recipients is a number from 1 to {MOST_RECIPIENTS}")


def _require_code(value: str | int) -> None:
    if not isinstance(value, str) or not _CODE.fullmatch(value):
        raise InvalidStep("reason is a code in small letters, digits and hyphens")


def _require_reference(value: str | int) -> None:
    if not isinstance(value, str) or (value and not _REFERENCE.fullmatch(value)):
        raise InvalidStep("court_order is the order's reference: printable ascii, 100 at most")


def _require_words(value: str | int) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= 2_000 or not value.isprintable():
        raise InvalidStep("words are 1 to 2000 printable characters, without new lines")


_GRAMMARS: Final = {
    "words": _require_words,
    "days": _require_days,
    "recipients": _require_count,
    "reason": _require_code,
    "court_order": _require_reference,
}


def _canonical(details: Details) -> str:
    return msgspec.json.encode(dict(sorted(details.items()))).decode()
