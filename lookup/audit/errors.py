"""What can be wrong with the audit's bytes, and with where they are kept.

    AuditError
    ├── InvalidEntry      not an entry, or not one of this format
    ├── InvalidSegment    not a segment, or one that was changed, shortened or damaged
    └── FolderUnfit       the segments' folder is missing, not private, or not lasting

Messages name the rule, never what broke it.
"""


class AuditError(Exception):
    """Something is wrong with what the audit consists of."""


class InvalidEntry(AuditError):
    """The bytes are not an audit entry."""


class InvalidSegment(AuditError):
    """The bytes are not a segment, or not as its writer left them."""


class FolderUnfit(AuditError):
    """The folder would show segments to others, or lose them with the power."""
