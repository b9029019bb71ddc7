-- The log: leaves in the order in which commits appended them (store/log.py). Each is a hiding
-- commitment, or a text for everybody, so nothing here is sealed.
CREATE TABLE log_entry (
    position INTEGER PRIMARY KEY,
    leaf BLOB NOT NULL
) STRICT;
-- Where a leaf is, for whoever knows the leaf.
CREATE INDEX log_entry_leaf ON log_entry (leaf);
-- Complete tiles of 256 hashes (C2SP tlog-tiles).
CREATE TABLE log_tile (
    level INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (level, number)
) STRICT;
-- The newest checkpoint that each witness has cosigned.
CREATE TABLE log_cosignature (
    witness TEXT PRIMARY KEY,
    checkpoint BLOB NOT NULL
) STRICT, WITHOUT ROWID;
