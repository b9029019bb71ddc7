"""`lacuna case`: from a request to a certificate, and what is said where it is refused."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from crypto.derive import TESTING_ONLY_COST
from crypto.sshsig import OfficerKey
from lookup import exits
from lookup.cases.grounds import Ground
from lookup.cli.case_opening import GROUNDS, MAX_EVIDENCE
from lookup.cli.case_reading import case_facts
from lookup.config import load_config
from lookup.officers.keyfile import write_key_file
from tests.lookup.cli.commanding import (
    PASSPHRASE,
    Served,
    approve_case,
    lacuna,
    open_case,
    own_records,
    record_line,
    until,
)

SECRET = "9990001014"


class Opened(NamedTuple):
    """A case that was opened for one test."""

    served: Served
    id: str
    record_id: str

    def show(self) -> Any:  # noqa: ANN401  # the document
        """Return the case as an auditor sees it."""
        return self.served.site.act("auditor", "case", "show", self.id, "--json").json

    def take(self, role: str, act: str, *more: str | Path) -> int:
        """Take a step; return the exit status."""
        return self.served.site.act(role, "case", act, self.id, *more).status


@pytest.fixture
def case(served: Served, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """A case about one record of the test's own; withdrawn where the test leaves it open."""
    name = f"CASE-{sha256(request.node.name.encode()).hexdigest()[:12]}"
    (record_id,) = own_records(served.site, tmp_path, name)
    opened = Opened(served, open_case(served.site, tmp_path, record_id)["case"], record_id)
    yield opened
    opened.take("requester", "withdraw")


def is_gone(case: Opened) -> bool:
    return case.take("auditor", "show") == exits.REFUSED


