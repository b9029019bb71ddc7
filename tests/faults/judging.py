"""What must be true after a fault, wherever it hit (G6).

* Nothing acknowledged is lost; a step that was not acknowledged is done wholly or not at all.
* What was decided is done: a store with an intent in it is where the intent leads, after a start.
* Each registered slot holds exactly one key, of the store's epoch; one that was let go holds none.
* The anchors say where the store stands, and the mirror equals it.
* What was due is carried out; each case that was, and each sweep, has one certificate, and each
  certificate and each step of a case has one leaf of the log. Of a case that was carried out
  nothing else is left.
* Every audited request is in the chain once, its record's notice is there once, and no segment is
  left, nor a notice of a record that is gone.
* The next start has nothing left to do.
* A thief with every byte of then and now, and the secrets of now, finds all that lives and nothing
  of what does not.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import pytest

from tests.faults.casework import note
from tests.faults.examination import Answer, Question
from tests.faults.operations import OPERATIONS
from tests.faults.playing import Outcome, Refused, Stage
from tests.faults.site import lasting, passing

_CASE: Final = "case of "


class Play:
    """One operation, performed again and again from one folder.

    `secrets` names, in hex, what records have: `name/...` as long as they live, `name/version/...`
    in that version alone, `name/from version/...` in that one and later ones (a link that an update
    takes off leaves its handle), `case of name/...` as long as there is a case about it.
    """

    def __init__(
        self,
        stage: Stage,
        name: str,
        base: Path | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        """Perform the operation without a fault, and judge that.

        Another base than its own is where other things were done before, to these secrets.
        """
        self.stage = stage
        self.name = name
        self.operation = OPERATIONS[name]
        self.base = base or stage.base(self.operation.base)
        self.past = stage.copy(self.base)
        self.states = self.operation.states()
        self.elsewhere = base is not None
        self.secrets = dict(secrets or {})
        self.certified = 0  # before the operation
        self._know_before()
        for about in {*self.operation.cases, self.operation.opens} - {""}:
            self.secrets[f"{_CASE}{about}/text"] = note(about).encode().hex()
        outcome = stage.perform(name, self.base)
        assert outcome.status == 0, outcome.raised
        self.calls = outcome.calls
        answer = self._examine(outcome.folder, outcome.copy, done=True)
        self.secrets |= answer.started.secrets | dict(_texts(answer.started.state))
        self.judge(outcome)
        stage.forget(outcome)

    def judge(self, outcome: Outcome) -> None:
        """Start after an outcome, and see that all is as it must be.

        Raises AssertionError or Refused.
        """
        folder, done = outcome.folder, outcome.answers == len(self.states) - 1
        if self.states[0] and not (folder / "store" / "vault.db").exists():
            self._repeat_restore(folder)
        answer = self._examine(folder, outcome.copy, done=done)
        possible = self.states[outcome.answers + answer.decided : outcome.answers + 2]
        found = answer.started.at_start
        assert found in possible, f"{found} is none of {possible}"
        self._judge_cases(answer, outcome.answers)
        self._compare(answer)
        if answer.again.registered != len(answer.again.slots):
            answer = self._examine(folder, outcome.copy, done=True)
            assert answer.again.registered == len(answer.again.slots), str(answer)
            self._compare(answer)
        if self.operation.passphrase_after:
            self._try_the_old_passphrase(folder, done=done or answer.decided)

    def _know_before(self) -> None:
        """Learn the secrets of the base; one that is not the operation's own says its state."""
        if not (self.base / "store" / "vault.db").exists():
            return
        folder = self.stage.copy(self.base)
        started = self._examine(folder, self.past, done=False).started
        self.stage.remove(folder)
        if self.elsewhere:
            self.states = [started.at_start] * len(self.states)
            self.certified = len(started.cases.certified)
        assert started.at_start == self.states[0]
        self.secrets |= started.secrets | dict(_texts(started.state))

    def _judge_cases(self, answer: Answer, answers: int) -> None:
        started, operation = answer.started, self.operation
        before, after = started.cases_at_start, started.cases
        for found in (before, after):
            assert not found.twice, f"{found.twice} leaves are in the log twice"
            assert set(found.logged) <= {1}, f"steps are logged so often: {found.logged}"
            assert set(found.certified) <= {1}, f"certificates are logged: {found.certified}"
            assert not found.waiting, f"{found.waiting} cases have no certificate"
        left = {name: v for name, v in started.at_start.items() if name not in before.due}
        assert started.state == left, f"{started.state}, of {started.at_start} due: {before.due}"
        assert not after.due, f"still due: {after.due}"
        if self.elsewhere:
            return
        known = {*operation.before, *(operation.cases if answers else ())}
        gone = [name for name in operation.cases if name in known and name not in started.state]
        swept = bool(operation.swept) and operation.swept not in started.state
        assert len(after.certified) == len(gone) + swept, f"{len(after.certified)} certificates"
        assert not set(gone) & set(after.open), f"cases of {gone} are still there"
        there = {name for name in operation.cases if name in started.state}
        assert set(after.open) >= there & operation.before.keys()
        if operation.opens:
            steps = after.steps.get(operation.opens, 0)
            assert answers <= steps <= answers + 1, f"{steps} steps, {answers} answers"

    def _repeat_restore(self, folder: Path) -> None:
        """See that a site without a store does not start, and that this has spoilt nothing."""
        with pytest.raises(Refused, match="StoreError: there is no store"):
            self._examine(folder, folder, done=True)
        self.stage.do("bring back", str(folder))

    def _compare(self, answer: Answer) -> None:
        started, again = answer.started, answer.again
        assert started.tables == 1, f"there are {started.tables} tables"
        audited = self.operation.audited
        assert started.requests == list(range(audited)), f"audited: {started.requests}"
        asked_for = [name for name in ("ann", "bob") if name in started.state]
        told = sorted(asked_for * (audited // 2))
        assert started.notices == told, f"told: {started.notices}"
        assert not started.segments, f"{started.segments} segments are left"
        assert again.finished == 0, "the second start had something to do"
        assert again.anchors_fit, "an anchor does not say where the store stands"
        assert again.mirror_fits, "the mirror does not equal the store"
        assert all(held == [again.epoch] for held in again.slots.values()), str(again)
        assert not any(again.let_go.values()), str(again)
        stolen = set(answer.stolen)
        living = {name for name in self.secrets if _lives(name, started.state, started.cases.open)}
        assert not stolen - living, f"the thief found {sorted(stolen - living)}"
        assert not living - stolen, f"the thief did not find {sorted(living - stolen)}"

    def _try_the_old_passphrase(self, folder: Path, *, done: bool) -> None:
        """After the change it opens nothing, whatever one has besides."""
        slots = " ".join(self.operation.slots_after)
        try:
            self.stage.do("start again", slots, "0", str(folder))
        except Refused as refused:
            if refused.type != "WrongPassphrase":
                raise
            hunted = msgspec.json.encode(self.secrets).decode()
            assert not self.stage.ask(list[str], "hunt", "0", hunted, str(self.past), str(folder))
        else:
            assert not done, "the old passphrase opens the site"

    def _examine(self, folder: Path, then: Path, *, done: bool) -> Answer:
        """Start with the configuration and passphrase of after, or if it is not done, of before.

        Whoever changed the passphrase and has heard no answer tries the new one first.
        """
        operation = self.operation
        question = Question(
            slots=list(operation.slots_after if done else operation.slots),
            passphrases=sorted({operation.passphrase_after, *([] if done else [0])}, reverse=True),
            then=str(then),
            earlier=[str(self.past)],
            secrets=self.secrets,
        )
        asked = msgspec.json.encode(question).decode()
        return self.stage.ask(Answer, "examine", asked, str(folder))


def _texts(state: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield name and hex of each text that only one record has."""
    for name, version in state.items():
        for number, text in enumerate(lasting(name)):
            yield f"{name}/text {number}", text.encode().hex()
        for number, text in enumerate(passing(name, version)):
            yield f"{name}/{version}/text {number}", text.encode().hex()


def _lives(secret: str, state: Mapping[str, int], cases: Collection[str]) -> bool:
    if secret.startswith(_CASE):
        return secret.removeprefix(_CASE).partition("/")[0] in cases
    name, *version = secret.split("/")[:-1]
    now = state.get(name, 0)
    since = [f"from {each}" for each in range(1, now + 1)]
    return now > 0 and (not version or version[0] in {str(now), *since})
