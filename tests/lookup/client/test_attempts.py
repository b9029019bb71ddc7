"""When, where and how often is asked: the sans-I/O core, on a clock that tests turn."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup.client.attempts import (
    Attempts,
    Exchange,
    Failure,
    Patience,
    Reply,
    Send,
    T,
    seconds_since_boot,
)
from lookup.client.outcome import Answer, NoRecord, Reason
from lookup.client.questions import Questioner
from tests.lookup.client.scripted_site import (
    CANARY,
    CHILD,
    KEY,
    KNOWN,
    KNOWN_TEST,
    NO_RECORD,
    OCCASION,
    granted,
    make_enrolment,
    token_text,
)

FIRST, SECOND = "https://one.example", "https://two.example"
DAY = 24 * 3600.0
JSON = "application/json"


def _is_canary(send: Send) -> bool:
    return token_text(KEY, CANARY).encode() in send.body


def answer(send: Send, body: bytes) -> Reply:
    headers = {"x-request-id": send.headers["X-Request-ID"], "content-type": JSON}
    return Reply(200, headers, body)


def busy(retry_after: str | None = None) -> Reply:
    headers: Mapping[str, str] = {} if retry_after is None else {"retry-after": retry_after}
    return Reply(503, headers, b"")


def honest(send: Send) -> Reply:
    return answer(send, KNOWN_TEST if _is_canary(send) else NO_RECORD)


Host = Callable[[Send], Reply | Failure]


def grant(_: Send) -> Reply:
    return Reply(200, {}, json.dumps(granted("access")).encode())


@dataclass
class World:
    """Two hosts, a clock, and a record of everything that was done."""

    hosts: dict[str, Host]
    patience: Patience = field(default_factory=Patience)
    now: float = 1_000.0
    takes: float = 0.001
    access: Host = grant
    sent: list[tuple[float, str, Send]] = field(default_factory=list)
    fetched: list[tuple[float, Send]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.attempts = Attempts(
            make_enrolment(*self.hosts),
            self.patience,
            clock=lambda: self.now,
            jitter=lambda _, most: most,
        )

    def lookup(self) -> tuple[Answer, ...] | Reason:
        question = self.attempts.questioner.one(CHILD, OCCASION)
        return self.run(self.attempts.ask(question))

    def run(self, exchange: Exchange[T]) -> T:
        done: Reply | Failure | None = None
        while True:
            try:
                step = exchange.send(done)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Send):
                done = self._send(step)
            else:
                assert step.seconds > 0
                self.now += step.seconds
                done = None

    def _send(self, send: Send) -> Reply | Failure:
        if send.url.endswith("/oauth2/token"):
            self.fetched.append((self.now, send))
            reply = self.access(send)
        else:
            base_url = send.url.removesuffix("/v1/lookup")
            self.sent.append((self.now, base_url, send))
            reply = self.hosts[base_url](send)
        self.now += send.timeout if reply is Failure.TIMED_OUT else min(self.takes, send.timeout)
        return reply

    @property
    def asked(self) -> list[str]:
        return [base_url for _, base_url, _ in self.sent]

    @property
    def canaries(self) -> int:
        return sum(_is_canary(send) for _, _, send in self.sent)


def test_the_canary_is_asked_daily() -> None:
    world = World({FIRST: honest})
    for _ in range(2 * 48):
        assert world.lookup() == (NoRecord(),)
        world.now += 1_800

    assert world.canaries == 3


def test_no_record_is_never_believed_a_day_after_the_canary() -> None:
    """However the day is cut into pieces, and although the canary then fails."""
    world = World({FIRST: honest})
    world.lookup()
    asked = world.sent[0][0]
    world.hosts[FIRST] = lambda send: answer(send, NO_RECORD)

    while world.now - asked < 1.5 * DAY:
        believed = world.lookup() == (NoRecord(),)
        assert not believed or world.now - asked < DAY
        world.now += 977

    assert world.lookup() is Reason.CANARY_FAILED


def test_each_base_url_has_to_earn_its_trust() -> None:
    world = World({FIRST: honest, SECOND: honest})
    world.lookup()
    world.hosts[FIRST] = lambda _: busy()
    world.hosts[SECOND] = lambda send: answer(send, NO_RECORD)

    assert world.lookup() is Reason.CANARY_FAILED


def test_a_failed_check_takes_trust_away() -> None:
    world = World({FIRST: honest})
    world.lookup()
    world.hosts[FIRST] = lambda send: answer(send, NO_RECORD)

    assert world.run(world.attempts.check()) is Reason.CANARY_FAILED
    assert world.lookup() is Reason.CANARY_FAILED


def test_a_canary_that_cannot_be_asked_takes_none_away() -> None:
    world = World({FIRST: honest})
    world.lookup()
    world.hosts[FIRST] = lambda _: busy()
    world.run(world.attempts.check())
    world.hosts[FIRST] = honest
    before = world.canaries

    assert world.lookup() == (NoRecord(),)
    assert world.canaries == before


def test_pauses_grow_and_attempts_end() -> None:
    world = World({FIRST: lambda _: busy()}, takes=0.0)

    assert world.lookup() is Reason.UNAVAILABLE
    times = [time - 1_000.0 for time, _, _ in world.sent]
    assert times == pytest.approx([0, 0.05, 0.15, 0.35])


def test_hosts_take_turns() -> None:
    world = World({FIRST: lambda _: busy(), SECOND: lambda _: busy()})
    world.lookup()

    assert world.asked == [FIRST, SECOND, FIRST, SECOND]


def test_retry_after_holds_for_its_host_alone() -> None:
    world = World({FIRST: lambda _: busy("1"), SECOND: lambda _: busy()})
    world.lookup()

    assert world.asked == [FIRST, SECOND, SECOND, SECOND]


@pytest.mark.parametrize("retry_after", ["2", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_what_is_too_long_or_unreadable_is_not_waited_for(retry_after: str) -> None:
    world = World({FIRST: lambda _: busy(retry_after)})

    assert world.lookup() is Reason.UNAVAILABLE
    assert len(world.sent) == 1


def test_the_next_question_is_asked_all_the_same() -> None:
    """It is about another child; the host that asked for a pause is only asked last."""
    world = World({FIRST: lambda _: busy("3600")})
    world.lookup()
    world.hosts[FIRST] = honest

    assert world.lookup() == (NoRecord(),)


def test_a_failed_host_gets_another_chance() -> None:
    world = World({FIRST: lambda _: Failure.TIMED_OUT, SECOND: honest})
    world.lookup()
    world.hosts[FIRST] = honest
    world.lookup()
    world.now += 31
    world.lookup()

    assert world.asked == [FIRST, SECOND, SECOND, SECOND, FIRST, FIRST]


def test_a_known_answer_needs_no_canary() -> None:
    world = World({FIRST: lambda send: answer(send, KNOWN)})

    assert isinstance(world.lookup(), tuple)


HOSTS: dict[str, Host] = {
    "honest": honest,
    "busy": lambda _: busy(),
    "busy for a second": lambda _: busy("1"),
    "slow": lambda _: Failure.TIMED_OUT,
    "down": lambda _: Failure.UNREACHABLE,
    "wrong": lambda send: answer(send, NO_RECORD),
    "broken": lambda send: answer(send, b""),
    "strict": lambda _: Reply(401, {}, b""),
}


@given(
    st.lists(st.tuples(st.sampled_from(list(HOSTS)), st.sampled_from(list(HOSTS))), max_size=12),
    st.floats(0, 0.3),
)
def test_promises_hold_whatever_hosts_do(histories: list[tuple[str, str]], takes: float) -> None:
    """At least one request, bounded visits and time, one request id, no untrusted *no record*."""
    world = World({FIRST: honest, SECOND: honest}, takes=takes)
    for first, second in histories:
        world.hosts = {FIRST: HOSTS[first], SECOND: HOSTS[second]}
        began, before = world.now, len(world.sent)
        result = world.lookup()
        sent = [(url, send) for _, url, send in world.sent[before:]]

        # One canary and one question a visit; each is sent again where its access was refused.
        assert len(sent) <= 4 * world.patience.attempts
        assert world.now - began <= world.patience.total_seconds + 1e-9
        ids = {send.headers["X-Request-ID"] for _, send in sent if not _is_canary(send)}
        assert len(ids) <= 1
        if result == (NoRecord(),):
            assert HOSTS[first if sent[-1][0] == FIRST else second] in {honest, HOSTS["wrong"]}
            assert any(url == sent[-1][0] and _is_canary(send) for _, url, send in world.sent)


WRONG_PATIENCE = [
    {"total_seconds": 0.0},
    {"total_seconds": float("nan")},
    {"attempt_seconds": 3.0},
    {"total_seconds": 61.0, "attempt_seconds": 1.0},
    {"attempts": 0},
    {"attempts": 17},
    {"pause_seconds": -1.0},
]


@pytest.mark.parametrize("wrong", WRONG_PATIENCE)
def test_patience_has_bounds(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="patience needs"):
        Patience(**wrong)  # type: ignore[arg-type]  # attempts is an int in the table too


def test_the_clock_runs_through_suspension() -> None:
    """A laptop that slept over the weekend must not think that its canary is fresh."""
    uptime = Path("/proc/uptime").read_text(encoding="ascii").split()[0]

    assert seconds_since_boot() == pytest.approx(float(uptime), abs=1)


def test_the_canary_has_questions_of_its_own() -> None:
    """It is asked for nobody: no user of a hospital is named with it."""
    body = Questioner(make_enrolment(FIRST)).canary().body

    assert b'"user":{"id":"canary","role":"canary"}' in body
