"""`lacuna audit`: whether the chain is whole, who was answered, and all of it."""

import json
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from keys.entry import EntryId, Kind
from lookup import exits
from lookup.audit.entry import SCHEDULED
from lookup.config import load_config
from lookup.custodian.audit.audit_keys import AuditKeys
from lookup.custodian.records.record import Record
from tests.lookup.cli.commanding import Folders, import_records, opened, serving
from tests.lookup.custodian.segments import SegmentFile, head_of


@dataclass(frozen=True)
class Audited:
    """A site that runs; one of its two records was answered twice, in three entries."""

    site: Folders
    asked_for: str
    never: str


@pytest.fixture(scope="module")
def audited() -> Iterator[Audited]:
    site = Folders(Path(tempfile.mkdtemp(prefix="lacuna-", dir="/tmp")))
    assert site.init("--demo").status == 0
    try:
        with serving(site):
            asked_for, never = import_records(site, site.folder / "results", 1, 2)
        with opened(site) as vault:
            entry = vault.get(Kind.RECORD, EntryId(bytes.fromhex(asked_for)))
            assert entry is not None
            handle = Record.of(entry).body.links[0].handle
            audit = AuditKeys.load(vault).handed_out(load_config(site.config).audit, demo=True)
            segment = SegmentFile(audit, vault.id)
        segment.ask([[handle]], head_of(encounter=b"e-1", user="Zo\u00eb".encode()))
        segment.ask([[]])
        segment.ask([[], [handle]], head_of(purpose=SCHEDULED))
        segment.end()
        segment.close()
        with serving(site):
            yield Audited(site, asked_for, never)
    finally:
        site.remove()


def test_a_whole_chain(audited: Audited) -> None:
    told = audited.site.run("audit", "verify")
    assert told.status == 0
    assert "chain         whole" in told.stdout
    document = audited.site.run("audit", "verify", "--json").json
    assert document | {"sound": True, "rows": 3, "entries": 3} == document


def test_who_was_answered_with_a_record(audited: Audited) -> None:
    told = audited.site.run("audit", "accesses", audited.asked_for)
    assert told.status == 0
    first, second = told.stdout.splitlines()
    assert first.endswith("Zo\u00eb  a role  unscheduled-care  e-1")
    assert second.endswith("a user  a role  scheduled-care  -")
    document = audited.site.run("audit", "accesses", audited.asked_for, "--json").json
    assert [each["purpose"] for each in document["accesses"]] == [
        "unscheduled-care",
        "scheduled-care",
    ]
    nobody = audited.site.run("audit", "accesses", audited.never)
    assert (nobody.status, nobody.stdout) == (0, "nobody was answered with this record\n")


def test_a_record_that_is_not_there(audited: Audited) -> None:
    told = audited.site.run("audit", "accesses", secrets.token_hex(16))
    assert told.status == exits.REFUSED
    assert "there is no such record" in told.stderr
    assert told.ends_in_a_hint


def test_an_identifier_in_its_place_is_not_repeated(audited: Audited) -> None:
    told = audited.site.run("audit", "accesses", "nhs:9990001014")
    assert told.status == exits.USAGE
    assert "9990001014" not in told.stdout + told.stderr
    assert told.ends_in_a_hint


def test_an_export_has_a_line_for_each_entry(audited: Audited) -> None:
    told = audited.site.run("audit", "export")
    assert told.status == 0
    entries = [json.loads(line)["entry"] for line in told.stdout.splitlines()]
    assert [entry["tokens"] for entry in entries] == [1, 1, 2]
    assert entries[0]["user"] == "Zo\u00eb"
    assert audited.asked_for not in told.stdout
    document = audited.site.run("audit", "export", "--json").json
    assert [line["entry"] for line in document["audit"]] == entries


def test_a_site_that_does_not_run(tmp_path: Path) -> None:
    site = Folders(tmp_path)
    assert site.init("--demo").status == 0
    assert site.run("audit", "verify").status == exits.UNAVAILABLE
