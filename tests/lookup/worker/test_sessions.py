"""From an Authorization header to a client, once the header is known and before."""

from dataclasses import dataclass, field
from typing import cast

import pytest

from lookup.errors import Unauthorized
from lookup.handoff import Client
from lookup.worker import sessions
from lookup.worker.access import TokenKey, TokenKeys
from lookup.worker.sessions import Sessions
from lookup.worker.view import OpenView
from tests.lookup.worker.plane import CLIENT, TOKEN_KEY, make_access_token

NOW = 1_795_000_000.0
ID = bytes.fromhex(CLIENT.id)


@dataclass
class Clients:
    """The two members of a view that are asked here."""

    clients: dict[bytes, Client] = field(default_factory=lambda: {ID: CLIENT})
    token_keys: TokenKeys = field(default_factory=lambda: TokenKeys(TokenKey(TOKEN_KEY), 0.0))

    @property
    def view(self) -> OpenView:
        return cast("OpenView", self)


def header(**changes: object) -> bytes:
    options = {"now": NOW} | changes
    return f"Bearer {make_access_token(**options)}".encode()  # type: ignore[arg-type]  # as given


def test_a_header_is_known_by_its_token() -> None:
    """The second time without verifying it."""
    remembered, sent = Sessions(), header()
    assert remembered.client_of(sent, Clients().view, NOW)[0] is CLIENT

    other = Clients(token_keys=TokenKeys(TokenKey(bytes(32)), 0.0))
    assert remembered.client_of(sent, other.view, NOW)[0] is CLIENT
    with pytest.raises(Unauthorized):
        Sessions().client_of(sent, other.view, NOW)


def test_a_client_that_is_not_in_the_view_is_refused_at_once() -> None:
    """However well its token is remembered; and with what it may do now, not then."""
    remembered, sent = Sessions(), header()
    remembered.client_of(sent, Clients().view, NOW)

    with pytest.raises(Unauthorized):
        remembered.client_of(sent, Clients(clients={}).view, NOW)
    narrowed = Client(CLIENT.id, CLIENT.name, per_second=1)
    assert remembered.client_of(sent, Clients(clients={ID: narrowed}).view, NOW)[0] is narrowed


def test_a_token_that_is_remembered_ends_all_the_same() -> None:
    remembered, sent = Sessions(), header()
    remembered.client_of(sent, Clients().view, NOW + 599.9)

    with pytest.raises(Unauthorized):
        remembered.client_of(sent, Clients().view, NOW + 600)


WRONG = {
    "nothing": b"",
    "the scheme alone": b"Bearer " + bytes(56),
    "another scheme": header().replace(b"Bearer", b"Digest"),
    "two spaces": header().replace(b" ", b"  "),
    "a tab": header().replace(b" ", b"\t"),
    "a space behind": header() + b" ",
    "a client of another site": header(client_id="0f" * 14),
    "another site's key": header(key=bytes(32)),
    "expired": header(lives=0),
    "truncated": header()[:-1],
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_error(name: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        Sessions().client_of(WRONG[name], Clients().view, NOW)
    assert str(caught.value) == ""


def test_the_scheme_may_be_in_any_case() -> None:
    sent = header().replace(b"Bearer", b"bEARER")
    assert Sessions().client_of(sent, Clients().view, NOW)[0] is CLIENT


def test_memory_is_bounded_and_strangers_have_no_part_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was verified lately is known; what is older is verified again."""
    monkeypatch.setattr(sessions, "REMEMBERED", 100)
    remembered, clients = Sessions(), Clients()
    first = header()
    remembered.client_of(first, clients.view, NOW)
    for _ in range(300):
        with pytest.raises(Unauthorized):
            remembered.client_of(header(key=bytes(32)), clients.view, NOW)
    assert len(remembered._younger) == 1
    for _ in range(450):
        assert remembered.client_of(header(), clients.view, NOW)[0] is CLIENT
        assert len(remembered._younger) + len(remembered._elder) <= 200
    assert remembered.client_of(first, clients.view, NOW)[0] is CLIENT
