"""How a custodian ends that must not go on: at once, in words, with a status of its own.

What is durable is unknown by then, and anything more that this process did could make it worse.
The next start finds out.
"""

import logging
import os
from typing import NoReturn

from keys.errors import KeysError
from lookup import exits
from lookup.custodian.store.database import StoreError
from lookup.logs import describe

logger = logging.getLogger("lookup.custodian")


def fail_stop(error: BaseException) -> NoReturn:
    """End the process now; nothing is closed, and nobody hears that anything was done."""
    logger.critical("stopping, for a write failed: %s", describe(error))
    if isinstance(error, OSError | StoreError | KeysError):
        logger.critical("the cause: %s", error)  # these name places and rules, no values
    os._exit(exits.FAIL_STOP)
