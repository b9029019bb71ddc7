"""`lacuna client`: who may ask, how much, and with which secret."""

import re
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from lookup import exits
from lookup.client.enrolment import load_enrolment
from tests.lookup.cli.commanding import Served
from tests.lookup.client.certificates import CertificateAuthority, make_certificate_authority

KNOWN = "nhs:9990001014\n"


def add(served: Served, file: Path, name: str, *options: str | Path) -> Any:  # noqa: ANN401  # JSON
    result = served.site.run("client", "add", name, "--enrolment", file, "--json", *options)
    assert result.status == 0, result.stderr
    return result.json


def listed(served: Served, client_id: str) -> Any:  # noqa: ANN401  # JSON
    clients = served.site.run("client", "list", "--json").json["clients"]
    return next((client for client in clients if client["id"] == client_id), None)


def ask(served: Served, file: Path) -> str:
    """Return the outcome, or the reason why there is none."""
    result = served.site.run("lookup", "--enrolment", file, "--json", typed=KNOWN)
    return str(result.json.get("reason", result.json["outcome"]))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return make_certificate_authority(tmp_path_factory.mktemp("certificates"))


def test_a_client_has_what_it_may_do(
    served: Served, tmp_path: Path, authority: CertificateAuthority
) -> None:
    certificate = authority.issue("hospital")
    der = b64decode(
        re.findall(r"BEGIN CERTIFICATE-----(.*?)-----", certificate.read_text(), re.DOTALL)[0]
    )
    limits = ("--per-second", "7", "--per-day", "70", "--no-batch", "--certificate", certificate)

    made = add(served, tmp_path / "a.json", "Limited", *limits)

    found = listed(served, made["client"])
    assert found.pop("made") > 0
    assert found == {
        "id": made["client"],
        "name": "Limited",
        "per_second": 7,
        "per_day": 70,
        "batch": False,
        "certificates": [sha256(der).hexdigest()],
        "former_secrets_until": [],
    }
    shown = served.site.run("client", "list").stdout
    assert "7 a second, 70 a day, no batches, certificates: 1" in shown


def test_what_it_may_not_be_given(
    served: Served, tmp_path: Path, authority: CertificateAuthority
) -> None:
    """Nobody is enrolled, and no file is left."""
    file, nothing = tmp_path / "b.json", tmp_path / "nothing.pem"
    nothing.write_text("-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n")
    chain = tmp_path / "chain.pem"
    chain.write_text(authority.file.read_text() * 2)
    for status, *options in (
        (exits.USAGE, "--per-second", "0"),
        (exits.USAGE, "--per-day", "many"),
        (exits.NO_INPUT, "--certificate", tmp_path / "none.pem"),
        (exits.NO_INPUT, "--certificate", nothing),
        (exits.NO_INPUT, "--certificate", chain),
    ):
        result = served.site.run("client", "add", "Never", "--enrolment", file, *options)
        assert (result.status, result.ends_in_a_hint) == (status, True)
        assert not file.exists()
    assert "Never" not in served.site.run("client", "list").stdout


def test_a_quota_is_told_as_such(served: Served, tmp_path: Path) -> None:
    """`lacuna lookup` costs three: an access token, the canary, the child."""
    file = tmp_path / "c.json"
    add(served, file, "Once a day", "--per-day", "3")

    assert [ask(served, file) for _ in range(2)] == ["known", "too-many-requests"]


def test_rotate_gives_another_secret_and_the_former_one_its_time(
    served: Served, tmp_path: Path
) -> None:
    old, new, last = (tmp_path / f"{name}.json" for name in ("old", "new", "last"))
    made = add(served, old, "To rotate")

    rotated = served.site.run("client", "rotate", "To rotate", "--enrolment", new)

    assert rotated.status == 0
    assert "former secret until" in rotated.stdout
    assert new.stat().st_mode & 0o777 == 0o600
    enrolments = load_enrolment(old), load_enrolment(new)
    assert enrolments[0].client_id == enrolments[1].client_id == made["client"]
    assert not any(each.secret.text() in rotated.stdout + rotated.stderr for each in enrolments)
    assert [ask(served, file) for file in (old, new)] == ["known", "known"]
    assert len(listed(served, made["client"])["former_secrets_until"]) == 1
    assert "a former secret until" in served.site.run("client", "list").stdout

    options = ("--enrolment", last, "--grace-hours", "0", "--json")
    at_once = served.site.run("client", "rotate", made["client"], *options)

    assert at_once.status == 0
    assert at_once.json["confirmed"]
    assert "enrolment" in at_once.json
    assert "secret" not in at_once.json
    assert [ask(served, f) for f in (old, new, last)] == ["unauthorized", "unauthorized", "known"]


def test_rotate_refuses_what_would_lose_a_secret(served: Served, tmp_path: Path) -> None:
    """A file that is there is not overwritten, and the secret of now stays the one."""
    file, there = tmp_path / "d.json", tmp_path / "there.json"
    add(served, file, "Careful")
    there.write_text("precious")

    refused = served.site.run("client", "rotate", "Careful", "--enrolment", there)

    assert refused.status == exits.CANNOT_CREATE
    assert there.read_text() == "precious"
    assert ask(served, file) == "known"
    for number in range(3):
        new = tmp_path / f"new-{number}.json"
        assert served.site.run("client", "rotate", "Careful", "--enrolment", new).status == 0
    fourth = served.site.run("client", "rotate", "Careful", "--enrolment", tmp_path / "e.json")
    assert (fourth.status, fourth.ends_in_a_hint) == (exits.REFUSED, True)
    assert "--grace-hours 0" in fourth.stderr
    assert not (tmp_path / "e.json").exists()


def test_revoke(served: Served, tmp_path: Path) -> None:
    """By name or by id; after it there is nothing to revoke."""
    file = tmp_path / "f.json"
    made = add(served, file, "Farewell")
    assert ask(served, file) == "known"

    revoked = served.site.run("client", "revoke", "Farewell", "--yes")

    assert revoked.status == 0
    assert f"Farewell ({made['client']})" in revoked.stdout
    assert ask(served, file) == "unauthorized"
    assert listed(served, made["client"]) is None
    again = add(served, tmp_path / "g.json", "Farewell")
    assert served.site.run("client", "revoke", again["client"], "--json").json["certain"] is True


@pytest.mark.parametrize("command", ["rotate", "revoke"])
def test_a_client_that_is_not_there(served: Served, tmp_path: Path, command: str) -> None:
    options = ("--enrolment", tmp_path / "h.json") if command == "rotate" else ("--yes",)

    result = served.site.run("client", command, "Nobody", *options)

    assert (result.status, result.ends_in_a_hint) == (exits.REFUSED, True)
    assert "client list" in result.stderr
    assert not (tmp_path / "h.json").exists()


def test_a_name_that_two_clients_answer_to(served: Served, tmp_path: Path) -> None:
    """One is called what the other's id is: neither is meant."""
    first = add(served, tmp_path / "i.json", "Original")
    add(served, tmp_path / "j.json", first["client"])

    result = served.site.run("client", "revoke", first["client"], "--yes")

    assert result.status == exits.REFUSED
    assert "two clients" in result.stderr
