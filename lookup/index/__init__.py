"""The embedded index: from a tag to its links, in memory that all workers of a machine share.

* `layout.py` is what writer and reader agree on; `mapping.py` is how both map the file.
* `reader.py` is the worker's side. `writer.py`, `placing.py` and `folder.py` are the custodian's:
  they may use numpy, which a worker never loads.
"""
