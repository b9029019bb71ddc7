"""The audit's bytes, which workers write and the custodian takes in.

`entry.py` is what one request leaves behind, `segment.py` the file in which groups of entries are
made durable; neither reads or writes a file. `folder.py` is where segments lie. The worker's half
is `lookup/worker/auditing.py`.
"""
