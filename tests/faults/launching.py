"""`lacuna serve`, with a custodian whose files its own user may look up, as strace must.

python -m tests.faults.launching CONFIG
"""

import sys
from contextlib import ExitStack
from pathlib import Path

from lookup.config import load_config
from lookup.logs import configure_logging
from lookup.supervisor import Supervisor


class Watched(Supervisor):
    """A supervisor that starts the custodian dumpable."""

    def _plan(self, sockets: ExitStack) -> None:
        super()._plan(sockets)
        custodian = self.children[0]
        custodian.command = [*custodian.command, "--testing-only-dumpable"]


if __name__ == "__main__":
    configure_logging("supervisor")
    sys.exit(Watched(load_config(Path(sys.argv[1]))).run())
