"""A thread for what may block, for ever if a medium hangs: the event loop goes on meanwhile.

Calls are made one after another, in their order; of each the loop's thread hears the result. The
thread is a daemon: a process that ends does not wait for a medium that hangs.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeVar

Result = TypeVar("Result")


class Helper:
    """One such thread, started with the first call."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def run(
        self,
        call: Callable[[], Result],
        done: Callable[[Result | None, Exception | None], None],
    ) -> None:
        """Have `call` made, and `done` called with what it returned, or raised, by this loop."""
        loop = asyncio.get_running_loop()

        def make() -> None:
            result, failure = None, None
            try:
                result = call()
            except Exception as error:  # noqa: BLE001  # it is told, whatever it is
                failure = error
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(done, result, failure)

        if not self._thread.is_alive():
            self._thread.start()
        self._calls.put(make)

    def end(self) -> None:
        """End the thread, once all calls of now are made."""
        self._calls.put(None)

    def _work(self) -> None:
        while (make := self._calls.get()) is not None:
            make()
