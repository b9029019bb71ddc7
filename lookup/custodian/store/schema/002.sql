-- The audit: groups of entries as workers sealed them, one behind the other (store/chain.py).
CREATE TABLE audit_segment (
    id BLOB PRIMARY KEY,
    header BLOB NOT NULL
) STRICT, WITHOUT ROWID;
-- A group is taken in once: its segment and number name it.
CREATE TABLE audit_group (
    row INTEGER PRIMARY KEY,
    segment BLOB NOT NULL,
    number INTEGER NOT NULL,
    head BLOB NOT NULL,
    sealed BLOB NOT NULL,
    UNIQUE (segment, number)
) STRICT;
