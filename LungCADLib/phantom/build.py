"""How a phantom's patient is built."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Build:
    """Lung height, half width and half depth of the thorax, dome heights and fat in mm; `heart` scales the heart."""

    height: float
    width: float
    depth: float
    dome_right: float
    dome_left: float
    fat: float
    heart: float

    @staticmethod
    def random(rng: np.random.Generator) -> "Build":
        """A patient within the usual variation of adults."""
        size = rng.uniform(0.95, 1.04)
        return Build(
            height=252 * size * rng.uniform(0.97, 1.04),
            width=128 * size,
            depth=95 * size * rng.uniform(0.95, 1.05),
            dome_right=rng.uniform(46, 60),
            dome_left=rng.uniform(38, 50),
            fat=rng.uniform(8, 16),
            heart=rng.uniform(0.94, 1.05),
        )

    @property
    def carina(self) -> NDArray[np.float64]:
        """LPS mm of the tracheal bifurcation."""
        return np.array([0.0, 18.0, 0.67 * self.height])

    def hilum(self, side: int) -> NDArray[np.float64]:
        """LPS mm of the hilum: side -1 right, +1 left."""
        return np.array([side * 42.0, 14.0, (0.54 if side < 0 else 0.57) * self.height])

    def center_y(self, z: NDArray) -> NDArray:
        """LPS y in mm of the middle of the thorax at a height: it leans back toward the apex."""
        return 4 + 24 * np.clip(z / self.height, 0, 1.2) ** 2

    def front_y(self, z: NDArray) -> NDArray:
        """LPS y in mm of the front of the thorax in the midline."""
        t = np.maximum(z / self.height - 0.12, 0) / 0.88
        return self.center_y(z) - self.depth * np.maximum(1 - t**2.6, 0) ** 0.52
