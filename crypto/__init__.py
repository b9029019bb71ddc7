"""Pure functions on bytes: no I/O, no clock, no logging; randomness from `secrets` alone.

One file per question "who may hold this key": `token` (hospitals), `tag` (workers), `record` (the
custodian), `allornothing` (a slot). `aead`, `derive`, `encoding`, `padding` and `secret` are what
those are made of. The log's are `merkle`, `commitment`, `note`, `checkpoint` and `cosignature`.
FORMATS.md, beside this file, says byte for byte what is written.
"""
