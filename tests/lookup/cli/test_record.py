"""`lacuna record`: reading a record, a family's statement, and the copy that a family is given."""

import json
import stat
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from lookup import exits
from lookup.disclosure.export import FORMAT
from tests.lookup.cli.commanding import Folders, Result, Served, open_case, record_line

WORDS: Final = "It is not true.\n\nA court has said so."
PAYLOAD: Final = {
    "notes": [{"author": "Sorrel-Bexley", "text": "Sorrel-Bexley rang \x1b[2J"}],
    "outcome": "none",
}


@dataclass(frozen=True)
class Kept:
    """A record of one test's own, with a payload."""

    site: Folders
    id: str
    folder: Path

    def export(self, *more: str | Path, role: str = "requester", to: str = "export") -> Result:
        """Export it."""
        return self.site.act(role, "record", "export", self.id, "--output", self.folder / to, *more)

    def files(self, name: str = "export") -> tuple[Any, str]:
        """Return what was written: the document, and the page."""
        folder = self.folder / name
        return json.loads((folder / "export.json").read_bytes()), (
            folder / "export.html"
        ).read_text()

    def marks(self, *marks: object) -> Path:
        """Write a file of redactions."""
        file = self.folder / "marks.json"
        file.write_text(json.dumps(marks))
        return file


@pytest.fixture
def kept(served: Served, tmp_path: Path, request: pytest.FixtureRequest) -> Kept:
    name = f"ACCESS-{sha256(request.node.name.encode()).hexdigest()[:12]}"
    line = record_line(
        0,
        source_ref=name,
        identifiers=[f"local:AXT:{name}"],
        payload=PAYLOAD,
        category="allegation",
    )
    results = tmp_path / "results"
    assert served.site.run("import", "-", "--results", results, typed=line).status == 0
    return Kept(served.site, json.loads(results.read_text().split("\n")[0])["record_id"], tmp_path)


def state(kept: Kept, text: str | bytes, *more: str | Path, role: str = "legal") -> Result:
    return kept.site.act(role, "record", "statement", kept.id, *more, typed=text)


class TestShow:
    """An officer reads a record."""

    def test_it_is_shown_whole(self, kept: Kept) -> None:
        """With the statement, and who read it before; nothing of it does anything to a terminal."""
        assert state(kept, WORDS).status == 0
        told = kept.site.act("auditor", "record", "show", kept.id)
        assert told.status == 0, told.stderr
        for line in (
            kept.id,
            "allegation",
            "Sorrel-Bexley",
            "A court has said so.",
            "officer auditor",
        ):
            assert line in told.stdout
        assert "\x1b" not in told.stdout
        document = kept.site.act("auditor", "record", "show", kept.id, "--json").json
        assert document["payload"] == PAYLOAD
        assert [each["text"] for each in document["statements"]] == [WORDS]

    def test_one_that_is_not_there(self, kept: Kept) -> None:
        told = kept.site.act("auditor", "record", "show", "0" * 32)
        assert (told.status, told.ends_in_a_hint) == (exits.REFUSED, True)


