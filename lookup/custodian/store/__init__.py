"""Storage of a vault: SQLCipher files for the store, the mirror and backups.

SQLCipher is a second lock on the door, not the promise: pages and blobs arrive sealed. It hides
how many there are, their ids and versions, from whoever has the file alone.
"""
