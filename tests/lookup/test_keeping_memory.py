"""What a worker's process does with memory that it has let go."""

import subprocess
import sys

_CODE = """
import resource
from lookup.process import keep_memory
keep_memory()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        [bytes(size) for size in (300_000, 200_000, 250_000)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


def test_the_next_batch_is_given_the_pages_of_the_last() -> None:
    """Else each would touch some 180 fresh ones, 9,000 here."""
    told = subprocess.run([sys.executable, "-c", _CODE], check=True, capture_output=True, text=True)

    assert int(told.stdout) < 500
