"""The writer: the one thread that owns custody. Commands in, one commit per group.

Invariants:

* Commands run in the order of their arrival. Additions that wait together share a commit, as long
  as they do not speak of the same record or source; each hears its own result.
* A command that fails before anything is written fails alone. Any other failure, also a defect of
  this thread, stops the vault and with it this process, with nobody answered: what is durable is
  then for the next start to find out.
* Idle moments are used: the slots prepare, a table in the making goes on, the log is published.
  Every second, idle or not, the audit is taken in, and what cases are due is done; every ten
  minutes at least the anchors are written, for they count the running time.
* After each day that the site has run, over its starts and however busy it is, the epoch changes
  (aborted writes are forgotten, and the root key stays far from its limit), a new table is begun (a
  new index key; what has expired leaves), and what was kept long enough is swept.
"""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from keys.entry import Batch, EntryId
from keys.errors import Stopped
from keys.pages import NO_BLOBS, BlobChange
from keys.vault import Receipt
from lookup.cases.standing import DAY
from lookup.custodian.cases.carrying_out import tend
from lookup.custodian.cases.case import Signed
from lookup.custodian.cases.recalling import acknowledge
from lookup.custodian.custody import Custody, Edit
from lookup.custodian.retention.sweeping import Sweep

T = TypeVar("T")

GROUP_LIMIT: Final = 256  # commands in one commit
_TEND: Final = 1.0  # seconds between two looks at what cases are due
_IDLE: Final = 0.05  # seconds without a command before an idle moment is used


@dataclass(frozen=True, slots=True)
class Prepared(Generic[T]):
    """A change that a command has worked out, and what it will answer once that is durable.

    `log` are leaves for the log; the receipt that the answer is made from names their positions.
    """

    answer: Callable[[Receipt | None], T]
    batch: Batch = ()
    blobs: BlobChange = NO_BLOBS
    edits: tuple[Edit, ...] = ()
    steps: tuple[Signed, ...] = ()
    touches: frozenset[bytes] = frozenset()

    @property
    def empty(self) -> bool:
        """Say whether there is nothing to write."""
        return not (self.batch or self.blobs.put or self.blobs.delete or self.steps)


Prepare = Callable[[Custody], Prepared[T]]


@dataclass(frozen=True, slots=True)
class _Command:
    """`prepare` for what may share a commit, `run` for what needs custody to itself."""

    future: Future[Any]
    prepare: Prepare[Any] | None = None
    run: Callable[[Custody], Any] | None = None


