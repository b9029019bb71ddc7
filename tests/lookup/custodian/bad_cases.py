"""What a table of bad input is made with: a scene, and requests right but for one thing."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from crypto.sshsig import OfficerKey, format_public_key, sign
from keys.entry import EntryId
from lookup.cases.content import Content
from lookup.cases.step import NAMESPACE, Step, digest_of
from lookup.officers import proposal as proposals
from lookup.officers.proposal import AddOfficer
from lookup.officers.roles import Act, Role
from tests.officers import Json
from tests.simulator import Custodian

SECRET: Final = "Sorrel-Bexley"
NOBODY: Final = "0" * 32
CASES, OFFICERS = "/v1/cases", "/v1/officers"
PROPOSE, APPROVE = f"{OFFICERS}/proposals", f"{OFFICERS}/proposals/approve"
KEY: Final = format_public_key(OfficerKey.generate().public())


@dataclass
class Scene:
    """A case that is open, a record that is free, and everybody's keys."""

    custodian: Custodian
    case: Json
    free: EntryId
    taken: EntryId

    @property
    def steps(self) -> str:
        return f"{CASES}/{self.case['case']}/steps"

    def content(self, **changes: Any) -> Content:  # noqa: ANN401  # whatever a content holds
        return self.custodian.desk.content([self.free], **changes)

    def opening(self, content: Content | bytes, **changes: Any) -> Json:  # noqa: ANN401  # of the step
        """Return what opens a case with these bytes, signed as it should be but for changes."""
        raw = content if isinstance(content, bytes) else content.encode()
        signer = self.custodian.desk.signer("rita")
        salt, case_id = bytes(32), b"\0" + bytes(14) + b"\1"
        digest = digest_of(salt, case_id, 1, raw)
        members: Json = {
            "vault": signer.vault, "case": case_id, "number": 1, "after": bytes(32),
            "digest": digest, "officer": signer.officer_id, "act": Act.OPEN,
        }  # fmt: skip
        text = Step(**(members | changes)).text()
        return self.signed("rita", text) | {
            "content": raw.decode(errors="replace"),
            "salt": b64encode(salt).decode(),
        }

    def signed(self, name: str, text: str, namespace: str = NAMESPACE) -> Json:
        key = self.custodian.site.officers.keys[name]
        signature = sign(key, namespace, text.encode(errors="replace"))
        return {"text": text, "signature": b64encode(signature).decode()}

    def step(self, name: str, act: Act, **details: str | int) -> Json:
        return self.custodian.desk.signer(name).step(self.case["next"], act, details)

    def reworded(self, name: str, act: Act, old: str, new: str, **details: str | int) -> Json:
        """Return a step whose text was changed before it was signed."""
        text = self.step(name, act, **details)["text"]
        assert old in text
        return self.signed(name, text.replace(old, new))

    def proposal(self, change: Any, name: str = "rita") -> Json:  # noqa: ANN401  # a change
        return self.custodian.desk.signer(name).proposal(change, 0)

    def reproposed(self, old: str, new: str) -> Json:
        text = self.proposal(AddOfficer(name="new", roles=[Role.AUDITOR], key=KEY))["text"]
        assert old in text
        return self.signed("rita", text.replace(old, new), proposals.NAMESPACE)


@dataclass(frozen=True)
class Row:
    """What is sent by whom, and what it is told."""

    status: int
    detail: str
    body: Callable[[Scene], Any] = lambda _: None
    path: str = CASES
    method: str = "POST"
    by: str = "rita"


def opens(status: int, detail: str, **changes: Any) -> Row:  # noqa: ANN401  # of the content
    return Row(status, detail, lambda s: s.opening(s.content(**changes)))


def raw(detail: str, change: Callable[[bytes], bytes]) -> Row:
    """Return a row whose content is changed byte by byte."""
    return Row(400, detail, lambda s: s.opening(change(s.content().encode())))


def steps(status: int, detail: str, name: str, act: Act, **details: str | int) -> Row:
    return Row(status, detail, lambda s: s.step(name, act, **details), "{steps}", by=name)


def reworded(detail: str, old: str, new: str, status: int = 400) -> Row:
    body = lambda s: s.reworded("leo", Act.HOLD, old, new, reason="court-case")  # noqa: E731
    return Row(status, detail, body, "{steps}", by="leo")


def proposes(status: int, detail: str, change: Any, by: str = "rita") -> Row:  # noqa: ANN401  # a change
    return Row(status, detail, lambda s: s.proposal(change, by), PROPOSE, by=by)


def reproposed(detail: str, old: str, new: str) -> Row:
    return Row(400, detail, lambda s: s.reproposed(old, new), PROPOSE)


def previews(status: int, detail: str, ids: object) -> Row:
    return Row(status, detail, lambda _: {"record_ids": ids}, f"{CASES}/preview")


def nested(depth: int) -> Callable[[bytes], bytes]:
    inside = b'{"purpose":' + b"[" * depth + b"]" * depth + b"}"
    return lambda content: content.replace(
        b'{"purpose":"file 1 of the tests","retention":"schedule 2, row 3"}', inside
    )


ONLY: Final = "the body must be a JSON object with only"
