"""Statements and exports: what is refused, in what words, and changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from crypto.sshsig import OfficerKey, format_public_key
from lookup.custodian.custody import Custody
from lookup.custodian.officers import new_officer
from lookup.custodian.records.supplements import MAX_STATEMENT
from lookup.custodian.starting import now
from lookup.officers.proposal import AddOfficer
from lookup.officers.roles import Role
from tests.simulator import Custodian, Site, nhs

SECRET: Final = "Sorrel-Bexley"
NOBODY: Final = "0" * 32
JSON: Final = "application/json"


@dataclass(frozen=True)
class Row:
    """Who asks for what, and what they are told. `{id}` is a record, `{full}` one with eight."""

    status: int
    detail: str
    body: Any = None
    path: str = "/v1/records/{id}/statements"
    by: str = "rita"
    media_type: str = JSON
    method: str = "POST"


def text(detail: str, value: object) -> Row:
    return Row(400, detail, {"text": value})


def export(status: int, detail: str, path: str = "{id}", **more: Any) -> Row:  # noqa: ANN401  # of Row
    return Row(status, detail, path=f"/v1/records/{path}/export", **more)


LENGTH, PRINTED, BLANK = "has 1 to 4000 characters", "holds what is not printed", "not blank"
ONLY, NONE, ROLES = (
    "a JSON object with only text",
    "there is no such record",
    "none of this officer",
)
ROWS: Final = {
    # What a statement says
    "no words": text(LENGTH, ""),
    "too many words": text(LENGTH, "x" * (MAX_STATEMENT + 1)),
    "blanks": text(BLANK, "   "),
    "new lines alone": text(BLANK, "\n\n"),
    "a tab": text(f"line 1 of the statement {PRINTED}", f"{SECRET}\t1"),
    "a carriage return": text(PRINTED, f"{SECRET}\r\n1"),
    "a zero byte": text(PRINTED, f"{SECRET}\0"),
    "what moves a terminal": text(f"line 2 of the statement {PRINTED}", f"{SECRET}\n\x1b[2J"),
    "what turns a line around": text(PRINTED, f"\u202e{SECRET}"),
    "a line separator": text(PRINTED, f"{SECRET}\u2028{SECRET}"),
    "what nobody has assigned": text(PRINTED, f"{SECRET}\U000e0fff"),
    # How it is said
    "a number": text(ONLY, 7),
    "nothing": text(ONLY, None),
    "a list": text(ONLY, [SECRET]),
    "no text": Row(400, ONLY, {}),
    "more than a text": Row(400, ONLY, {"text": "so", SECRET: 1}),
    "a bare word": Row(400, ONLY, f'"{SECRET}"'.encode()),
    "no JSON": Row(400, ONLY, f"text={SECRET}".encode()),
    "no UTF-8": Row(400, ONLY, b'{"text": "\xff\xfe"}'),
    "half a character": Row(400, ONLY, b'{"text": "\\ud800"}'),
    "no body": Row(400, "the body is empty", b""),
    "too much": Row(413, "at most 1048576 bytes", b" " * ((1 << 20) + 1)),
    "a form": Row(415, "send content-type", b"text=so", media_type="text/plain"),
    "a ninth": Row(409, "at most 8", {"text": "nine"}, "/v1/records/{full}/statements"),
    # Beside what, and by whom
    "beside nothing": Row(404, NONE, {"text": "so"}, f"/v1/records/{NOBODY}/statements"),
    "beside a child": Row(
        400, "not as described", {"text": "so"}, f"/v1/records/{nhs(9)}/statements"
    ),
    "beside an id in capitals": Row(
        400, "not as described", {"text": "so"}, f"/v1/records/{'A' * 32}/statements"
    ),
    "with a query": Row(400, "no query", {"text": "so"}, "/v1/records/{id}/statements?why=so"),
    "to read them alone": Row(405, "this path knows POST", method="GET"),
    "by nobody": Row(401, "send an officer's token", {"text": "so"}, by=""),
    "by an approver": Row(403, ROLES, {"text": "so"}, by="ana"),
    "by an auditor": Row(403, ROLES, {"text": "so"}, by="ada"),
    "by a feed": Row(403, ROLES, {"text": "so"}, by="feed"),
    "by safeguarding": Row(403, ROLES, {"text": "so"}, by="sam"),
    "by another authority's": Row(404, NONE, {"text": "so"}, by="bea"),
    # An export
    "of nothing": export(404, NONE, NOBODY),
    "of a child": export(400, "not as described", nhs(9)),
    "of half an id": export(400, "not as described", NOBODY[1:]),
    "of an id with a line end": export(400, "not as described", f"{NOBODY}%0a"),
    "with what to leave out": Row(400, "no query", path="/v1/records/{id}/export?users=no"),
    "for nobody": export(401, "send an officer's token", by=""),
    "for an approver": export(403, ROLES, by="ana"),
    "for an auditor": export(403, ROLES, by="ada"),
    "for a feed": export(403, ROLES, by="feed"),
    "for safeguarding": export(403, ROLES, by="sam"),
    "for another authority's": export(404, NONE, by="bea"),
    "as a page": export(405, "this path knows POST", method="GET"),
}  # fmt: skip


@pytest.fixture(scope="module")
def scene() -> Iterator[tuple[Custodian, dict[str, str]]]:
    """A record, one with eight statements, and Bea, who is another authority's requester."""
    with Site() as site, site.open() as custodian:
        names = {
            "id": custodian.add("one", nhs(1)).hex(),
            "full": custodian.add("two", nhs(2)).hex(),
        }
        for number in range(8):
            path = f"/v1/records/{names['full']}/statements"
            custodian.desk.told("rita", "POST", path, {"text": f"statement {number}"})
        key, roles = OfficerKey.generate(), [Role.LEGAL, Role.REQUESTER]
        public = format_public_key(key.public())
        custodian.desk.change(AddOfficer(name="bea", roles=roles, key=public, authority="BSC"))
        site.officers.keys["bea"] = key
        site.officers.officers["bea"] = new_officer("bea", roles, key.public(), "BSC")
        yield custodian, names
        assert custodian.failures == []


def state(custody: Custody) -> object:
    return custody.vault.version, custody.vault.log, custody.store.audit.mark().row


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_it_is_refused_and_changes_nothing(
    scene: tuple[Custodian, dict[str, str]], row: Row, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is stored, nothing is audited, and no words of a family are repeated."""
    custodian, names = scene
    before = custodian.call(state)
    content = {"content": row.body} if isinstance(row.body, bytes) else {"json": row.body}
    headers = {"content-type": row.media_type}
    if row.by:
        headers |= custodian.desk.signer(row.by).headers(now())
    response = custodian.desk.client.request(
        row.method, row.path.format(**names), headers=headers, **content
    )
    told = response.json()
    assert (response.status_code, row.detail in told["detail"]) == (row.status, True), told
    assert response.headers["content-type"] == "application/problem+json"
    assert custodian.call(state) == before
    for place in (response.text, caplog.text):
        assert SECRET not in place
        assert nhs(9)[4:] not in place


def test_an_officer_of_the_authority_may(scene: tuple[Custodian, dict[str, str]]) -> None:
    """Bea is refused for the authority, and for nothing else: of hers she may do both."""
    custodian, _ = scene
    own = custodian.add("hers", nhs(3), authority="BSC").hex()
    assert custodian.desk.told("bea", "POST", f"/v1/records/{own}/statements", {"text": "so"})
    assert custodian.desk.ask("bea", "POST", f"/v1/records/{own}/export").status_code == 200


def test_there_are_enough_of_them() -> None:
    assert len(ROWS) >= 25
