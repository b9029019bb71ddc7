"""The custodian process: unlock, finish what was left, publish, serve.

    python -m lookup.custodian.main --config FILE --fd N

Started by the supervisor, which owns the listening socket and passes it as descriptor N. The
passphrase comes from the file that the configuration names, from a systemd credential called
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
from lookup.custodian.publishing import NotInCatalogue
from lookup.custodian.running import Running
from lookup.custodian.starting import describe_running, now, publish, take_custody
from lookup.custodian.stopping import fail_stop
from lookup.custodian.store.database import MediumFailed, StoreError
from lookup.custodian.unlocking import InUse, open_site
from lookup.custodian.writer import Writer
from lookup.httpd import Limits, make_server
from lookup.index.errors import IndexSpace, TableError
from lookup.logs import configure_logging
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
    configure_logging("custodian")
    settle_in(testing_only_dumpable=options.testing_only_dumpable)
    try:
        _run(load_config(options.config), options.fd)
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
    add_testing_options(parser)
    return parser.parse_args(arguments)


def _end(status: int, error: Exception) -> NoReturn:
    logger.error("%s", error)
    raise SystemExit(status)


def _run(config: Config, descriptor: int) -> None:
    tls = make_server_context(config.tls) if config.tls else None
    passphrase = Passphrase(read_passphrase(config.passphrase_file))
    with ExitStack() as closing:
        opened = open_site(config, passphrase, now)
        closing.callback(opened.close)
        del passphrase
        for destruction in opened.vault.started_with:
            logger.info("finished what the last stop left: epoch %d", destruction.epoch)
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
        uvloop.run(_serve(writer, custody, describe_running(config, opened), descriptor, tls))


async def _serve(
    writer: Writer, custody: Custody, site: Running, descriptor: int, tls: ssl.SSLContext | None
) -> None:
    officer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path = site.config.officer_socket
    path.unlink(missing_ok=True)
    officer.bind(str(path))
    path.chmod(0o600)
    server = make_server(make_app(writer, custody, site), limits=LIMITS, tls=tls)
    logger.info("ready: %d records, epoch %d", len(custody.sources), custody.vault.version.epoch)
    await server.serve(sockets=[socket.socket(fileno=descriptor), officer])


if __name__ == "__main__":
    main(sys.argv[1:])
