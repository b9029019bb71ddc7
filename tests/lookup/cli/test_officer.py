"""`lacuna officer`: nobody alone says who decides, or by which rules."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from crypto.derive import TESTING_ONLY_COST
from crypto.sshsig import OfficerKey, fingerprint, format_public_key
from lookup import exits
from lookup.cli.officer import ROLES
from lookup.officers.keyfile import write_key_file
from lookup.officers.roles import Role
from tests.lookup.cli.commanding import PASSPHRASE, Served, public_key

DAY = "2025-06-02"


def office(served: Served) -> Any:  # noqa: ANN401  # the document
    """Return officers, rules and proposals, as every officer sees them."""
    listed = served.site.act("auditor", "officer", "list", "--json")
    assert listed.status == 0, listed.stderr
    return listed.json


def propose(served: Served, *words: str | Path) -> str:
    """Propose a change; return its id."""
    proposed = served.site.act("requester", "officer", *words, "--json")
    assert proposed.status == 0, proposed.stderr
    return str(proposed.json["proposal"])


def make(served: Served, *words: str | Path) -> None:
    """Propose a change, and have it approved by two."""
    proposal = propose(served, *words)
    for role in ("approver", "legal"):
        assert served.site.act(role, "officer", "approve", proposal).status == 0


@pytest.fixture(autouse=True)
def as_before(served: Served) -> Iterator[None]:
    """Each test ends with the officers and rules that it began with."""
    names = {each["name"] for each in office(served)["officers"]}
    yield
    for each in office(served)["officers"]:
        if each["name"] not in names:
            make(served, "remove", each["name"])
    rules = ("--approvals", "2", "--cooling-off-days", "14", "--malicious-from", "unknown")
    make(served, "rules", *rules)


def test_the_roles_are_those_of_officers() -> None:
    """The codes that --help lists without importing them."""
    assert set(ROLES) == set(Role)


class TestNobodyAlone:
    """Somebody proposes, others approve; then it is so."""

    def test_a_proposal_changes_nothing(self, served: Served) -> None:
        before = office(served)

        proposal = propose(served, "rules", "--malicious-from", DAY)
        own = served.site.act("requester", "officer", "approve", proposal)
        once = served.site.act("legal", "officer", "approve", proposal)
        twice = served.site.act("legal", "officer", "approve", proposal)

        assert own.status == twice.status == exits.REFUSED
        assert "1 of 2 approvals" in once.stdout
        assert office(served)["rules"] == before["rules"]

    def test_the_last_approval_makes_it(self, served: Served) -> None:
        make(served, "rules", "--malicious-from", DAY)

        assert office(served)["rules"]["malicious_from"] == DAY

    def test_what_is_not_named_stays(self, served: Served) -> None:
        """Whoever says a day does not lower how many approve."""
        make(served, "rules", "--approvals", "2", "--cooling-off-days", "20")
        make(served, "rules", "--malicious-from", DAY)
        make(served, "rules", "--cooling-off-days", "21")

        rules = office(served)["rules"]
        assert (rules["cooling_off_days"], rules["malicious_from"]) == (21, DAY)
        make(served, "rules", "--malicious-from", "unknown")
        assert office(served)["rules"]["malicious_from"] is None

    def test_rules_of_one_authority(self, served: Served) -> None:
        make(served, "rules", "--authority", "MVB", "--cooling-off-days", "30")

        rules = office(served)["rules"]
        assert rules["authorities"]["MVB"]["cooling_off_days"] == 30
        assert rules["cooling_off_days"] == 14
        listed = served.site.act("auditor", "officer", "list").stdout
        assert "rules of MVB  2 approvals, cooling-off of 30 days" in listed

    def test_what_is_signed_is_said_in_words(self, served: Served, tmp_path: Path) -> None:
        key = OfficerKey.generate().public()
        (tmp_path / "sue.pub").write_text(format_public_key(key, "a comment"))

        add = ("add", "sue", tmp_path / "sue.pub", "--role", "auditor", "--authority", "AXT")
        proposed = served.site.act("legal", "officer", *add)

        words = f"sue becomes auditor of AXT, with the key {fingerprint(key)}"
        assert words in proposed.stdout
        assert words in served.site.act("approver", "officer", "list").stdout


def test_an_officer_comes_changes_and_leaves(served: Served, tmp_path: Path) -> None:
    """And acts in between, with the key that only they have."""
    site, key = served.site, OfficerKey.generate()
    write_key_file(tmp_path / "tom", key, PASSPHRASE.encode(), TESTING_ONLY_COST)
    (tmp_path / "tom.pub").write_text(format_public_key(key.public()))
    mine = ("--key", tmp_path / "tom", "--key-passphrase-file", site.key_passphrase)
    assert site.run("case", "list", *mine).status == exits.REFUSED

    make(served, "add", "tom", tmp_path / "tom.pub", "--role", "approver")
    assert site.run("case", "list", *mine).status == 0
    make(served, "change", "tom", "--role", "auditor", "--role", "approver")
    (tom,) = [each for each in office(served)["officers"] if each["name"] == "tom"]
    assert tom["roles"] == ["approver", "auditor"]
    assert tom["fingerprint"] == fingerprint(key.public())

    make(served, "remove", "tom")
    assert site.run("case", "list", *mine).status == exits.REFUSED


REFUSED = {
    "a name with a space": (["add", "tom b", "{key}", "--role", "auditor"], exits.USAGE),
    "an empty name": (["add", "", "{key}", "--role", "auditor"], exits.USAGE),
    "a long name": (["add", "t" * 41, "{key}", "--role", "auditor"], exits.USAGE),
    "a name of two lines": (["add", "to\nm", "{key}", "--role", "auditor"], exits.USAGE),
    "a name that is no text": (["add", "t\udcff", "{key}", "--role", "auditor"], exits.USAGE),
    "a name that somebody has": (["add", "legal", "{key}", "--role", "auditor"], exits.REFUSED),
    "a key that somebody has": (["add", "tom", "{legal}", "--role", "auditor"], exits.REFUSED),
    "an RSA key": (["add", "tom", "{rsa}", "--role", "auditor"], exits.USAGE),
    "a private key": (["add", "tom", "{private}", "--role", "auditor"], exits.USAGE),
    "noise": (["add", "tom", "{noise}", "--role", "auditor"], exits.USAGE),
    "no such file": (["add", "tom", "{tmp}/none", "--role", "auditor"], exits.NO_INPUT),
    "a folder": (["add", "tom", "{tmp}", "--role", "auditor"], exits.NO_INPUT),
    "no role": (["add", "tom", "{key}"], exits.USAGE),
    "a role that nobody knows": (["add", "tom", "{key}", "--role", "queen"], exits.USAGE),
    "an authority in prose": (
        ["add", "tom", "{key}", "--role", "auditor", "--authority", "our town"],
        exits.USAGE,
    ),
    "an authority that is none": (
        ["add", "tom", "{key}", "--role", "auditor", "--authority", "ZZZ"],
        exits.REFUSED,
    ),
    "a change of nobody": (["change", "tom", "--role", "auditor"], exits.REFUSED),
    "the last of law changes": (["change", "legal", "--role", "auditor"], exits.REFUSED),
    "nobody leaves": (["remove", "tom"], exits.REFUSED),
    "the last of law leaves": (["remove", "legal"], exits.REFUSED),
    "one approval": (["rules", "--approvals", "1"], exits.USAGE),
    "more approvals than officers": (["rules", "--approvals", "8"], exits.REFUSED),
    "no cooling-off": (["rules", "--cooling-off-days", "0"], exits.USAGE),
    "a day that is none": (["rules", "--malicious-from", "soon"], exits.USAGE),
    "a day of no calendar": (["rules", "--malicious-from", "2026-02-30"], exits.USAGE),
    "rules of an authority in prose": (["rules", "--authority", "our town"], exits.USAGE),
    "a cursor that no feed has passed": (["set-cursor", "AXT", "7"], exits.REFUSED),
    "a cursor of an authority that is none": (["set-cursor", "ZZZ", "7"], exits.REFUSED),
    "a cursor of an authority in prose": (["set-cursor", "our town", "7"], exits.USAGE),
    "a cursor in prose": (["set-cursor", "AXT", "the-last"], exits.USAGE),
    "a cursor below nought": (["set-cursor", "AXT", "--", "-1"], exits.USAGE),
    "a cursor without end": (["set-cursor", "AXT", str(1 << 63)], exits.USAGE),
    "a proposal that is none": (["approve", "f" * 32], exits.REFUSED),
    "a proposal that is no id": (["approve", "the-last-one"], exits.USAGE),
    "an empty id": (["approve", ""], exits.USAGE),
}


@pytest.mark.parametrize(("words", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(served: Served, tmp_path: Path, words: list[str], status: int) -> None:
    """With a fact and something to do; and nothing waits for anybody's approval."""
    rsa = generate_private_key(65_537, 2_048).public_key()
    (tmp_path / "rsa").write_bytes(rsa.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    (tmp_path / "noise").write_bytes(b"\xff\x00 noise")
    given = {
        "key": public_key(tmp_path / "key"),
        "legal": served.site.key("legal.pub"),
        "private": served.site.key("legal"),
        "rsa": tmp_path / "rsa",
        "noise": tmp_path / "noise",
        "tmp": tmp_path,
    }
    before = office(served)

    result = served.site.act("approver", "officer", *(word.format(**given) for word in words))

    assert result.status == status, result.stderr
    assert result.ends_in_a_hint
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert "defect" not in result.stderr
    assert office(served) == before


@pytest.mark.parametrize("role", ["auditor", "registrar"])
def test_who_proposes_nothing(served: Served, role: str) -> None:
    result = served.site.act(role, "officer", "rules", "--malicious-from", DAY)

    assert result.status == exits.REFUSED
    assert result.ends_in_a_hint


@pytest.mark.parametrize("role", ["auditor", "registrar", "requester", "safeguarding"])
def test_who_approves_nothing(served: Served, role: str) -> None:
    proposed = served.site.act("legal", "officer", "rules", "--malicious-from", DAY, "--json")

    result = served.site.act(role, "officer", "approve", proposed.json["proposal"])

    assert result.status == exits.REFUSED
    assert result.ends_in_a_hint