class TestFromRequestToCertificate:
    """Nobody alone; then by itself; then for anybody to verify."""

    def test_the_whole_way(self, served: Served, tmp_path: Path) -> None:
        site = served.site
        record_id, other = own_records(site, tmp_path, "WAY-1", "WAY-2")
        opened = open_case(site, tmp_path, record_id)
        files = {name: tmp_path / name for name in ("opening", "certificate", "key", "letter.html")}
        assert (
            site.act(
                "requester", "case", "opening", opened["case"], "--output", files["opening"]
            ).status
            == 0
        )
        records = served.status()["records"]

        approve_case(site, opened["case"])
        case = Opened(served, opened["case"], record_id)
        until(lambda: is_gone(case), served)

        listed = site.act("auditor", "case", "certificates")
        assert opened["certificate"] in listed.stdout
        fetch = ("case", "certificate", opened["certificate"], "--output", files["certificate"])
        assert site.act("legal", *fetch).status == 0
        files["key"].write_text(site.run("log", "key").stdout)
        about = (files["certificate"], "--log-key", files["key"], "--opening", files["opening"])
        verified = lacuna("certificate", "verify", *about, "--json")
        assert verified.status == 0, verified.stderr
        assert [each["record_id"] for each in verified.json["opened"]] == [record_id]
        letter = lacuna("certificate", "letter", *about, "--output", files["letter.html"])
        assert letter.status == 0
        assert served.status()["records"] == records - 1
        assert {file.stat().st_mode & 0o777 for file in files.values() if file.name != "key"} == {
            0o600
        }
        again = site.act("requester", "case", "open", record_id, "--ground", "art-17-1-a")
        assert again.status != 0
        assert other not in again.stderr

    def test_what_is_signed_is_shown_before(self, served: Served, tmp_path: Path) -> None:
        """Each record as it is, whether hospitals are told, and who else names the child."""
        site = served.site
        child = ["local:AXT:SHOWN"]
        lines = [record_line(0, source_ref=f"SHOWN-{n}", identifiers=child) for n in (1, 2)]
        results = tmp_path / "results"
        assert site.run("import", "-", "--results", results, typed="".join(lines)).status == 0
        mine, theirs = (
            json.loads(line)["record_id"] for line in results.read_text().split("\n")[:2]
        )
        evidence = tmp_path / "evidence.json"
        evidence.write_text('{"unlawful": "file 2"}')

        about = ("--ground", "art-17-1-d", "--evidence", evidence)
        opened = site.act("requester", "case", "open", mine, *about)

        assert opened.status == 0
        assert f"{mine}  looked-after of AXT" in opened.stderr
        assert "hospitals are told of it" in opened.stderr
        assert f"not in the case, of the same child: {theirs}" in opened.stderr
        assert "ground: art-17-1-d, processed unlawfully" in opened.stderr
        case = opened.stdout.split()[1]
        assert site.act("requester", "case", "withdraw", case).status == 0

    def test_ids_may_come_from_standard_input(self, served: Served, tmp_path: Path) -> None:
        """Given twice, a record is in the case once."""
        site = served.site
        one, two = own_records(site, tmp_path, "STDIN-1", "STDIN-2")
        evidence = tmp_path / "evidence.json"
        evidence.write_text('{"unlawful": "file 2"}')

        about = ("case", "open", "-", "--ground", "art-17-1-d", "--evidence", evidence, "--json")
        case = site.act("requester", *about, typed=f"{one}\n{two}\n{one}\n").json

        assert sorted(each["record_id"] for each in case["named"]) == sorted([one, two])
        assert site.act("requester", "case", "withdraw", case["case"]).status == 0

    def test_nobody_alone(self, case: Opened) -> None:
        """Who opened it approves nothing; one approver does so once; neither carries it out."""
        assert case.take("requester", "approve") == exits.REFUSED
        assert case.take("approver", "approve") == 0
        assert case.take("approver", "approve") == exits.REFUSED
        assert case.take("approver", "carry-out") == exits.REFUSED
        assert case.show()["wanting"] == ["1 more approval"]

    def test_an_approved_case_cools_off(self, case: Opened) -> None:
        for role in ("approver", "legal"):
            assert case.take(role, "approve") == 0

        shown = case.served.site.act("auditor", "case", "show", case.id)

        assert "cooling-off, due in 14.0 days" in shown.stdout
        assert case.take("requester", "carry-out") == exits.REFUSED
        assert case.take("requester", "withdraw") == 0
        assert case.show()["due_in"] is None  # what was withdrawn never will be

    def test_what_changes_a_case_voids_its_approvals(self, case: Opened, tmp_path: Path) -> None:
        assert case.take("legal", "approve") == 0
        evidence = tmp_path / "other.json"
        evidence.write_text('{"unlawful": "file 3"}')

        assert (
            case.take("requester", "amend", "--ground", "art-17-1-d", "--evidence", evidence) == 0
        )

        shown = case.show()
        assert shown["ground"] == "art-17-1-d"
        assert shown["wanting"] == ["2 more approvals"]

    def test_refused_by_two(self, case: Opened) -> None:
        words = ("--reason", "art-17-3-b", "--words", "The Children Act asks us to keep it.")
        assert case.take("legal", "refuse", *words) == 0
        assert case.take("legal", "review") == exits.REFUSED
        assert case.take("approver", "review") == 0
        assert case.show()["state"] == "refused"

    def test_a_hold_is_shown(self, case: Opened) -> None:
        assert case.take("safeguarding", "hold", "--reason", "inquiry") == 0
        assert "hold" in case.served.site.act("auditor", "case", "show", case.id).stdout
        assert case.take("safeguarding", "release") == exits.REFUSED
        assert case.take("legal", "release") == 0

    def test_the_time_to_answer(self, case: Opened) -> None:
        first = case.show()["answer_by"]
        assert case.take("requester", "ask-identity") == 0
        assert case.take("requester", "confirm-identity") == 0
        assert case.take("legal", "extend", "--reason", "complexity") == 0
        assert case.show()["answer_by"] > first

    def test_hidden_by_two_until_it_ends(self, served: Served, tmp_path: Path) -> None:
        """Whoever watches the site is told meanwhile."""
        site = served.site
        (record_id,) = own_records(site, tmp_path, "HIDE-1", category="child-protection-plan")
        evidence = tmp_path / "evidence.json"
        evidence.write_text('{"unlawful": "file 2"}')
        about = ("--ground", "art-17-1-d", "--evidence", evidence, "--restrict", "--json")
        case = Opened(
            served, site.act("requester", "case", "open", record_id, *about).json["case"], record_id
        )
        assert not case.show()["hidden"]
        assert case.take("approver", "restrict") == exits.REFUSED

        assert case.take("safeguarding", "restrict") == 0

        assert case.show()["hidden"]
        status = site.run("status")
        assert status.status == exits.FINDING
        assert "1 records that protect a child are hidden by cases" in status.stdout
        assert "1 hidden" in status.stdout
        assert case.take("approver", "confirm") == 0
        assert case.take("legal", "lift") == 0
        assert case.take("requester", "withdraw") == 0
        assert served.healthy()

    def test_a_list_for_people(self, case: Opened) -> None:
        listed = case.served.site.act("auditor", "case", "list").stdout.splitlines()

        (line,) = [line for line in listed if line.startswith(case.id)]
        assert "AXT  art-17-1-a  requested" in line


