"""What is not as described: the right status and type, nothing stored, nothing told or logged.

A record's own rules are all in test_draft.py; bytes that are no HTTP in tests/lookup/test_httpd.py.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from lookup.cases.content import Content, Named
from lookup.cases.step import FIRST_AFTER, Step
from lookup.custodian.records.draft import MAX_RECORD
from lookup.custodian.starting import now
from lookup.officers.roles import Act, OfficerId
from tests.officers import EVIDENCE
from tests.simulator import Custodian, Json, Site, nhs, record

SECRET: Final = "Sorrel-Bexley"
CHILD: Final = nhs(7)
NOBODY: Final = "0" * 32
JSON: Final = {"content-type": "application/json"}
TAKEN: Final = record("taken", nhs(2))


@dataclass(frozen=True)
class Case:
    """A request and what it is told. `{id}` in the path is that of a record that is there."""

    method: str
    path: str
    status: int
    type: str
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: JSON)
    rule: str | None = None
    local: bool = False
    officer: str = ""


def add(content: bytes, rule: str | None = None, status: int = 400, **more: Any) -> Case:  # noqa: ANN401
    kind = more.pop("type", "invalid-request")
    return Case("POST", "/v1/records", status, kind, content, rule=rule, **more)


def drafted(rule: str, **changes: Any) -> Case:  # noqa: ANN401  # JSON
    return add(json.dumps(record("new", CHILD, **changes)).encode(), rule)


def put(status: int, kind: str, etag: str | None, **more: Any) -> Case:  # noqa: ANN401  # of Case
    headers = JSON | ({} if etag is None else {"if-match": etag})
    content = json.dumps(more.pop("members", record("there", nhs(1), payload=SECRET))).encode()
    path = more.pop("path", "/v1/records/{id}")
    return Case("PUT", path, status, kind, content, headers, **more)


def local(path: str, members: object, status: int = 400, kind: str = "invalid-request") -> Case:
    content = members if isinstance(members, bytes) else json.dumps(members).encode()
    return Case("POST", f"/v1/local/{path}", status, kind, content, local=True)


def case(
    path: str,
    members: object,
    status: int = 400,
    kind: str = "invalid-request",
    officer: str = "rita",
) -> Case:
    content = members if isinstance(members, bytes) else json.dumps(members).encode()
    path = f"/v1/cases/{path}".rstrip("/")
    return Case("POST", path, status, kind, content, officer=officer)


def preview(ids: object, **more: Any) -> Case:  # noqa: ANN401  # of `case`
    return case("preview", {"record_ids": ids}, **more)


# A step in its form, that nobody has signed.
STEP: Final = Step(
    bytes(16), bytes(16), 1, FIRST_AFTER, bytes(32), OfficerId(bytes(16)), Act.OPEN
).text()
CONTENT: Final = Content(
    authority="AXT",
    records=[Named(NOBODY, 1)],
    ground="art-17-1-a",
    received="2026-01-05",
    evidence=EVIDENCE,
)


def signed(text: str, **changes: str) -> Json:
    return {"text": text, "signature": b64encode(bytes(64)).decode()} | changes


def opened(text: str, **changes: str) -> Case:
    return case("", signed(text, content=CONTENT.encode().decode()) | changes)


CASES: Final = {
    # A record to be added
    "no body": add(b""),
    "no JSON": add(f"nhs={CHILD}".encode(), "record-shape"),
    "a list": add(b"[]", "record-shape"),
    "binary": add(bytes(range(256)), "record-shape"),
    "gzip": add(b"\x1f\x8b\x08\x00" + bytes(20), "record-shape"),
    "cut off": add(json.dumps(record("new", CHILD)).encode()[:-9], "record-shape"),
    "a member unknown": drafted("record-shape", **{SECRET: CHILD}),
    "a member twice": add(
        b'{"authority":"AXT",' + json.dumps(record("new", CHILD)).encode()[1:], "record-members"
    ),
    "a wrong type": drafted("record-shape", category=7),
    "an authority unknown": drafted("authority-unknown", authority=SECRET),
    "a category unknown": drafted("category-unknown", category=SECRET),
    "the canary's category": drafted("category-unknown", category="test"),
    "a source reference in letters that are not ours": drafted(
        "source-ref", source_ref=f"{SECRET}é"
    ),
    "a source reference too long": drafted("source-ref", source_ref=SECRET * 6),
    "no identifiers": drafted("identifiers-count", identifiers=[]),
    "too many identifiers": drafted("identifiers-count", identifiers=[nhs(n) for n in range(9)]),
    "a check digit wrong": drafted("nhs-check-digit", identifiers=["nhs:9990001234"]),
    "ten equal digits": drafted("nhs-repeated", identifiers=["nhs:9999999999"]),
    "a Scottish number as an English one": drafted("nhs-is-chi", identifiers=["nhs:0101010009"]),
    "a scheme unknown": drafted("identifier-scheme", identifiers=[f"passport:{SECRET}"]),
    "an identifier that is a canary": drafted("identifier-scheme", identifiers=["canary:abc"]),
    "an identifier too long": drafted("identifier-length", identifiers=[CHILD + SECRET * 9]),
    "an identifier with control characters": drafted(
        "identifier-characters", identifiers=[f"{CHILD}\x1b[2J"]
    ),
    "an identifier of an authority elsewhere": drafted(
        "local-authority", identifiers=["local:ZZZ:1"]
    ),
    "a day that is none": drafted("date-format", since="2026-02-30"),
    "a day in words": drafted("date-format", since=SECRET),
    "a day too late": drafted("date-format", until="9999-12-31"),
    "an end before the beginning": drafted("dates-order", until="2001-01-01"),
    "a payload too large": drafted("payload-size", payload="x" * (1 << 20)),
    "a body too large": add(b"x" * (MAX_RECORD + 1), status=413, type="too-large"),
    "a payload that is no text": add(
        json.dumps(record("new", CHILD)).encode().replace(b"about", b"\xff\xfe"), "record-shape"
    ),
    "a payload nested without end": add(
        json.dumps(record("new", CHILD, payload=0)).encode().replace(b": 0", b":" + b"[" * 99_999),
        "record-shape",
    ),
    "another record's name": add(
        json.dumps(record("taken", CHILD)).encode(), status=409, type="conflict"
    ),
    "no media type": add(b"{}", status=415, type="unsupported-media-type", headers={}),
    "a form": add(
        b"a=b",
        status=415,
        type="unsupported-media-type",
        headers={"content-type": "application/x-www-form-urlencoded"},
    ),
    "a file": add(
        b"--x",
        status=415,
        type="unsupported-media-type",
        headers={"content-type": f"multipart/form-data; boundary={SECRET}"},
    ),
    "an identifier in the query": Case(
        "POST",
        f"/v1/records?nhs={CHILD}",
        400,
        "invalid-request",
        json.dumps(record("new", CHILD)).encode(),
    ),
    # Records that are there, or not
    "a record that is not there": Case("GET", f"/v1/records/{NOBODY}", 404, "record-not-found"),
    "an identifier in the path": Case("GET", f"/v1/records/{CHILD}", 400, "invalid-request"),
    "an id too short": Case("GET", f"/v1/records/{NOBODY[1:]}", 400, "invalid-request"),
    "an id in capitals": Case("GET", f"/v1/records/{'A' * 32}", 400, "invalid-request"),
    "an id with a line end": Case("GET", f"/v1/records/{NOBODY}%0a", 400, "invalid-request"),
    "no version": put(428, "precondition-required", None),
    "a version that is a word": put(400, "invalid-request", SECRET),
    "a version zero": put(400, "invalid-request", '"0"'),
    "two versions": put(400, "invalid-request", '"1", "2"'),
    "a version without end": put(400, "invalid-request", f'"{"1" * 500}"'),
    "an old version": put(412, "precondition-failed", '"9"'),
    "a change of nothing": put(404, "record-not-found", '"1"', path=f"/v1/records/{NOBODY}"),
    "a change to another's name": put(409, "conflict", '"1"', members=TAKEN),
    "a change to nonsense": put(
        400, "invalid-request", '"1"', members={SECRET: CHILD}, rule="record-shape"
    ),
    "a deletion": Case("DELETE", "/v1/records/{id}", 405, "method-not-allowed"),
    "a method that nobody knows": Case("PURGE", "/v1/records/{id}", 405, "method-not-allowed"),
    "a path that nobody knows": Case("GET", f"/v1/children/{CHILD}", 404, "not-found"),
    "an import of JSON": Case("POST", "/v1/records/import", 415, "unsupported-media-type", b"{}"),
    "a local call over TCP": Case("POST", "/v1/local/purge", 404, "not-found", b"{}"),
    # Officers' calls
    "a preview of nothing": preview([]),
    "a preview of a child": preview([CHILD]),
    "a preview of a text": preview(NOBODY),
    "a preview of too many": preview([NOBODY] * 65),
    "a preview of what is not there": preview([NOBODY], status=404, kind="record-not-found"),
    "a preview with more to say": case("preview", {"record_ids": [NOBODY], "note": SECRET}),
    "a preview that is no JSON": case("preview", f"record_ids={NOBODY}".encode()),
    "a preview that is too large": case("preview", b"[" * (1 << 20) + b"[", 413, "too-large"),
    "a case without a step": case("", {}),
    "a case of a step in words": opened(f"{SECRET} asked for it"),
    "a case of a step with more to say": opened(STEP + f"note: {SECRET}\n"),
    "a case of a step of another content": opened(STEP),
    "a case of a child": opened(STEP, content=json.dumps({"record_ids": [CHILD]})),
    "a case of a content in words": opened(STEP, content=f"{SECRET} asked for it"),
    "a case of a content too large": opened(STEP, content="x" * ((1 << 18) + 1)),
    "a case with half a signature": opened(STEP, signature="MDE="),
    "a case with a long salt": opened(STEP, salt="A" * 400),
    "a step of a case that is not there": case(f"{NOBODY}/steps", signed(STEP), 404, "not-found"),
    "a step of another case": case("{case}/steps", signed(STEP)),
    "a step with a content": case("{case}/steps", signed(STEP, content=SECRET)),
    "a step in words": case("{case}/steps", signed(f"{SECRET} asked for it")),
    "a step of a case of no id": case(f"{SECRET}/steps", signed(STEP)),
    "a step that is no JSON": case(f"{NOBODY}/steps", f"step={SECRET}".encode()),
    "a case that is not there": Case("GET", f"/v1/cases/{NOBODY}", 404, "not-found", officer="ana"),
    "a case of a child's id": Case(
        "GET", f"/v1/cases/{CHILD}", 400, "invalid-request", officer="ana"
    ),
    "a case that an officer may not open": case("preview", {}, 403, "forbidden", officer="ana"),
    "an opening of a case that is not there": Case(
        "GET", f"/v1/cases/{NOBODY}/opening", 404, "not-found", officer="rita"
    ),
    "a client without a name": local("clients", {"name": ""}),
    "a client whose name is a number": local("clients", {"name": 7}),
    "a client whose name is too long": local("clients", {"name": SECRET * 9}),
    "a client whose name turns the line around": local("clients", {"name": f"\u202e{SECRET}"}),
    "a client whose name is half a character": local("clients", b'{"name":"\\ud800"}'),
    "a client that may ask nothing": local("clients", {"name": "A", "per_second": 0}),
    "a client that may ask without end": local("clients", {"name": "A", "per_day": 10**10}),
    "a client with half a certificate": local(
        "clients", {"name": "A", "certificates": ["ab" * 16]}
    ),
    "a client with many certificates": local(
        "clients", {"name": "A", "certificates": [f"{n:064x}" for n in range(5)]}
    ),
    "a client with more to say": local("clients", {"name": "A", SECRET: 1}),
    "a rotation of nobody": local(f"clients/{'0' * 28}/rotate", {}, 404, "not-found"),
    "a rotation with a long grace": local(
        f"clients/{'0' * 28}/rotate", {"grace_seconds": 31 * 86_400}
    ),
    "a rotation of no id": local(f"clients/{SECRET}/rotate", {}),
    "a revocation of nobody": local(f"clients/{'0' * 28}/revoke", {}, 404, "not-found"),
    "a lookup key that is none": local(f"lookup-keys/{SECRET}/retire", {}),
    "a lookup key that is not there": local(f"lookup-keys/{'k' * 16}/retire", {}, 404, "not-found"),
    "the last lookup key": local("lookup-keys/{kid}/retire", {}, 409, "conflict"),
    "a passphrase too short": local("passphrase", {"passphrase": SECRET[:9]}),
    "a passphrase that is a list": local("passphrase", {"passphrase": [SECRET]}),
    "a passphrase of two lines": local("passphrase", {"passphrase": f"{SECRET}\n{SECRET}"}),
    "a slot somewhere": local("slots", {"folder": f"some/{SECRET}"}),
    "a slot with a zero byte": local("slots", {"folder": f"/{SECRET}\0"}),
    "a slot that is not there": local(f"slots/{NOBODY}/remove", {}, 404, "not-found"),
    "a slot that is no id": local(f"slots/{SECRET}/remove", {}),
    "the last slot": local("slots/{slot}/remove", {}, 409, "conflict"),
    "a backup somewhere": local("backup", {"folder": f"some/{SECRET}"}),
}


@pytest.fixture(scope="module")
def filled() -> Iterator[tuple[Custodian, dict[str, str]]]:
    """A custodian with three records and a case, and the names that paths may use."""
    with Site() as site, site.open() as custodian:
        names = {
            "id": custodian.add("there", nhs(1)).hex(),
            "kid": custodian.call(lambda custody: custody.kids[0]),
            "slot": custodian.officer.get("/v1/local/status").json()["slots"][0]["id"],
            "case": custodian.desk.open([custodian.add("under a case", nhs(3))])["case"],
        }
        custodian.add("taken", nhs(2))
        yield custodian, names
        assert custodian.failures == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_request_that_is_not_as_described(
    filled: tuple[Custodian, dict[str, str]],
    case: Case,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    custodian, names = filled
    before = custodian.call(lambda custody: (custody.vault.version, len(custody.sources)))
    client = custodian.officer if case.local else custodian.feed
    path = case.path.format(**names)
    bearer = custodian.desk.signer(case.officer).headers(now()) if case.officer else {}
    headers = case.headers | bearer
    answer = client.request(case.method, path, content=case.content, headers=headers)
    members: Json = answer.json()
    assert (answer.status_code, members["type"]) == (case.status, f"urn:lacuna:problem:{case.type}")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert members["status"] == case.status
    assert members.get("rule") == case.rule
    assert custodian.call(lambda custody: (custody.vault.version, len(custody.sources))) == before
    printed = "".join(capfd.readouterr())
    for place in (answer.text, str(answer.headers), caplog.text, printed):
        assert SECRET not in place
        assert CHILD[4:] not in place
        assert custodian.site.token not in place
    assert printed == ""
    assert custodian.feed.get("/health/ready").status_code == 200


def test_lines_of_an_import_that_are_not_as_described(
    filled: tuple[Custodian, dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    """The bodies of the table in one stream: each by its rule, between lines that are well."""
    custodian, _ = filled
    bad = [
        case
        for case in CASES.values()
        if case.path == "/v1/records" and case.rule and b"\n" not in case.content
    ]
    good = [record(f"good-{n}", nhs(100 + n)) for n in range(len(bad))]
    lines = [line for at, case in enumerate(bad) for line in (case.content, _line(good[at]))]
    headers = {"content-type": "application/x-ndjson"}
    content = b"\n".join(lines)
    answer = custodian.feed.post("/v1/records/import", content=content, headers=headers)
    results = [json.loads(line) for line in answer.text.splitlines()]
    assert [each["rule"] for each in results[:-1:2]] == [case.rule for case in bad]
    assert {each["result"] for each in results[1::2]} == {"added"}
    assert results[-1]["summary"] == {
        "lines": len(lines),
        "added": len(good),
        "invalid": len(bad),
    }
    for place in (answer.text, caplog.text):
        assert SECRET not in place
        assert CHILD[4:] not in place


def _line(members: Json) -> bytes:
    return json.dumps(members).encode()


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 60
