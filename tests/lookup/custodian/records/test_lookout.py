"""What comes while a case is being opened: no record of the child is overlooked."""

import asyncio
from typing import Any
from unittest.mock import patch

import pytest

from keys.entry import EntryId
from lookup.custodian.api import cases
from tests.simulator import Custodian, nhs, record


def opened_while(custodian: Custodian, record_id: EntryId, arriving: dict[str, Any]) -> int:
    """Open a case about a record; another one comes when the vault has been walked over."""
    content = custodian.desk.content([record_id])
    signed = custodian.desk.signer("rita").opening(content)
    walk = cases._others

    def send() -> None:
        if "put" in arriving:
            headers = {"if-match": '"1"'}
            response = custodian.feed.put(arriving["put"], json=arriving["record"], headers=headers)
        else:
            response = custodian.feed.post("/v1/records", json=arriving["record"])
        response.raise_for_status()

    async def and_then(*arguments: Any) -> list[EntryId]:  # noqa: ANN401  # those of the original
        found = await walk(*arguments)
        await asyncio.to_thread(send)
        return found

    with patch.object(cases, "_others", and_then):
        return custodian.desk.ask("rita", "POST", "/v1/cases", signed).status_code


def test_a_new_record_of_the_child(custodian: Custodian) -> None:
    """What was signed is no longer all that there is: it is to be looked at again."""
    record_id = custodian.add("one", nhs(1))
    arriving = {"record": record("two", nhs(1))}

    assert opened_while(custodian, record_id, arriving) == 409
    assert custodian.call(lambda custody: custody.docket.cases) == {}


def test_a_record_that_names_the_child_from_now_on(custodian: Custodian) -> None:
    """A correction is news as much as an addition."""
    record_id, other = custodian.add("one", nhs(1)), custodian.add("two", nhs(2))
    arriving = {
        "record": record("two", nhs(1), nhs(2)),
        "put": f"/v1/records/{other.hex()}",
    }

    assert opened_while(custodian, record_id, arriving) == 409


@pytest.mark.parametrize("number", [3, 4])
def test_nobody_elses_record_is_in_the_way(custodian: Custodian, number: int) -> None:
    record_id = custodian.add("one", nhs(1))

    assert opened_while(custodian, record_id, {"record": record("two", nhs(number))}) == 201
    assert custodian.call(lambda custody: custody.docket._lookouts) == []


def test_a_record_that_names_the_child_later_escalates_the_case(custodian: Custodian) -> None:
    """Also one that was there before, and named somebody else."""
    record_id, other = custodian.add("one", nhs(1)), custodian.add("two", nhs(2))
    case = custodian.desk.open([record_id])
    custodian.feed.put(
        f"/v1/records/{other.hex()}",
        json=record("two", nhs(1), nhs(2)),
        headers={"if-match": '"1"'},
    ).raise_for_status()

    seen = custodian.desk.told("ada", "GET", f"/v1/cases/{case['case']}")
    assert seen["escalated"] == ["new-record"]
