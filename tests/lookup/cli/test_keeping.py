"""Who may ask, and what opens the vault: clients, lookup keys, slots, the passphrase."""

from pathlib import Path
from unittest.mock import patch

import pytest

from lookup import exits
from lookup.cli.console import Failure
from lookup.cli.custodian import CustodianAway, CustodianGone
from lookup.client.enrolment import load_enrolment
from tests.lookup.cli.commanding import Served, approve_case, open_case, own_records, until

KNOWN = "nhs:9990001014"


class TestClient:
    """`lacuna client` gives out the only copy of a secret."""

    def test_an_enrolment_works(self, served: Served, tmp_path: Path) -> None:
        file = tmp_path / "a.json"

        result = served.site.run("client", "add", "St Mary, A&E", "--enrolment", file, "--json")

        assert result.status == 0
        assert file.stat().st_mode & 0o777 == 0o600
        enrolment = load_enrolment(file)
        assert enrolment.client_name == "St Mary, A&E"
        assert enrolment.secret.text() not in result.stdout + result.stderr
        asked = served.site.run("lookup", "--enrolment", file, "--json", typed=KNOWN + "\n")
        assert asked.json["outcome"] == "known"
        assert "St Mary, A&E" in served.site.run("client", "list").stdout

    def test_a_refused_client_leaves_no_file(self, served: Served, tmp_path: Path) -> None:
        file = tmp_path / "b.json"
        assert served.site.run("client", "add", "Twice", "--enrolment", file).status == 0
        file.unlink()

        again = served.site.run("client", "add", "Twice", "--enrolment", file)
        unnamed = served.site.run("client", "add", "a\nb", "--enrolment", file)

        assert (again.status, unnamed.status) == (exits.REFUSED, exits.USAGE)
        assert not file.exists()

    def test_a_file_is_never_overwritten(self, served: Served, tmp_path: Path) -> None:
        """And nobody is enrolled: the secret would have no place to go."""
        file = tmp_path / "c.json"
        file.write_text("precious")

        result = served.site.run("client", "add", "Nowhere", "--enrolment", file)

        assert result.status == exits.CANNOT_CREATE
        assert file.read_text() == "precious"
        assert "Nowhere" not in served.site.run("client", "list").stdout


class TestLookupKeys:
    """`lacuna lookup-key` keeps one key usable at every moment."""

    def test_rotate_waits_then_the_old_one_is_retired(self, served: Served) -> None:
        site = served.site
        (old,) = site.run("lookup-key", "list", "--json").json["lookup_keys"]

        made = site.run("lookup-key", "rotate", "--json").json

        both = site.run("lookup-key", "list", "--json").json["lookup_keys"]
        assert [(key["kid"], key["indexed"]) for key in both] == [
            (old["kid"], True),
            (made["kid"], True),
        ]
        third = site.run("lookup-key", "rotate")
        assert third.status == exits.REFUSED
        assert third.ends_in_a_hint
        assert site.run("lookup-key", "retire", "-x").status == exits.REFUSED
        retired = site.run("lookup-key", "retire", old["kid"], "--json")
        assert retired.json == {"kid": old["kid"]}
        last = site.run("lookup-key", "retire", made["kid"])
        assert last.status == exits.REFUSED
        assert made["kid"] in site.run("lookup-key", "list").stdout

    def test_a_kid_may_begin_with_a_dash(self, served: Served) -> None:
        """One in 64 does; it is no option."""
        for kid in ("-_abcdefghijklmn", "--abcdefghijklmn", "-jabcdefghijklmn"):
            result = served.site.run("lookup-key", "retire", kid)

            assert result.status == exits.REFUSED
            assert "no live lookup key" in result.stderr


class TestSlots:
    """`lacuna slot` adds and removes what opens the vault."""

    def test_a_slot_comes_and_goes(self, served: Served, tmp_path: Path) -> None:
        site = served.site
        folder = tmp_path / "another"

        added = site.run("slot", "add", folder)

        assert added.status == 0
        assert f'slots = ["{site.slot}", "{folder}"]' in added.stdout
        slots = site.run("slot", "list", "--json").json["slots"]
        assert {slot["label"] for slot in slots} >= {str(site.slot), str(folder)}
        again = site.run("slot", "add", folder)
        assert again.status == exits.REFUSED
        (mine,) = [slot["id"] for slot in slots if slot["label"] == str(folder)]
        removed = site.run("slot", "remove", mine, "--json")
        assert removed.status == 0
        assert mine in {slot["slot"] for slot in removed.json["confirmed"]}
        assert site.run("slot", "remove", mine).status == exits.REFUSED

    def test_a_slot_out_of_reach_is_signed_off_by_name(
        self, served: Served, tmp_path: Path
    ) -> None:
        """While it is away whoever destroys hears that it lags, and certificates wait for it."""
        site = served.site
        folder = tmp_path / "away"
        assert site.run("slot", "add", folder).status == 0
        (mine,) = [s["id"] for s in served.status()["slots"] if s["label"] == str(folder)]
        folder.rename(tmp_path / "elsewhere")
        case = open_case(site, tmp_path, *own_records(site, tmp_path, "LAGS-1"))
        approve_case(site, case["case"])
        ask = ("case", "show", case["case"])
        until(lambda: site.act("legal", *ask).status == exits.REFUSED, served)
        fetch = ("case", "certificate", case["certificate"], "--output", tmp_path / "certificate")

        waiting = site.act("legal", *fetch)
        purged = site.run("purge")
        status, listed = site.run("status"), site.run("slot", "list")
        refused = site.run("slot", "remove", mine)
        signed_off = site.run("slot", "remove", mine, "--lost", "--json")

        assert waiting.status == exits.REFUSED
        assert "a slot" in waiting.stderr
        assert purged.status == exits.FINDING
        assert f"lagging    {mine}" in purged.stdout
        assert status.status == listed.status == exits.FINDING
        assert f"slot {mine[:8]} lags" in status.stdout
        assert refused.status == exits.REFUSED
        assert "--lost" in refused.stderr
        assert signed_off.status == exits.FINDING
        assert signed_off.json["lost"] == [mine]
        until(served.healthy, served)
        assert site.act("legal", *fetch).status == 0
        assert f"lost_slot: {mine}" in (tmp_path / "certificate").read_text()
        assert "lost" in site.run("slot", "list").stdout

    def test_the_last_one_at_hand_stays(self, served: Served) -> None:
        (last,) = [slot["id"] for slot in served.status()["slots"] if not slot["lost"]]

        result = served.site.run("slot", "remove", last)

        assert result.status == exits.REFUSED
        assert result.ends_in_a_hint

    @pytest.mark.parametrize("folder", ["/proc/none", "{slot}", "{slot}/in", "{site}/store/slot"])
    def test_a_folder_that_cannot_hold_one(self, served: Served, folder: str) -> None:
        where = folder.format(slot=served.site.slot, site=served.site.config.parent)

        result = served.site.run("slot", "add", where)

        assert result.status == exits.REFUSED
        assert result.ends_in_a_hint


