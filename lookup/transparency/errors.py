"""What can be wrong with a certificate and with what speaks of it.

    TransparencyError
    ├── InvalidStatement    the statement breaks its grammar or a rule
    ├── InvalidCertificate  a part of the certificate does not verify; the message says which
    └── InvalidOpening      the opening is malformed, or the certificate does not speak of it

Invariant: a message names a line, a part or a rule, and never a value.
"""


class TransparencyError(ValueError):
    """Something does not show what it claims to show."""


class InvalidStatement(TransparencyError):
    """The statement breaks its grammar or a rule."""


class InvalidCertificate(TransparencyError):
    """A part of the certificate does not verify."""


class InvalidOpening(TransparencyError):
    """The opening is malformed, or the certificate does not speak of it."""