class Writer:
    """Runs commands against custody."""

    def __init__(self, custody: Custody, on_failure: Callable[[BaseException], None]) -> None:
        self._custody = custody
        self._on_failure = on_failure
        self._commands: queue.SimpleQueue[_Command | None] = queue.SimpleQueue()
        self._held: _Command | None = None
        self._failure: BaseException | None = None
        # A day that is over while the site starts has its chores, too.
        self._day = custody.vault.elapsed_before // DAY
        self._cases_due = 0.0
        self._sweep: Sweep | None = None
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)

    def start(self) -> None:
        """Begin to take commands, and what workers pass on."""
        self._custody.door.on_acknowledged = self._acknowledge
        self._thread.start()

    def stop(self) -> None:
        """Finish what was submitted, close the vault, end the thread."""
        self._commands.put(None)
        self._thread.join()

    def change(self, prepare: Prepare[T]) -> Future[T]:
        """Submit a change; the future ends when it is durable and every worker has passed."""
        future: Future[T] = Future()
        self._commands.put(_Command(future, prepare=prepare))
        return future

    def call(self, run: Callable[[Custody], T]) -> Future[T]:
        """Run something with custody to itself: reads, slots, keys."""
        future: Future[T] = Future()
        self._commands.put(_Command(future, run=run))
        return future

    def _acknowledge(self, client: str, recalls: list[bytes]) -> None:
        """Take note only: who calls is the thread that listens to a worker."""
        ids = [EntryId(each) for each in recalls]
        self.call(lambda custody: acknowledge(custody, bytes.fromhex(client), ids))

    def _work(self) -> None:
        try:
            self._run_all()
        except BaseException as error:  # noqa: BLE001  # whatever it is, it ends the process
            self._end(error)
            self._refuse_all()
        try:
            self._custody.vault.close()
        except BaseException as error:  # noqa: BLE001  # as above
            self._end(error)

    def _run_all(self) -> None:
        while (command := self._next()) is not None:
            if command.prepare is not None:
                self._group(command)
            elif command.run is not None and command.future.set_running_or_notify_cancel():
                self._settle(command.future, command.run)
            del command  # it knows a child, and the next one may be long in coming
            if self._failure is not None:
                raise self._failure
            if self._today() > self._day or self._is_busy or self._custody.audit.is_due:
                self._use_idle_moment()  # none of them may starve under load

    def _end(self, error: BaseException) -> None:
        """End the process before anybody is answered: nobody knows here what is durable."""
        if self._failure is None:
            self._failure = error
            self._custody.vault.stop()
            self._on_failure(error)

    def _refuse_all(self) -> None:
        """Refuse whoever asks until `stop`, where a failure did not end the process: in tests."""
        while (command := self._commands.get()) is not None:
            if command.future.set_running_or_notify_cancel():
                command.future.set_exception(Stopped("a failure has stopped this custodian"))

    def _next(self) -> _Command | None:
        """Return the next command; use the idle moments before it comes."""
        held, self._held = self._held, None
        if held is not None:
            return held
        while True:
            try:
                return self._commands.get(timeout=0 if self._is_busy else _IDLE)
            except queue.Empty:
                self._use_idle_moment()

    @property
    def _is_busy(self) -> bool:
        """Say whether something goes on in steps."""
        return self._custody.build is not None or self._sweep is not None

    def _today(self) -> int:
        return self._custody.vault.elapsed // DAY

    def _use_idle_moment(self) -> None:
        if self._today() > self._day:
            self._day = self._today()
            self._custody.purge(self._custody.clock())
            self._custody.begin_build()
            self._sweep = Sweep()
        self._custody.vault.prepare()
        self._custody.vault.keep_time()
        self._custody.audit.use_idle_moment()
        if _boot_clock() >= self._cases_due or self._custody.search is not None:
            self._cases_due = _boot_clock() + _TEND
            self._custody.mistrust_table()
            tend(self._custody)
        self._custody.log.publish_some()
        self._custody.step_build()
        if self._sweep is not None and self._sweep.step(self._custody):
            self._sweep = None

    def _group(self, first: _Command) -> None:
        """Prepare commands until one does not fit, then commit what was prepared."""
        ready: list[tuple[_Command, Prepared[Any]]] = []
        touched: set[bytes] = set()
        command: _Command | None = first
        while command is not None:
            if command.prepare is None:
                self._held = command
                break
            prepared = self._prepare(command, command.prepare)
            if prepared is not None:
                if touched & prepared.touches:
                    self._held = command
                    break
                touched |= prepared.touches
                ready.append((command, prepared))
            command = self._waiting() if len(ready) < GROUP_LIMIT else None
        self._commit(ready)

    def _waiting(self) -> _Command | None:
        try:
            command = self._commands.get_nowait()
        except queue.Empty:
            return None
        if command is None:
            self._commands.put(None)  # the end: after this group
        return command

    def _prepare(self, command: _Command, prepare: Prepare[Any]) -> Prepared[Any] | None:
        if not command.future.running() and not command.future.set_running_or_notify_cancel():
            return None  # the caller went away before its turn
        try:
            return prepare(self._custody)
        except Exception as error:  # noqa: BLE001  # it is the caller's to hear
            command.future.set_exception(error)
            return None

    def _commit(self, ready: list[tuple[_Command, Prepared[Any]]]) -> None:
        changes = [prepared for _, prepared in ready if not prepared.empty]
        receipt: Receipt | None = None
        if changes:
            try:
                receipt = self._custody.commit(
                    tuple(step for change in changes for step in change.batch),
                    BlobChange(
                        tuple(blob for change in changes for blob in change.blobs.put),
                        tuple(blob for change in changes for blob in change.blobs.delete),
                    ),
                    tuple(edit for change in changes for edit in change.edits),
                    tuple(step for change in changes for step in change.steps),
                )
            except BaseException as error:  # noqa: BLE001  # the callers hear
                self._fail(ready, error)
                return
        for command, prepared in ready:
            command.future.set_result(prepared.answer(receipt))

    def _fail(self, ready: list[tuple[_Command, Prepared[Any]]], error: BaseException) -> None:
        """Nothing written: let each command of the group find out alone. Otherwise: the end."""
        if len(ready) > 1 and not self._custody.vault.stopped:
            for command, prepared in ready:
                self._commit([(command, prepared)])
            return
        for command, _ in ready:
            self._refuse(command.future, error)

    def _settle(self, future: Future[Any], run: Callable[[Custody], Any]) -> None:
        try:
            result = run(self._custody)
        except BaseException as error:  # noqa: BLE001  # the caller hears
            self._refuse(future, error)
        else:
            future.set_result(result)

    def _refuse(self, future: Future[Any], error: BaseException) -> None:
        """Tell a caller, unless the vault was stopped by it."""
        if self._custody.vault.stopped:
            self._end(error)
        future.set_exception(error)


def _boot_clock() -> float:
    """Seconds that count while the machine sleeps, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
