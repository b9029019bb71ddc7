"""A site's custodian in this process: put together by its own main, without its server.

So that operations can be timed one by one, and several sites in turn.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from keys.entry import EntryId
from keys.slot.lock import Passphrase
from lookup.config import Config
from lookup.custodian.api.app import make_app
from lookup.custodian.custody import Custody
from lookup.custodian.door import Door
from lookup.custodian.passphrases import read_passphrase
from lookup.custodian.starting import describe_running, now, publish, take_custody
from lookup.custodian.unlocking import OpenSite, open_site
from lookup.custodian.writer import Writer
from lookup.logs import describe


@dataclass(frozen=True, slots=True)
class Held:
    """A custodian in this process. While it lives, only its writer's thread uses custody."""

    custody: Custody
    writer: Writer
    app: FastAPI

    def some_records(self, count: int) -> list[EntryId]:
        """Return records spread evenly over the leaves."""
        every = list(self.custody.sources.values())
        return [every[n * len(every) // count] for n in range(count)]


@contextmanager
def opened(config: Config) -> Iterator[OpenSite]:
    """Open a site's vault alone."""
    site = open_site(config, Passphrase(read_passphrase(config.passphrase_file)), now)
    try:
        yield site
    finally:
        site.close()


@contextmanager
def held(config: Config) -> Iterator[Held]:
    """Open a site, index it, take commands."""
    with ExitStack() as stack:
        site = stack.enter_context(opened(config))
        door = Door(config.worker_socket, _complain)
        stack.callback(door.close)
        custody = take_custody(config, site, door)
        stack.callback(custody.close)
        publish(custody)
        writer = Writer(custody, lambda error: _complain(describe(error)))
        writer.start()
        stack.callback(writer.stop)
        yield Held(custody, writer, make_app(writer, custody, describe_running(config, site)))


def _complain(text: str) -> None:
    print(f"custodian: {text}", file=sys.stderr)