def test_what_is_shown_is_what_is_signed(case: Opened) -> None:
    """Whatever else a site says of a case: its summary is signed by nobody."""
    told = case.show()
    lie = {"ground": "art-17-1-b", "authority": "NONE", "records": 9}
    named = [{"record_id": "f" * 32, "category": "harmless", "since": "2020-01-01"}]
    shown = case_facts(told | lie | {"named": named})
    assert (shown["ground"], shown["authority"]) == ("art-17-1-a", told["content"]["authority"])
    assert shown["records"] == [f"{case.record_id}  version 1"]


def test_the_grounds_are_the_law_s() -> None:
    """The codes that --help lists without importing them."""
    assert list(GROUNDS) == list(Ground)


OPEN = ("case", "open", "{record}", "--ground", "art-17-1-a", "--evidence", "{good}")
REFUSED = {
    # Which records.
    "no record": (["case", "open"], exits.USAGE),
    "a child's number": (["case", "open", SECRET, *OPEN[3:]], exits.USAGE),
    "an identifier": (["case", "open", f"nhs:{SECRET}", *OPEN[3:]], exits.USAGE),
    "a digit too few": (["case", "open", "0" * 31, *OPEN[3:]], exits.USAGE),
    "capitals": (["case", "open", "A" * 32, *OPEN[3:]], exits.USAGE),
    "an empty id": (["case", "open", "", *OPEN[3:]], exits.USAGE),
    "nothing on standard input": (["case", "open", "-", *OPEN[3:]], exits.USAGE),
    "65 of them": (["case", "open", *(f"{n:032x}" for n in range(65)), *OPEN[3:]], exits.USAGE),
    "a record that is not there": (["case", "open", "f" * 32, *OPEN[3:]], exits.REFUSED),
    "one that is not there, among others": ([*OPEN, "f" * 32], exits.REFUSED),
    "one that is in another case": (list(OPEN), exits.REFUSED),
    # On what.
    "no ground": ([*OPEN[:3]], exits.USAGE),
    "no such ground": ([*OPEN[:4], "art-17-1-h"], exits.USAGE),
    "no evidence": ([*OPEN[:5]], exits.USAGE),
    "evidence that is not there": ([*OPEN[:6], "{none}"], exits.NO_INPUT),
    "evidence that is a folder": ([*OPEN[:6], "{tmp}"], exits.NO_INPUT),
    "evidence that is no JSON": ([*OPEN[:6], "{noise}"], exits.USAGE),
    "evidence that is a list": ([*OPEN[:6], "{list}"], exits.USAGE),
    "evidence that is deep": ([*OPEN[:6], "{deep}"], exits.USAGE),
    "evidence that is large": ([*OPEN[:6], "{large}"], exits.USAGE),
    "evidence of another ground": ([*OPEN[:4], "art-17-1-d", *OPEN[5:]], exits.USAGE),
    "evidence without its form": ([*OPEN[:4], "art-17-1-g", *OPEN[5:]], exits.USAGE),
    "evidence that holds a number": ([*OPEN[:6], "{number}"], exits.USAGE),
    "a note that is no text": ([*OPEN, "--note-file", "{bytes}"], exits.USAGE),
    "a note that is not there": ([*OPEN, "--note-file", "{none}"], exits.NO_INPUT),
    "a note that is long": ([*OPEN, "--note-file", "{long}"], exits.USAGE),
    "no day": ([*OPEN, "--received", "yesterday"], exits.USAGE),
    "a day of no calendar": ([*OPEN, "--received", "2026-02-30"], exits.USAGE),
    # Which case.
    "a case that is none": (["case", "show", "f" * 32], exits.REFUSED),
    "a number for a case": (["case", "show", SECRET], exits.USAGE),
    "a path for a case": (["case", "approve", "../officers"], exits.USAGE),
    "a step of a case that is none": (["case", "approve", "f" * 32], exits.REFUSED),
    "an amendment of none": (["case", "amend", "f" * 32], exits.REFUSED),
    "a certificate that is none": (
        ["case", "certificate", "f" * 32, "--output", "{new}"],
        exits.REFUSED,
    ),
    "a certificate to no file": (["case", "certificate", "f" * 32], exits.USAGE),
    "an opening over another file": (
        ["case", "opening", "{case}", "--output", "{good}"],
        exits.CANNOT_CREATE,
    ),
    "an opening of none": (["case", "opening", "f" * 32, "--output", "{new}"], exits.REFUSED),
    # How.
    "days before now": (["case", "shorten", "{case}", "--days", "-1"], exits.USAGE),
    "days without end": (["case", "shorten", "{case}", "--days", "366"], exits.USAGE),
    "days that are none": (["case", "shorten", "{case}", "--days", "soon"], exits.USAGE),
    "no days, and no court": (["case", "shorten", "{case}", "--days", "0"], exits.REFUSED),
    "an order of two lines": (
        ["case", "shorten", "{case}", "--days", "0", "--court-order", "a\nb"],
        exits.USAGE,
    ),
    "a refusal for no reason": (["case", "refuse", "{case}", "--words", "no"], exits.USAGE),
    "a refusal for a reason of none": (
        ["case", "refuse", "{case}", "--reason", "dislike", "--words", "no"],
        exits.USAGE,
    ),
    "a refusal without a word": (
        ["case", "refuse", "{case}", "--reason", "art-17-3-b", "--words", ""],
        exits.USAGE,
    ),
    "a hold in prose": (["case", "hold", "{case}", "--reason", "I Say So"], exits.USAGE),
    "an extension for leisure": (["case", "extend", "{case}", "--reason", "leisure"], exits.USAGE),
    "a step too early": (["case", "carry-out", "{case}"], exits.REFUSED),
    "a restriction nobody asked for": (["case", "restrict", "{case}"], exits.REFUSED),
    "a review of nothing": (["case", "review", "{case}"], exits.REFUSED),
    "an end of no hold": (["case", "release", "{case}"], exits.REFUSED),
}
# Who takes the step, where it is not the requester.
BY = {"shorten": "legal", "refuse": "legal", "hold": "legal", "extend": "legal"}
BY |= {"restrict": "safeguarding", "review": "legal", "release": "legal", "approve": "legal"}


