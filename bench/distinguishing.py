"""How well two samples of times can be told apart.

`interval`: of the median of paired differences, by order statistics. The number of differences
below their median is binomial (n, 1/2) whatever their distribution, so the differences of ranks
n/2 -/+ 2.576 sqrt(n)/2 enclose it with 99 %; no normal times are assumed and nothing is resampled.

`auc`: the probability that a time of the one sample exceeds one of the other (Mann and Whitney),
half for equal ones, folded to be at least 1/2: what the best threshold-free distinguisher of single
times has. Its standard error at 20,000 of each is 0.003.
"""

from math import floor, sqrt
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.float64]

_Z99: Final = 2.575829


class Interval(NamedTuple):
    """A median, and between what it lies with 99 %."""

    median: float
    low: float
    high: float

    @property
    def furthest(self) -> float:
        """Its end that is further from zero."""
        return max(abs(self.low), abs(self.high))


def interval(first: Times, second: Times) -> Interval:
    """Return that of `first - second`, element by element."""
    differences = np.sort(first - second)
    count = len(differences)
    below = max(0, floor(count / 2 - _Z99 * sqrt(count) / 2))
    return Interval(
        float(np.median(differences)),
        float(differences[below]),
        float(differences[count - 1 - below]),
    )


def auc(first: Times, second: Times) -> float:
    """Return how well a time tells which of the samples it is from: 0.5 is not at all."""
    ordered = np.sort(second)
    below = np.searchsorted(ordered, first, side="left")
    equal = np.searchsorted(ordered, first, side="right") - below
    share = float((below + equal / 2).sum() / (len(first) * len(second)))
    return max(share, 1 - share)
