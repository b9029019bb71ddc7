"""Records through the command line: in, by `lacuna import`, and out, by `lacuna shred`."""

import json
from pathlib import Path

import pytest
from lookup.custodian.shredding import MAX_RECORDS, Reason

from lookup import exits
from lookup.cli.shred import REASONS
from tests.lookup.cli.commanding import SAMPLE, Served, import_records, record_line


class TestImport:
    """`lacuna import` loses no line, and repeats none."""

    def test_again_is_unchanged(self, served: Served) -> None:
        result = served.site.run("import", SAMPLE)

        assert result.status == 0
        assert result.stdout.split() == [
            *("added", "0"),
            *("updated", "0"),
            *("unchanged", "1000"),
            *("invalid", "0"),
        ]

    def test_each_invalid_line_is_named_by_its_rule(self, served: Served, tmp_path: Path) -> None:
        """Over blank lines, noise and a line of several MiB; and what it holds is not shown."""
        rejects, results = tmp_path / "rejects", tmp_path / "results"
        secret = "nhs:9990001015"
        source = tmp_path / "records.ndjson"
        with source.open("w") as file:
            file.write(record_line(10) + "\n" + record_line(11, identifiers=[secret]))
            file.write("noise\n" + "x" * (5 << 20) + "\n" + record_line(12).strip())

        arguments = ("import", source, "--rejects", rejects, "--results", results)
        result = served.site.run(*arguments)

        assert result.status == exits.FINDING
        assert rejects.read_text() == "3\tnhs-check-digit\n4\trecord-shape\n5\trecord-size\n"
        assert rejects.stat().st_mode & 0o777 == 0o600
        assert [line.split(":")[0] for line in result.stderr.splitlines()] == [
            "line 3",
            "line 4",
            "line 5",
        ]
        assert secret not in result.stdout + result.stderr
        told = [json.loads(line) for line in results.read_text().splitlines()]
        assert [(line["line"], line["result"]) for line in told if line["result"] != "invalid"] == [
            (1, "added"),
            (6, "added"),
        ]

    def test_the_document_lists_invalid_lines(self, served: Served) -> None:
        result = served.site.run("import", "-", "--json", typed=record_line(13) + "noise\n")

        assert result.status == exits.FINDING
        assert result.json["complete"]
        assert result.json["invalid"] == 1
        assert [line["line"] for line in result.json["refused"]] == [2]

    def test_nothing_is_nothing(self, served: Served) -> None:
        assert served.site.run("import", "-").status == 0

    def test_files_that_cannot_be_used(self, served: Served, tmp_path: Path) -> None:
        for arguments, status in (
            ((tmp_path / "none",), exits.NO_INPUT),
            ((tmp_path,), exits.NO_INPUT),
            (("-", "--rejects", tmp_path), exits.CANNOT_CREATE),
            (("-", "--results", tmp_path / "no" / "folder"), exits.CANNOT_CREATE),
        ):
            result = served.site.run("import", *arguments)

            assert result.status == status
            assert result.ends_in_a_hint


class TestShred:
    """`lacuna shred` destroys what it was told to, and says what the slots have shown."""

    def test_the_codes_are_the_custodian_s(self) -> None:
        assert list(REASONS) == list(Reason)

    def test_what_is_destroyed_is_listed(self, served: Served, tmp_path: Path) -> None:
        one, two = import_records(served.site, tmp_path / "results", 1, 2)
        epoch = served.status()["epoch"]

        result = served.site.run("shred", one, two, "--reason", "art-17-1-g")

        assert result.status == 0
        for text in (one, two, "malicious", f"epoch      {epoch + 1}", "class D: a file", "demo"):
            assert text in result.stdout

    def test_ids_may_come_from_standard_input(self, served: Served, tmp_path: Path) -> None:
        """Given twice, a record is shredded once."""
        one, two = import_records(served.site, tmp_path / "results", 3, 4)

        arguments = ("shred", "-", "--reason", "art-17-1-a", "--json")
        result = served.site.run(*arguments, typed=f"{one}\n{two}\n{one}\n")

        assert result.json["record_ids"] == [one, two]
        assert result.json["lagging"] == []
        assert [slot["class"] for slot in result.json["confirmed"]] == ["D"]

    def test_all_or_nothing(self, served: Served, tmp_path: Path) -> None:
        (one,) = import_records(served.site, tmp_path / "results", 5)

        result = served.site.run("shred", one, "f" * 32, "--reason", "art-17-1-a")

        assert result.status == exits.REFUSED
        assert "1 of 2 records are not there; none was shredded" in result.stderr
        assert served.site.run("shred", one, "--reason", "art-17-1-a").status == 0

    @pytest.mark.parametrize("text", ["9990001014", "nhs:9990001014", "0" * 31, "G" * 32, ""])
    def test_what_is_no_record_id_is_not_repeated(self, served: Served, text: str) -> None:
        """Somebody may take a child's number for a record's."""
        result = served.site.run("shred", "0" * 32, text, "--reason", "art-17-1-a")

        assert result.status == exits.USAGE
        assert "record id 2 of 2 is not 32 hexadecimal digits" in result.stderr
        assert not text or text not in result.stderr

    @pytest.mark.parametrize("count", [0, MAX_RECORDS + 1])
    def test_one_call_has_a_bound(self, served: Served, count: int) -> None:
        ids = "".join(f"{number:032x}\n" for number in range(count))

        result = served.site.run("shred", "-", "--reason", "art-17-1-a", typed=ids)

        assert result.status == exits.USAGE
        assert str(MAX_RECORDS) in result.stderr
