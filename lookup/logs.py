"""What the processes of a site write to their logs, and what cannot get there.

Invariants:

* Of an exception only its type and its place in the code are logged: messages and tracebacks of
  foreign code quote their input (an unhandled request would log a token).
* Of foreign loggers (uvicorn, asyncio) only warnings are logged, and of the event loop's own
  complaints not even the text, which quotes the arguments of callbacks.
* One line each, to standard error; who runs the process adds the time.
"""

import asyncio
import logging
import sys
import threading
import traceback
from types import TracebackType
from typing import Any, Final

_FRAMES: Final = 3

logger = logging.getLogger("lookup")


class _OneLine(logging.Formatter):
    """Level, process, message; an exception by its type and place."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name}[%(process)d] %(levelname)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        record.message = record.getMessage()
        line = self.formatMessage(record)
        if record.exc_info is not None and record.exc_info[1] is not None:
            line = f"{line}: {describe(record.exc_info[1])}"
        return " ".join(line.splitlines())


def configure_logging(name: str, level: int = logging.INFO) -> None:
    """Send the logs of this process to standard error, under its name in the picture."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(name))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logger.setLevel(level)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def describe(error: BaseException) -> str:
    """The type of an exception and the last places it came through; nothing of its message."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = ", ".join(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
    return f"{type(error).__name__} at {places or 'no known place'}"


def log_defect(doing: str, error: BaseException) -> None:
    """Log a defect of ours; `doing` says in constant words what was going on."""
    logger.error("defect in %s: %s", doing, describe(error))


def log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception handler for event loops."""
    error = context.get("exception")
    if isinstance(error, ConnectionError | TimeoutError):
        return  # a client left; nobody here can do anything about it
    if isinstance(error, BaseException):
        log_defect("a callback of the event loop", error)
    else:
        logger.error("the event loop complained, without an exception")


def _log_uncaught(
    kind: type[BaseException], error: BaseException, _traceback: TracebackType | None
) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        logger.critical("this process ends: %s", describe(error))


def _log_uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None:
        log_defect("a thread", arguments.exc_value)
