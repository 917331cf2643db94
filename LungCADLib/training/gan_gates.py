"""Whether generated pictures are worth learning from: not copies of the training pictures, and not unlike real ones.

Three gates, each judged against what real pictures that the generator never saw would score:

- distance to the nearest training picture: copies lie nearer to it than unseen real pictures do;
- leave-one-out 1-nearest-neighbor test of generated against unseen real pictures: one half means that neighbors do not
  tell them apart, one that they lie apart (Lopez-Paz and Oquab, ICLR 2017, arXiv 1610.06545);
- Fréchet distance of features, as if each set were normally distributed (Heusel et al., NeurIPS 2017, arXiv
  1706.08500), beside that of two halves of the real pictures.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.float32]
Features = NDArray[np.float64]

COPY_PERCENTILE = 1.0
"""A generated picture is called a copy if it lies nearer to a training picture than this percentage of real ones do."""

MOST_COPIES = 0.05
"""The largest share of copies that passes; chance alone gives `COPY_PERCENTILE`."""

MOST_TOLD_APART = 0.9
"""The largest accuracy of the 1-nearest-neighbor test that passes."""

_ROWS = 256


@dataclass(frozen=True)
class Gates:
    """How generated pictures did.

    Attributes
    ----------
    generated, unseen
        How many of each were compared.
    nearest_generated, nearest_unseen
        Median distance to the nearest training picture: root mean square difference of pixels that run from -1 to 1.
    copies
        Share of generated pictures that lie nearer than `COPY_PERCENTILE` of the unseen real ones.
    told_apart, told_apart_real, told_apart_generated
        Accuracy of the 1-nearest-neighbor test, over all and over each kind.
    frechet, frechet_real
        Distance of generated from unseen real pictures, and of one half of the real ones from the other.
    """

    generated: int
    unseen: int
    nearest_generated: float
    nearest_unseen: float
    copies: float
    told_apart: float
    told_apart_real: float
    told_apart_generated: float
    frechet: float
    frechet_real: float

    @property
    def memorized(self) -> bool:
        """Whether too many are copies."""
        return self.copies > MOST_COPIES

    @property
    def unlike(self) -> bool:
        """Whether neighbors tell them from real ones too easily."""
        return self.told_apart > MOST_TOLD_APART

    @property
    def passed(self) -> bool:
        """Neither copies nor unlike."""
        return not self.memorized and not self.unlike


def judge(
    generated: Pictures, training: Pictures, unseen: Pictures, features: Callable[[Pictures], Features], seed: int = 0
) -> Gates:
    """Compare generated pictures with those the generator learned from and with real ones it did not see.

    Parameters
    ----------
    generated, training, unseen
        (n, y, x) in -1..1; the last two of different patients.
    features
        From pictures (n, y, x) to features (n, d), with d well below n.
    seed
        Of which pictures are compared where there are more of one kind, and of how the real ones are halved.

    Raises
    ------
    ValueError
        If there are fewer than two generated or four unseen pictures.
    """
    if len(generated) < 2 or len(unseen) < 4:
        raise ValueError("The gates need at least two generated and four unseen real pictures.")
    random = np.random.default_rng(seed)
    near_generated, near_unseen = (nearest_distances(some, training) for some in (generated, unseen))
    n = min(len(generated), len(unseen))
    drawn, real = (some[np.sort(random.permutation(len(some))[:n])] for some in (generated, unseen))
    right = neighbors_tell_apart(_flat(real), _flat(drawn))
    halves = np.array_split(features(unseen[random.permutation(len(unseen))]), 2)
    return Gates(
        generated=len(generated),
        unseen=len(unseen),
        nearest_generated=float(np.median(near_generated)),
        nearest_unseen=float(np.median(near_unseen)),
        copies=float((near_generated < np.percentile(near_unseen, COPY_PERCENTILE)).mean()),
        told_apart=float(right.mean()),
        told_apart_real=float(right[:n].mean()),
        told_apart_generated=float(right[n:].mean()),
        frechet=frechet_distance(features(unseen), features(generated)),
        frechet_real=frechet_distance(*halves),
    )


def nearest_distances(pictures: Pictures, training: Pictures) -> NDArray[np.float64]:
    """Root mean square pixel difference (n,) of each picture from the training picture nearest to it."""
    a, b = _flat(pictures), _flat(training)
    squares = (b**2).sum(axis=1)
    out = np.empty(len(a))
    for first in range(0, len(a), _ROWS):
        some = a[first : first + _ROWS]
        nearest = (squares - 2 * some @ b.T).argmin(axis=1)
        # The short formula rounds where two pictures are nearly equal, which is where it matters.
        out[first : first + _ROWS] = np.sqrt(((some - b[nearest]) ** 2).mean(axis=1))
    return out


def neighbors_tell_apart(real: Features, generated: Features) -> NDArray[np.bool_]:
    """Whether the nearest other row is of the same kind, (n + m,): the n real ones, then the m generated."""
    rows = np.concatenate([real, generated])
    kind = np.arange(len(rows)) >= len(real)
    squares = (rows**2).sum(axis=1)
    out = np.empty(len(rows), bool)
    for first in range(0, len(rows), _ROWS):
        some = slice(first, min(first + _ROWS, len(rows)))
        distance = squares - 2 * rows[some] @ rows.T
        distance[np.arange(some.stop - first), np.arange(first, some.stop)] = np.inf
        out[some] = kind[distance.argmin(axis=1)] == kind[some]
    return out


def frechet_distance(first: Features, second: Features) -> float:
    """Squared distance of the normal distributions with the rows' means and covariances.

    `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`: Dowson and Landau, J Multivariate Anal 1982;12:450.
    """
    mean = first.mean(axis=0) - second.mean(axis=0)
    one, other = (np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (first, second))
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    # C1 C2 has the eigenvalues of the symmetric C1^(1/2) C2 C1^(1/2).
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other @ root), 0)).sum()
    return float(mean @ mean + np.trace(one) + np.trace(other) - 2 * shared)


def _flat(pictures: Pictures) -> Features:
    return pictures.reshape(len(pictures), -1).astype(np.float64)
