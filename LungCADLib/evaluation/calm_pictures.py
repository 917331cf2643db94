"""Pictures of CALM: variance within clusters by round, what the autoencoder rebuilds, what the generator makes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LungCADLib.evaluation.compare_plots import COLORS, svg
from LungCADLib.training.calm_loop import HISTORY
from LungCADLib.training.picture_sheets import beside, sheet

if TYPE_CHECKING:
    from LungCADLib.training.calm_fit import Prepared
    from LungCADLib.training.calm_loop import Learned

SHOWN = 32
PANELS = {"variance": "variance within clusters", "held_out_loss": "loss, held out"}

_LEFT, _TOP, _WIDE, _HIGH, _APART = 52, 24, 330, 190, 70


def rounds(learned: "Mapping[str, Learned]") -> str:
    """Variance within clusters, and loss on held-out patients, by round, one line for each member; a dot is kept."""
    columns = (
        (HISTORY.index("variance"), "variance within clusters"),
        (HISTORY.index("held_out_loss"), "loss, held out"),
    )
    parts = []
    for place, (column, title) in enumerate(columns):
        left = _LEFT + place * (_WIDE + _APART)
        parts += _panel(left, title, {name: (one.history[:, column], one.kept) for name, one in learned.items()})
    base = _TOP + _HIGH + 52
    for i, (name, color) in enumerate(zip(learned, COLORS, strict=False)):
        parts.append(f'<rect x="{_LEFT + 90 * i}" y="{base - 9}" width="10" height="10" fill="{color}"/>')
        parts.append(f'<text x="{_LEFT + 90 * i + 16}" y="{base}">{name}</text>')
    return svg(_LEFT + 2 * _WIDE + _APART + 16, base + 12, "CALM by round", parts, paper=True) + "\n"


def _panel(left: float, title: str, lines: Mapping[str, tuple[NDArray[np.float64], int]]) -> list[str]:
    """One pair of axes with a line for each name."""
    longest = max(len(values) for values, _ in lines.values())
    low = min(float(values.min()) for values, _ in lines.values())
    high = max(float(values.max()) for values, _ in lines.values())

    def place(number: float, value: float) -> tuple[float, float]:
        x = left + _WIDE * (number - 1) / max(longest - 1, 1)
        return x, _TOP + _HIGH * (1 - (value - low) / max(high - low, 1e-12))

    parts = [
        f'<rect x="{left}" y="{_TOP}" width="{_WIDE}" height="{_HIGH}" fill="none" stroke="currentColor" '
        'opacity="0.35"/>',
        f'<text x="{left + _WIDE / 2}" y="{_TOP - 8}" text-anchor="middle">{title}</text>',
        f'<text x="{left + _WIDE / 2}" y="{_TOP + _HIGH + 30}" text-anchor="middle">round</text>',
    ]
    for number in (1, longest):
        parts.append(
            f'<text x="{place(number, low)[0]:.1f}" y="{_TOP + _HIGH + 16}" text-anchor="middle">{number}</text>'
        )
    for value in (low, high):
        parts.append(f'<text x="{left - 5}" y="{place(1, value)[1] + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    for (values, kept), color in zip(lines.values(), COLORS, strict=False):
        points = " ".join("{:.1f},{:.1f}".format(*place(i + 1, value)) for i, value in enumerate(values))
        x, y = place(kept, values[kept - 1])
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{color}"/>')
    return parts


def reconstructions(prepared: "Prepared") -> bytes:
    """PNG: patches of patients held out in training, each above what the autoencoder makes of it."""
    import torch

    seen = prepared.apart.still()[:: max(1, len(prepared.apart) // SHOWN)][:SHOWN]
    with torch.inference_mode():
        rebuilt = prepared.autoencoder(seen)
    return beside(seen[:, 0].numpy() * 2 - 1, rebuilt[:, 0].numpy() * 2 - 1)


def generated(made: NDArray[np.float32], real: NDArray[np.float32]) -> bytes:
    """PNG: four rows of generated nodules, then four of real ones; all (n, y, x) in -1..1."""
    return sheet(np.concatenate([made[: 2 * SHOWN], real[:: max(1, len(real) // (2 * SHOWN))][: 2 * SHOWN]]))