class TestPassphrase:
    """`lacuna passphrase change`; that a site opens with the new one is in test_supervisor."""

    @pytest.fixture
    def new(self, tmp_path: Path) -> Path:
        file = tmp_path / "new"
        file.touch(mode=0o600)
        file.write_text("another one of words\n")
        return file

    def test_with_write_the_file_is_replaced(self, served: Served, new: Path) -> None:
        site = served.site
        arguments = ("passphrase", "change", "--new-passphrase-file", new)

        result = site.run(*arguments, "--write", "--json")

        assert result.status == 0
        assert result.json["written"] is True
        assert site.passphrase.read_text() == "another one of words\n"
        assert site.passphrase.stat().st_mode & 0o777 == 0o600
        assert list(site.folder.glob("passphrase*")) == [site.passphrase]
        assert "another one" not in result.stdout + result.stderr

    def test_without_write_it_is_said_what_to_do(self, served: Served, new: Path) -> None:
        site = served.site

        result = site.run("passphrase", "change", "--new-passphrase-file", new)
        site.passphrase.write_bytes(new.read_bytes())

        assert result.status == 0
        assert f"write the new passphrase to {site.passphrase}" in result.stdout

    def test_a_change_that_was_cut_off_is_not_covered_up(self, served: Served, new: Path) -> None:
        """FILE.new may hold the only passphrase that opens the vault."""
        site = served.site
        pending = site.folder / "passphrase.new"
        pending.write_text("precious")

        result = site.run("passphrase", "change", "--new-passphrase-file", new, "--write")
        kept = pending.read_text()
        pending.unlink()

        assert result.status == exits.CANNOT_CREATE
        assert f"mv {pending} {site.passphrase}" in result.stderr
        assert kept == "precious"

    @pytest.mark.parametrize(
        ("failure", "kept"),
        [
            (CustodianGone(exits.UNAVAILABLE, "it went away"), True),
            (Failure(exits.TEMPORARY, "the vault could not do this"), True),
            (Failure(exits.INTERRUPTED, "stopped waiting"), True),
            (Failure(exits.REFUSED, "refused"), False),
            (CustodianAway(exits.UNAVAILABLE, "nobody is there"), False),
        ],
    )
    def test_whatever_happens_one_of_two_files_opens_the_vault(
        self, served: Served, new: Path, failure: Failure, *, kept: bool
    ) -> None:
        """Where nobody knows whether it was changed, both passphrases are kept, and it is said."""
        site, pending = served.site, served.site.folder / "passphrase.new"
        before = site.passphrase.read_bytes()
        arguments = ("passphrase", "change", "--new-passphrase-file", new, "--write")

        with patch("lookup.cli.custodian.Custodian.post", side_effect=failure):
            result = site.run(*arguments)

        assert result.status == failure.status
        assert site.passphrase.read_bytes() == before
        assert pending.exists() == kept
        if kept:
            assert pending.read_bytes() == new.read_bytes()
            assert f"mv {pending} {site.passphrase}" in result.stderr
            pending.unlink()

    def test_bad_ones_change_nothing(self, served: Served, new: Path) -> None:
        arguments = ("passphrase", "change", "--new-passphrase-file", new, "--write")
        epoch = served.status()["epoch"]
        for content, status in (
            (b"short", exits.USAGE),
            (b"\xff\xfe" * 20, exits.USAGE),
            (b"x" * 1025, exits.USAGE),
            (b"", exits.NO_PERMISSION),
            (b"y" * 10_000, exits.NO_PERMISSION),
        ):
            new.write_bytes(content)
            result = served.site.run(*arguments)
            assert result.status == status
            assert result.ends_in_a_hint
        new.chmod(0o644)
        assert served.site.run(*arguments).status == exits.NO_PERMISSION
        assert served.site.run("passphrase", "change").status == exits.USAGE
        assert served.status()["epoch"] == epoch
        assert not (served.site.folder / "passphrase.new").exists()
