"""Checkpoints that witnesses have cosigned: of each witness the newest, as a note.

They are no part of the map: whoever loses them asks the witnesses again. What they say of the log
is more than the store can say of itself, for a witness keeps it elsewhere too.
"""

from lookup.custodian.store.database import Database


class CosignedCheckpoints:
    """The notes in one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[str, bytes]:
        """Return the note that each witness cosigned last, by the witness's verifier key."""
        with self._database.reading() as connection:
            return dict(connection.execute("SELECT witness, checkpoint FROM log_cosignature"))

    def keep(self, witness: str, note: bytes) -> None:
        """Make a witness's newest note durable. Raises MediumFailed."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO log_cosignature (witness, checkpoint) VALUES (?, ?)",
                (witness, note),
            )
