"""What both listeners have in common, and what only the UNIX socket knows."""

import json
import re
from collections.abc import Iterator

import pytest

from crypto.sshsig import OfficerKey
from lookup.custodian.api import imports
from lookup.custodian.api.local import PREFIX
from lookup.custodian.starting import now
from lookup.officers.signing import Signer
from tests.lookup.raw_http import Connection, Response
from tests.simulator import Custodian, Json, nhs, port


def routes(custodian: Custodian) -> Iterator[tuple[str, str]]:
    """Method and path of every endpoint; placeholders filled."""
    for path, methods in custodian.app.openapi()["paths"].items():
        for method in methods:
            yield method.upper(), re.sub(r"\{\w+\}", "0" * 32, path)


def raw(custodian: Custodian, head: str, body: bytes = b"") -> Response:
    """Send these bytes over TCP."""
    with Connection(("127.0.0.1", port(custodian.site.listening[0]))) as connection:
        connection.send(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
        return connection.receive(head_only=head.startswith("HEAD"))


def is_problem(answer: Response, status: int, name: str) -> bool:
    members: Json = json.loads(answer.body)
    return (
        answer.status == members["status"] == status
        and members["type"] == f"urn:lacuna:problem:{name}"
        and answer.headers["content-type"] == "application/problem+json"
        and answer.headers["cache-control"] == "no-store"
    )


def test_nothing_deletes(shared: Custodian) -> None:
    """There is deliberately no DELETE: forgetting is a procedure."""
    assert {method for method, _ in routes(shared)} == {"GET", "POST", "PUT"}


def test_over_tcp_every_call_needs_the_token(shared: Custodian) -> None:
    """All but health and the log, which is for everybody.

    A wrong token and none are told in the same words. Wrong are those of somebody whom the site
    does not know, of another site, and of an hour ago.
    """
    bench, vault = shared.site.officers, shared.site.vault
    stranger = Signer(vault, bench.officers["feed"].id, OfficerKey.generate())
    wrong = [
        signer.headers(at)["authorization"]
        for signer, at in (
            (stranger, now()),
            (bench.signer(bytes(16), "feed"), now()),
            (bench.signer(vault, "feed"), now() - 3_600),
            (bench.signer(vault, "feed"), now() + 3_600),
        )
    ]
    for method, path in routes(shared):
        if path.startswith(("/health", "/log/", PREFIX)):
            continue
        head = f"{method} {path} HTTP/1.1\nHost: site.test"
        length = "\nContent-Type: application/json\nContent-Length: 0"
        answers = [
            raw(shared, head + length + line)
            for line in (
                "",
                "\nAuthorization: Bearer",
                "\nAuthorization: Bearer \xff wrong",
                f"\nAuthorization: Basic {shared.site.token}",
                f"\nAuthorization: Bearer {shared.site.token[:-1]}",
                *(f"\nAuthorization: {each}" for each in wrong),
            )
        ]
        assert {each.body for each in answers} == {answers[0].body}, path
        assert is_problem(answers[0], 401, "unauthorized"), path
        assert answers[0].headers["www-authenticate"] == "Bearer"


def test_health_needs_no_token(shared: Custodian) -> None:
    """That it is ready names the vault, for which tokens are made."""
    ready = {"status": "pass", "vault": shared.site.vault.hex()}
    for path, said in (("/health/live", {"status": "pass"}), ("/health/ready", ready)):
        assert raw(shared, f"GET {path} HTTP/1.1\nHost: a").json == said


@pytest.mark.parametrize("token", [True, False], ids=["with the token", "without it"])
def test_local_paths_do_not_exist_over_tcp(shared: Custodian, token: bool) -> None:  # noqa: FBT001
    """Not for the right method, not for a wrong one, not with a slash too many."""
    line = f"\nAuthorization: Bearer {shared.site.token}" if token else ""
    nowhere = raw(shared, f"GET /v1/nowhere HTTP/1.1\nHost: a{line}")
    assert is_problem(nowhere, 404, "not-found")
    for _, path in routes(shared):
        if path.startswith(PREFIX):
            for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
                for spelled in (path, path + "/"):
                    answer = raw(
                        shared, f"{method} {spelled} HTTP/1.1\nHost: a{line}\nContent-Length: 0"
                    )
                    assert (answer.status, answer.body) == (404, nowhere.body), (method, spelled)


def test_the_unix_socket_needs_no_token(shared: Custodian) -> None:
    """The file system is the guard: mode 0600 in a folder of 0700."""
    assert shared.officer.get("/v1/local/status").status_code == 200
    assert shared.officer.get("/v1/authorities").status_code == 200
    assert shared.site.config.run.stat().st_mode & 0o777 == 0o700


def test_other_methods_and_paths(shared: Custodian) -> None:
    """405 names the methods that there are; a slash too many is another path, not a redirect."""
    head = f"Host: a\nAuthorization: Bearer {shared.site.token}\nContent-Length: 0"
    answer = raw(shared, f"DELETE /v1/records HTTP/1.1\n{head}")
    assert is_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"
    assert is_problem(raw(shared, f"POST /v1/records/ HTTP/1.1\n{head}"), 404, "not-found")
    for path in ("/", "/docs", "/redoc", "/v1", "/v1/records/../local/status", "/%2e%2e"):
        assert is_problem(raw(shared, f"GET {path} HTTP/1.1\n{head}"), 404, "not-found"), path


def test_authorities_are_told_with_their_numbers(shared: Custodian) -> None:
    answer = shared.feed.get("/v1/authorities")
    assert [each["code"] for each in answer.json()["authorities"]] == ["AXT", "BSC", "MVB"]
    assert answer.json()["authorities"][0]["out_of_hours"] == "01632 960119"
    names = {each["name"]: each["answerable"] for each in answer.json()["categories"]}
    assert names["child-protection-plan"]
    assert not names["allegation"]
    assert "test" not in names
    assert answer.headers["cache-control"] == "no-store"


def test_too_many_imports_are_asked_to_come_later(shared: Custodian) -> None:
    """They cost memory; whoever is refused knows when to come again."""
    turns = shared.app.state.importing
    for _ in range(imports.MOST_AT_ONCE):
        assert turns.acquire(blocking=False)
    headers = {"content-type": "application/x-ndjson"}
    answer = shared.feed.post("/v1/records/import", content=b"", headers=headers)
    for _ in range(imports.MOST_AT_ONCE):
        turns.release()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert shared.feed.post("/v1/records/import", content=b"", headers=headers).status_code == 200


def test_a_status_names_nobody(shared: Custodian) -> None:
    """No identifier, source reference or secret; what monitoring needs is there."""
    shared.add("status-ref", nhs(1))
    answer = shared.officer.get("/v1/local/status")
    members = answer.json()
    assert members["records"] == 1
    assert members["mirror"]["behind"] == 0
    assert members["table"]["complete"]
    for value in ("status-ref", nhs(1)[4:], shared.site.token):
        assert value not in answer.text


def test_a_purge_is_an_epoch_change(shared: Custodian) -> None:
    before = shared.call(lambda custody: custody.vault.version.epoch)
    assert shared.officer.post("/v1/local/purge").json()["epoch"] == before + 1


def test_a_backup_next_to_the_store_is_refused(shared: Custodian) -> None:
    """In one line of the answer, which has begun by then."""
    folder = str(shared.site.folder / "store" / "backup")
    answer = shared.officer.post("/v1/local/backup", json={"folder": folder})
    (line,) = answer.text.splitlines()
    assert "must lie apart" in json.loads(line)["error"]


def test_one_backup_at_a_time(shared: Custodian) -> None:
    with shared.app.state.backing_up:
        answer = shared.officer.post("/v1/local/backup", json={"folder": "/dev/shm/none"})  # noqa: S108
    assert "another backup" in answer.text
