"""`lacuna case open --remedy`: what is asked for beside erasure; and recalls, to their letters."""

import json
from pathlib import Path
from typing import Any

import pytest

from lookup import exits
from tests.lookup.cli.commanding import (
    Folders,
    Result,
    Served,
    approve_case,
    lacuna,
    open_case,
    own_records,
    record_line,
    until,
)

SECRET = "9990001015"  # an NHS number with a wrong digit


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    path = tmp_path / "accuracy.json"
    path.write_text('{"accuracy": "order 3 of the tests"}')
    return path


def own_record(site: Folders, folder: Path, name: str, *identifiers: str) -> str:
    """Import one record; return its id."""
    line = record_line(0, source_ref=name, identifiers=list(identifiers), payload={"note": "n"})
    results = folder / f"results-{name}"
    assert site.run("import", "-", "--results", results, typed=line).status == 0
    return str(json.loads(results.read_text())["record_id"])


def opened(served: Served, record_id: str, *words: str | Path, typed: str = "") -> Result:
    """Ask for something beside erasure."""
    return served.site.act("requester", "case", "open", record_id, *words, "--json", typed=typed)


def record(served: Served, record_id: str) -> Any:  # noqa: ANN401  # the document
    return served.site.act("auditor", "record", "show", record_id, "--json").json


def test_a_number_is_taken_off(served: Served, tmp_path: Path, evidence: Path) -> None:
    """It is typed, shown before it is signed, and gone when the case is carried out."""
    old, new = "local:AXT:UNLINK-OLD", "local:AXT:UNLINK-NEW"
    record_id = own_record(served.site, tmp_path, "UNLINK-1", old, new)
    about = ("--remedy", "unlink", "--ground", "art-16", "--evidence", evidence)
    case = opened(served, record_id, *about, typed=f"{old}\n")
    assert case.status == 0, case.stderr
    shown = served.site.act("legal", "case", "show", case.json["case"])
    assert "unlink" in shown.stdout
    assert old in shown.stdout
    approve_case(served.site, case.json["case"])
    until(lambda: record(served, record_id)["identifiers"] == [new], served)


def test_a_record_is_corrected(served: Served, tmp_path: Path, evidence: Path) -> None:
    """By a file that says what is right; whoever decides sees it."""
    (record_id,) = own_records(served.site, tmp_path, "CORRECT-1")
    right = tmp_path / "right.json"
    right.write_text('{"since": "2026-02-03", "payload": {"note": "right"}}')
    about = ("--remedy", "rectify", "--ground", "art-16", "--evidence", evidence)
    case = opened(served, record_id, *about, "--correction", right)
    assert case.status == 0, case.stderr
    assert (
        '"since": "2026-02-03"'
        in served.site.act("legal", "case", "show", case.json["case"]).stdout
    )
    approve_case(served.site, case.json["case"])
    until(lambda: record(served, record_id)["since"] == "2026-02-03", served)


def test_a_restriction_is_asked_for_and_lifted(served: Served, tmp_path: Path) -> None:
    """It needs no --restrict beside it, and nobody approves it."""
    (record_id,) = own_records(served.site, tmp_path, "RESTRICT-1")
    file = tmp_path / "contested.json"
    file.write_text('{"contested": "letter 1"}')
    about = ("--remedy", "restrict", "--ground", "art-18-1-a", "--evidence", file)
    case = opened(served, record_id, *about).json["case"]
    assert served.site.act("legal", "case", "approve", case).status == exits.REFUSED
    for role, act in (("safeguarding", "restrict"), ("approver", "confirm"), ("legal", "lift")):
        assert served.site.act(role, "case", act, case).status == 0
    assert served.site.act("requester", "case", "withdraw", case).status == 0


