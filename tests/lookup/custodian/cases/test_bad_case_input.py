"""Cases, officers, proposals, certificates: what is refused, in what words, and changes nothing."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Final

import pytest

from lookup.cases.content import MAX_NOTE, Named
from lookup.cases.step import digest_of
from lookup.custodian.custody import Custody
from lookup.officers import proposal as proposals
from lookup.officers.proposal import AddOfficer, Proposal, RemoveOfficer, SetRules
from lookup.officers.roles import Act, OfficerId, Role
from tests.lookup.custodian.bad_cases import (
    APPROVE,
    CASES,
    KEY,
    NOBODY,
    OFFICERS,
    ONLY,
    PROPOSE,
    SECRET,
    Row,
    Scene,
    nested,
    opens,
    previews,
    proposes,
    raw,
    reproposed,
    reworded,
    steps,
)
from tests.simulator import Site, nhs

ROWS: Final = {
    # A look at what a case would name
    "preview of nothing": previews(400, ONLY, []),
    "preview of a child": previews(400, ONLY, [nhs(9)]),
    "preview of a text": previews(400, ONLY, NOBODY),
    "preview of what is not there": previews(404, "not there", [NOBODY]),
    "preview of too many": previews(400, ONLY, [NOBODY] * 65),
    "preview by an approver": Row(
        403, "may open", lambda _: {"record_ids": [NOBODY]}, f"{CASES}/preview", by="ana"
    ),
    "preview with more to say": Row(
        400, ONLY, lambda _: {"record_ids": [NOBODY], SECRET: 1}, f"{CASES}/preview"
    ),
    # Openings
    "no JSON": Row(400, ONLY, lambda _: [SECRET]),
    "no text": Row(400, ONLY, lambda s: s.opening(s.content()) | {"text": 7}),
    "a signature too short": Row(
        400, ONLY, lambda s: s.opening(s.content()) | {"signature": "AAAA"}
    ),
    "a signature that is no base64": Row(
        400, ONLY, lambda s: s.opening(s.content()) | {"signature": SECRET}
    ),
    "a member unknown": Row(400, ONLY, lambda s: s.opening(s.content()) | {SECRET: SECRET}),
    "a salt too short": Row(
        400, "a salt has 32 bytes", lambda s: s.opening(s.content()) | {"salt": "AAAA"}
    ),
    "a salt too long": Row(400, ONLY, lambda s: s.opening(s.content()) | {"salt": "A" * 64}),
    "another salt than signed": Row(
        400,
        "signed of another content",
        lambda s: s.opening(s.content()) | {"salt": b64encode(b"\1" * 32).decode()},
    ),
    "another content than signed": Row(
        400,
        "signed of another content",
        lambda s: s.opening(s.content()) | {"content": s.content(note=SECRET).encode().decode()},
    ),
    "no content": Row(
        400, "not the content of a case", lambda s: s.opening(s.content()) | {"content": ""}
    ),
    "a case that begins in the middle": Row(
        400, "begins with its first step", lambda s: s.opening(s.content(), number=2)
    ),
    "a case that begins with an approval": Row(
        400, "begins with its first step", lambda s: s.opening(s.content(), act=Act.APPROVE)
    ),
    "a case that follows another": Row(
        400, "begins with its first step", lambda s: s.opening(s.content(), after=b"\1" * 32)
    ),
    "an id that lies elsewhere": Row(
        400,
        "begins with two zeros",
        lambda s: s.opening(
            s.content(),
            case=b"\1" * 16,
            digest=digest_of(bytes(32), b"\1" * 16, 1, s.content().encode()),
        ),
    ),
    "another site's case": Row(
        400, "another site's", lambda s: s.opening(s.content(), vault=bytes(16))
    ),
    "an opener who is nobody": Row(
        403,
        "no officer of this site",
        lambda s: s.opening(s.content(), officer=OfficerId(bytes(16))),
    ),
    "an opener who may not": Row(403, "may open", lambda s: s.opening(s.content()), by="leo"),
    "another officer's signature": Row(
        403,
        "not this officer's",
        lambda s: s.opening(s.content()) | {"signature": s.step("leo", Act.RELEASE)["signature"]},
    ),
    "a ground that is none": opens(400, "the ground is one of", ground=SECRET),
    "an authority in small letters": opens(400, "not the content", authority=SECRET),
    "a record that is not there": opens(404, "not there", records=[Named(NOBODY, 1)]),
    "a record in a case": Row(
        409,
        "in an open case already",
        lambda s: s.opening(s.content(records=[Named(s.taken.hex(), 1)])),
    ),
    "a record of another authority": opens(409, "another authority's", authority="BSC"),
    "a record of another version": Row(
        409, "has changed", lambda s: s.opening(s.content(records=[Named(s.free.hex(), 2)]))
    ),
    "a record of version zero": Row(
        400, "not the content", lambda s: s.opening(s.content(records=[Named(s.free.hex(), 0)]))
    ),
    "no records": opens(400, "not the content", records=[]),
    "too many records": opens(
        400, "not the content", records=[Named(f"{n:032x}", 1) for n in range(65)]
    ),
    "a record twice": Row(
        400, "each named once", lambda s: s.opening(s.content(records=[Named(s.free.hex(), 1)] * 2))
    ),
    "records in another order": opens(
        400, "are sorted", records=[Named("1" * 32, 1), Named("0" * 32, 1)]
    ),
    "a record among the others": Row(
        400, "not among the others", lambda s: s.opening(s.content(others=[s.free.hex()]))
    ),
    "others that there are not": opens(409, "preview it again", others=[NOBODY]),
    "others in another order": opens(400, "are sorted", others=["1" * 32, "0" * 32]),
    "a day that is none": opens(400, "received is a day", received="2026-02-30"),
    "a day in words": opens(400, "received is a day", received=SECRET),
    "a day that has not come": opens(400, "a day that has come", received="2199-01-01"),
    "a day before the law": opens(400, "write days from", received="2017-01-01"),
    "a day after the law": opens(400, "a day that has come", received="9999-12-31"),
    "a note too long": opens(400, "not the content", note="x" * (MAX_NOTE + 1)),
    "a note with a bell": opens(400, "cannot be printed", note=f"{SECRET}\7"),
    "no evidence": opens(400, "needs", evidence=None),
    "evidence of numbers": opens(400, "a reference for each kind", evidence={"purpose": 7}),
    "evidence of a kind unknown": opens(400, "leave out others", evidence={SECRET: SECRET}),
    "evidence of another ground": opens(400, "write format, allegation", ground="art-17-1-g"),
    "a content with blanks": raw("its one form", lambda c: c.replace(b",", b", ", 1)),
    "a content in another order": raw(
        "its one form",
        lambda c: json.dumps(dict(reversed(json.loads(c).items())), separators=(",", ":")).encode(),
    ),
    "a member twice": raw("its one form", lambda c: b'{"note":"",' + c[1:]),
    "a content cut off": raw("not the content", lambda c: c[:-3]),
    "a content with more to say": raw(
        "not the content", lambda c: c[:-1] + f',"{SECRET}":1}}'.encode()
    ),
    "evidence nested": raw("a reference for each kind", nested(40)),
    "evidence nested deep": raw("", nested(900)),
    "evidence nested without end": raw("not the content", nested(90_000)),
    # Steps
    "a step of no case": Row(
        404,
        "no such case",
        lambda s: s.signed(
            "leo", s.step("leo", Act.RELEASE)["text"].replace(s.case["case"], "00" + "1" * 30)
        ),
        f"{CASES}/00{'1' * 30}/steps",
        by="leo",
    ),
    "a step of another case": Row(
        404,
        "no such case",
        lambda s: s.step("leo", Act.RELEASE),
        f"{CASES}/{NOBODY}/steps",
        by="leo",
    ),
    "a step to no id": Row(
        400,
        "not as described",
        lambda s: s.step("leo", Act.RELEASE),
        f"{CASES}/{SECRET}/steps",
        by="leo",
    ),
    "a content where none belongs": Row(
        400,
        "comes with `amend`",
        lambda s: s.step("leo", Act.RELEASE) | {"content": s.content().encode().decode()},
        "{steps}",
        by="leo",
    ),
    "an amendment without content": steps(400, "comes with `amend`", "rita", Act.AMEND),
    "a step that is a text": Row(
        400, "expected lacuna-case-step/v1", lambda s: s.signed("leo", SECRET), "{steps}", by="leo"
    ),
    "a step that is too long": Row(
        400, "more than 3072 bytes", lambda s: s.signed("leo", SECRET * 260), "{steps}", by="leo"
    ),
    "a step without an end": Row(
        400,
        "expected lacuna-case-step/v1",
        lambda s: s.signed("leo", s.step("leo", Act.RELEASE)["text"][:-1]),
        "{steps}",
        by="leo",
    ),
    "a step of a later format": reworded("expected lacuna-case-step/v1", "step/v1", "step/v2"),
    "a step without a case": reworded("does not say case", "case: ", "child: "),
    "a step with half a vault": reworded("hexadecimal", "vault: ", "vault: 0"),
    "a digest in capitals": reworded("hexadecimal", "digest: ", "digest: A"),
    "a number zero": reworded("number from 1", "number: 2", "number: 0"),
    "a number with a zero before it": reworded("number from 1", "number: 2", "number: 02"),
    "a number that is large": reworded("number from 1", "number: 2", "number: 100000"),
    "an officer by name": Row(
        400,
        "officer is 32",
        lambda s: s.reworded(
            "leo",
            Act.RELEASE,
            f"officer: {s.custodian.site.officers.officers['leo'].id.hex()}",
            f"officer: {SECRET}",
        ),
        "{steps}",
        by="leo",
    ),
    "an act that is none": reworded("act is one of", "act: hold", f"act: {SECRET}"),
    "an act of a proposal": reworded("act is one of", "act: hold", "act: propose"),
    "details that are no JSON": reworded("one JSON object", '{"reason":"court-case"}', SECRET),
    "details with more to say": reworded(
        "say reason", '"court-case"}', f'"court-case","{SECRET}":1}}'
    ),
    "details with blanks": reworded("one form", '{"reason":', '{"reason": '),
    "a reason in words": reworded("a code in small letters", "court-case", f"{SECRET} asked"),
    "a hold by an approver": steps(409, "may hold this case", "ana", Act.HOLD, reason="court-case"),
    "an approval by its requester": steps(409, "may approve", "rita", Act.APPROVE),
    "an approval by an auditor": steps(409, "may approve", "ada", Act.APPROVE),
    "a release of nothing": steps(409, "not on hold", "leo", Act.RELEASE),
    "a review of nothing": steps(409, "nobody has refused", "leo", Act.REVIEW),
    "a lift of nothing": steps(409, "no restriction", "sam", Act.LIFT),
    "a confirmation of nothing": steps(409, "no restriction", "ana", Act.CONFIRM),
    "a restriction not asked for": steps(409, "does not ask", "sam", Act.RESTRICT),
    "a carrying out at once": steps(409, "takes no carry-out", "rita", Act.CARRY_OUT),
    "a second opening": steps(409, "takes no open", "rita", Act.OPEN),
    "a refusal for no reason": steps(
        400, "write a reason code", "ana", Act.REFUSE, reason="because", words=SECRET * 3
    ),
    "a refusal in a word": steps(
        400, "20 to 4000", "ana", Act.REFUSE, reason="art-17-3-e", words="no"
    ),
    "a refusal on two lines": steps(
        400,
        "without new lines",
        "ana",
        Act.REFUSE,
        reason="art-17-3-e",
        words=f"{SECRET}\n{SECRET}",
    ),
    "an extension for no reason": steps(
        400, "a time is extended for", "leo", Act.EXTEND, reason="holidays"
    ),
    "an answer to nothing": steps(409, "nobody was asked", "leo", Act.CONFIRM_IDENTITY),
    "no cooling-off without a court": steps(
        409, "court order", "leo", Act.SHORTEN, days=0, court_order=""
    ),
    "a cooling-off without end": steps(
        400, "days is a number", "leo", Act.SHORTEN, days=366, court_order=""
    ),
    "a cooling-off less than none": steps(
        400, "days is a number", "leo", Act.SHORTEN, days=-1, court_order=""
    ),
    "a cooling-off in words": steps(
        400, "days is a number", "leo", Act.SHORTEN, days="two", court_order=""
    ),
    "an order of two lines": steps(
        400, "court_order is", "leo", Act.SHORTEN, days=0, court_order=f"{SECRET}\n"
    ),
    # Reading
    "a case that is not there": Row(404, "no such case", path=f"{CASES}/{NOBODY}", method="GET"),
    "a case by a child": Row(400, "not as described", path=f"{CASES}/{nhs(9)}", method="GET"),
    "a case by a registrar": Row(403, "may read-cases", path="{case}", method="GET", by="feed"),
    "an opening by an auditor": Row(
        403, "may read-opening", path="{case}/opening", method="GET", by="ada"
    ),
    "a case in the query": Row(400, "no query", path=f"{CASES}?nhs={SECRET}", method="GET"),
    "a deletion": Row(405, "GET", path="{case}", method="DELETE"),
    "a certificate that is not there": Row(
        404, "no such certificate", path=f"/v1/certificates/{NOBODY}", method="GET"
    ),
    "a certificate of a child": Row(
        400, "not as described", path=f"/v1/certificates/{SECRET}", method="GET"
    ),
    "certificates by a registrar": Row(
        403, "may read-cases", path="/v1/certificates", method="GET", by="feed"
    ),
    # Officers and rules
    "a proposal by a registrar": proposes(403, "may propose", SetRules(), "feed"),
    "a proposal by an auditor": proposes(403, "may propose", SetRules(), "ada"),
    "a proposal by another's token": Row(
        403, "may propose", lambda s: s.proposal(SetRules()), PROPOSE, by="ada"
    ),
    "a proposal in another namespace": Row(
        403,
        "not this officer's",
        lambda s: s.signed("rita", s.proposal(SetRules())["text"]),
        PROPOSE,
    ),
    "a proposal where one approves": Row(
        400, "not where one may propose", lambda s: s.proposal(SetRules(), "leo"), APPROVE, by="leo"
    ),
    "an approval of nothing": Row(
        404,
        "no such proposal",
        lambda s: s.custodian.desk.signer("leo").approval(bytes(16), SetRules()),
        APPROVE,
        by="leo",
    ),
    "a name that is taken": proposes(
        409, "of this name", AddOfficer(name="ana", roles=[Role.AUDITOR], key=KEY)
    ),
    "a name of two words": reproposed("not a change", '"new"', f'"{SECRET} X"'),
    "a key that is none": reproposed("public key", KEY, f"ssh-ed25519 {SECRET}"),
    "a key of another type": reproposed("expected ssh-ed25519", KEY, "ssh-rsa AAAAB3NzaC1yc2E="),
    "no roles": reproposed("not a change", '["auditor"]', "[]"),
    "a role that is none": reproposed("not a change", '"auditor"', f'"{SECRET}"'),
    "a role twice": reproposed("each named once", '["auditor"]', '["auditor","auditor"]'),
    "roles in another order": reproposed("roles are sorted", '["auditor"]', '["legal","auditor"]'),
    "a change that is none": reproposed("not a change", "add-officer", SECRET),
    "a change with blanks": reproposed("its one form", ',"key"', ', "key"'),
    "an authority that is a word": reproposed(
        "not a change", '"authority":null', f'"authority":"{SECRET}"'
    ),
    "a proposal of a later format": reproposed(
        "expected lacuna-proposal/v1", "proposal/v1", "proposal/v2"
    ),
    "a proposal of another site": Row(
        400,
        "another site's",
        lambda s: s.signed(
            "rita",
            Proposal(
                bytes(16),
                bytes(16),
                s.custodian.desk.signer("rita").officer_id,
                Act.PROPOSE,
                SetRules(),
            ).text(),
            proposals.NAMESPACE,
        ),
        PROPOSE,
    ),
    "a proposal whose id lies elsewhere": Row(
        400,
        "begins with four zeros",
        lambda s: s.signed(
            "rita",
            Proposal(
                s.custodian.desk.vault,
                b"\1" * 16,
                s.custodian.desk.signer("rita").officer_id,
                Act.PROPOSE,
                SetRules(),
            ).text(),
            proposals.NAMESPACE,
        ),
        PROPOSE,
    ),
    "a proposal of another time": Row(
        409,
        "have changed since",
        lambda s: s.custodian.desk.signer("rita").proposal(SetRules(), 9),
        PROPOSE,
    ),
    "rules with one approval": proposes(400, "not a change", SetRules(approvals=1)),
    "rules with many approvals": proposes(400, "not a change", SetRules(approvals=9)),
    "rules that nobody could meet": proposes(409, "fewer would be left", SetRules(approvals=8)),
    "rules without cooling-off": proposes(400, "not a change", SetRules(cooling_off_days=0)),
    "a day of the law in words": proposes(
        400, "malicious_from is a day", SetRules(malicious_from=SECRET)
    ),
    "a dismissal of nobody": proposes(409, "no such officer", RemoveOfficer(officer=NOBODY)),
    "a token of nobody": Row(401, "officer's token", path=OFFICERS, method="GET", by=""),
}


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Site() as site, site.open() as custodian:
        taken, free = custodian.add("taken", nhs(1)), custodian.add("free", nhs(2))
        yield Scene(custodian, custodian.desk.open([taken]), free, taken)
        assert custodian.failures == []


def state(custody: Custody) -> object:
    standing = [custody.docket.standing(case) for case in custody.docket.cases.values()]
    return custody.vault.version, custody.vault.log, standing, dict(custody.office.officers)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_it_is_refused_and_changes_nothing(
    scene: Scene, row: Row, caplog: pytest.LogCaptureFixture
) -> None:
    desk = scene.custodian.desk
    before = scene.custodian.call(state)
    path = row.path.format(case=f"{CASES}/{scene.case['case']}", steps=scene.steps)
    body = row.body(scene)
    if row.by:
        response = desk.ask(row.by, row.method, path, body)
    else:
        response = desk.client.request(row.method, path)
    told = response.json()
    assert (response.status_code, row.detail in told.get("detail", "")) == (row.status, True), told
    assert response.headers["content-type"] == "application/problem+json"
    assert scene.custodian.call(state) == before
    for place in (response.text, caplog.text):
        assert SECRET not in place
        assert nhs(9)[4:] not in place


def test_there_are_enough_of_them() -> None:
    assert len(ROWS) >= 60
