"""The lookup plane: answers hospitals, and holds nothing that opens a record.

* `decide.py` is the lookup itself, pure; `view.py` what a worker knows; `link.py` how it learns it.
* `hot.py` (with `usual.py`) and `routes.py` are its edges to HTTP; `answering.py` is one lookup,
  from who asks to what leaves; `rounds.py` makes many of them together; `passage.py` is what the
  custodian sees of lookups in flight.
* `auditing.py` makes answers wait for their audit entries; `writing.py` writes these, in
  `segments.py`, on a `medium.py` (with `helper.py`), as a rule on that of `direct.py`.
* Neither `keys`, nor the custodian, nor the module that makes tokens can be reached from here.
"""
