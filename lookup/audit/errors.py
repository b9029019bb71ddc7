"""What can be wrong with the audit's bytes.

    AuditError
    ├── InvalidEntry      not an entry, or not one of this format
    └── InvalidSegment    not a segment, or one that was changed, shortened or damaged

Messages name the rule, never what broke it.
"""


class AuditError(Exception):
    """Something is wrong with bytes that the audit consists of."""


class InvalidEntry(AuditError):
    """The bytes are not an audit entry."""


class InvalidSegment(AuditError):
    """The bytes are not a segment, or not as its writer left them."""
