"""Proposals: changes of officers, of rules and of holds, which several officers sign.

    lacuna-proposal/v1
    vault: <32 hex>
    proposal: <32 hex>
    officer: <32 hex: the signer>
    act: propose | approve-proposal
    change: {"change":"add-officer", …}

Invariants:

* The whole change stands in what is signed, also by whoever approves it.
* The text is canonical: there is one for each signer, act and change.
* A hold, which only protects, is placed by its proposer alone; to lift it is a change as any other.
* `proposal` is two zero bytes, the number of changes that were made before (4 bytes, big-endian),
  and ten random bytes: what was proposed once can not be proposed again after the next change.
* Signatures are SSHSIG with the namespace `lacuna-proposal@v1`.

Pure: no I/O, no clock.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final

import msgspec

from crypto.sshsig import InvalidPublicKey, parse_public_key
from lookup.officers.roles import Act, OfficerId, Role
from lookup.officers.signed_text import InvalidText, read_text, write_text

NAMESPACE: Final = "lacuna-proposal@v1"
MAX_TEXT: Final = 4_096
MAX_APPROVALS: Final = 8
MAX_CAP: Final = 10_000
MAX_CURSOR: Final = (1 << 63) - 1
_HEAD: Final = "lacuna-proposal/v1"
_NAMES: Final = ("vault", "proposal", "officer", "act", "change")
_HEX: Final = re.compile(r"[0-9a-f]{32}")

HexId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}\\Z")]
Name = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,38}[A-Za-z0-9])?\\Z")]
AuthorityCode = Annotated[str, msgspec.Meta(pattern="^[A-Z0-9]{1,16}\\Z")]
Code = Annotated[str, msgspec.Meta(pattern="^[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?\\Z")]
Roles = Annotated[list[Role], msgspec.Meta(min_length=1, max_length=len(Role))]


class InvalidProposal(ValueError):
    """This is no proposal; the message names the rule."""


class _Change(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="change", kw_only=True
):
    """What is proposed."""


class AddOfficer(_Change, frozen=True, tag="add-officer"):
    """Somebody becomes an officer. `key` is an OpenSSH public key; `authority` null: of all."""

    name: Name
    roles: Roles
    key: str
    authority: AuthorityCode | None = None


class ChangeOfficer(_Change, frozen=True, tag="change-officer"):
    """An officer gets other roles."""

    officer: HexId
    roles: Roles


class RemoveOfficer(_Change, frozen=True, tag="remove-officer"):
    """Somebody is an officer no longer."""

    officer: HexId


class SetRules(_Change, frozen=True, tag="set-rules"):
    """What cases need. `authority` null: the site's own rules, for all without their own.

    `malicious_from` is the day from which ground (g) is law, null where nobody can say yet.
    """

    approvals: Annotated[int, msgspec.Meta(ge=2, le=MAX_APPROVALS)] = 2
    cooling_off_days: Annotated[int, msgspec.Meta(ge=1, le=365)] = 14
    malicious_from: str | None = None
    authority: AuthorityCode | None = None


class LiftFence(_Change, frozen=True, tag="lift-fence"):
    """A record that was destroyed may be stored again: it was sent by mistake that it was."""

    authority: AuthorityCode
    source_ref: Annotated[str, msgspec.Meta(pattern=r"\A[!-~](?:[ -~]{0,62}[!-~])?\Z")]

    def __repr__(self) -> str:
        return "<LiftFence>"


class AttachRecord(_Change, frozen=True, tag="attach-record"):
    """A record that a case has changed takes its feed's word again, and what waits of it."""

    record: HexId
    authority: AuthorityCode


class WithdrawStatement(_Change, frozen=True, tag="withdraw-statement"):
    """A supplementary statement leaves its record: its family wants that, or it is another's."""

    record: HexId
    statement: HexId
    authority: AuthorityCode


class SetCursor(_Change, frozen=True, tag="set-cursor"):
    """A feed that has come too far by mistake is set back: what has a newer cursor is stored."""

    authority: AuthorityCode
    cursor: Annotated[int, msgspec.Meta(ge=0, le=MAX_CURSOR)]


