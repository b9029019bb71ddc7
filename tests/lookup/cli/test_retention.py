"""`lacuna retention`: what is due for review, and what becomes of what was kept long enough."""

import json
import re
from pathlib import Path

import pytest

from lookup import exits
from lookup.cli.standing import judge
from lookup.retention.classes import shipped_classes
from tests.lookup.cli.commanding import Folders, Served, record_line


def kept(site: Folders, folder: Path, name: str, **days: str) -> str:
    """Import a record of a child whom no other test knows, with its retention; return its id."""
    line = record_line(
        0,
        source_ref=name,
        identifiers=[f"local:AXT:{name}"],
        category="allegation",
        since="2020-01-01",
        retention={"class": "allegation-unfounded"} | days,
    )
    results = folder / f"results-{name}"
    assert site.run("import", "-", "--results", results, typed=line).status == 0
    return str(json.loads(results.read_text())["record_id"])


class TestReviews:
    """What is due for review is listed until somebody has looked."""

    def test_what_was_looked_at_is_due_no_more(self, served: Served, tmp_path: Path) -> None:
        record_id = kept(served.site, tmp_path, "reviewed")

        before = served.site.act("auditor", "retention", "reviews")
        done = served.site.act("safeguarding", "retention", "reviewed", record_id)
        after = served.site.act("auditor", "retention", "reviews", "--json")

        assert f"{record_id}  2020-07-01  allegation-unfounded" in before.stdout
        assert done.status == 0, done.stderr
        assert "due again" in done.stdout
        assert record_id not in after.stdout
        assert after.json["damaged_pages"] == []

    def test_the_day_is_told_to_programs(self, served: Served, tmp_path: Path) -> None:
        record_id = kept(served.site, tmp_path, "told")

        done = served.site.act("requester", "retention", "reviewed", record_id, "--json")

        assert set(done.json) == {"record_id", "day"}

    @pytest.mark.parametrize(
        ("role", "record", "status"),
        [
            ("safeguarding", "9434765919", exits.USAGE),
            ("safeguarding", "0" * 32, exits.REFUSED),
            ("auditor", "0" * 32, exits.REFUSED),
        ],
    )
    def test_what_cannot_be_noted(
        self, served: Served, role: str, record: str, status: int
    ) -> None:
        """No id, no record, nobody's role: with a hint, and without the id that was no id."""
        done = served.site.act(role, "retention", "reviewed", record)

        assert done.status == status
        assert done.ends_in_a_hint
        assert "9434765919" not in done.stderr


class TestClasses:
    """Whoever signs for the classes reads them first."""

    def test_they_are_shown_as_they_are(self, served: Served) -> None:
        """Byte for byte but for blanks at the end; a program gets those, too."""
        shown = served.site.act("approver", "retention", "classes")
        told = served.site.act("approver", "retention", "classes", "--json")

        assert shown.stdout.rstrip() == shipped_classes().text.rstrip()
        assert told.json["file"] == shipped_classes().text

    def test_a_proposal_says_in_words_what_is_signed(self, served: Served) -> None:
        """Version, digest of the file as it was shown, and how many a night."""
        words = ("set-retention", "--cap", "7", "--authority", "AXT", "--yes")
        proposed = served.site.act("requester", "officer", *words)

        assert proposed.status == 0, proposed.stderr
        assert shipped_classes().policy.hex() in proposed.stdout
        assert "up to 7 a night" in proposed.stdout
        assert "of AXT" in proposed.stdout

    @pytest.mark.parametrize("cap", ["0", "10001", "many"])
    def test_a_cap_has_bounds(self, served: Served, cap: str) -> None:
        done = served.site.act("requester", "officer", "set-retention", "--cap", cap)

        assert done.status == exits.USAGE
        assert done.ends_in_a_hint


class TestSweep:
    """Nothing without an approval; then what is due is on the list for all officers to see."""

    def approve(self, served: Served) -> None:
        """Have it approved that a record a night is swept."""
        words = ("set-retention", "--cap", "1", "--yes", "--json")
        proposed = served.site.act("requester", "officer", *words)
        for role in ("approver", "legal"):
            approval = ("approve", proposed.json["proposal"], "--yes")
            assert served.site.act(role, "officer", *approval).status == 0

    def test_from_the_dry_run_to_the_list(self, served: Served, tmp_path: Path) -> None:
        """Told before, listed after; a hold keeps it, and says so."""
        record_id = kept(served.site, tmp_path, "swept", closed="2010-01-01")
        dry = served.site.act("auditor", "retention", "dry-run")
        early = served.site.run("retention", "sweep", "--json")

        assert re.search(r"^due +1$", dry.stdout, re.MULTILINE)
        assert "nothing: see `lacuna officer set-retention`" in dry.stdout
        assert "allegation-unfounded: 1 in 2020" in dry.stdout
        assert (early.json["listed"], early.json["destroyed"]) == (0, 0)

        self.approve(served)
        swept = served.site.run("retention", "sweep")
        again = served.site.run("retention", "sweep", "--json")
        listed = served.site.act("auditor", "retention", "list")

        assert re.search(r"^listed +1$", swept.stdout, re.MULTILINE)
        assert again.json["listed"] == 0
        assert f"{record_id}  allegation-unfounded  expired 2020-01-02" in listed.stdout
        assert "all: at most 1 a night" in listed.stdout
        assert "classes version 1, swept by approval, 1 listed" in served.site.run("status").stdout

        hold = ("place-hold", "--reason", "inquiry", "--record", record_id, "--yes")
        assert served.site.act("legal", "officer", *hold).status == 0
        listed = served.site.act("auditor", "retention", "list", "--json")
        (row,) = listed.json["records"]
        assert (row["record_id"], row["why"]) == (record_id, "held")
        assert "kept: held" in served.site.act("auditor", "retention", "list").stdout

    @pytest.mark.parametrize("command", ["list", "dry-run", "classes", "reviews"])
    def test_registrars_read_none_of_it(self, served: Served, command: str) -> None:
        done = served.site.act("registrar", "retention", command)

        assert done.status == exits.REFUSED
        assert done.ends_in_a_hint


def test_other_classes_than_approved_need_a_person(served: Served) -> None:
    """`lacuna status` is not healthy while officers wait for a sweep that does not come."""
    report = served.status()
    report["retention"]["differs"] = 1

    assert any("`lacuna officer set-retention`" in finding for finding in judge(report))
    report["retention"]["differs"] = 0
    assert judge(report) == []