class TestStatement:
    """A family's words beside a record."""

    @pytest.mark.parametrize(
        "raw", [WORDS, f"{WORDS}\n", WORDS.replace("\n", "\r\n"), b"\xef\xbb\xbf" + WORDS.encode()]
    )
    def test_as_any_editor_saves_it(self, kept: Kept, raw: str | bytes) -> None:
        """With or without a last line end, with those of other systems, with a byte order mark."""
        assert state(kept, raw).status == 0
        shown = kept.site.act("legal", "record", "show", kept.id, "--json").json
        assert [each["text"] for each in shown["statements"]] == [WORDS]

    def test_from_a_file(self, kept: Kept) -> None:
        file = kept.folder / "words"
        file.write_text(WORDS)
        assert state(kept, "", "--file", file, "--json").json["result"] == "added"
        again = state(kept, WORDS)
        assert "unchanged" in again.stdout
        assert "1 of at most 8" in again.stdout

    def test_it_is_withdrawn_by_several(self, kept: Kept) -> None:
        """The record's show says its id; what is signed is said in words."""
        done = state(kept, WORDS, "--json").json["statement"]
        assert f"({done})" in kept.site.act("auditor", "record", "show", kept.id).stdout
        words = ("withdraw-statement", kept.id, done, "--authority", "AXT")
        wanted = kept.site.act("requester", "officer", *words, "--yes", "--json").json
        listed = kept.site.act("auditor", "officer", "list").stdout
        assert f"the statement {done} beside the record {kept.id} of AXT is destroyed" in listed
        for role in ("approver", "legal"):
            approved = kept.site.act(role, "officer", "approve", wanted["proposal"], "--yes")
            assert approved.status == 0, approved.stderr
        assert kept.site.act("legal", "record", "show", kept.id, "--json").json["statements"] == []
        again = kept.site.act("requester", "officer", *words, "--yes")
        assert (again.status, again.ends_in_a_hint) == (exits.REFUSED, True)

    def test_a_case_says_how_many_there_are(self, kept: Kept) -> None:
        assert state(kept, WORDS).status == 0
        case = open_case(kept.site, kept.folder, kept.id)["case"]
        shown = kept.site.act("auditor", "case", "show", case).stdout
        assert "1 statement beside it" in shown
        assert "A court has said so." not in shown
        assert kept.site.act("requester", "case", "withdraw", case).status == 0

    @pytest.mark.parametrize(
        ("raw", "status"),
        [
            (b"", exits.USAGE),
            (b"\n\n", exits.USAGE),
            (b"   ", exits.USAGE),
            (b"x" * 4_001, exits.USAGE),
            (b"x" * 70_000, exits.USAGE),
            (b"Sorrel\x1b[2J", exits.USAGE),
            (b"Sorrel\xff", exits.USAGE),
            ("Sorrel".encode("utf-16"), exits.USAGE),
        ],
    )
    def test_what_is_no_statement(self, kept: Kept, raw: bytes, status: int) -> None:
        """A rule and a hint; never the words."""
        told = state(kept, raw)
        assert (told.status, told.ends_in_a_hint, told.stdout) == (status, True, "")
        assert "Sorrel" not in told.stderr

    def test_a_file_that_is_not_there(self, kept: Kept) -> None:
        told = state(kept, "", "--file", kept.folder / "none")
        assert (told.status, told.ends_in_a_hint) == (exits.NO_INPUT, True)

    def test_who_may_not(self, kept: Kept) -> None:
        told = state(kept, WORDS, role="auditor")
        assert (told.status, told.ends_in_a_hint) == (exits.REFUSED, True)