class TestWhatIsRefused:
    """With a fact and something to do; nothing that was given is repeated, and nothing happens."""

    @pytest.fixture
    def given(self, case: Opened, tmp_path: Path) -> dict[str, Path | str]:
        """What the words of the table stand for."""
        content = {
            "good": b'{"purpose": "file 1", "retention": "row 3"}',
            "noise": SECRET.encode() + b"{",
            "list": b"[]",
            "deep": b'{"purpose": ' + b"[" * 100_000,
            "large": b" " * (MAX_EVIDENCE + 1),
            "number": b'{"purpose": 1, "retention": "row 3"}',
            "bytes": b"\xff\xfe",
            "long": b"x" * 4_001,
        }
        for name, raw in content.items():
            (tmp_path / name).write_bytes(raw)
        files = {name: tmp_path / name for name in (*content, "none", "new")}
        return {**files, "tmp": tmp_path, "case": case.id, "record": case.record_id}

    @pytest.mark.parametrize(("words", "status"), REFUSED.values(), ids=REFUSED.keys())
    def test_a_call(
        self, case: Opened, given: dict[str, Path | str], words: list[str], status: int
    ) -> None:
        steps = case.show()["steps"]
        role = BY.get(words[1], "requester")

        result = case.served.site.act(role, *(word.format(**given) for word in words))

        assert result.status == status, result.stderr
        assert result.ends_in_a_hint
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        assert "defect" not in result.stderr
        assert SECRET not in result.stderr
        assert case.show()["steps"] == steps
        assert not Path(given["new"]).exists()

    @pytest.mark.parametrize("role", ["registrar", "auditor", "safeguarding"])
    def test_a_role_that_may_not(self, case: Opened, role: str) -> None:
        for act in ("approve", "withdraw"):
            result = case.served.site.act(role, "case", act, case.id)

            assert result.status == exits.REFUSED
            assert result.ends_in_a_hint

    def test_a_system_reads_no_case(self, case: Opened) -> None:
        assert case.take("registrar", "show") == exits.REFUSED
        assert case.served.site.act("registrar", "case", "list").status == exits.REFUSED


