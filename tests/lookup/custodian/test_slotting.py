"""Slots and the passphrase, changed over the officers' socket while the site runs."""

import shutil
from pathlib import Path

import pytest

from keys.errors import NoSlotOpens, WrongPassphrase
from tests.simulator import Custodian, Json, Site, nhs

OTHER = "another passphrase of the tests"


def post(custodian: Custodian, path: str, **members: str) -> tuple[int, Json]:
    response = custodian.officer.post(f"/v1/local/{path}", json=members)
    return response.status_code, response.json()


def slots(custodian: Custodian) -> list[Json]:
    return list(custodian.officer.get("/v1/local/status").json()["slots"])


def use_slots(site: Site, *names: str) -> None:
    site.tables["vault"]["slots"] = list(names)
    site.configure()


def test_a_passphrase_is_changed(site: Site) -> None:
    """In an epoch change: the old one opens nothing any more, not even the slot."""
    with site.open() as custodian:
        custodian.add("kept", nhs(1))
        status, said = post(custodian, "passphrase", passphrase=OTHER)
        assert (status, said["certain"]) == (200, True)
    with pytest.raises(WrongPassphrase):
        site.open()
    site.passphrase(OTHER)
    with site.open() as custodian:
        assert custodian.outcome(nhs(1)) == "known"


@pytest.mark.parametrize("text", ["", "eleven char", "x" * 1025, "with a\nline end", "nul \0 byte"])
def test_passphrases_that_are_refused(shared: Custodian, text: str) -> None:
    """The answer does not repeat it."""
    before = shared.call(lambda custody: custody.vault.version)
    status, said = post(shared, "passphrase", passphrase=text)
    assert (status, said["type"]) == (400, "urn:lacuna:problem:invalid-request")
    assert not text or text not in str(said)
    assert shared.call(lambda custody: custody.vault.version) == before


def test_a_second_slot_opens_the_vault_alone(site: Site) -> None:
    """After the first one is lost; a lost one is told until it is let go."""
    with site.open() as custodian:
        custodian.add("kept", nhs(1))
        status, said = post(custodian, "slots", folder=str(site.folder / "slot-1"))
        assert (status, len(said["confirmed"])) == (200, 2)
    shutil.rmtree(site.folder / "slot-0")
    use_slots(site, "slot-0", "slot-1")
    with site.open() as custodian:
        assert custodian.outcome(nhs(1)) == "known"
        lost, found = sorted(slots(custodian), key=lambda slot: -slot["lagging"])
        assert (lost["lagging"], found["lagging"]) == (True, False)
        record_id = custodian.add("gone", nhs(2))
        assert not custodian.shred(record_id)["certain"]
        status, said = post(custodian, f"slots/{lost['id']}/remove")
        assert (status, said["certain"], said["lost"]) == (200, False, [lost["id"]])


def test_a_slot_is_let_go(site: Site) -> None:
    """It holds nothing by then; the last one stays."""
    with site.open() as custodian:
        post(custodian, "slots", folder=str(site.folder / "slot-1"))
        first = next(slot for slot in slots(custodian) if slot["label"].endswith("slot-0"))
        status, said = post(custodian, f"slots/{first['id']}/remove")
        assert (status, said["certain"]) == (200, True)
        (rest,) = slots(custodian)
        assert post(custodian, f"slots/{rest['id']}/remove")[0] == 409
        assert post(custodian, f"slots/{first['id']}/remove")[0] == 404
    with pytest.raises(NoSlotOpens):
        site.open()
    use_slots(site, "slot-1")
    with site.open():
        pass


def test_a_slot_is_made_with_the_passphrase_of_now(site: Site) -> None:
    """Also when the first slot, which knew an older one, is gone."""
    with site.open() as custodian:
        post(custodian, "slots", folder=str(site.folder / "slot-1"))
        first = next(slot for slot in slots(custodian) if slot["label"].endswith("slot-0"))
        post(custodian, f"slots/{first['id']}/remove")
        post(custodian, "passphrase", passphrase=OTHER)
        post(custodian, "slots", folder=str(site.folder / "slot-2"))
    site.passphrase(OTHER)
    use_slots(site, "slot-2")
    with site.open() as custodian:
        custodian.add("kept", nhs(1))


def test_a_slot_that_was_away_while_the_passphrase_changed(site: Site) -> None:
    """It lags when it is back, is given a key, and nobody has to know the old passphrase."""
    with site.open() as custodian:
        post(custodian, "slots", folder=str(site.folder / "slot-1"))
    use_slots(site, "slot-0", "slot-1")
    (site.folder / "slot-1").rename(site.folder / "away")
    with site.open() as custodian:
        status, said = post(custodian, "passphrase", passphrase=OTHER)
        assert (status, said["certain"]) == (200, False)
    (site.folder / "away").rename(site.folder / "slot-1")
    site.passphrase(OTHER)
    for order in (("slot-0", "slot-1"), ("slot-1", "slot-0")):
        use_slots(site, *order)
        with site.open() as custodian:
            assert [slot["lagging"] for slot in slots(custodian)] == [False, False]
    use_slots(site, "slot-1")
    with site.open() as custodian:
        assert [slot["lagging"] for slot in slots(custodian)].count(True) == 1


@pytest.mark.parametrize("place", ["slot-0", "store", "store/inside", "mirror", "."])
def test_folders_that_take_no_slot(shared: Custodian, place: str) -> None:
    """Where there is one, and wherever a copy of the store would carry it along."""
    before = shared.call(lambda custody: custody.vault.version)
    status, said = post(shared, "slots", folder=str(shared.site.folder / place))
    assert (status, said["type"]) == (409, "urn:lacuna:problem:conflict")
    assert shared.call(lambda custody: custody.vault.version) == before


def test_a_folder_that_cannot_be_made(shared: Custodian, tmp_path: Path) -> None:
    """The system's own word, and the site goes on."""
    (tmp_path / "file").touch()
    status, said = post(shared, "slots", folder=str(tmp_path / "file" / "slot"))
    assert (status, "Not a directory" in said["detail"]) == (409, True)
    assert post(shared, "slots", folder="relative/path")[0] == 400
    assert shared.outcome(nhs(1)) == "no-record"


def test_there_is_a_bound_to_slots(shared: Custodian, tmp_path: Path) -> None:
    made = [post(shared, "slots", folder=str(tmp_path / str(n)))[0] for n in range(8)]
    assert made == [200] * 7 + [409]