class TestExport:
    """What a family is given."""

    def test_the_whole_way(self, kept: Kept) -> None:
        """Export, read, mark, export again: the second copy is the family's."""
        assert state(kept, WORDS).status == 0
        first = kept.export()
        assert first.status == 0, first.stderr
        whole, _ = kept.files()
        assert whole["format"] == FORMAT
        assert whole["payload"] == PAYLOAD
        path = "/payload/notes/0/author"
        marks = kept.marks({"path": path, "reason": "third-party", "note": "rang up"})

        second = kept.export("--redactions", marks, role="legal", to="second")

        assert second.status == exits.FINDING
        assert "redaction 1: its words still stand in 1 other places" in second.stderr
        assert "Sorrel" not in second.stderr + second.stdout
        marks = kept.marks(
            {"path": path, "reason": "third-party"},
            {"path": "/payload/notes/0/text", "reason": "third-party"},
        )
        third = kept.export("--redactions", marks, "--json", to="third")
        assert third.status == 0
        told, page = kept.files("third")
        assert "Sorrel" not in json.dumps(told) + page
        assert told["payload"]["notes"][0]["author"] == {"redacted": "third-party"}
        assert third.json["accesses"] == len(told["accesses"]) == 3
        assert [each["role"] for each in told["accesses"]] == ["requester", "legal", "requester"]
        assert told["redactions"] == third.json["redactions"] == {"third-party": 2 + 3}
        assert "A court has said so." in page

    def test_only_its_officer_can_read_it(self, kept: Kept) -> None:
        """Both files are private from their first byte, and so is the folder that is made."""
        assert kept.export().status == 0
        folder = kept.folder / "export"
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
        assert modes == {"export.json": 0o600, "export.html": 0o600}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    def test_names_of_staff_are_kept_where_it_is_said(self, kept: Kept) -> None:
        assert kept.export().status == kept.export("--with-users", to="with").status == 0
        without, kept_ = (kept.files(name)[0]["accesses"] for name in ("export", "with"))
        assert [each["user"] for each in without] == [{"redacted": "third-party"}]
        assert [each["user"] for each in kept_] == ["requester", "requester"]

    def test_nothing_is_written_over(self, kept: Kept) -> None:
        """Nor is anything asked, and so audited, where it could not be kept."""
        assert kept.export().status == 0
        before = kept.files()
        told = kept.export()
        assert (told.status, told.ends_in_a_hint) == (exits.CANNOT_CREATE, True)
        assert kept.files() == before
        assert kept.export(to="other").status == 0
        assert len(kept.files("other")[0]["accesses"]) == 2

    def test_a_folder_that_cannot_be_made(self, kept: Kept) -> None:
        told = kept.export(to="none/export")
        assert (told.status, told.ends_in_a_hint) == (exits.CANNOT_CREATE, True)

    @pytest.mark.parametrize(
        ("marks", "hint"),
        [
            ([{"path": "/payload/Sorrel", "reason": "third-party"}], "points to nothing"),
            ([{"path": "/format", "reason": "third-party"}], "has to be told"),
            ([{"path": "/payload", "reason": "Sorrel"}], "redaction 1 is not"),
            ({"path": "/payload"}, "no list"),
        ],
    )
    def test_marks_that_miss_leave_nothing_behind(
        self, kept: Kept, marks: object, hint: str
    ) -> None:
        """No file, no folder: half of what was to be left out would be in it."""
        file = kept.folder / "marks.json"
        file.write_text(json.dumps(marks))
        told = kept.export("--redactions", file)
        assert (told.status, told.ends_in_a_hint) == (exits.USAGE, True)
        assert hint in told.stderr
        assert "Sorrel" not in told.stderr
        assert not (kept.folder / "export").exists()

    def test_a_folder_that_is_there_is_left_alone(self, kept: Kept) -> None:
        folder = kept.folder / "export"
        folder.mkdir()
        told = kept.export()
        assert (told.status, told.ends_in_a_hint) == (exits.CANNOT_CREATE, True)
        assert list(folder.iterdir()) == []

    def test_marks_that_are_not_there(self, kept: Kept) -> None:
        told = kept.export("--redactions", kept.folder / "none")
        assert (told.status, told.ends_in_a_hint) == (exits.NO_INPUT, True)

    @pytest.mark.parametrize("role", ["approver", "auditor"])
    def test_who_may_not(self, kept: Kept, role: str) -> None:
        told = kept.export(role=role)
        assert (told.status, told.ends_in_a_hint) == (exits.REFUSED, True)
        assert not (kept.folder / "export").exists()

    @pytest.mark.parametrize("record_id", ["nhs:9990001014", "0" * 31, "F" * 32, "-"])
    def test_what_is_no_record(self, kept: Kept, record_id: str) -> None:
        """An identifier in its place is not repeated, and gets into no URL."""
        told = kept.site.act(
            "requester", "record", "export", record_id, "--output", kept.folder / "export"
        )
        assert (told.status, told.ends_in_a_hint) == (exits.USAGE, True)
        assert "9990001014" not in told.stderr

    def test_one_that_is_not_there(self, kept: Kept) -> None:
        folder = kept.folder / "export"
        told = kept.site.act("requester", "record", "export", "0" * 32, "--output", folder)
        assert (told.status, told.ends_in_a_hint) == (exits.REFUSED, True)
        assert not folder.exists()
