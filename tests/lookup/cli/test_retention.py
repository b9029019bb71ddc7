"""`lacuna retention`: what is due for review, and what becomes of what was kept long enough."""

import json
from pathlib import Path

import pytest

from lookup import exits
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
