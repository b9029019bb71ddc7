"""A day of hospitals, for locust: `make load` plays it headless, `make load-ui` on a web page.

    hospitals     of different size: a large one asks twenty times as often as a small one
    the day       run time stands for 24 hours: quiet nights, a morning and an evening peak
    children      97 in 100 unknown; one in four encounters is asked about again, in the same words
    batch users   clinic lists of 50 to 1,000 children
    bad clients   wrong secrets, no request id, broken bodies, unknown kids, wrong methods

Invariants:

* An answer counts only if it is right: 200, of its one length, *known* for a child who is known
  and *no-record* for one who is not. Everything else is a failure, a 429 too.
* What a bad client is refused is expected, and no failure; what it is *not* refused is one.
* Names of requests are those of this file; nothing of a request gets into a report.

DAY names the file that bench/day.py writes: hospitals with their enrolments, tokens of known
children.
"""

import json
import math
import os
import random
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final
from uuid import uuid4

from locust import FastHttpUser, LoadTestShape, between, constant, events, task

from bench.proving import RENEW_SECONDS, authorization
from lookup.client.enrolment import Enrolment, parse_enrolment
from lookup.config import parse_address
from lookup.wire import ANSWER_SIZE, BATCH_ANSWER_SIZE

DAY: Final = json.loads(Path(os.environ["DAY"]).read_text())
_CHANCE: Final = random.Random()  # noqa: S311  # a play, no secret
_KNOWN: Final = tuple(DAY["known"])
_SHARE_KNOWN: Final = 0.03
_SHARE_AGAIN: Final = 0.25
_CLINICS: Final = (50, 100, 250, 1_000)
_SPAWN: Final = 50


@dataclass(slots=True)
class Hospital:
    """A client, and what it proves itself with now."""

    enrolment: Enrolment
    weight: int
    _authorization: str = ""
    _until: float = field(default=0.0)

    def authorization(self) -> str:
        """Return the header's value, renewed in time."""
        if time.monotonic() >= self._until:
            address = parse_address(DAY["address"])
            self._authorization = authorization(self.enrolment, address)
            self._until = time.monotonic() + RENEW_SECONDS
        return self._authorization


_HOSPITALS: Final = tuple(
    Hospital(parse_enrolment(json.dumps(each["enrolment"]).encode()), each["weight"])
    for each in DAY["hospitals"]
)


def _headers(authorization: str) -> dict[str, str]:
    return {
        "Authorization": authorization,
        "X-Request-ID": str(uuid4()),
        "Content-Type": "application/json",
    }


def _child() -> tuple[str, str]:
    """Return a token, and what is to be answered."""
    if _CHANCE.random() < _SHARE_KNOWN:
        return _CHANCE.choice(_KNOWN), "known"
    return urlsafe_b64encode(os.urandom(32)).decode().rstrip("="), "no-record"


def _occasion(encounter: str, role: str) -> dict[str, Any]:
    return {
        "purpose": "unscheduled-care",
        "user": {"id": f"staff-{_CHANCE.randrange(400):04d}", "role": role},
        "encounter": encounter,
    }


class Person(FastHttpUser):
    """Somebody at a hospital."""

    abstract = True
    insecure = True
    hospital: Hospital

    def on_start(self) -> None:
        """Belong to a hospital, more often to a large one."""
        weights = [hospital.weight for hospital in _HOSPITALS]
        (self.hospital,) = _CHANCE.choices(_HOSPITALS, weights)


class Triage(Person):
    """A nurse at the front door: one child after another."""

    weight = 40
    wait_time = between(0.2, 1.5)

    @task
    def arrive(self) -> None:
        """Ask about a child; often again, from another screen and in the same words."""
        token, expected = _child()
        content = {
            "kid": self.hospital.enrolment.kid,
            "token": token,
            **_occasion(f"ED-{uuid4().hex[:12]}", "triage-nurse"),
        }
        self._ask(content, expected)
        while _CHANCE.random() < _SHARE_AGAIN:
            self._ask(content, expected)

    def _ask(self, content: dict[str, Any], expected: str) -> None:
        headers = _headers(self.hospital.authorization())
        with self.client.post(
            "/v1/lookup", json=content, headers=headers, name="lookup", catch_response=True
        ) as response:
            body = response.content or b""
            if response.status_code != 200:
                response.failure(f"status {response.status_code}")
            elif len(body) != ANSWER_SIZE or json.loads(body)["outcome"] != expected:
                response.failure("a wrong answer")


