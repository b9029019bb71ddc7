"""The synchronous client: the asynchronous one, on an event loop in a thread of its own.

    with LookupClient(load_enrolment(path)) as client:
        match client.lookup(parse_identifier(text), Occasion(User("jdoe", "nurse"))):
            case Known(records): ...
            case NoRecord(): ...

Invariants:

* One client serves any number of threads.
* A blocking socket's time limit is for each read, and name resolution has none; here a call ends
  in time whatever hangs, because it only waits for what another thread does.
* Connections are never shared with a forked child, in which two processes would read each other's
  answers: the child gets a loop and connections of its own at its first question.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from lookup.client.aio import AsyncLookupClient
from lookup.client.attempts import Patience
from lookup.client.enrolment import Enrolment
from lookup.client.outcome import Answer, BriefAnswer, CouldNotCheck, Reason, Recall
from lookup.client.questions import Occasion
from lookup.client.tls import Tls
from lookup.identifiers import Identifier

# The other thread keeps the time; this is for when it is starved, stuck or gone.
GRACE_SECONDS: Final = 1.0

T = TypeVar("T")


class LookupClient:
    """Asks one site; may be shared by all threads. Close it, or use `with`.

    Raises OSError from its construction when a file of `tls` cannot be used, and RuntimeError
    when it is used after it was closed.
    """

    def __init__(
        self,
        enrolment: Enrolment,
        *,
        patience: Patience | None = None,
        tls: Tls | None = None,
    ) -> None:
        patience = patience or Patience()
        self._seconds = patience.total_seconds + GRACE_SECONDS
        self._make = partial(AsyncLookupClient, enrolment, patience=patience, tls=tls)
        self._lock = Lock()
        self._engine: _Engine | None = _Engine(self._make())
        # A loop that a forked child inherits must not even be collected: closing it would take
        # the parent's sockets out of the epoll set that they share.
        self._inherited: list[_Engine] = []

    def lookup(self, identifier: Identifier, occasion: Occasion) -> Answer:
        """Return Known or NoRecord; raises CouldNotCheck for everything else that can happen."""
        return self._run(lambda client: client.lookup(identifier, occasion))

    def lookup_many(
        self, identifiers: Sequence[Identifier], occasion: Occasion
    ) -> tuple[BriefAnswer, ...]:
        """Return one answer for each of 1 to 1,000 identifiers, in their order: all, or none.

        Raises CouldNotCheck as `lookup` does.
        """
        return self._run(lambda client: client.lookup_many(identifiers, occasion))

    def recalls(self) -> tuple[Recall, ...]:
        """Return which answers are withdrawn: the hospital must delete what it stored of them.

            while recalls := client.recalls():
                for recall in recalls:
                    delete_what_was_stored_under(recall.requests)
                    look_up_again_whoever_is_still_here(recall.requests)
                client.acknowledge(recalls)

        Of each request that a recall names, whatever was kept under its `request_id`: the answer,
        notes and messages made from it, copies. Of a request that nobody knows here the answer was
        lost on its way; there is nothing to delete. Recalls that are not acknowledged are listed
        again. Ask regularly.

        Raises CouldNotCheck as `lookup` does: whether anything is withdrawn is not known then.
        """
        return self._run(AsyncLookupClient.recalls)

    def acknowledge(self, recalls: Sequence[Recall]) -> None:
        """Say that what these 1 to 100 recalls name is deleted; the site keeps that it was said.

        Returns when that is durable there. Raises CouldNotCheck as `lookup` does: it may have
        arrived or not, and to acknowledge again does no harm.
        """
        self._run(lambda client: client.acknowledge(recalls))

    def check(self) -> None:
        """Ask the canary now; raises CouldNotCheck unless a base URL answers it rightly."""
        self._run(AsyncLookupClient.check)

    def close(self) -> None:
        """Close all connections; questions under way in other threads end as could not check."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None and engine.process == os.getpid():
            engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, call: "Callable[[AsyncLookupClient], Coroutine[Any, Any, T]]") -> T:
        return self._own_engine().run(call, self._seconds)

    def _own_engine(self) -> "_Engine":
        with self._lock:
            if self._engine is None:
                raise RuntimeError("this client is closed")
            if self._engine.process != os.getpid():
                self._inherited.append(self._engine)
                self._engine = _Engine(self._make())
            return self._engine


class _Engine:
    """An event loop in a thread, and the client that lives on it."""

    def __init__(self, client: AsyncLookupClient) -> None:
        self.process = os.getpid()
        self._client = client
        self._stop = asyncio.Event()
        # With a factory, the Runner leaves the calling thread's own event loop alone.
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._thread = Thread(target=self._serve, name="lacuna-lookup", daemon=True)
        self._thread.start()

    def run(
        self, call: "Callable[[AsyncLookupClient], Coroutine[Any, Any, T]]", seconds: float
    ) -> T:
        """Run a call of the client over there and wait for it here."""
        coroutine = call(self._client)
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:  # closed by another thread, just now
            coroutine.close()
            raise
        try:
            with suppress(TimeoutError, CancelledError):
                return future.result(seconds)
        finally:
            future.cancel()
        raise CouldNotCheck(Reason.TIMED_OUT)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        # A name that does not resolve holds up the end of its loop, but must nobody who closes.
        self._thread.join(GRACE_SECONDS)

    def _serve(self) -> None:
        with self._runner:
            self._runner.run(self._wait())

    async def _wait(self) -> None:
        async with self._client:
            await self._stop.wait()
