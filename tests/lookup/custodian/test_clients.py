"""What is kept of clients, and what workers are told of them."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from keys.entry import MAX_BODY, Entry, Kind, new_entry_id
from lookup.cells import MAX_CLIENTS
from lookup.custodian.clients import (
    MAX_CERTIFICATES,
    MAX_FORMER,
    MAX_NAME,
    MOST_PER_DAY,
    MOST_PER_SECOND,
    Allowance,
    ClientCard,
    Secret,
    read_client,
    tell_clients,
    tell_former,
)
from lookup.handoff import MAX_FRAME, Authority, Category, View, make_frame
from lookup.index.layout import NO_DAY

HASH = st.binary(min_size=32, max_size=32)
LARGEST = Allowance(
    MOST_PER_SECOND, MOST_PER_DAY, batch=False, certificates=(bytes(32),) * MAX_CERTIFICATES
)


def largest(number: int) -> ClientCard:
    """The client of whom the most is to be said."""
    secrets = [(4 * number + n).to_bytes(32, "big") for n in range(1 + MAX_FORMER)]
    return ClientCard(
        new_entry_id(Kind.CLIENT),
        "🏥" * MAX_NAME,
        2**32,
        number,
        (Secret(secrets[0]), *(Secret(each, 2**32) for each in secrets[1:])),
        LARGEST,
    )


CARDS = st.builds(
    ClientCard,
    st.builds(lambda: new_entry_id(Kind.CLIENT)),
    st.text(max_size=MAX_NAME),
    st.integers(0, 2**40),
    st.integers(0, MAX_CLIENTS - 1),
    st.builds(
        lambda newest, former: (Secret(newest), *former),
        HASH,
        st.lists(st.builds(Secret, HASH, st.integers(0, 2**40)), max_size=MAX_FORMER),
    ),
    st.builds(
        Allowance,
        st.integers(1, MOST_PER_SECOND),
        st.integers(1, MOST_PER_DAY),
        st.booleans(),
        st.lists(HASH, max_size=MAX_CERTIFICATES).map(tuple),
    ),
)


@given(CARDS)
def test_a_card_is_read_as_it_was_written(card: ClientCard) -> None:
    """And nothing of it prints."""
    assert read_client(card.entry()) == card
    assert repr(card) == "<ClientCard>"


def test_a_later_version_may_say_more() -> None:
    """Members are added at the end; this one reads over them."""
    card = largest(7)
    body = [*msgspec.msgpack.decode(card.entry().body), "later", {"more": 1}]

    assert read_client(Entry(Kind.CLIENT, card.entry_id, msgspec.msgpack.encode(body))) == card


def test_only_what_is_valid_yet_is_former() -> None:
    secrets = (Secret(bytes(32)), Secret(b"1" * 32, 100), Secret(b"2" * 32, 200))
    card = ClientCard(new_entry_id(Kind.CLIENT), "A", 0, 0, secrets, Allowance())

    assert card.former(99) == secrets[1:]
    assert card.former(100) == secrets[2:]
    assert card.former(200) == ()


def test_as_many_clients_as_there_may_be_fit_into_a_view() -> None:
    """Each with the longest name, all its certificates and former secrets."""
    cards = [largest(number) for number in range(MAX_CLIENTS)]
    number = "0" * 40
    view = View(
        number=1,
        vault=bytes(16),
        table="/" * 200,
        index_key=bytes(32),
        kids=["k" * 16] * 2,
        clients=tell_clients(cards),
        authorities=[Authority("C" * 16, "🏛" * 80, number, number)] * 1_024,
        categories=[Category("c" * 32, answerable=True)] * 16,
        belt_seconds=NO_DAY,
        token_key=bytes(32),
        former=tell_former(cards),
    )

    assert len(make_frame(view)) <= MAX_FRAME
    assert len(view.clients) == MAX_CLIENTS
    assert len(view.former) == MAX_FORMER * MAX_CLIENTS
    assert max(len(card.entry().body) for card in cards) <= MAX_BODY
