-- A vault's storage. Everything secret is sealed before it comes here; what is clear is listed in
-- ARCHITECTURE.md: ids and versions of blobs, numbers of pages, epoch, sequence.
CREATE TABLE root (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    vault BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
-- The root key, wrapped once per slot.
CREATE TABLE wrap (
    slot BLOB PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE page (
    number INTEGER PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;
-- Random keys and no rowid: the order of rows does not tell the order of arrival.
CREATE TABLE blob (
    id BLOB NOT NULL,
    version INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (id, version)
) STRICT, WITHOUT ROWID;
