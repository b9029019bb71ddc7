"""What is signed is what was shown: a site that asks for anything else is found out."""

from collections.abc import Callable
from copy import deepcopy
from typing import Final

import pytest

from lookup.officers.roles import Act
from lookup.officers.signing import NotAsShown, require_shown
from tests.officers import Json
from tests.simulator import Custodian, Site, nhs


@pytest.fixture(scope="module")
def case() -> Json:
    with Site() as site, site.open() as custodian:
        return shown(custodian)


def shown(custodian: Custodian) -> Json:
    """Return a case of several steps, amended and shortened once."""
    record_id = custodian.add("one", nhs(1))
    opened = custodian.desk.open([record_id])
    content = custodian.desk.content([record_id], note="amended")
    signed = custodian.desk.signer("rita").amendment(opened["next"], content)
    changed = custodian.desk.told("rita", "POST", f"/v1/cases/{opened['case']}/steps", signed)
    changed = custodian.desk.take("leo", changed, Act.SHORTEN, days=3, court_order="")
    return custodian.desk.take("ana", changed, Act.APPROVE)


def test_an_honest_site(case: Json) -> None:
    require_shown(case, case["case"])


def test_a_court_that_nobody_named() -> None:
    """Where no step has set the cooling-off, it is that of the rules."""
    with Site() as site, site.open() as custodian:
        told = custodian.desk.open([custodian.add("one", nhs(1))])
    require_shown(told, told["case"])
    with pytest.raises(NotAsShown, match="cooling-off"):
        require_shown(told | {"court_order": "order 1"}, told["case"])


LIES: Final[dict[str, Callable[[Json], object]]] = {
    "another note": lambda case: case["content"].update(note="harmless"),
    "other records": lambda case: case["content"]["records"][0].update(record_id="0" * 32),
    "another ground": lambda case: case["content"].update(ground="art-17-1-d"),
    "no content": lambda case: case.update(content={}),
    "another digest": lambda case: case["next"].update(digest="0" * 64),
    "another case": lambda case: case["next"].update(case="0" * 32),
    "an earlier place": lambda case: case["next"].update(number=2),
    "another step before": lambda case: case["next"].update(after="0" * 64),
    "an earlier revision": lambda case: case["next"].update(revision=1),
    "a step left out": lambda case: case["steps"].pop(),
    "an earlier step left out": lambda case: case["steps"].pop(1),
    "another order": lambda case: case["steps"].insert(1, case["steps"].pop(2)),
    "another act": lambda case: case["steps"][-1].update(act="hold"),
    "other details": lambda case: case["steps"][2].update(details={"days": 14, "court_order": ""}),
    "a longer cooling-off": lambda case: case.update(cooling_off_days=14),
    "the order of a court": lambda case: case.update(court_order="order 1"),
    "no steps": lambda case: case["steps"].clear(),
    "no step's text": lambda case: case["steps"][-1].update(text="approve"),
    "another salt": lambda case: case["next"].update(salt="0" * 64),
    "no salt": lambda case: case["next"].update(salt="salt"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_site_that_lies(case: Json, lie: str) -> None:
    """Whatever it shows, and whatever it asks for, the two have to be one."""
    told = deepcopy(case)
    LIES[lie](told)

    with pytest.raises(NotAsShown):
        require_shown(told, case["case"])


def test_the_case_that_was_asked_for(case: Json) -> None:
    """Not another one, however honestly it is shown."""
    with pytest.raises(NotAsShown):
        require_shown(case, "00" + "1" * 30)
