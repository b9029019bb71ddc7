"""The audit's bytes, which workers write and the custodian takes in.

`entry.py` is what one request leaves behind, `segment.py` the file in which groups of entries are
made durable. Neither reads or writes a file. The worker's half is `lookup/worker/auditing.py`.
"""