class SetRetention(_Change, frozen=True, tag="set-retention"):
    """What is due by these retention classes may be swept: a standing approval.

    `policy` is the SHA-256 of the classes' file, which also says `version`; `cap` is how many
    records a night. `authority` null: of all authorities without an approval of their own.
    """

    policy: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}\\Z")]
    version: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    cap: Annotated[int, msgspec.Meta(ge=1, le=MAX_CAP)]
    authority: AuthorityCode | None = None


class PlaceHold(_Change, frozen=True, tag="place-hold", rename={"of_class": "class"}):
    """Records of this scope stay until the hold is lifted; what is null is no condition.

    With all of it null the scope is every record: an inquiry's moratorium.
    """

    reason: Code
    record: HexId | None = None
    authority: AuthorityCode | None = None
    category: Code | None = None
    of_class: Code | None = None


class LiftHold(_Change, frozen=True, tag="lift-hold"):
    """A hold ends. `authority` is that of its scope: whose officers may say so."""

    hold: HexId
    authority: AuthorityCode | None = None


Change = (
    AddOfficer
    | ChangeOfficer
    | RemoveOfficer
    | SetRules
    | LiftFence
    | AttachRecord
    | WithdrawStatement
    | SetCursor
    | SetRetention
    | PlaceHold
    | LiftHold
)

_decoder: Final = msgspec.json.Decoder[Change](Change)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one officer signs of a proposal."""

    vault: bytes
    id: bytes
    officer: OfficerId
    act: Act
    change: Change

    def text(self) -> str:
        """Return what is signed."""
        values = (
            self.vault.hex(),
            self.id.hex(),
            self.officer.hex(),
            self.act.value,
            encode_change(self.change).decode(),
        )
        return write_text(_HEAD, _NAMES, values)


def encode_change(change: Change) -> bytes:
    """Return the one form of a change."""
    return msgspec.json.encode(change, order="sorted")


def parse_change(raw: bytes) -> Change:
    """Return the change that a JSON object describes. Raises InvalidProposal."""
    try:
        change: Change = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidProposal("not a change: see `lacuna officer --help` for what can be") from None
    if encode_change(change) != raw:
        raise InvalidProposal(
            "the change is not written in its one form: members sorted, no blanks"
        )
    if isinstance(change, AddOfficer | ChangeOfficer) and sorted(set(change.roles)) != change.roles:
        raise InvalidProposal("roles are sorted, each named once")
    if isinstance(change, AddOfficer):
        try:
            parse_public_key(change.key)
        except InvalidPublicKey as error:
            raise InvalidProposal(str(error)) from None
    if isinstance(change, SetRules) and change.malicious_from is not None:
        _require_day(change.malicious_from)
    return change


def _require_day(text: str) -> None:
    try:
        is_day = date.fromisoformat(text).isoformat() == text  # weeks have days, too
    except ValueError:
        is_day = False
    if not is_day:
        raise InvalidProposal("malicious_from is a day, YYYY-MM-DD")


def parse_proposal(text: str) -> Proposal:
    """Return the proposal that a text is. Raises InvalidProposal."""
    try:
        vault, proposal_id, officer, act, change = read_text(_HEAD, _NAMES, text, MAX_TEXT)
    except InvalidText as error:
        raise InvalidProposal(f"this is no proposal: {error}") from None
    if not all(_HEX.fullmatch(each) for each in (vault, proposal_id, officer)):
        raise InvalidProposal("vault, proposal and officer have 32 hexadecimal digits")
    if act not in {Act.PROPOSE, Act.APPROVE_PROPOSAL}:
        raise InvalidProposal(f"act is {Act.PROPOSE} or {Act.APPROVE_PROPOSAL}")
    return Proposal(
        bytes.fromhex(vault),
        bytes.fromhex(proposal_id),
        OfficerId(bytes.fromhex(officer)),
        Act(act),
        parse_change(change.encode()),
    )
