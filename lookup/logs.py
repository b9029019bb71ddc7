"""What the processes of a site write to their logs, and what cannot get there.

Invariants:

* Of an exception only its type and its place in the code are logged: messages and tracebacks of
  foreign code quote their input (an unhandled request would log a token).
* Of foreign loggers (uvicorn, asyncio) only warnings are logged, and of the event loop's own
  complaints not even the text, which quotes the arguments of callbacks.
* One line each, to standard error: for people, who have the time from what runs the process, or
  as a JSON object whose keys are those of `_told` and no others, whatever a record carries.

What a line of ours says is constant words, numbers, and names of this machine's things; values of
a request have no place in any of them (tests/lookup/test_logs.py reads every call).
"""

import logging
import sys
import threading
import traceback
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    import asyncio  # 20 ms, and every command reads the names of the formats here

LOG_FORMATS: Final = ("text", "json")
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
        if (error := _error_of(record.exc_info)) is not None:
            line = f"{line}: {describe(error)}"
        return " ".join(line.splitlines())


class _StandardError(logging.StreamHandler[TextIO]):
    """Says of a line that cannot be written only that: logging itself would print its arguments."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Say where the line came from."""
        with suppress(OSError, ValueError):
            self.stream.write(f"a log line is lost: {record.filename}:{record.lineno}\n")


def configure_logging(
    name: str, log_format: str = LOG_FORMATS[0], *, testing_only_everything: bool = False
) -> None:
    """Send the logs of this process to standard error, under its name in the picture."""
    handler = _StandardError(sys.stderr)
    handler.setFormatter(_json_lines(name) if log_format == "json" else _OneLine(name))
    level, foreign = (
        (logging.DEBUG, logging.DEBUG)
        if testing_only_everything
        else (logging.INFO, logging.WARNING)
    )
    logging.basicConfig(handlers=[handler], level=foreign, force=True)
    logger.setLevel(level)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def configure_process_logging(name: str, options: Namespace) -> None:
    """The same, as `add_log_options` was answered."""
    everything = options.testing_only_log_everything
    configure_logging(name, options.log_format, testing_only_everything=everything)


def add_log_options(parser: ArgumentParser) -> None:
    """Add what the supervisor says to each process, and what only a test may ask for."""
    parser.add_argument("--log-format", choices=LOG_FORMATS, default=LOG_FORMATS[0])
    parser.add_argument("--testing-only-log-everything", action="store_true")


def _json_lines(name: str) -> logging.Formatter:
    # 0.2 s and up to 18 MB a process: only for those who asked for it.
    from structlog.processors import JSONRenderer  # noqa: PLC0415  # as above
    from structlog.stdlib import ProcessorFormatter  # noqa: PLC0415  # as above

    def tell(_logger: object, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
        return _told(name, event)

    return ProcessorFormatter(processors=[tell, JSONRenderer(ensure_ascii=False)])


def _told(name: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """All that an event is to those who read it by program."""
    record: logging.LogRecord = event["_record"]
    told: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
        "level": record.levelname.lower(),
        "process": name,
        "pid": record.process,
        "logger": record.name,
        "event": " ".join(str(event["event"]).splitlines()),
    }
    if (error := _error_of(event.get("exc_info"))) is not None:
        told["error"] = describe(error)
    return told


def _error_of(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, tuple) and isinstance(exc_info[1], BaseException):
        return exc_info[1]
    return None


def describe(error: BaseException) -> str:
    """The type of an exception and the last places it came through; nothing of its message."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = ", ".join(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
    return f"{type(error).__name__} at {places or 'no known place'}"


def log_defect(doing: str, error: BaseException) -> None:
    """Log a defect of ours; `doing` says in constant words what was going on."""
    logger.error("defect in %s: %s", doing, describe(error))


def log_loop_error(_loop: "asyncio.AbstractEventLoop", context: dict[str, Any]) -> None:
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
