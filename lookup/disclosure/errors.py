"""What can be wrong with an export and with what is to be left out of it.

    DisclosureError
    ├── InvalidExport        the site's answer is none, or its payload cannot be shown
    └── InvalidRedactions    a mark is malformed, or points to what it may not

Invariant: messages name rules and the numbers of marks, never a value or a pointer.
"""


class DisclosureError(Exception):
    """Why no export is made."""


class InvalidExport(DisclosureError):
    """What a site has told is no export."""


class InvalidRedactions(DisclosureError):
    """What is to be left out cannot be, as it is marked."""
