"""A worker process: `python -m lookup.worker.main --fd N --socket PATH --slot K`.

With `--tls-certificate PATH --tls-key PATH` and perhaps `--client-ca PATH` it speaks TLS.
Started by the supervisor, which owns the listening socket and passes it as descriptor N. Holds no
secret in its arguments or environment: all it knows comes over the hand-off socket. Its memory is
not dumpable. SIGTERM and SIGINT end it with status 0, after the answers it owes.
"""

import argparse
import asyncio
import functools
import logging
import os
import socket
import ssl
from pathlib import Path
from typing import Final

import uvloop

from lookup import exits
from lookup.handoff import Hello, PassPage
from lookup.httpd import BoundedProtocol, Limits, make_server
from lookup.logs import configure_logging
from lookup.process import add_testing_options, settle_in
from lookup.tls import InvalidTls, TlsFiles, make_server_context
from lookup.worker.answering import Desk
from lookup.worker.hot import HotProtocol
from lookup.worker.link import Link
from lookup.worker.passage import Passage
from lookup.worker.routes import LookupApp
from lookup.worker.sessions import Sessions
from lookup.worker.view import Standing

COULD_NOT_CHECK: Final = {"outcome": "could-not-check"}

# So that the kernel takes a whole batch's answer at once, and no slow reader delays a removal. The
# kernel doubles it for its own book-keeping, and caps it at net.core.wmem_max (208 KiB).
_SEND_BUFFER: Final = 512 * 1024

logger = logging.getLogger("lookup.worker")


def main(arguments: list[str] | None = None) -> None:
    """Serve until told to stop."""
    options = _parse(arguments)
    configure_logging(f"worker {options.slot}")
    settle_in(testing_only_dumpable=options.testing_only_dumpable)
    try:
        tls = _make_context(options)
    except InvalidTls as error:
        logger.error("%s", error)  # noqa: TRY400  # one line
        raise SystemExit(exits.CONFIG) from None
    uvloop.run(_serve(options, tls))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lacuna-worker", description="Answers lookups.")
    parser.add_argument("--fd", type=int, required=True, help="the listening socket")
    parser.add_argument("--socket", required=True, help="where the custodian hands over")
    parser.add_argument("--slot", type=int, required=True, help="this worker's number")
    parser.add_argument("--max-connections", type=int, default=Limits().max_connections)
    parser.add_argument("--tls-certificate", type=Path, help="as serve.tls_certificate")
    parser.add_argument("--tls-key", type=Path, help="as serve.tls_key")
    parser.add_argument("--client-ca", type=Path, help="as serve.client_ca")
    parser.add_argument("--testing-only-cold", action="store_true", help="no hot path")
    add_testing_options(parser)
    return parser.parse_args(arguments)


def _make_context(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.tls_certificate is None:
        return None
    files = TlsFiles(options.tls_certificate, options.tls_key, options.client_ca)
    return make_server_context(files)


async def _serve(options: argparse.Namespace, tls: ssl.SSLContext | None) -> None:
    listening = socket.socket(fileno=options.fd)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    page, standing = PassPage(), Standing()
    hello = Hello(slot=options.slot, pid=os.getpid())
    link = Link(options.socket, hello, page.descriptor, standing, asyncio.get_running_loop())
    limits = Limits(max_connections=options.max_connections, problem_members=COULD_NOT_CHECK)
    desk = Desk(standing, Passage(page), Sessions(), None, None)
    server = make_server(
        LookupApp(desk),
        limits=limits,
        tls=tls,
        protocol=(
            BoundedProtocol
            if options.testing_only_cold
            else functools.partial(HotProtocol, desk=desk)
        ),
    )
    link.start()
    try:
        await server.serve(sockets=[listening])
    finally:
        link.stop()


if __name__ == "__main__":
    main()