VAULT = ("--vault", "f" * 32)
KEYS = {
    "no key": ([], exits.USAGE),
    "a key that is not there": (["--key", "{tmp}/none"], exits.NO_INPUT),
    "a folder": (["--key", "{tmp}"], exits.NO_INPUT),
    "a key that others can read": (["--key", "{tmp}/open"], exits.NO_INPUT),
    "a public key": (["--key", "{keys}/legal.pub"], exits.REFUSED),
    "noise": (["--key", "{tmp}/noise"], exits.REFUSED),
    "nobody to type the passphrase": (["--key", "{keys}/legal"], exits.USAGE),
    "a wrong passphrase": (
        ["--key", "{keys}/legal", "--key-passphrase-file", "{tmp}/wrong"],
        exits.NO_PERMISSION,
    ),
    "a passphrase for all to read": (
        ["--key", "{keys}/legal", "--key-passphrase-file", "{tmp}/loud"],
        exits.NO_PERMISSION,
    ),
    "no passphrase file": (
        ["--key", "{keys}/legal", "--key-passphrase-file", "{tmp}/none"],
        exits.NO_PERMISSION,
    ),
    "somebody whom the site does not know": (
        ["--key", "{tmp}/stranger", "--key-passphrase-file", "{pass}"],
        exits.REFUSED,
    ),
    "a site that is no URL": (
        ["--vault", "0" * 32, "--site", "custodian", "--key", "{keys}/legal"],
        exits.USAGE,
    ),
    "a site that is a file": (
        ["--vault", "0" * 32, "--site", "file:///etc", "--key", "{keys}/legal"],
        exits.USAGE,
    ),
    "a site of nobody knows which vault": (
        ["--site", "http://127.0.0.1:9", "--key", "{keys}/legal"],
        exits.USAGE,
    ),
    "a site that keeps another vault": (
        ["--site", "{address}", "--vault", "0" * 32, "--key", "{keys}/legal"],
        exits.REFUSED,
    ),
    "a site where nobody answers": (
        ["--vault", "0" * 32, "--site", "http://127.0.0.1:9", "--key", "{keys}/legal"],
        exits.UNAVAILABLE,
    ),
    "trust in nothing": (
        [
            "--vault",
            "0" * 32,
            "--site",
            "https://127.0.0.1:9",
            "--ca-file",
            "{tmp}/none",
            "--key",
            "{keys}/legal",
        ],
        exits.NO_INPUT,
    ),
    "trust in noise": (
        [
            "--vault",
            "0" * 32,
            "--site",
            "https://127.0.0.1:9",
            "--ca-file",
            "{tmp}/noise",
            "--key",
            "{keys}/legal",
        ],
        exits.NO_INPUT,
    ),
}


@pytest.mark.parametrize(("options", "status"), KEYS.values(), ids=KEYS.keys())
def test_a_key_that_does_not_do(
    served: Served, tmp_path: Path, options: list[str], status: int
) -> None:
    """Whoever cannot show who they are hears why, and nothing about any case."""
    for name, text in {
        "wrong": "wrong horse battery",
        "loud": PASSPHRASE,
        "noise": "noise",
    }.items():
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(text)
    (tmp_path / "loud").chmod(0o644)
    for name in ("stranger", "open"):
        write_key_file(
            tmp_path / name, OfficerKey.generate(), PASSPHRASE.encode(), TESTING_ONLY_COST
        )
    (tmp_path / "open").chmod(0o644)
    address = f"http://{load_config(served.site.config).custodian}"
    where = {"tmp": tmp_path, "keys": served.site.key("legal").parent, "address": address}
    words = [option.format(**where, **{"pass": served.site.key_passphrase}) for option in options]

    result = served.site.run("case", "list", *words)

    assert result.status == status, result.stderr
    assert result.ends_in_a_hint
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert "defect" not in result.stderr
    assert PASSPHRASE not in result.stderr


def test_over_the_network_as_over_the_socket(served: Served) -> None:
    """An officer's own machine needs no configuration of the site."""
    address = load_config(served.site.config).custodian
    keys = (
        "--key",
        served.site.key("auditor"),
        "--key-passphrase-file",
        served.site.key_passphrase,
    )

    vault = served.status()["vault"]
    site = ("--site", f"http://{address}", "--vault", vault)
    result = lacuna("case", "list", *site, *keys, "--json")

    assert result.status == 0, result.stderr
    here = served.site.act("auditor", "case", "list", "--json").json
    ids = [[each["case"] for each in answer["cases"]] for answer in (result.json, here)]
    assert ids[0] == ids[1]
