"""Clients and lookup keys, told to a real worker."""

from collections.abc import Iterator

import pytest

from crypto.token import TokenMaker
from lookup.client.enrolment import ClientSecret
from lookup.custodian import enrolling
from lookup.custodian.clients import Allowance
from lookup.custodian.custody import Custody
from lookup.errors import Conflict
from tests.simulator import Custodian, Json, Site, Worker, enrol, nhs


@pytest.fixture(scope="module")
def plane() -> Iterator[tuple[Custodian, Worker]]:
    """A custodian and a worker that is ready."""
    with Site() as site, site.open() as custodian:
        worker = site.spawn_worker().ready()
        yield custodian, worker


def lookup_keys(custodian: Custodian) -> list[Json]:
    return list(custodian.officer.get("/v1/local/lookup-keys").json()["lookup_keys"])


def test_a_client_asks_from_the_moment_that_it_has_its_file(
    plane: tuple[Custodian, Worker],
) -> None:
    """Every worker knows it before the secret is told; the secret is told once."""
    custodian, worker = plane
    custodian.add("first", nhs(1))
    asking = custodian.enrol("St. Elsewhere")
    assert worker.outcome(asking, nhs(1)) == "known"
    assert asking.base_urls == custodian.site.config.base_urls
    listed = custodian.officer.get("/v1/local/clients")
    assert [each["name"] for each in listed.json()["clients"]] == ["St. Elsewhere"]
    assert asking.secret.text() not in listed.text
    assert asking.secret.fingerprint() not in listed.text


@pytest.mark.parametrize("name", ["", " x", "x\n", "x" * 81, "a\u202eb", "St. Elsewhere"])
def test_names_that_are_refused(plane: tuple[Custodian, Worker], name: str) -> None:
    custodian, _ = plane
    before = custodian.call(lambda custody: custody.vault.version)
    answer = custodian.officer.post("/v1/local/clients", json={"name": name})
    assert answer.status_code == (409 if name == "St. Elsewhere" else 400)
    assert custodian.call(lambda custody: custody.vault.version) == before


def test_a_client_that_could_not_be_told_where_to_ask_is_not_enrolled(
    plane: tuple[Custodian, Worker],
) -> None:
    """Nothing is stored of which the secret is lost."""
    custodian, _ = plane
    before = custodian.call(lambda custody: custody.vault.version)
    run = enrolling.add_client("Nowhere", Allowance(), ("http://hospital.example",), 0)
    with pytest.raises(Conflict, match="base_urls"):
        custodian.call(run)
    assert custodian.call(lambda custody: custody.vault.version) == before
    names = [each["name"] for each in custodian.officer.get("/v1/local/clients").json()["clients"]]
    assert "Nowhere" not in names


def test_there_is_a_bound_to_clients(
    plane: tuple[Custodian, Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    custodian, _ = plane
    monkeypatch.setattr(enrolling, "MAX_CLIENTS", 1)
    answer = custodian.officer.post("/v1/local/clients", json={"name": "one too many"})
    assert answer.status_code == 409


def test_a_lookup_key_is_changed_without_a_gap(plane: tuple[Custodian, Worker]) -> None:
    """A new one is told when everything is indexed under it, an old one refused at once."""
    custodian, worker = plane
    custodian.add("rotate", nhs(10))
    old = custodian.enrol("before")
    made = custodian.officer.post("/v1/local/lookup-keys").json()["kid"]
    custodian.await_build()
    new = custodian.enrol("after")
    assert (new.kid, [each["indexed"] for each in lookup_keys(custodian)]) == (made, [True, True])
    assert worker.outcome(old, nhs(10)) == worker.outcome(new, nhs(10)) == "known"
    assert worker.outcome(new, nhs(11)) == "no-record"
    third = custodian.officer.post("/v1/local/lookup-keys")
    assert third.status_code == 409

    retired = custodian.officer.post(f"/v1/local/lookup-keys/{old.kid}/retire")
    assert retired.status_code == 200
    assert worker.outcome(old, nhs(10)) == worker.outcome(old, nhs(11)) == "unknown-kid"
    assert worker.outcome(new, nhs(10)) == "known"
    custodian.add("during", nhs(12))
    custodian.await_build()
    assert [worker.outcome(new, nhs(n)) for n in (10, 11, 12)] == ["known", "no-record", "known"]
    last = custodian.officer.post(f"/v1/local/lookup-keys/{new.kid}/retire")
    assert last.status_code == 409
    again = custodian.officer.post(f"/v1/local/lookup-keys/{old.kid}/retire")
    assert again.status_code == 404


def test_a_key_is_not_used_before_everything_is_indexed_under_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then there is no client for it, lookups with it are refused, the old one stays."""
    with site.open() as custodian:
        monkeypatch.setattr(Custody, "step_build", lambda _: 0.5)  # stand still
        before = custodian.enrol("before")
        made = custodian.officer.post("/v1/local/lookup-keys").json()["kid"]
        assert custodian.enrol("between").kid == before.kid
        listed = {each["kid"]: each["indexed"] for each in lookup_keys(custodian)}
        assert listed == {before.kid: True, made: False}
        assert (
            custodian.officer.post(f"/v1/local/lookup-keys/{before.kid}/retire").status_code == 409
        )
        assert custodian.officer.post(f"/v1/local/lookup-keys/{made}/retire").status_code == 200
        assert [each["kid"] for each in lookup_keys(custodian)] == [before.kid]


def test_a_start_knows_clients_and_keys_again(site: Site) -> None:
    """They are in the map; a key whose indexing was cut off is indexed at the start."""
    worker = site.spawn_worker()
    with site.open() as custodian:
        custodian.add("first", nhs(1))
        asking = custodian.enrol()
        custodian.officer.post("/v1/local/lookup-keys")
    with site.open() as custodian:
        assert [each["indexed"] for each in lookup_keys(custodian)] == [True, True]
        worker.ready()
        assert worker.outcome(asking, nhs(1)) == "known"
        newest = enrol(custodian.officer, "newest")
        assert newest.kid != asking.kid
        assert worker.outcome(newest, nhs(1)) == "known"


def test_an_enrolment_belongs_together(site: Site) -> None:
    with site.open() as custodian:
        asking = custodian.enrol()
        assert TokenMaker(asking.lookup_key).kid == asking.kid
        cards = custodian.call(lambda custody: list(custody.policy.clients.values()))
        assert [card.fingerprint for card in cards] == [asking.secret.fingerprint()]
        assert asking.client_id == cards[0].id
        assert asking.canary == custodian.custody.policy.canary.identifier
        assert isinstance(asking.secret, ClientSecret)
