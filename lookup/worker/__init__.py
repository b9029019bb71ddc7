"""The lookup plane: answers hospitals, and holds nothing that opens a record.

* `decide.py` is the lookup itself, pure; `view.py` what a worker knows; `link.py` how it learns it.
* `routes.py` is its edge to HTTP, `passage.py` what the custodian sees of lookups in flight.
* `auditing.py` makes answers wait for their audit entries; `writing.py` writes these, in
  `segments.py`, on a `medium.py`.
* Neither `keys`, nor the custodian, nor the module that makes tokens can be reached from here.
"""
