"""Commands that look at a running site, and those that change nothing but its epoch."""

import json
from pathlib import Path

import pytest

from lookup import exits
from tests.lookup.cli.commanding import Folders, Served


class TestStatus:
    """`lacuna status` says where a site stands, and whether somebody is needed."""

    def test_a_healthy_site_is_status_0(self, served: Served) -> None:
        result = served.site.run("status")

        assert result.status == 0
        for line in ("epoch", "workers      0: pid", "complete", "needs you    nothing"):
            assert line in result.stdout

    def test_the_document_names_processes_and_nobody(self, served: Served) -> None:
        report = served.status()
        children = served.children()

        assert report["processes"]["custodian"] == children["custodian"]
        assert [w["pid"] for w in report["workers"]] == [
            children["worker 0"],
            children["worker 1"],
        ]
        assert report["records"] >= 1000
        assert report["mirror"]["behind"] == 0
        assert report["lookups"]["ready"]
        assert "999000" not in json.dumps(report)

    def test_watching_is_for_people(self, served: Served) -> None:
        assert served.site.run("status", "--watch", "--json").status == exits.USAGE


class TestDoctor:
    """`lacuna doctor` lists what the machine can promise."""

    def test_each_rule_is_listed_once(self, served: Served) -> None:
        result = served.site.run("doctor", "--json")

        rules = [finding["rule"] for finding in result.json["findings"]]
        assert len(rules) == len(set(rules))
        assert {"file-system", "slot-medium", "permissions", "passphrase", "index"} <= set(rules)

    def test_in_a_demonstration_one_medium_is_tolerated(self, served: Served) -> None:
        result = served.site.run("doctor", "--json")

        matters = [
            finding
            for finding in result.json["findings"]
            if finding["severity"] != "ok" and not finding["tolerated"]
        ]
        assert result.status == (1 if matters else 0)
        assert not {"slot-medium", "mirror-medium"} & {finding["rule"] for finding in matters}

    def test_a_passphrase_file_for_all_to_read_is_refused(self, served: Served) -> None:
        served.site.passphrase.chmod(0o644)
        try:
            result = served.site.run("doctor")
        finally:
            served.site.passphrase.chmod(0o600)

        assert result.status == 1
        assert "refuse  passphrase" in result.stdout
        assert f"chmod 600 {served.site.passphrase}" in result.stdout

    def test_a_site_that_is_not_made_yet(self, site: Folders) -> None:
        assert site.init("--demo").status == 0
        (site.slot / "slot").rename(site.slot / "away")
        (site.config.parent / "store").rename(site.config.parent / "gone")

        result = site.run("doctor")

        assert result.status == 1
        assert "is out of reach" in result.stdout


def test_purge_is_an_epoch_change(served: Served) -> None:
    epoch = served.status()["epoch"]

    result = served.site.run("purge", "--json")

    assert result.status == 0
    assert result.json["epoch"] == epoch + 1
    assert "class D" in served.site.run("purge").stdout


class TestBackup:
    """`lacuna backup`; what a backup is worth is in test_restoring."""

    def test_it_is_brought_up_to_date(self, served: Served, tmp_path: Path) -> None:
        folder = tmp_path / "backup"
        first = served.site.run("backup", folder, "--json").json
        assert served.site.run("purge").status == 0

        second = served.site.run("backup", folder)

        assert f"epoch     {first['epoch'] + 1}" in second.stdout
        assert sorted(path.name for path in folder.iterdir()) == ["backup.db", "backup.json"]

    @pytest.mark.parametrize("folder", ["{slot}/b", "{site}/store/b", "/proc/none"])
    def test_a_folder_that_cannot_take_it(self, served: Served, folder: str) -> None:
        where = folder.format(slot=served.site.slot, site=served.site.config.parent)

        result = served.site.run("backup", where)

        assert result.status == exits.REFUSED
        assert result.ends_in_a_hint
