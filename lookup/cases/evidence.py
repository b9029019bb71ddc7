"""The structured evidence that ground (g), malicious allegation, needs.

    {"format": "lacuna-malicious-allegation/1",
     "allegation": {"made": "2022-03-01", "reference": "MASH-2022-118"},
     "investigation": {"opened": "2022-03-02", "closed": "2022-04-11"},      or null: there was none
     "outcome": "no-further-action",                                         or "other"
     "basis": {"kind": "conviction", "offence": "art-17-5-2", "convicted": "2023-02-10",
               "reference": "certificate 23/0417"},
     "subjects": [{"label": "mother", "role": "adult-subject", "about": "yes", "column_2": "yes"},
                  {"label": "child", "role": "child", "about": "unknown", "column_2": "no"}]}

A service offence (entries 4 to 6) also has "corresponding": the entry that the corresponding
offence is in. The other basis is an order; `until` null means until further order:

    {"kind": "protection-order", "order": "spa-2019-s2", "made": "2023-02-10", "until": null,
     "reference": "order 23/11"}

Invariants:

* Ids are of lookup/cases/data/offences.toml. It also has ids for what the table does not have, so
  that evidence which does not do can be told, and answered.
* Labels name a person's part in the file, references name evidence; neither is a name.
* Whether the basis came before or after the allegation follows from the dates.
* A refusal names the rule, never a value; no evidence shows itself in a traceback.

What is personal here is sealed under the case's key by whoever keeps it.
"""

import json
import re
from datetime import date
from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec

from lookup.cases.law import OffenceId, offences

FORMAT: Final = "lacuna-malicious-allegation/1"
MAX_EVIDENCE: Final = 16_384
MAX_SUBJECTS: Final = 16
MAX_REFERENCE: Final = 120

Label = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9-]{0,31}\\Z")]
Reference = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_REFERENCE)]


class InvalidEvidence(ValueError):
    """The evidence breaks a rule: `rule` is its stable code, the message says what to write."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message


class Role(StrEnum):
    """What part a data subject has in the file."""

    ADULT_SUBJECT = "adult-subject"
    CHILD = "child"
    OTHER = "other"


class Known(StrEnum):
    """What the officers know of a question."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Outcome(StrEnum):
    """What the controller has decided about the allegation."""

    NO_FURTHER_ACTION = "no-further-action"
    OTHER = "other"


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the evidence, which does not show itself."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Allegation(_Part, frozen=True):
    """When it was made, and where it is recorded."""

    made: date
    reference: Reference


class Investigation(_Part, frozen=True):
    """The controller's own. `closed` is None while it goes on."""

    opened: date
    closed: date | None


class Conviction(_Part, frozen=True, tag_field="kind", tag="conviction"):
    """What the informant was convicted of."""

    offence: OffenceId
    convicted: date
    reference: Reference
    corresponding: OffenceId | None = None

    @property
    def since(self) -> date:
        """From when the informant is malicious by it."""
        return self.convicted


class ProtectionOrder(_Part, frozen=True, tag_field="kind", tag="protection-order"):
    """What order the informant is subject to."""

    order: str
    made: date
    until: date | None
    reference: Reference

    @property
    def since(self) -> date:
        """From when the informant is malicious by it."""
        return self.made


class Subject(_Part, frozen=True):
    """A data subject of the file.

    `about`: whether the allegation is about them. `column_2`: whether they are the person whom
    column 2 of the table names for the offence, or whom the order was made to protect.
    """

    label: Label
    role: Role
    about: Known
    column_2: Known


class MaliciousAllegation(_Part, frozen=True):
    """The evidence of one allegation, for everybody whose data came of it."""

    format: Literal["lacuna-malicious-allegation/1"]
    allegation: Allegation
    investigation: Investigation | None
    outcome: Outcome
    basis: Conviction | ProtectionOrder
    subjects: Annotated[tuple[Subject, ...], msgspec.Meta(min_length=1, max_length=MAX_SUBJECTS)]


_decode = msgspec.json.Decoder(MaliciousAllegation).decode
encode_evidence: Final = msgspec.json.Encoder().encode


