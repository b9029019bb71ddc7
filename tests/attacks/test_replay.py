"""A8: a feed that sends old data again: what was destroyed stays away, what is new is taken."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lookup.officers.proposal import LiftFence
from tests.clocks import SetClocks
from tests.simulator import Custodian, Json, Site, import_lines, nhs, record

HORIZON = 13 * 31


@pytest.fixture
def clocks() -> SetClocks:
    return SetClocks()


@pytest.fixture
def site(clocks: SetClocks) -> Iterator[Site]:
    with Site() as made:
        made.clocks = clocks
        yield made


def results(custodian: Custodian, *lines: Json) -> list[str]:
    """Import lines; return what became of each."""
    *told, _ = import_lines(custodian.feed, lines)
    return [str(each["result"]) for each in told]


def destroyed(custodian: Custodian, *source_refs: str) -> None:
    """Store records about the first child, and destroy them."""
    custodian.shred(*[custodian.add(each, nhs(1)) for each in source_refs])


class TestWithoutCursor:
    """A feed that may send anything again, for as long as it has declared."""

    def test_tonights_feed_brings_nothing_back(self, site: Site) -> None:
        """Not in the same words, not in others, not about another child; also not tomorrow."""
        with site.open() as custodian:
            destroyed(custodian, "malicious")

            for night in range(3):
                again = [record("malicious", nhs(1)), record("malicious", nhs(2 + night))]
                assert [results(custodian, each) for each in again] == [["fenced"], ["fenced"]]
            assert custodian.outcome(nhs(1)) == "no-record"
            assert custodian.call(lambda custody: custody.sources) == {}

    def test_a_single_sending_is_refused_with_the_way_out(self, site: Site) -> None:
        with site.open() as custodian:
            destroyed(custodian, "malicious")

            response = custodian.feed.post("/v1/records", json=record("malicious", nhs(1)))
            assert response.status_code == 409
            assert "a new concern has a new one" in response.json()["detail"]

    def test_a_record_cannot_take_the_reference_over(self, site: Site) -> None:
        """A correction would be the same by another door."""
        with site.open() as custodian:
            destroyed(custodian, "malicious")
            other = custodian.add("other", nhs(2))

            response = custodian.feed.put(
                f"/v1/records/{other.hex()}",
                json=record("malicious", nhs(1)),
                headers={"if-match": '"1"'},
            )
            assert response.status_code == 409

    def test_a_new_concern_is_taken(self, site: Site) -> None:
        """About the same child, from the same feed, in the same batch as what is refused."""
        with site.open() as custodian:
            destroyed(custodian, "malicious")

            lines = [record("malicious", nhs(1)), record("genuine", nhs(1))]
            assert results(custodian, *lines) == ["fenced", "added"]
            assert custodian.outcome(nhs(1)) == "known"

    def test_another_authoritys_reference_is_another(self, site: Site) -> None:
        with site.open() as custodian:
            destroyed(custodian, "malicious")
            assert results(custodian, record("malicious", nhs(1), authority="BSC")) == ["added"]

    def test_it_stands_over_restarts_and_until_its_horizon(
        self, site: Site, clocks: SetClocks
    ) -> None:
        with site.open() as custodian:
            destroyed(custodian, "malicious")
            clocks.let_days_pass(HORIZON - 1)
        with site.open() as custodian:
            custodian.call(lambda custody: custody.purge(custody.clock()))
            assert results(custodian, record("malicious", nhs(1))) == ["fenced"]
            clocks.let_days_pass(2)
            custodian.call(lambda custody: custody.purge(custody.clock()))
            assert custodian.call(lambda custody: custody.fences.fences) == {}
            assert results(custodian, record("malicious", nhs(1))) == ["added"]

    def test_several_officers_lift_it(self, site: Site) -> None:
        """As many as a case needs; the other references of the same case stay fenced."""
        with site.open() as custodian:
            destroyed(custodian, "mistaken", "malicious")
            change = LiftFence(authority="AXT", source_ref="mistaken")

            custodian.desk.change(change)

            assert results(custodian, record("malicious", nhs(1))) == ["fenced"]
            assert results(custodian, record("mistaken", nhs(1))) == ["added"]
        with site.open() as custodian:
            assert results(custodian, record("malicious", nhs(1))) == ["fenced"]

    def test_where_no_fence_stands_none_is_lifted(self, site: Site) -> None:
        with site.open() as custodian:
            change = LiftFence(authority="AXT", source_ref="never")
            assert "no fence" in custodian.desk.refused_change(change)

    def test_the_certificate_says_so(self, site: Site) -> None:
        with site.open() as custodian:
            destroyed(custodian, "malicious")
            assert "not_covered: feed-fence\n" in certificate(custodian)


class TestWithCursor:
    """A feed that counts what it sends."""

    @pytest.fixture
    def site(self, clocks: SetClocks) -> Iterator[Site]:
        with Site() as made:
            made.clocks = clocks
            made.tables["authority"] = [
                each | ({"cursor": True} if each["code"] == "AXT" else {})
                for each in made.tables["authority"]
            ]
            made.configure()
            yield made

    def sent(self, cursor: int, source_ref: str, number: int = 1) -> Json:
        return record(source_ref, nhs(number), cursor=cursor)

    def test_what_is_behind_it_is_not_taken(self, site: Site) -> None:
        """Whatever it is: replayed in order, out of order, truncated, or in other words."""
        with site.open() as custodian:
            batch = [self.sent(n, f"ref-{n}", n) for n in range(1, 6)]
            assert results(custodian, *batch) == ["added"] * 5

            assert results(custodian, *batch) == ["replayed"] * 5
            assert results(custodian, *reversed(batch)) == ["replayed"] * 5
            assert results(custodian, *batch[2:4]) == ["replayed"] * 2
            assert results(custodian, self.sent(5, "other-words", 9)) == ["replayed"]
            assert results(custodian, self.sent(6, "ref-6", 6)) == ["added"]

    def test_within_a_batch_it_only_grows(self, site: Site) -> None:
        with site.open() as custodian:
            lines = [self.sent(3, "a", 1), self.sent(2, "b", 2), self.sent(4, "c", 3)]
            assert results(custodian, *lines) == ["added", "replayed", "added"]

    def test_it_survives_restarts(self, site: Site) -> None:
        with site.open() as custodian:
            assert results(custodian, self.sent(1 << 40, "a")) == ["added"]
        with site.open() as custodian:
            assert results(custodian, self.sent((1 << 40) - 1, "b")) == ["replayed"]
            assert results(custodian, self.sent((1 << 40) + 1, "b")) == ["added"]

    def test_what_was_destroyed_is_refused_under_any_cursor(self, site: Site) -> None:
        """A system that counts anew, or whose cursor was set back, brings nothing back, either."""
        with site.open() as custodian:
            results(custodian, self.sent(1, "malicious"))
            (record_id,) = custodian.call(lambda custody: list(custody.sources.values()))
            custodian.shred(record_id)

            lines = [self.sent(1, "malicious"), self.sent(2, "malicious"), self.sent(3, "genuine")]
            assert results(custodian, *lines[:1]) == ["replayed"]
            assert results(custodian, *lines[1:]) == ["fenced", "added"]
            assert "not_covered: feed-fence\n" in certificate(custodian)

    @pytest.mark.parametrize("cursor", [None, 0, -1, 1 << 63])
    def test_a_cursor_is_a_number_that_counts(self, site: Site, cursor: int | None) -> None:
        with site.open() as custodian:
            line = self.sent(1, "a") | {"cursor": cursor}
            (told, _) = import_lines(custodian.feed, [line])
            assert (told["result"], told["rule"]) == ("invalid", "cursor")

    def test_a_feed_without_one_has_none(self, site: Site) -> None:
        with site.open() as custodian:
            line = record("a", nhs(1), authority="BSC", cursor=1)
            (told, _) = import_lines(custodian.feed, [line])
            assert (told["result"], told["rule"]) == ("invalid", "cursor")

    def test_nightly_sendings_of_the_same_cost_no_epoch(self, site: Site) -> None:
        """A cursor that moves on replaces nothing that would have to be forgotten."""
        with site.open() as custodian:
            results(custodian, self.sent(1, "a"))
            epoch = custodian.call(lambda custody: custody.vault.version.epoch)

            assert results(custodian, self.sent(2, "a")) == ["unchanged"]
            assert custodian.call(lambda custody: custody.vault.version.epoch) == epoch


def certificate(custodian: Custodian) -> str:
    """Return the one certificate of a site."""
    listed: dict[str, Any] = custodian.desk.told("ada", "GET", "/v1/certificates")
    (name,) = [each["certificate"] for each in listed["certificates"]]
    return custodian.desk.ask("ada", "GET", f"/v1/certificates/{name}").text


def test_nothing_of_the_reference_is_in_a_fence() -> None:
    """Whoever has the vault can ask about a reference; nobody can read one."""
    with Site() as site, site.open() as custodian:
        destroyed(custodian, "malicious-reference")
        fences = custodian.call(lambda custody: custody.fences)
        (fence,) = fences.fences.values()

        assert fence.marks == (fences.mark("AXT", "malicious-reference"),)
        assert b"malicious" not in fence.entry().encode()
        assert "malicious" not in json.dumps(repr(fences))
