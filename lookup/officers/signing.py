"""What an officer signs, made where the key is: tokens, steps of cases, proposals.

Each function returns the JSON that the custodian's interface takes. Nothing here asks anybody: what
is signed was read before, and is shown by whoever calls.
"""

import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from crypto.sshsig import OfficerKey, sign
from lookup.cases.content import Content
from lookup.cases.step import (
    FIRST_AFTER,
    NAMESPACE,
    SALT_SIZE,
    InvalidStep,
    Step,
    digest_of,
    parse_step,
)
from lookup.officers import proposal as proposals
from lookup.officers.proposal import Change, Proposal
from lookup.officers.roles import Act, OfficerId
from lookup.officers.token import MOST_SECONDS, make_token

Json = dict[str, Any]

_ID_SIZE: Final = 16
# What the map's pages make of an id: those of cases begin with one zero, of proposals with two.
_CASE_PREFIX: Final = 1
_PROPOSAL_PREFIX: Final = 2


@dataclass(frozen=True, slots=True)
class Signer:
    """An officer of one site, with the key in hand."""

    vault: bytes
    officer_id: OfficerId
    key: OfficerKey = field(repr=False)

    def headers(self, now: int) -> dict[str, str]:
        """Return the header that says who asks, for ten minutes."""
        return token_header(self.key, self.vault, now)

    def opening(self, content: Content) -> Json:
        """Return what opens a case."""
        salt = secrets.token_bytes(SALT_SIZE)
        case_id = bytes(_CASE_PREFIX) + secrets.token_bytes(_ID_SIZE - _CASE_PREFIX)
        raw = content.encode()
        step = Step(
            self.vault,
            case_id,
            1,
            FIRST_AFTER,
            digest_of(salt, case_id, 1, raw),
            self.officer_id,
            Act.OPEN,
        )
        return self._signed(step) | {"content": raw.decode(), "salt": b64encode(salt).decode()}

    def step(
        self, following: Json, act: Act, details: Mapping[str, str | int] | None = None
    ) -> Json:
        """Return a case's next step; `following` is what the case says of it, under `next`."""
        return self._signed(self._next(following, bytes.fromhex(following["digest"]), act, details))

    def amendment(self, following: Json, content: Content) -> Json:
        """Return the step that gives a case another content."""
        raw = content.encode()
        salt, case_id = bytes.fromhex(following["salt"]), bytes.fromhex(following["case"])
        digest = digest_of(salt, case_id, following["number"], raw)
        return self._signed(self._next(following, digest, Act.AMEND)) | {"content": raw.decode()}

    def proposal(self, change: Change, changes: int) -> Json:
        """Return what proposes a change of officers or rules, of which there were so many."""
        prefix = bytes(_PROPOSAL_PREFIX) + changes.to_bytes(4)
        proposal_id = prefix + secrets.token_bytes(_ID_SIZE - len(prefix))
        return self._proposal(proposal_id, Act.PROPOSE, change)

    def approval(self, proposal_id: bytes, change: Change) -> Json:
        """Return what approves such a change."""
        return self._proposal(proposal_id, Act.APPROVE_PROPOSAL, change)

    def _next(
        self,
        following: Json,
        digest: bytes,
        act: Act,
        details: Mapping[str, str | int] | None = None,
    ) -> Step:
        return Step(
            self.vault,
            bytes.fromhex(following["case"]),
            following["number"],
            bytes.fromhex(following["after"]),
            digest,
            self.officer_id,
            act,
            details or {},
        )

    def _signed(self, step: Step) -> Json:
        return _request(self.key, NAMESPACE, step.text())

    def _proposal(self, proposal_id: bytes, act: Act, change: Change) -> Json:
        proposal = Proposal(self.vault, proposal_id, self.officer_id, act, change)
        return _request(self.key, proposals.NAMESPACE, proposal.text())


class NotAsShown(Exception):
    """What is to be signed is not what was shown: whoever answered for the site lied, or erred."""


def require_shown(case: Json, case_id: str) -> None:
    """Raise NotAsShown unless the next step is of this case, with the content and steps it shows.

    Whoever signs reads content, steps and cooling-off; what they sign is the digest of the one, the
    hash of the others, and the number of the step that set the last. So all are computed here, too.
    """
    following = case["next"]
    try:
        content = msgspec.convert(case["content"], Content).encode()
        digest = digest_of(
            bytes.fromhex(following["salt"]),
            bytes.fromhex(case_id),
            following["revision"],
            content,
        )
        steps = [parse_step(each["text"]) for each in case["steps"]]
        last, changed = steps[-1], steps[following["revision"] - 1]
        told = [(each["act"], each["details"]) for each in case["steps"]]
        cooling_off = case["cooling_off_days"], case["court_order"]
    except (msgspec.ValidationError, InvalidStep, ValueError, LookupError, TypeError):
        raise NotAsShown("the case that the site shows is none") from None
    shown = (case_id, digest.hex(), last.hash().hex(), last.number + 1)
    asked = tuple(following[name] for name in ("case", "digest", "after", "number"))
    if shown != asked or not _follow(steps, bytes.fromhex(case_id)):
        raise NotAsShown("what the site asks to be signed is not the case that it shows")
    if told != [(step.act, dict(step.details)) for step in steps]:
        raise NotAsShown("what the site says of a step is not what was signed")
    if not _is_set_by(changed, *cooling_off):
        raise NotAsShown("the cooling-off that the site shows is not what was signed")


def _follow(steps: Sequence[Step], case: bytes) -> bool:
    """Say whether these are all the steps of a case, in their order."""
    before = [FIRST_AFTER, *(step.hash() for step in steps)]
    return all(
        (step.case, step.number, step.after) == (case, number, after)
        for number, (step, after) in enumerate(zip(steps, before, strict=False), start=1)
    )


def _is_set_by(changed: Step, days: object, court_order: object) -> bool:
    """Say whether a cooling-off is that of the step which last changed a case."""
    if changed.act is Act.SHORTEN:
        return changed.details == {"days": days, "court_order": court_order}
    return not court_order  # the days are those of the site's rules


def token_header(key: OfficerKey, vault: bytes, now: int) -> dict[str, str]:
    """Return the header that says who asks, for ten minutes."""
    return {"authorization": f"Bearer {make_token(key, vault, now + MOST_SECONDS)}"}


def _request(key: OfficerKey, namespace: str, text: str) -> Json:
    signature = sign(key, namespace, text.encode())
    return {"text": text, "signature": b64encode(signature).decode()}