def parse_evidence(raw: bytes) -> MaliciousAllegation:
    """Return the evidence. Raises InvalidEvidence."""
    if len(raw) > MAX_EVIDENCE:
        raise InvalidEvidence("evidence-size", f"evidence has at most {MAX_EVIDENCE} bytes")
    try:
        evidence = _decode(raw)
        json.loads(raw, object_pairs_hook=_require_unique)
    except msgspec.ValidationError as error:
        raise _broken(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidEvidence("evidence-json", "write one JSON object in UTF-8") from None
    _require_references(evidence)
    _require_ids(evidence.basis)
    _require_order(evidence)
    labels = {subject.label for subject in evidence.subjects}
    if len(labels) < len(evidence.subjects):
        raise InvalidEvidence("subject-label", "give each data subject a label of its own")
    return evidence


def is_reference(text: str) -> bool:
    """Say whether a text can refer to evidence: bounded, printable, no space around it."""
    return 1 <= len(text) <= MAX_REFERENCE and text.isprintable() and text == text.strip()


def _require_unique(pairs: list[tuple[str, object]]) -> None:
    # Two members of one name: which was meant? The decoder would take the last.
    if len({name for name, _ in pairs}) < len(pairs):
        raise InvalidEvidence("evidence-members", "give each member of an object once")


def _require_references(evidence: MaliciousAllegation) -> None:
    if not all(map(is_reference, (evidence.allegation.reference, evidence.basis.reference))):
        raise InvalidEvidence("reference", _REFERENCE)


def _require_ids(basis: Conviction | ProtectionOrder) -> None:
    table = offences()
    others = {each.id for each in table.not_in_table}
    if isinstance(basis, ProtectionOrder):
        if basis.order not in others | {each.id for each in table.order}:
            raise InvalidEvidence("basis-order", "write an order id of offences.toml, or `other`")
        return
    entries = {each.id: each for each in table.offence}
    if basis.offence not in others | entries.keys():
        raise InvalidEvidence("basis-offence", "write an offence id of offences.toml, or `other`")
    if basis.corresponding is None:
        return
    if basis.corresponding not in others | entries.keys():
        raise InvalidEvidence(
            "basis-corresponding", "write the corresponding offence's id of offences.toml"
        )
    if basis.offence in others or not entries[basis.offence].corresponding:
        raise InvalidEvidence(
            "basis-corresponding", "leave `corresponding` to the service offences, entries 4 to 6"
        )


def _require_order(evidence: MaliciousAllegation) -> None:
    found, basis = evidence.investigation, evidence.basis
    if isinstance(basis, ProtectionOrder) and basis.until and basis.until < basis.made:
        raise InvalidEvidence("basis-until", "an order cannot end before it is made")
    if found is None:
        return
    if found.opened < evidence.allegation.made:
        raise InvalidEvidence(
            "investigation-opened", "an allegation is made before it is investigated"
        )
    if found.closed is not None and found.closed < found.opened:
        raise InvalidEvidence(
            "investigation-closed", "an investigation cannot close before it opens"
        )


_DATE: Final = "write a date as YYYY-MM-DD"
_KNOWN: Final = "write yes, no or unknown"
_REFERENCE: Final = (
    f"write 1 to {MAX_REFERENCE} printable characters that name the evidence, not a person,"
    " without a space around them"
)
_INDEX: Final = re.compile(r"\[\d+\]")
# msgspec's messages repeat parts of the input, so only the place that one names is used, and only
# where that place is one of ours.
_RULES: Final = {
    "$.format": ("evidence-format", f'write "format": "{FORMAT}"'),
    "$.allegation": ("allegation", "write made and reference, and nothing else"),
    "$.allegation.made": ("allegation-made", _DATE),
    "$.allegation.reference": ("reference", _REFERENCE),
    "$.investigation": ("investigation", "write opened and closed, and nothing else; or null"),
    "$.investigation.opened": ("investigation-opened", _DATE),
    "$.investigation.closed": ("investigation-closed", f"{_DATE}, or null"),
    "$.outcome": ("outcome", "write no-further-action or other"),
    "$.basis": (
        "basis",
        "write kind, offence, convicted and reference; or kind, order, made, until and reference",
    ),
    "$.basis.kind": ("basis-kind", "write conviction or protection-order"),
    "$.basis.offence": ("basis-offence", "write an offence id of offences.toml, or `other`"),
    "$.basis.corresponding": (
        "basis-corresponding",
        "write the corresponding offence's id of offences.toml",
    ),
    "$.basis.order": ("basis-order", "write an order id of offences.toml, or `other`"),
    "$.basis.convicted": ("basis-convicted", _DATE),
    "$.basis.made": ("basis-made", _DATE),
    "$.basis.until": ("basis-until", f"{_DATE}, or null"),
    "$.basis.reference": ("reference", _REFERENCE),
    "$.subjects": ("subjects", f"write a list of 1 to {MAX_SUBJECTS} data subjects"),
    "$.subjects[]": ("subject", "write label, role, about and column_2, and nothing else"),
    "$.subjects[].label": (
        "subject-label",
        "write 1 to 32 of a-z, 0-9 and -, a letter first: a part in the file, not a name",
    ),
    "$.subjects[].role": ("subject-role", "write adult-subject, child or other"),
    "$.subjects[].about": ("subject-about", _KNOWN),
    "$.subjects[].column_2": ("subject-column-2", _KNOWN),
}
_MEMBERS: Final = (
    "evidence-members",
    "write format, allegation, investigation, outcome, basis and subjects, and nothing else",
)


def _broken(message: str) -> InvalidEvidence:
    place = _INDEX.sub("[]", message.rpartition(" - at ")[2].strip("`"))
    return InvalidEvidence(*_RULES.get(place, _MEMBERS))