class Clinic(Person):
    """A list of tomorrow's appointments."""

    weight = 2
    wait_time = between(5, 15)

    @task
    def check_list(self) -> None:
        """Ask about all at once."""
        children = [_child() for _ in range(_CHANCE.choice(_CLINICS))]
        content = {
            "kid": self.hospital.enrolment.kid,
            "tokens": [token for token, _ in children],
            **_occasion(f"CL-{uuid4().hex[:12]}", "clinic-clerk"),
            "purpose": "scheduled-care",
        }
        with self.client.post(
            "/v1/lookups",
            json=content,
            headers=_headers(self.hospital.authorization()),
            name="batch",
            catch_response=True,
        ) as response:
            body = response.content or b""
            if response.status_code != 200:
                response.failure(f"status {response.status_code}")
            elif len(body) != (BATCH_ANSWER_SIZE + 1) * len(children) + 1 or [
                answer["outcome"] for answer in json.loads(body)
            ] != [expected for _, expected in children]:
                response.failure("a wrong answer")


class BadClient(Person):
    """Somebody who does it wrong, by mistake or not. None of it may get an answer."""

    weight = 3
    wait_time = constant(1)
    refused: ClassVar[range] = range(400, 500)

    def _expect_refusal(self, name: str, method: str = "POST", **request: Any) -> None:  # noqa: ANN401  # what locust takes
        request.setdefault("headers", _headers(self.hospital.authorization()))
        with self.client.request(
            method, "/v1/lookup", name=f"bad: {name}", catch_response=True, **request
        ) as response:
            if response.status_code in self.refused:
                response.success()
            else:
                response.failure(f"status {response.status_code}")

    def _content(self) -> dict[str, Any]:
        kid = self.hospital.enrolment.kid
        return {"kid": kid, "token": _child()[0], **_occasion("ED-1", "triage-nurse")}

    @task
    def wrong_secret(self) -> None:
        """A secret that nobody has."""
        wrong = f"Bearer {urlsafe_b64encode(os.urandom(42)).decode()}"
        self._expect_refusal("secret", json=self._content(), headers=_headers(wrong))

    @task
    def no_request_id(self) -> None:
        """A request that nobody can be asked about later."""
        headers = _headers(self.hospital.authorization())
        del headers["X-Request-ID"]
        self._expect_refusal("request id", json=self._content(), headers=headers)

    @task
    def broken_body(self) -> None:
        """Not JSON."""
        self._expect_refusal("body", data=b'{"kid":')

    @task
    def unknown_kid(self) -> None:
        """A lookup key that was never live."""
        self._expect_refusal("kid", json=self._content() | {"kid": "x" * 16})

    @task
    def identifier_in_the_clear(self) -> None:
        """A member that the protocol does not know: the very thing that must not be sent."""
        self._expect_refusal("member", json=self._content() | {"nhs": "made up"})

    @task
    def wrong_method(self) -> None:
        """A lookup is no page."""
        self._expect_refusal("method", method="GET")


class Day(LoadTestShape):
    """24 hours in the time that the run takes."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """Return how many people there are now, None when the day is over."""
        runner: Any = self.runner
        options = runner.environment.parsed_options
        run_time, most = options.run_time, options.num_users
        passed: float = self.get_run_time()  # type: ignore[no-untyped-call]  # locust's
        if run_time and passed >= run_time:
            return None
        hour = 24 * passed / run_time if run_time else time.localtime().tm_hour
        return max(1, round(most * busy(hour))), _SPAWN


def busy(hour: float) -> float:
    """Return how busy front doors are at an hour of the day, from 0.15 to about 1."""

    def peak(at: float, width: float) -> float:
        return math.exp(-(((hour - at) / width) ** 2))

    return min(1.0, 0.15 + 0.85 * peak(10.5, 2.5) + 0.7 * peak(19, 2.5))


@events.quitting.add_listener  # type: ignore[untyped-decorator]  # locust's
def _write_summary(environment: Any, **_: object) -> None:  # noqa: ANN401  # locust's own
    path = os.environ.get("DAY_SUMMARY")
    if path is None:
        return
    stats = environment.stats
    total = stats.total
    seconds = max(1e-9, (total.last_request_timestamp or 0) - (total.start_time or 0))
    found = {
        "requests": total.num_requests,
        "failures": total.num_failures,
        "requests/s": round(total.num_requests / seconds, 1),
        "kinds": {
            name: {
                "requests": entry.num_requests,
                "failures": entry.num_failures,
                "p50, ms": entry.get_response_time_percentile(0.5),
                "p99, ms": entry.get_response_time_percentile(0.99),
            }
            for (name, _method), entry in sorted(stats.entries.items())
        },
        "errors": [
            {"kind": error.name, "error": str(error.error), "times": error.occurrences}
            for error in stats.errors.values()
        ],
    }
    Path(path).write_text(json.dumps(found, indent=2) + "\n")
