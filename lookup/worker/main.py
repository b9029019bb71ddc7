"""A worker process: `python -m lookup.worker.main --fd N --socket PATH --slot K`.

Started by the supervisor, which owns the listening socket and passes it as descriptor N. Holds no
secret in its arguments or environment: all it knows comes over the hand-off socket. Its memory is
not dumpable. SIGTERM and SIGINT end it with status 0, after the answers it owes.
"""

import argparse
import asyncio
import os
import socket
from typing import Final

import uvloop

from lookup.handoff import Hello, PassPage
from lookup.httpd import BoundedServer, Limits, make_server
from lookup.logs import add_log_options, configure_process_logging
from lookup.metering import Meter
from lookup.process import add_testing_options, settle_in
from lookup.worker.link import Link
from lookup.worker.passage import Passage
from lookup.worker.routes import COULD_NOT_CHECK, LookupApp
from lookup.worker.view import Standing

# So that the kernel takes a whole batch's answer at once, and no slow reader delays a removal. The
# kernel doubles it for its own book-keeping, and caps it at net.core.wmem_max (208 KiB).
_SEND_BUFFER: Final = 512 * 1024


def main(arguments: list[str] | None = None) -> None:
    """Serve until told to stop."""
    options = _parse(arguments)
    configure_process_logging(f"worker {options.slot}", options)
    settle_in(testing_only_dumpable=options.testing_only_dumpable)
    uvloop.run(_serve(options))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lacuna-worker", description="Answers lookups.")
    parser.add_argument("--fd", type=int, required=True, help="the listening socket")
    parser.add_argument("--socket", required=True, help="where the custodian hands over")
    parser.add_argument("--slot", type=int, required=True, help="this worker's number")
    parser.add_argument("--max-connections", type=int, default=Limits().max_connections)
    add_log_options(parser)
    add_testing_options(parser)
    return parser.parse_args(arguments)


async def _serve(options: argparse.Namespace) -> None:
    listening = socket.socket(fileno=options.fd)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    page, standing = PassPage(), Standing()
    hello = Hello(slot=options.slot, pid=os.getpid())
    link = Link(options.socket, hello, page.descriptor, standing, asyncio.get_running_loop())
    meter = Meter(page)
    limits = Limits(
        max_connections=options.max_connections,
        problem_members=COULD_NOT_CHECK,
        note_problem=meter.could_not_check,
    )
    server = make_server(LookupApp(standing, Passage(page), meter), limits=limits)
    link.start()
    counting = asyncio.create_task(_count_connections(server, meter))
    try:
        await server.serve(sockets=[listening])
    finally:
        counting.cancel()
        link.stop()


async def _count_connections(server: BoundedServer, meter: Meter) -> None:
    while True:
        meter.connected(len(server.server_state.connections))
        await asyncio.sleep(1)


if __name__ == "__main__":
    main()
