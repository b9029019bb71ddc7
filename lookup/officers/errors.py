"""Why an officer's key cannot be had from a file.

    KeyFileError
    ├── KeyFileUnreadable    not there, not private, too big, damaged
    ├── WrongPassphrase      also said of a changed byte: the two cannot be told apart
    └── NotAnOfficerKey      a key of another type, or no private key at all

A message names the file and the fact; it holds nothing of what the file holds. `InvalidToken` is
beside what parses tokens.
"""


class KeyFileError(Exception):
    """A reason why there is no key."""


class KeyFileUnreadable(KeyFileError):
    """The file is not there, can be read by others, is too big, or is damaged."""


class WrongPassphrase(KeyFileError):
    """The passphrase does not open the file, or its sealed part was changed."""


class NotAnOfficerKey(KeyFileError):
    """The file holds a key of another type, or no private key."""