REFUSED: dict[str, tuple[tuple[str, ...], str, int]] = {
    "a remedy that is none": (("--remedy", "forget"), "", exits.USAGE),
    "no number": (("--remedy", "unlink"), "", exits.USAGE),
    "a number with a wrong digit": (("--remedy", "unlink"), f"nhs:{SECRET}\n", exits.USAGE),
    "a number of no scheme": (("--remedy", "unlink"), f"{SECRET}\n", exits.USAGE),
    "a number that the record has not": (
        ("--remedy", "unlink"), "local:AXT:NOT-HERE\n", exits.REFUSED
    ),
    "all of its numbers": (("--remedy", "unlink"), "{own}\n", exits.REFUSED),
    "no correction": (("--remedy", "rectify"), "", exits.USAGE),
    "a correction to erase": (("--correction", "{right}"), "", exits.USAGE),
    "a correction that is not there": (
        ("--remedy", "rectify", "--correction", "{tmp}/none"), "", exits.NO_INPUT
    ),
    "a correction that is no object": (
        ("--remedy", "rectify", "--correction", "{list}"), "", exits.USAGE
    ),
    "a correction of what is none": (
        ("--remedy", "rectify", "--correction", "{other}"), "", exits.USAGE
    ),
    "an empty correction": (("--remedy", "rectify", "--correction", "{empty}"), "", exits.USAGE),
    "a day that is none": (("--remedy", "rectify", "--correction", "{day}"), "", exits.REFUSED),
    "a restriction for inaccuracy": (("--remedy", "restrict"), "", exits.USAGE),
}  # fmt: skip


@pytest.mark.parametrize(("words", "typed", "status"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_asked(  # noqa: PLR0913, PLR0917  # a row of the table, and where it is tried
    served: Served,
    tmp_path: Path,
    evidence: Path,
    words: tuple[str, ...],
    typed: str,
    status: int,
    request: pytest.FixtureRequest,
) -> None:
    """With something to do, and no number repeated; no case is opened."""
    name = f"REFUSED-{sum(request.node.name.encode())}"
    (record_id,) = own_records(served.site, tmp_path, name)
    contents = {
        "right": '{"until": null}',
        "list": "[]",
        "other": f'{{"source_ref": "{SECRET}"}}',
        "empty": "{}",
        "day": '{"since": "2026-02-30"}',
    }
    for file, content in contents.items():
        (tmp_path / file).write_text(content)
    given = {file: str(tmp_path / file) for file in contents} | {"tmp": str(tmp_path)}
    own = f"local:AXT:{name}"
    before = served.status()["cases"]["requested"]
    result = opened(
        served,
        record_id,
        *("--ground", "art-16", "--evidence", evidence),
        *(word.format(**given) for word in words),
        typed=typed.format(own=own),
    )
    assert result.status == status, result.stderr
    assert result.ends_in_a_hint
    assert SECRET not in result.stdout + result.stderr
    assert served.status()["cases"]["requested"] == before


class TestLetters:
    """A hospital that was told, and does not ask whether its answers are withdrawn."""

    def test_from_an_answer_to_a_letter(self, served: Served, tmp_path: Path) -> None:
        """The site waits; a letter names the hospital's request and no child; then it is over."""
        site, child = served.site, "local:AXT:LETTER-1"
        (record_id,) = own_records(site, tmp_path, "LETTER-1", category="looked-after")
        enrolment = tmp_path / "enrolment.json"
        added = site.run("client", "add", "Ward of letters", "--enrolment", enrolment)
        assert added.status == 0, added.stderr
        asked = lacuna("lookup", "--enrolment", enrolment, "--json", typed=child)
        assert asked.json["outcome"] == "known"
        case = open_case(site, tmp_path, record_id)["case"]
        approve_case(site, case)
        until(lambda: served.status()["cases"]["recalling"] == 1, served)
        shown = site.act("auditor", "case", "show", case)
        assert "0 of 1 recipients have acknowledged" in shown.stdout

        letters = tmp_path / "letters"
        written = site.act("requester", "case", "write-letters", case, "--output", letters)
        assert written.status == 0, written.stderr
        (letter,) = letters.iterdir()
        text = letter.read_text()
        assert asked.json["request_id"] in text
        assert "To Ward of letters" in text
        assert "LETTER-1" not in text
        assert letter.stat().st_mode & 0o777 == 0o600
        again = site.act("requester", "case", "write-letters", case, "--output", letters)
        assert again.status == exits.CANNOT_CREATE

        assert site.act("requester", "case", "letters", case).status == exits.REFUSED
        assert site.act("legal", "case", "letters", case).status == 0
        until(lambda: site.act("auditor", "case", "show", case).status == exits.REFUSED, served)

    def test_nobody_has_to_be_written_to(self, served: Served, tmp_path: Path) -> None:
        (record_id,) = own_records(served.site, tmp_path, "LETTER-2")
        case = open_case(served.site, tmp_path, record_id)["case"]
        folder = tmp_path / "letters"
        result = served.site.act("requester", "case", "write-letters", case, "--output", folder)
        assert result.status == exits.REFUSED
        assert result.ends_in_a_hint
        assert not folder.exists()
        served.site.act("requester", "case", "withdraw", case)
