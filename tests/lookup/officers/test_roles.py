"""Roles: the one table, and what no role may do together."""

from itertools import product

import pytest

from crypto.sshsig import PublicKey
from lookup.officers.roles import MAY, Act, Officer, OfficerId, Role

# Whoever does the one never does the other, by one role: each pair is two people's.
APART = [
    (Act.OPEN, Act.APPROVE),
    (Act.OPEN, Act.REFUSE),
    (Act.OPEN, Act.REVIEW),
    (Act.OPEN, Act.RESTRICT),
    (Act.OPEN, Act.CONFIRM),
    (Act.OPEN, Act.SHORTEN),
    (Act.OPEN, Act.RELEASE),
    (Act.AMEND, Act.APPROVE),
    (Act.RESTRICT, Act.APPROVE),
    (Act.SEND_RECORDS, Act.OPEN),
    (Act.SEND_RECORDS, Act.APPROVE),
]


def officer(*roles: Role, authority: str | None = None) -> Officer:
    return Officer(OfficerId(bytes(16)), "o", frozenset(roles), PublicKey(bytes(32)), authority)


@pytest.mark.parametrize("act", Act)
def test_every_act_has_its_roles(act: Act) -> None:
    """Only the site's own has none."""
    assert bool(MAY[act]) == (act not in {Act.RECALL, Act.TAKE_BACK, Act.ESCALATE})


def test_every_role_may_do_something_of_its_own() -> None:
    assert all(any(role in roles for roles in MAY.values()) for role in Role)


@pytest.mark.parametrize(("one", "other"), APART)
def test_no_role_does_both(one: Act, other: Act) -> None:
    assert not MAY[one] & MAY[other]


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.REGISTRAR])
def test_who_takes_no_step(role: Role) -> None:
    """Auditors read; registrars send records, and read no case."""
    steps = list(Act)[: list(Act).index(Act.ESCALATE) + 1]
    assert not any(role in MAY[act] for act in steps)
    assert (role in MAY[Act.READ_CASES]) == (role is Role.AUDITOR)


@pytest.mark.parametrize(("role", "act"), list(product(Role, Act)))
def test_an_officer_may_what_the_table_says(role: Role, act: Act) -> None:
    assert officer(role).may(act) == (role in MAY[act])
    assert officer(role).may(act, "AXT") == (role in MAY[act])
    assert officer(role, authority="AXT").may(act, "AXT") == (role in MAY[act])
    assert not officer(role, authority="BSC").may(act, "AXT")


def test_an_officer_without_roles_may_nothing() -> None:
    assert not any(officer().may(act) for act in Act)


def test_two_roles_may_what_either_may() -> None:
    both = officer(Role.REQUESTER, Role.LEGAL)
    for act in Act:
        assert both.may(act) == bool(MAY[act] & {Role.REQUESTER, Role.LEGAL})
