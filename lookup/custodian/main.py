"""The custodian process: unlock, finish what was left, publish, serve.

    python -m lookup.custodian.main --config FILE --fd N

Started by the supervisor, which owns the listening socket and passes it as descriptor N. The
passphrase comes from the file that the configuration names, from a systemd credential called
`passphrase`, or from a prompt; never from an argument or the environment.

Exit statuses tell the supervisor whether another start could help; see lookup/exits.py.
"""

import argparse
import ctypes
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NoReturn

import uvloop

from crypto.derive import RFC_9106_SECOND
from keys.disk import Disk
from keys.errors import KeysError, RefusedToStart, WrongPassphrase
from keys.slot.lock import Passphrase
from lookup import exits
from lookup.config import Config, InvalidConfig, load_config
from lookup.custodian.api.app import make_app
from lookup.custodian.custody import Custody
from lookup.custodian.door import Door
from lookup.custodian.passphrases import PassphraseUnreadable, read_passphrase
from lookup.custodian.policy import Policy
from lookup.custodian.publishing import NotInCatalogue
from lookup.custodian.running import Running
from lookup.custodian.store.database import StoreError
from lookup.custodian.unlocking import InUse, OpenSite, open_site
from lookup.custodian.writer import Writer
from lookup.httpd import Limits, make_server
from lookup.index.errors import IndexSpace, TableError
from lookup.index.folder import supersede_others
from lookup.logs import configure_logging, describe

_PR_SET_DUMPABLE = 4
_LEAVES_PER_STEP = 1024
# A worker that served the custodian before this one comes back within a second.
_WORKERS_RETURN = 1.5
# Officers and feeds are few; each may have a record of 1 MiB in this process's memory.
_MAX_CONNECTIONS = 200

logger = logging.getLogger("lookup.custodian")


def main(arguments: list[str] | None = None) -> None:
    """Serve until told to stop."""
    options = _parse(arguments)
    configure_logging("custodian")
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _stop)  # before and after uvicorn has its own
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not options.testing_only_dumpable:
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    try:
        _run(load_config(options.config), options.fd)
    except InvalidConfig as error:
        _end(exits.CONFIG, error)
    except (WrongPassphrase, PassphraseUnreadable) as error:
        _end(exits.NO_PERMISSION, error)
    except InUse as error:
        _end(exits.TEMPORARY, error)
    except IndexSpace as error:
        _end(exits.TEMPORARY, error)
    except NotInCatalogue as error:
        _end(exits.CONFIG, error)
    except (RefusedToStart, StoreError, TableError) as error:
        _end(exits.REFUSED, error)
    except KeysError as error:
        _end(exits.FAIL_STOP, error)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lacuna-custodian", description="Keeps the records.")
    parser.add_argument("--config", type=Path, required=True, help="the site's configuration")
    parser.add_argument("--fd", type=int, required=True, help="the listening socket")
    parser.add_argument(
        "--testing-only-dumpable",
        action="store_true",
        help="let this user read the memory of the process",
    )
    return parser.parse_args(arguments)


def _stop(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit(0)


def _end(status: int, error: Exception) -> NoReturn:
    logger.error("%s", error)
    raise SystemExit(status)


def _now() -> int:
    return int(time.time())


def _today() -> date:
    return datetime.now(UTC).date()


def _run(config: Config, descriptor: int) -> None:
    passphrase = Passphrase(read_passphrase(config.passphrase_file))
    with ExitStack() as closing:
        opened = open_site(config, passphrase, _now)
        closing.callback(opened.close)
        del passphrase
        for destruction in opened.vault.started_with:
            logger.info("finished what the last stop left: epoch %d", destruction.epoch)
        for folder in opened.absent:
            logger.warning("the slot in %s is away: it lags until it is back", folder)
        door = Door(config.worker_socket, logger.warning)
        closing.callback(door.close)
        custody = _custody(config, opened, door)
        closing.callback(custody.close)
        _publish(custody)
        writer = Writer(custody, _fail_stop)
        writer.start()
        closing.callback(writer.stop)
        uvloop.run(_serve(writer, custody, _running(config, opened), descriptor))


def _publish(custody: Custody) -> None:
    """Put a table in force, and see to it that nobody answers from an earlier custodian's."""
    _build(custody, logger.info)
    if custody.publication is not None:
        kept = custody.publication.table.path
        supersede_others(custody.index, kept, change_over=_WORKERS_RETURN)


def _custody(config: Config, opened: OpenSite, door: Door) -> Custody:
    return Custody(
        vault=opened.vault,
        lock=opened.slots[0].lock,
        store=opened.store,
        policy=Policy.load(opened.vault),
        catalogue=config.catalogue,
        index=config.index,
        belt_seconds=config.belt_seconds,
        door=door,
        today=_today,
    )


def _running(config: Config, opened: OpenSite) -> Running:
    return Running(
        config=config,
        database_key=opened.database_key,
        mirror=opened.mirror,
        slots=opened.slots,
        cost=RFC_9106_SECOND,
        disk=Disk(),
        clock=_now,
        started=_now(),
        absent_slots=opened.absent,
        finished_at_start=opened.vault.started_with,
    )


def _build(custody: Custody, tell: Callable[..., None]) -> None:
    """Build the first table; say every few seconds how far it is."""
    begun = told = time.monotonic()
    custody.begin_build()
    while (progress := custody.step_build(_LEAVES_PER_STEP)) < 1:
        if time.monotonic() - told > 1:
            told = time.monotonic()
            tell("building the index: %d %%", int(100 * progress))
    tell("%d records indexed in %.1f s", len(custody.sources), time.monotonic() - begun)
    if custody.damaged:
        logger.error(
            "%d pages open neither in the store nor in the mirror: every miss is"
            " could-not-check until they are restored",
            len(custody.damaged),
        )


def _fail_stop(error: BaseException) -> None:
    """End at once: what is durable is unknown here, and the next start finds out."""
    logger.critical("stopping, for a write failed: %s", describe(error))
    if isinstance(error, OSError):
        logger.critical("the medium says: %s", error.strerror)
    os._exit(exits.FAIL_STOP)


async def _serve(writer: Writer, custody: Custody, site: Running, descriptor: int) -> None:
    officer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path = site.config.officer_socket
    path.unlink(missing_ok=True)
    officer.bind(str(path))
    path.chmod(0o600)
    limits = Limits(
        max_connections=_MAX_CONNECTIONS,
        body_seconds=None,
        body_idle_seconds=60,  # an import follows the pace of what it is made from
        unread_seconds=600,
    )
    server = make_server(make_app(writer, custody, site), limits=limits)
    logger.info("ready: %d records, epoch %d", len(custody.sources), custody.vault.version.epoch)
    await server.serve(sockets=[socket.socket(fileno=descriptor), officer])


if __name__ == "__main__":
    main(sys.argv[1:])
