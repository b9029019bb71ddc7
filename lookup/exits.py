"""Exit statuses: stable, and after sysexits.h where it has one."""

from typing import Final

OK: Final = 0
FINDING: Final = 1  # the command worked, and found something that needs a person
USAGE: Final = 64  # the command line is not as described
REFUSED: Final = 65  # the data is not what it should be; a person has to decide
NO_INPUT: Final = 66  # a file that was named cannot be read
UNAVAILABLE: Final = 69  # no custodian answers
FAIL_STOP: Final = 70  # a write failed, or a defect: stopped rather than guessed
CANNOT_CREATE: Final = 73  # a file cannot be made, or is there already
TEMPORARY: Final = 75  # in use, or could not check: later may do
NO_PERMISSION: Final = 77  # wrong passphrase, or not allowed
CONFIG: Final = 78  # the configuration breaks a rule
INTERRUPTED: Final = 130  # by Ctrl-C, as shells say it

# A start after one of these would end the same way.
HOPELESS: Final = frozenset({REFUSED, NO_PERMISSION, CONFIG})
