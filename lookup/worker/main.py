"""A worker process: `python -m lookup.worker.main --fd N --cells M --socket PATH --slot K`.

With `--tls-certificate PATH --tls-key PATH` and perhaps `--client-ca PATH` it speaks TLS.
Started by the supervisor, which owns the listening socket and the cells that all workers count in
(lookup/cells.py), and passes them as descriptors N and M. Holds no secret in its arguments or
environment: all it knows comes over the hand-off socket. Its memory is not dumpable. SIGTERM and
SIGINT end it with status 0, after the answers it owes.
"""

import argparse
import asyncio
import functools
import gc
import logging
import os
import socket
import ssl
from pathlib import Path
from typing import Final

import uvloop

from lookup import exits
from lookup.audit.segment import MIN_SEGMENT
from lookup.cells import Cells, make_cells
from lookup.handoff import Hello, PassPage
from lookup.httpd import BoundedProtocol, BoundedServer, Limits, make_server
from lookup.logs import add_log_options, configure_process_logging
from lookup.metering import Meter
from lookup.process import add_testing_options, keep_memory, settle_in
from lookup.tls import InvalidTls, TlsFiles, make_server_context
from lookup.worker.answering import Desk
from lookup.worker.auditing import Auditor
from lookup.worker.hot import HotProtocol
from lookup.worker.link import Link
from lookup.worker.passage import Passage
from lookup.worker.quota import Quotas
from lookup.worker.rounds import Rounds
from lookup.worker.routes import COULD_NOT_CHECK, LookupApp
from lookup.worker.sessions import Sessions
from lookup.worker.view import Standing
from lookup.worker.writing import Rules

# So that the kernel takes a whole batch's answer at once, and no slow reader delays a removal. The
# kernel doubles it for its own book-keeping, and caps it at net.core.wmem_max (208 KiB).
_SEND_BUFFER: Final = 512 * 1024

logger = logging.getLogger("lookup.worker")


def main(arguments: list[str] | None = None) -> None:
    """Serve until told to stop."""
    options = _parse(arguments)
    configure_process_logging(f"worker {options.slot}", options)
    settle_in(testing_only_dumpable=options.testing_only_dumpable)
    keep_memory()
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
    parser.add_argument("--cells", type=int, help="what all workers count in; alone: its own")
    parser.add_argument("--max-connections", type=int, default=Limits().max_connections)
    parser.add_argument("--tls-certificate", type=Path, help="as serve.tls_certificate")
    parser.add_argument("--tls-key", type=Path, help="as serve.tls_key")
    parser.add_argument("--client-ca", type=Path, help="as serve.client_ca")
    parser.add_argument("--testing-only-cold", action="store_true", help="no hot path")
    parser.add_argument("--testing-only-small-audit", action="store_true", help="on tmpfs, too")
    parser.add_argument("--testing-only-unaudited", action="store_true", help="for benchmarks")
    add_log_options(parser)
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
    loop, page = asyncio.get_running_loop(), PassPage()
    meter = Meter(page)
    limits = Limits(
        max_connections=options.max_connections,
        problem_members=COULD_NOT_CHECK,
        note_problem=meter.could_not_check,
    )
    broken = asyncio.Event()
    auditor = None
    if not options.testing_only_unaudited:
        small = Rules(segment_size=MIN_SEGMENT, testing_only_tmpfs=True)
        rules = small if options.testing_only_small_audit else Rules()
        auditor = Auditor(
            options.slot, loop, rules=rules, on_broken=broken.set, on_group=meter.committed
        )
    standing = Standing(None if auditor is None else auditor.follow)
    hello = Hello(slot=options.slot, pid=os.getpid())
    link = Link(options.socket, hello, page.descriptor, standing, loop)
    cells = Cells(make_cells(options.slot + 1) if options.cells is None else options.cells)
    desk = Desk(standing, Passage(page), Sessions(), Quotas(cells, options.slot), auditor, meter)
    rounds = Rounds(desk, loop)
    hot = functools.partial(HotProtocol, desk=desk, rounds=rounds)
    protocol = BoundedProtocol if options.testing_only_cold else hot
    app = LookupApp(desk, rounds, link.send)
    server = make_server(app, limits=limits, tls=tls, protocol=protocol)
    ending = loop.create_task(_end_when(broken, server))
    gc.freeze()  # what is here by now stays: collections need not look at it
    link.start()
    counting = loop.create_task(_count_connections(server, meter))
    try:
        await server.serve(sockets=[listening])
    finally:
        ending.cancel()
        counting.cancel()
        link.stop()
        if auditor is not None:
            await auditor.close()
    if broken.is_set():
        raise SystemExit(exits.FAIL_STOP)


async def _end_when(broken: asyncio.Event, server: BoundedServer) -> None:
    """The audit's medium failed: another process may begin with a new segment, or find it well."""
    await broken.wait()
    server.should_exit = True


async def _count_connections(server: BoundedServer, meter: Meter) -> None:
    while True:
        meter.connected(len(server.server_state.connections))
        await asyncio.sleep(1)


if __name__ == "__main__":
    main()
