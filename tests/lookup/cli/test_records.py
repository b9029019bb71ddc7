"""Records through the command line: in, by `lacuna import`. How they leave is in test_case.py."""

import json
from datetime import date
from pathlib import Path

from keys.entry import Kind, Put, new_entry_id
from lookup import exits
from lookup.custodian.records.fencing import Fence, load_fences
from tests.lookup.cli.commanding import SAMPLE, Folders, Served, opened, record_line, serving


class TestImport:
    """`lacuna import` loses no line, and repeats none."""

    def test_again_is_unchanged(self, served: Served) -> None:
        result = served.site.run("import", SAMPLE)

        assert result.status == 0
        assert result.stdout.split() == [
            *("added", "0"),
            *("updated", "0"),
            *("unchanged", "1000"),
            *("parked", "0"),
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


def test_what_is_not_taken_is_no_success(site: Folders) -> None:
    """A nightly import that goes by the status hears of it, and what can be done; of no record."""
    assert site.init("--demo").status == 0
    with opened(site) as vault:
        fences = load_fences(vault)
        mark = fences.mark("AXT", "CLI-20")
        fence = Fence(new_entry_id(Kind.FENCE), date.max.toordinal(), (mark,), 1 << 40)
        vault.commit((Put(fence.entry()),))
    with serving(site):
        result = site.run("import", "-", typed=record_line(20) + record_line(21))
    assert result.status == exits.FINDING
    assert result.stdout.split()[-2:] == ["fenced", "1"]
    assert "1 are of records that were destroyed" in result.stderr
    assert "lacuna officer lift-fence" in result.stderr
    assert "CLI-20" not in result.stdout + result.stderr
