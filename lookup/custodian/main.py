"""The custodian process: unlock, finish what was left, publish, serve.

    python -m lookup.custodian.main --config FILE --fd N [--operator-fd M]

Started by the supervisor, which owns the listening sockets and passes them as descriptors N and M.
The passphrase comes from the file that the configuration names, from a systemd credential called
`passphrase`, or from a prompt; never from an argument or the environment.

Exit statuses tell the supervisor whether another start could help; see lookup/exits.py.
"""

import argparse
import logging
import socket
import ssl
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NoReturn

import uvloop

from keys.errors import KeysError, RefusedToStart, WrongPassphrase
from keys.slot.lock import Passphrase
from lookup import exits
from lookup.config import Config, InvalidConfig, load_config
from lookup.custodian.api.app import make_app
from lookup.custodian.custody import Custody
from lookup.custodian.door import Door
from lookup.custodian.passphrases import PassphraseUnreadable, read_passphrase
from lookup.custodian.running import Running
from lookup.custodian.starting import describe_running, now, publish, take_custody
from lookup.custodian.stopping import fail_stop
from lookup.custodian.store.database import MediumFailed, StoreError
from lookup.custodian.table.publishing import NotInCatalogue
from lookup.custodian.unlocking import InUse, open_site
from lookup.custodian.writer import Writer
from lookup.exchange import App
from lookup.httpd import Limits, make_server
from lookup.index.errors import IndexSpace, TableError
from lookup.logs import add_log_options, configure_process_logging
from lookup.process import add_testing_options, settle_in
from lookup.tls import InvalidTls, make_server_context

LIMITS: Final = Limits(
    max_connections=200,  # officers and feeds are few; each may have a record of 1 MiB in memory
    body_seconds=None,  # imports
    body_idle_seconds=60,  # which follow the pace of what they are made from
    unread_seconds=600,
)

logger = logging.getLogger("lookup.custodian")


def main(arguments: list[str] | None = None) -> None:
    """Serve until told to stop."""
    options = _parse(arguments)
    configure_process_logging("custodian", options)
    settle_in(testing_only_dumpable=options.testing_only_dumpable)
    try:
        _run(load_config(options.config), options.fd, options.operator_fd)
    except (InvalidConfig, InvalidTls) as error:
        _end(exits.CONFIG, error)
    except (WrongPassphrase, PassphraseUnreadable) as error:
        _end(exits.NO_PERMISSION, error)
    except InUse as error:
        _end(exits.TEMPORARY, error)
    except IndexSpace as error:
        _end(exits.TEMPORARY, error)
    except NotInCatalogue as error:
        _end(exits.CONFIG, error)
    except (MediumFailed, OSError) as error:
        _end(exits.FAIL_STOP, error)
    except (RefusedToStart, StoreError, TableError) as error:
        _end(exits.REFUSED, error)
    except KeysError as error:
        _end(exits.FAIL_STOP, error)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lacuna-custodian", description="Keeps the records.")
    parser.add_argument("--config", type=Path, required=True, help="the site's configuration")
    parser.add_argument("--fd", type=int, required=True, help="the listening socket")
    parser.add_argument("--operator-fd", type=int, help="the operator's listening socket")
    add_log_options(parser)
    add_testing_options(parser)
    return parser.parse_args(arguments)


def _end(status: int, error: Exception) -> NoReturn:
    logger.error("%s", error)
    raise SystemExit(status)


def _run(config: Config, descriptor: int, operator: int | None) -> None:
    tls = make_server_context(config.tls) if config.tls else None
    passphrase = Passphrase(read_passphrase(config.passphrase_file))
    with ExitStack() as closing:
        opened = open_site(config, passphrase, now)
        closing.callback(opened.close)
        del passphrase
        for destruction in opened.vault.started_with:
            logger.info("finished what the last stop left: epoch %d", destruction.epoch)
        if opened.vault.mended_log:
            logger.error(
                "the store's log was not what the anchors know: the mirror's took its place"
            )
        for folder in opened.absent:
            logger.warning("the slot in %s is away: it lags until it is back", folder)
        door = Door(config.worker_socket, logger.warning)
        closing.callback(door.close)
        custody = take_custody(config, opened, door)
        closing.callback(custody.close)
        publish(custody)
        writer = Writer(custody, fail_stop)
        writer.start()
        closing.callback(writer.stop)
        listening = [socket.socket(fileno=descriptor)]
        if operator is not None:
            listening.append(socket.socket(fileno=operator))
        uvloop.run(_serve(writer, custody, describe_running(config, opened), listening, tls))


async def _serve(
    writer: Writer,
    custody: Custody,
    site: Running,
    listening: list[socket.socket],
    tls: ssl.SSLContext | None,
) -> None:
    """Serve the feed's socket, the operator's if there is a second one, and the officers'."""
    officer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path = site.config.officer_socket
    path.unlink(missing_ok=True)
    officer.bind(str(path))
    path.chmod(0o600)
    app: App = make_app(writer, custody, site)
    if len(listening) > 1:
        # 0.2 s; and without a port nobody reads metrics.
        from lookup.custodian.api.operator import OperatorApp, apart  # noqa: PLC0415  # as above

        port = listening[1].getsockname()[1]
        app = apart(app, OperatorApp(writer, custody, site), port)
    server = make_server(app, limits=LIMITS, tls=tls)
    logger.info("ready: %d records, epoch %d", len(custody.sources), custody.vault.version.epoch)
    await server.serve(sockets=[*listening, officer])


if __name__ == "__main__":
    main(sys.argv[1:])
